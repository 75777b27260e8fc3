package tcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/muster/muster/transport"
)

// An Engine accepts, dials and carries streams. It is a [transport.StreamSink]:
// all its methods are safe for concurrent use, and none waits for a peer.
type Engine struct {
	config    Config
	counters  transport.Counters
	listeners []*net.TCPListener
	dialling  context.Context // done when the engine closes
	stop      context.CancelFunc
	handler   Handler
	ready     chan struct{} // closed when handler is set
	running   sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	streams   map[transport.StreamID]*stream
	byAddress map[netip.Addr]int // streams of each peer address
}

// New returns an engine without listeners.
func New(config Config) *Engine {
	e := &Engine{
		config:    config.withDefaults(),
		ready:     make(chan struct{}),
		streams:   make(map[transport.StreamID]*stream),
		byAddress: make(map[netip.Addr]int),
	}
	e.dialling, e.stop = context.WithCancel(context.Background())
	return e
}

// Listen adds a listener, before Serve, and returns its address. Port 0 lets
// the system choose; the unspecified IPv6 address listens on IPv6 only.
func (e *Engine) Listen(addr netip.AddrPort) (netip.AddrPort, error) {
	network := "tcp4"
	if addr.Addr().Is6() {
		network = "tcp6"
	}
	// TCP keep-alives are not part of the protocol: its peers ping.
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false) // a board sees plain TCP, so the harness does
	l, err := lc.Listen(context.Background(), network, addr.String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("tcp: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners = append(e.listeners, l.(*net.TCPListener))
	if e.closed {
		_ = l.Close()
	}
	return addrPort(l.Addr()), nil
}

// Serve carries streams until ctx is done or the engine is stopped, then stops
// it. It returns after the last call of h has returned, which takes little
// longer than Config.Linger. It may be called once.
func (e *Engine) Serve(ctx context.Context, h Handler) error {
	e.handler = h
	close(e.ready)
	e.mu.Lock()
	for _, l := range e.listeners {
		e.running.Go(func() { e.accept(l) })
	}
	e.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-e.dialling.Done():
	}
	e.Stop()
	e.running.Wait()
	return nil
}

// acceptPauses is how long the engine waits after a failed accept, for
// descriptors to come free, at first and at last.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

func (e *Engine) accept(l *net.TCPListener) {
	pause := acceptPauseMin
	for {
		conn, err := l.AcceptTCP()
		if err == nil {
			pause = acceptPauseMin
			e.accepted(conn)
			continue
		}
		if e.dialling.Err() != nil {
			return
		}
		e.counters.Add(transport.AcceptFailed, 1)
		select {
		case <-e.dialling.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, acceptPauseMax)
		}
	}
}

func (e *Engine) accepted(conn *net.TCPConn) {
	s := newStream(e, e.config.IDs.Next(), addrPort(conn.RemoteAddr()))
	s.Accepted = true
	if cause := e.admit(s, func() { s.serve(conn) }); cause != 0 {
		_ = conn.SetLinger(0)
		_ = conn.Close()
		return
	}
	e.counters.Add(transport.StreamsAccepted, 1)
}

// Dial opens a stream from local to peer and names it id, which came from
// Config.IDs. The zero Addr and port 0 leave the choice to the system. The
// handler is told what became of it.
func (e *Engine) Dial(id transport.StreamID, local, peer netip.AddrPort) {
	s := newStream(e, id, peer)
	s.Local = local
	if cause := e.admit(s, s.dial); cause != 0 {
		e.counters.Add(transport.StreamsNotOpened, 1)
		e.refuse(id, cause)
	}
}

// refuse tells the handler from a goroutine of its own: a sink never calls its
// host from within.
func (e *Engine) refuse(id transport.StreamID, cause transport.Cause) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return // nobody is left to be told
	}
	e.running.Go(func() {
		select {
		case <-e.ready:
			e.handler.StreamClosed(e.config.Clock.Now(), id, cause)
		case <-e.dialling.Done():
		}
	})
}

// admit registers s and runs it, unless a limit is reached.
func (e *Engine) admit(s *stream, run func()) transport.Cause {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return transport.DriverStopped
	case len(e.streams) >= e.config.Streams:
		e.counters.Add(transport.StreamsOverLimit, 1)
		return transport.TooMany
	case e.byAddress[s.Peer.Addr()] >= e.config.StreamsPerAddress:
		e.counters.Add(transport.StreamsOverAddress, 1)
		return transport.TooMany
	}
	e.streams[s.ID] = s
	e.byAddress[s.Peer.Addr()]++
	e.running.Go(func() {
		defer e.release(s)
		run()
	})
	return 0
}

func (e *Engine) release(s *stream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.streams, s.ID)
	if e.byAddress[s.Peer.Addr()]--; e.byAddress[s.Peer.Addr()] == 0 {
		delete(e.byAddress, s.Peer.Addr())
	}
}

func (e *Engine) stream(id transport.StreamID) *stream {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.streams[id]
}

// Write sends b on a stream, in one write with what else waits. Bytes for a
// stream that is over are lost, as they are when they are already on their way.
func (e *Engine) Write(id transport.StreamID, b []byte) {
	if s := e.stream(id); s != nil {
		s.write(b)
	}
}

// Close ends a stream after what was written to it.
func (e *Engine) Close(id transport.StreamID) {
	if s := e.stream(id); s != nil {
		s.finish(transport.ClosedLocally)
	}
}

// Abort resets a stream. What was not yet sent is lost.
func (e *Engine) Abort(id transport.StreamID) {
	if s := e.stream(id); s != nil {
		s.kill(transport.ResetLocally)
	}
}

// Stop closes the listeners and ends all streams, each after what was written to
// it. Serve returns soon after. It is safe to call it more than once and from
// several goroutines.
func (e *Engine) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.closed = true
	e.stop()
	for _, l := range e.listeners {
		_ = l.Close()
	}
	for _, s := range e.streams {
		s.finish(transport.DriverStopped)
	}
}

// Len returns the number of streams, half-closed ones included.
func (e *Engine) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.streams)
}

// Counts returns the counters.
func (e *Engine) Counts() transport.Counts {
	var c transport.Counts
	e.counters.AddTo(&c)
	return c
}
