// Package drive runs a transport.Host on real sockets: the counterpart of
// package vnet.
//
// A [Driver] owns the sockets of one host, calls the host with what they
// receive and with the time, and sends what the host says. The reading
// goroutine of a socket calls the host itself; there is no queue between them.
//
// What this package is not: a scheduler. A fleet of several shards is several
// hosts with a driver each.
package drive

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/tcp"
	"github.com/muster/muster/transport/udp"
)

// Config configures a Driver. The zero Config means the documented defaults.
type Config struct {
	// Clock is the time of the run; nil: a new one.
	Clock *transport.Clock
	// Tap, if not nil, sees everything that crosses the sockets.
	Tap transport.Tap
	// Concurrent says that the host is safe for concurrent use: it is called
	// by all sockets at once, Deadline too, with times not quite in order, and
	// writes to one stream only while it holds a lock of its own that keeps
	// them in order. Otherwise its calls come one at a time, with times that
	// never run back.
	Concurrent bool
	// UDP and TCP are the settings of the sockets. What this Config or the
	// driver provides (Clock, Tap, NewOut, IDs) is overwritten.
	UDP udp.Config
	TCP tcp.Config
}

// A Driver runs one host. Sockets are added before Run.
type Driver struct {
	host    transport.Host
	config  Config
	ids     transport.StreamIDs
	streams *tcp.Engine
	sockets []*sockets
	outs    sync.Pool
	mu      sync.Mutex    // serialises the host, unless it is concurrent
	alarm   chan struct{} // wakes the timer of a driver without UDP
}

// New returns a driver without sockets; it can dial streams already.
func New(h transport.Host, config Config) *Driver {
	if config.Clock == nil {
		config.Clock = transport.NewClock()
	}
	d := &Driver{host: h, config: config, alarm: make(chan struct{}, 1)}
	t := config.TCP
	t.Clock, t.Tap, t.IDs = config.Clock, config.Tap, &d.ids
	d.streams = tcp.New(t)
	d.outs.New = func() any { return d.newOut() }
	return d
}

func (d *Driver) newOut() *transport.Out { return transport.NewOut(&d.ids, d.streams) }

func (d *Driver) udpConfig() udp.Config {
	c := d.config.UDP
	c.Clock, c.Tap, c.NewOut = d.config.Clock, d.config.Tap, d.newOut
	return c
}

// ListenTCP accepts streams for the host and returns the address, with the port
// that the system chose if it was 0.
func (d *Driver) ListenTCP(addr netip.AddrPort) (netip.AddrPort, error) {
	return d.streams.Listen(addr)
}

// ListenUDP opens the sockets of a cloud on one address. Call it twice, for
// 0.0.0.0 and ::, to listen on both families.
func (d *Driver) ListenUDP(addr netip.AddrPort) (*udp.Engine, error) {
	return d.add(udp.Listen(addr, d.udpConfig()))
}

// OpenFleet opens sockets that send for any number of loopback addresses, one
// for each port; port 0 lets the system choose.
func (d *Driver) OpenFleet(ports ...uint16) (*udp.Engine, error) {
	return d.add(udp.OpenFleet(ports, d.udpConfig()))
}

func (d *Driver) add(e *udp.Engine, err error) (*udp.Engine, error) {
	if err != nil {
		return nil, err
	}
	d.sockets = append(d.sockets, &sockets{driver: d, engine: e, ports: portsOf(e), six: e.Addr(0).Addr().Is6()})
	return e, nil
}

func portsOf(e *udp.Engine) map[uint16]bool {
	ports := make(map[uint16]bool)
	for i := range e.Shards() {
		ports[e.Addr(i).Port()] = true
	}
	return ports
}

// OpenGroup adds a group, in which the host's owner opens one socket a device.
func (d *Driver) OpenGroup() (*udp.Group, error) {
	g, err := udp.NewGroup(d.udpConfig())
	if err != nil {
		return nil, err
	}
	d.sockets = append(d.sockets, &sockets{driver: d, engine: g})
	return g, nil
}

// Run drives the host until ctx is done, then closes the sockets and returns
// after the host's last call; nil unless a socket failed for good. It may be
// called once.
func (d *Driver) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	failed := make([]error, len(d.sockets)+1)
	serve := func(i int, f func() error) {
		wait.Go(func() {
			failed[i] = f()
			cancel() // one part does not run on without the others
		})
	}
	for i, s := range d.sockets {
		s.keepsTime = i == 0
		serve(i, func() error { return s.engine.Serve(ctx, s) })
	}
	serve(len(d.sockets), func() error { return d.streams.Serve(ctx, streamHandler{d}) })
	if len(d.sockets) == 0 {
		wait.Go(func() { d.keepTime(ctx) })
	}
	wait.Wait()
	return errors.Join(failed...)
}

// Do lets f act for the host, from any goroutine: what f leaves in out is sent,
// and the host's deadline is looked at again. f runs alone, unless the host is
// concurrent. It must not be called from inside the host.
func (d *Driver) Do(f func(now clock.Instant, out *transport.Out)) {
	out := d.outs.Get().(*transport.Out)
	now := d.enter()
	f(now, out)
	deadline := d.exit()
	d.send(out)
	d.outs.Put(out)
	d.wakeAt(deadline)
}

// Clock returns the time of the run.
func (d *Driver) Clock() *transport.Clock { return d.config.Clock }

// Counts returns the counters of all sockets together.
func (d *Driver) Counts() transport.Counts {
	sum := d.streams.Counts()
	for _, s := range d.sockets {
		sum.Add(s.engine.Counts())
	}
	return sum
}

// enter begins a call of the host and returns its time.
func (d *Driver) enter() clock.Instant {
	if !d.config.Concurrent {
		d.mu.Lock()
	}
	return d.config.Clock.Now()
}

// exit ends a call of the host and returns the deadline that it has now.
func (d *Driver) exit() clock.Instant {
	deadline := d.host.Deadline()
	if !d.config.Concurrent {
		d.mu.Unlock()
	}
	return deadline
}

// wakeAt tells whoever keeps the time about a deadline.
func (d *Driver) wakeAt(t clock.Instant) {
	if t == clock.Never {
		return
	}
	if len(d.sockets) > 0 {
		d.sockets[0].engine.WakeAt(0, t)
		return
	}
	select {
	case d.alarm <- struct{}{}:
	default: // it is awake already
	}
}
