package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/tcp"
)

// What may wait between two calls of Run: so many arrivals, and so many bytes in the
// life of a network. A peer that says more is not heard any further.
const (
	waitingMax = 1024
	bytesMax   = 64 << 20
)

// Config configures a Network.
type Config struct {
	// Clock is the time of the run; nil: a new one.
	Clock *transport.Clock
	// Tap, if not nil, sees everything that crosses the sockets, from several
	// goroutines.
	Tap transport.Tap
	// Done ends all waiting when it is closed; nil: never.
	Done <-chan struct{}
}

// A Network is hosts on sockets of their own. Its methods, but for Post and Close, must
// be called from one goroutine at a time.
type Network struct {
	config  Config
	ids     transport.StreamIDs
	streams *tcp.Engine
	owners  map[transport.StreamID]*Node
	nodes   []*Node
	timed   []timed
	out     *transport.Out
	arrived clock.Instant // when something did last
	bytes   int           // that arrived

	inbox   chan arrival
	closed  chan struct{}
	once    sync.Once
	wait    sync.WaitGroup
	carries bool            // streams
	serving context.Context // of the streams
	stop    context.CancelFunc

	mu    sync.Mutex
	errs  []error
	socks []*socket
}

// An arrival is something that came in, to be handed to whom it is for.
type arrival struct {
	at   clock.Instant
	size int
	do   func(now clock.Instant)
}

// timed is a function that runs at an instant.
type timed struct {
	at clock.Instant
	do func()
}

// New returns a Network without nodes.
func New(config Config) *Network {
	if config.Clock == nil {
		config.Clock = transport.NewClock()
	}
	if config.Tap == nil {
		config.Tap = func(transport.Sighting) {}
	}
	n := &Network{
		config: config, owners: make(map[transport.StreamID]*Node), inbox: make(chan arrival, waitingMax), closed: make(chan struct{}),
	}
	n.streams = tcp.New(tcp.Config{Clock: config.Clock, Tap: config.Tap, IDs: &n.ids, Backlog: 1 << 20, WriteTimeout: 5 * time.Second, Linger: 100 * time.Millisecond})
	n.out = transport.NewOut(&n.ids, nil)
	n.serving, n.stop = context.WithCancel(context.Background())
	return n
}

// serve begins to carry streams. Who wants to listen has to before.
func (n *Network) serve() {
	if !n.carries && !n.Over() {
		n.carries = true
		n.wait.Go(func() { n.fail(n.streams.Serve(n.serving, handler{n})) })
	}
}

// Close closes the sockets and ends all waiting. It may be called twice, and from any
// goroutine; it returns when nothing of the network runs any more.
func (n *Network) Close() {
	n.once.Do(func() {
		close(n.closed)
		n.stop()
		n.streams.Stop()
		n.mu.Lock()
		for _, s := range n.socks {
			_ = s.conn.Close() // its reader ends
		}
		n.mu.Unlock()
	})
	n.wait.Wait()
}

// Err returns what went wrong with the network's own sockets, nil if nothing did.
func (n *Network) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return errors.Join(n.errs...)
}

const errsMax = 10

func (n *Network) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil && len(n.errs) < errsMax {
		n.errs = append(n.errs, fmt.Errorf("live: %w", err))
	}
}

// Now returns the present time.
func (n *Network) Now() clock.Instant { return n.config.Clock.Now() }

// Arrived returns when something last arrived, 0 if nothing did.
func (n *Network) Arrived() clock.Instant { return n.arrived }

// Over reports whether nobody waits any more: Done or the network was closed.
func (n *Network) Over() bool {
	select {
	case <-n.closed:
		return true
	case <-n.config.Done:
		return true
	default:
		return false
	}
}

func (n *Network) isClosed() bool {
	select {
	case <-n.closed:
		return true
	default:
		return false
	}
}

// At runs f at an instant, while time passes.
func (n *Network) At(at clock.Instant, f func()) {
	i, _ := slices.BinarySearchFunc(n.timed, at+1, func(t timed, at clock.Instant) int { return cmp.Compare(t.at, at) })
	n.timed = slices.Insert(n.timed, i, timed{at, f})
}

// Post has f run while time passes. It may be called from any goroutine.
func (n *Network) Post(f func()) {
	n.push(arrival{at: n.Now(), do: func(clock.Instant) { f() }})
}

// push hands over what has arrived, and waits when much is waiting.
func (n *Network) push(a arrival) {
	select {
	case n.inbox <- a:
	case <-n.closed:
	}
}

// Run lets time pass until an instant.
func (n *Network) Run(until clock.Instant) { n.RunUntil(func() bool { return false }, until) }

// RunUntil lets time pass until done reports true or an instant has come, and returns
// what done says then. done is asked again whenever something has happened.
func (n *Network) RunUntil(done func() bool, until clock.Instant) bool {
	n.serve()
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		n.takeAll()
		now := n.Now()
		n.advance(now)
		switch {
		case done():
			return true
		case now >= until || n.Over():
			return false
		}
		alarm.Reset(max(0, n.config.Clock.Until(min(until, n.next()))))
		select {
		case a := <-n.inbox:
			n.take(a)
		case <-alarm.C:
		case <-n.closed:
		case <-n.config.Done:
		}
	}
}

// takeAll hands over what has arrived by now.
func (n *Network) takeAll() {
	for range len(n.inbox) {
		n.take(<-n.inbox)
	}
}

func (n *Network) take(a arrival) {
	n.arrived = n.Now()
	if n.bytes += a.size; n.bytes > bytesMax {
		n.fail(fmt.Errorf("the peer said more than %d MiB", bytesMax>>20))
		return
	}
	a.do(a.at)
}

// advance does what is due.
func (n *Network) advance(now clock.Instant) {
	for len(n.timed) > 0 && n.timed[0].at <= now {
		due := n.timed[0]
		n.timed = n.timed[1:]
		due.do()
	}
	for _, node := range n.nodes {
		if node.host.Deadline() <= now {
			node.call(func(out *transport.Out) { node.host.Advance(now, out) })
		}
	}
}

// next returns when something is due, clock.Never if nothing is.
func (n *Network) next() clock.Instant {
	at := clock.Never
	if len(n.timed) > 0 {
		at = n.timed[0].at
	}
	for _, node := range n.nodes {
		at = min(at, node.host.Deadline())
	}
	return at
}
