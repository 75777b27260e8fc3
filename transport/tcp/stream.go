package tcp

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/muster/muster/transport"
)

const (
	readSize  = 2048 // of one read: more than the longest frame
	spareSize = 2048 // an idle stream keeps no larger buffer for writing
)

// A stream is one TCP connection.
//
//	dialling --connected--> open --FIN read---------> over (ClosedByPeer)
//	   |                     | |---RST read---------> over (ResetByPeer)
//	   |                     | |---finish: the queue, then FIN--> lingering --FIN read, or time--> over
//	   |--failed--> over     | ----kill: RST--------> over
//
// cause is set by the first thing that ends the stream and never changes.
type stream struct {
	transport.Stream
	engine *Engine
	cancel context.CancelFunc // of a dial

	mu      sync.Mutex
	idle    sync.Cond // signalled when writing becomes false
	conn    *net.TCPConn
	cause   transport.Cause // 0 while the stream is open
	queue   []byte          // not yet given to conn
	spare   []byte          // the buffer written last, for reuse
	pending int             // bytes queued or being written
	writing bool            // drain runs
}

func newStream(e *Engine, id transport.StreamID, peer netip.AddrPort) *stream {
	s := &stream{engine: e, Stream: transport.Stream{ID: id, Peer: peer}}
	s.idle.L = &s.mu
	return s
}

// dial connects and then serves.
func (s *stream) dial() {
	e := s.engine
	select {
	case <-e.ready:
	case <-e.dialling.Done():
		return
	}
	ctx, cancel := context.WithTimeout(e.dialling, e.config.DialTimeout)
	defer cancel()
	s.mu.Lock()
	s.cancel = cancel
	over := s.cause != 0
	s.mu.Unlock()
	if over {
		return
	}
	conn, err := dialer(s.Local).DialContext(ctx, "tcp", s.Peer.String())
	if err == nil {
		e.counters.Add(transport.StreamsDialled, 1)
		s.serve(conn.(*net.TCPConn))
		return
	}
	e.counters.Add(transport.StreamsNotOpened, 1)
	if cause, tell := s.over(causeOf(err)); tell {
		e.handler.StreamClosed(e.config.Clock.Now(), s.ID, cause)
	}
}

// serve carries the stream until it is over.
func (s *stream) serve(conn *net.TCPConn) {
	defer conn.Close()
	e := s.engine
	s.Local = addrPort(conn.LocalAddr())
	s.tap(transport.Sighting{Kind: transport.StreamOpened, Sent: !s.Accepted})
	if s.attach(conn) {
		e.handler.StreamOpened(e.config.Clock.Now(), s.Stream)
	}
	err := s.read(conn)
	cause, tell := s.over(causeOf(err))
	if cause == transport.ResetByPeer {
		e.counters.Add(transport.StreamsReset, 1)
	}
	s.tap(transport.Sighting{Kind: transport.StreamEnded, Cause: cause, Sent: !byPeer(cause)})
	if tell {
		e.handler.StreamClosed(e.config.Clock.Now(), s.ID, cause)
	}
	if cause == transport.ClosedByPeer {
		s.drained() // the peer may still read
	}
}

// attach gives the stream its connection and sends what was written before. It
// returns false when the stream was ended before.
func (s *stream) attach(conn *net.TCPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	if len(s.queue) > 0 {
		s.startWriting()
	}
	if s.cause != 0 {
		s.sayFIN()
	}
	return s.cause == 0
}

