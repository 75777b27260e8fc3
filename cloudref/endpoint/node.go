package endpoint

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/transport"
)

// A Node is one process of the reference cloud, without its sockets.
type Node struct {
	c       Config
	app     app.Config
	counts  Counts
	index   index
	router  router
	timers  timers
	jobs    jobs
	half    halfOpen
	streams streams
	probes  probes
	others  others
	windows windowBudget
	serial  atomic.Uint64 // of the last event that was published
	writers atomic.Uint64 // sessions that were given a name, in a cloud of several nodes
	scratch sync.Pool     // of *work

	gateMu  sync.Mutex
	oneFace netip.AddrPort // of the fault OneFace
	gate    *dtls.Gate
	server  *dtls.ServerConfig

	rngMu  sync.Mutex
	rng    *rand.Rand
	jitter *rand.Rand
}

// New returns a node, with every session that the store holds: their devices
// are back as soon as they send.
func New(ctx context.Context, c Config) (*Node, error) {
	if c.Store == nil || c.Rand == nil || c.WallClock == nil {
		return nil, fmt.Errorf("endpoint: Store, Rand and WallClock are required")
	}
	n := &Node{c: c.defaults(), index: newIndex(), router: newRouter()}
	n.app = n.c.App.Defaults()
	n.rng = seed.Stream(n.c.Seed, "cloud/message-ids")
	n.jitter = rand.New(&lockedSource{source: seed.Bytes(n.c.Seed, "cloud/jitter")})
	n.scratch.New = func() any { return newWork(n) }
	n.half.init(n)
	n.streams.init(n)
	n.probes.init()
	if n.c.ECKey != nil {
		n.gate = dtls.NewGate(n.c.Rand, 0, n.c.GateFaults)
		n.server = n.serverConfig()
	}
	n.c.Store.OnRevoke(n.revoked)
	if n.clustered() {
		n.others.init()
		n.c.Store.OnChange(n.Reroute)
		return n, n.c.Store.FollowSessions(ctx, n.learn)
	}
	if n.c.Faults.ForgetSessions {
		return n, nil
	}
	if err := n.restore(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// work is what one call of the node needs: output buffers of every layer, used
// again by the next call.
type work struct {
	n    *Node
	out  *transport.Out
	in   link.Out // of receiving and of time
	send link.Out // of sending, which may happen while in is being handled
	app  app.Out
	dtls dtls.Out
}

// cipherCache is how many expanded keys a work keeps: those of a burst of one
// device are used again at once, and more would cost memory for nothing.
const cipherCache = 16

func newWork(n *Node) *work {
	w := &work{n: n}
	ciphers := dtls.NewCiphers(cipherCache)
	w.in.Watch, w.send.Watch = n.c.Traffic != nil, n.c.Traffic != nil
	w.in.Ciphers, w.send.Ciphers, w.dtls.Ciphers = ciphers, ciphers, ciphers
	return w
}

func (n *Node) work(out *transport.Out) *work {
	w := n.scratch.Get().(*work)
	w.out = out
	return w
}

func (n *Node) release(w *work) {
	w.out = nil
	n.scratch.Put(w)
}

// Counts returns what the node counted. It is safe at any time.
func (n *Node) Counts() *Counts { return &n.counts }

// revoked ends the live sessions of a device that lost its key.
func (n *Node) revoked(id store.DeviceID) {
	if d := n.index.device(id); d != nil && !n.c.Faults.KeepRevoked {
		n.later(d, func(now clock.Instant, d *device, w *work) {
			for _, s := range []*session{d.current, d.fresh} {
				if s != nil {
					d.endSession(now, s, "the key of the device was revoked", w)
				}
			}
		})
	}
}

// A lockedSource lets the message layers of devices on different goroutines
// share one generator.
type lockedSource struct {
	mu     sync.Mutex
	source rand.Source
}

// Uint64 is for math/rand/v2.
func (s *lockedSource) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Uint64()
}
