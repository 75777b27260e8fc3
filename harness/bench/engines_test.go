package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/udp"
)

// patience is how long a turn may wait for a datagram that loopback has lost.
const patience = 2 * time.Minute

// engines are the sockets of a cloud and of devices, with a goroutine each.
type engines struct {
	cloud, fleet *udp.Engine
	cancel       context.CancelFunc
	served       chan error
}

// serve starts both engines with one shard each.
func serve(cloud udp.Handler, fleet func(cloud netip.AddrPort) udp.Handler) (*engines, error) {
	c, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{Shards: 1})
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	f, err := udp.OpenFleet([]uint16{0}, udp.Config{})
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("opening the fleet: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &engines{cloud: c, fleet: f, cancel: cancel, served: make(chan error, 2)}
	go func() { e.served <- c.Serve(ctx, cloud) }()
	go func() { e.served <- f.Serve(ctx, fleet(c.Addr(0))) }()
	return e, nil
}

func (e *engines) close() {
	e.cancel()
	for range 2 {
		<-e.served
	}
}

// An order is n operations that the shard of the devices is to do.
type order struct {
	wanted atomic.Int64 // set by the measurer, taken by the shard
	done   chan error
}

func newOrder() order { return order{done: make(chan error, 1)} }

// place orders n operations of a fleet and waits until they are done.
func (o *order) place(e *engines, n int) error {
	o.wanted.Store(int64(n))
	e.fleet.WakeAt(0, 0)
	select {
	case err := <-o.done:
		return err
	case <-time.After(patience):
		return fmt.Errorf("%d operations did not end in %s: %v, %v", n, patience, e.cloud.Counts(), e.fleet.Counts())
	}
}

// Deadline implements udp.Handler: it is time when there is an order.
func (o *order) Deadline(int) clock.Instant {
	if o.wanted.Load() > 0 {
		return 0
	}
	return clock.Never
}

// A gatekeeper is a cloud that only shakes hands: the gate, half-open handshakes
// by address, and the sessions that came of them by connection id.
type gatekeeper struct {
	config   *dtls.ServerConfig
	gate     *dtls.Gate
	half     map[netip.AddrPort]*dtls.Server
	sessions map[dtls.CID]*dtls.Session
	out      dtls.Out
	peer     []byte
}

func newGatekeeper() *gatekeeper {
	return &gatekeeper{
		config: serverConfig(), gate: dtls.NewGate(rand.Reader, 0, dtls.GateFaults{}),
		half: make(map[netip.AddrPort]*dtls.Server), sessions: make(map[dtls.CID]*dtls.Session),
	}
}

// Wake implements udp.Handler.
func (g *gatekeeper) Wake(int, clock.Instant, *transport.Out) {}

// Deadline implements udp.Handler: loopback loses nothing, so nothing is repeated.
func (g *gatekeeper) Deadline(int) clock.Instant { return clock.Never }

// Datagrams implements udp.Handler.
func (g *gatekeeper) Datagrams(_ int, now clock.Instant, batch []transport.Packet, out *transport.Out) {
	for _, p := range batch {
		g.out.Reset()
		g.receive(now, p)
		for _, d := range g.out.Datagrams {
			out.Send(p.Local, p.Peer, d)
		}
	}
}

func (g *gatekeeper) receive(now clock.Instant, p transport.Packet) {
	server := g.half[p.Peer]
	if h, err := dtls.PeekHeader(p.Data); err == nil && h.ClientHello && (server == nil || !server.SameHello(p.Data)) {
		g.peer, _ = p.Peer.AppendBinary(g.peer[:0]) // it never fails
		if g.gate.Receive(now, g.peer, p.Data, &g.out) != dtls.Admitted {
			return
		}
		server = dtls.NewServer(g.config)
		g.half[p.Peer] = server
	}
	if server == nil {
		return
	}
	server.Receive(now, p.Data, &g.out)
	for _, e := range g.out.Events {
		if e.Kind == dtls.EventEstablished {
			g.sessions[e.Session.ReadCID()] = e.Session
			delete(g.half, p.Peer)
		}
	}
}

// knockers are devices that only shake hands, window at a time, each from an
// address of its own.
type knockers struct {
	order
	config  *dtls.ClientConfig
	cloud   netip.AddrPort
	window  int
	left    int // handshakes that have not begun
	clients map[netip.Addr]*dtls.Client
	next    int
	out     dtls.Out
}

var errHandshake = errors.New("a handshake failed")

func newKnockers(cloud netip.AddrPort, window int) *knockers {
	return &knockers{order: newOrder(), config: clientConfig(), cloud: cloud, window: window, clients: make(map[netip.Addr]*dtls.Client)}
}

// Wake implements udp.Handler.
func (k *knockers) Wake(_ int, now clock.Instant, out *transport.Out) {
	n := int(k.wanted.Swap(0))
	if n == 0 {
		return
	}
	k.left = n
	for range min(n, k.window) {
		k.begin(now, out)
	}
}

func (k *knockers) begin(now clock.Instant, out *transport.Out) {
	addr := udp.Loopback(k.next % udp.LoopbackCount)
	k.next++
	k.left--
	client := dtls.NewClient(k.config)
	k.clients[addr] = client
	k.out.Reset()
	client.Start(now, &k.out)
	k.flush(addr, out)
}

func (k *knockers) flush(addr netip.Addr, out *transport.Out) {
	for _, d := range k.out.Datagrams {
		out.Send(netip.AddrPortFrom(addr, 0), k.cloud, d)
	}
}

// Datagrams implements udp.Handler.
func (k *knockers) Datagrams(_ int, now clock.Instant, batch []transport.Packet, out *transport.Out) {
	for _, p := range batch {
		addr := p.Local.Addr()
		client := k.clients[addr]
		if client == nil {
			continue
		}
		k.out.Reset()
		client.Receive(now, p.Data, &k.out)
		k.flush(addr, out)
		if !client.Over() {
			continue
		}
		delete(k.clients, addr)
		if k.out.Events[0].Kind != dtls.EventEstablished {
			k.done <- errHandshake
			return
		}
		switch {
		case k.left > 0:
			k.begin(now, out)
		case len(k.clients) == 0:
			k.done <- nil
		}
	}
}