// read hands on chunks until the stream fails, and discards them once it is
// over for the host.
func (s *stream) read(conn *net.TCPConn) error {
	e := s.engine
	buf := make([]byte, readSize)
	for {
		n, err := conn.Read(buf)
		if n > 0 && s.open() {
			e.counters.Add(transport.StreamBytesIn, uint64(n))
			s.tap(transport.Sighting{Kind: transport.StreamChunk, Packet: transport.Packet{Data: buf[:n]}})
			e.handler.StreamData(e.config.Clock.Now(), s.ID, buf[:n])
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause == 0
}

// over ends the stream for a reason that reading found, unless it has ended
// already. It returns why it is over and whether the host needs to be told.
func (s *stream) over(found transport.Cause) (cause transport.Cause, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == 0 {
		s.cause = found
	}
	return s.cause, s.cause != transport.ClosedLocally && s.cause != transport.ResetLocally
}

// write queues b.
func (s *stream) write(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != 0 || len(b) == 0 {
		return
	}
	if s.pending+len(b) > s.engine.config.Backlog {
		s.killLocked(transport.SlowPeer)
		return
	}
	s.queue = append(s.queue, b...)
	s.pending += len(b)
	if s.conn != nil && !s.writing {
		s.startWriting()
	}
}

// startWriting is called with s.mu held, by somebody for whom the engine waits.
func (s *stream) startWriting() {
	s.writing = true
	s.engine.running.Go(s.drain)
}

// drain writes the queue until it is empty. There is no such goroutine for a
// stream that has nothing to write.
func (s *stream) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		piece := s.queue
		s.queue = s.spare[:0]
		patience := s.patience()
		s.mu.Unlock()
		err := s.put(piece, patience)
		s.mu.Lock()
		s.pending -= len(piece)
		if s.spare = piece; cap(piece) > spareSize {
			s.spare = nil
		}
		if err != nil {
			s.killLocked(writeCause(err))
			s.queue = nil
		}
	}
	if cap(s.queue) > spareSize {
		s.queue = nil
	}
	s.writing = false
	if s.cause != 0 {
		s.sayFIN()
	}
	s.idle.Broadcast()
}

// patience is how long one write may take.
func (s *stream) patience() time.Duration {
	if s.cause == transport.DriverStopped {
		return min(s.engine.config.Linger, s.engine.config.WriteTimeout)
	}
	return s.engine.config.WriteTimeout
}

// put writes one piece, as far as the peer reads.
func (s *stream) put(b []byte, patience time.Duration) error {
	now := s.engine.config.Clock.Now()
	if tap := s.engine.config.Tap; tap != nil {
		tap(transport.Sighting{At: now, Kind: transport.SendBegins})
		defer tap(transport.Sighting{At: now, Kind: transport.SendEnds})
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(patience)) // Write tells
	n, err := s.conn.Write(b)
	s.engine.counters.Add(transport.StreamBytesOut, uint64(n))
	if n > 0 && s.engine.config.Tap != nil {
		s.tap(transport.Sighting{At: now, Kind: transport.StreamChunk, Sent: true, Packet: transport.Packet{Data: b[:n]}})
	}
	return err
}

// finish ends the stream after what was written to it.
func (s *stream) finish(cause transport.Cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != 0 {
		return
	}
	s.cause = cause
	switch {
	case s.conn == nil:
		if s.cancel != nil && s.pending == 0 {
			s.cancel()
		}
	case !s.writing:
		s.sayFIN()
	default: // drain says FIN at its end
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.patience()))
	}
}

// sayFIN closes this side, when nothing waits, and gives the peer a while to
// close its own.
func (s *stream) sayFIN() {
	if s.writing {
		return // drain calls again at its end
	}
	_ = s.conn.CloseWrite() // fails when the connection is gone, and so does the read
	_ = s.conn.SetReadDeadline(time.Now().Add(s.engine.config.Linger))
}

// kill ends the stream at once.
func (s *stream) kill(cause transport.Cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killLocked(cause)
}

func (s *stream) killLocked(cause transport.Cause) {
	if s.cause == 0 {
		s.cause = cause
		if cause == transport.SlowPeer {
			s.engine.counters.Add(transport.StreamsSlowPeer, 1)
		}
	}
	if s.conn == nil {
		if s.cancel != nil {
			s.cancel()
		}
		return
	}
	_ = s.conn.SetLinger(0) // RST instead of FIN
	_ = s.conn.Close()
}

// drained waits until everything is written or given up.
func (s *stream) drained() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		s.idle.Wait()
	}
}

// tap completes a sighting and shows it.
func (s *stream) tap(seen transport.Sighting) {
	if s.engine.config.Tap == nil {
		return
	}
	if seen.At == 0 {
		seen.At = s.engine.config.Clock.Now()
	}
	seen.Stream, seen.Local, seen.Peer = s.ID, s.Local, s.Peer
	s.engine.config.Tap(seen)
}
