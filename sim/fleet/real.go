package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"runtime"
	"sync"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/drive"
)

// A Real is a fleet on real sockets. All its methods are safe for concurrent
// use.
type Real struct {
	Commands
	options  Options
	table    table
	watchers watchers
	shards   []*shard
	loopback bool
	bits     int // of an index; the address bits above count a device's moves

	sockets int // of devices that have one each; held by table.mu
}

// otherDescriptors is how many files and sockets a fleet leaves to the rest of its
// process.
const otherDescriptors = 100

// ciphers is how many expanded keys a shard keeps; two make a session.
const ciphers = 512

// NewReal opens the sockets of a fleet. Without a Run they stay idle.
func NewReal(o Options) (*Real, error) {
	f := &Real{options: o}
	o = f.complete()
	f.Commands = Commands{table: &f.table, watchers: &f.watchers, enqueue: f.enqueue}
	for i := range o.Shards {
		s := &shard{fleet: f}
		s.core = core{options: &f.options, watchers: &f.watchers, streams: make(map[transport.StreamID]*member), number: i}
		s.hold = func(h held) { s.line.Push(h.at, h) }
		s.out.Ciphers = dtls.NewCiphers(ciphers)
		s.driver = drive.New(s, drive.Config{Clock: o.Clock, Tap: o.Tap})
		f.shards = append(f.shards, s)
		if err := s.open(); err != nil {
			f.Close()
			return nil, fmt.Errorf("fleet: opening sockets: %w", err)
		}
	}
	return f, nil
}

// complete puts the defaults into the options.
func (f *Real) complete() Options {
	o := &f.options
	if o.Clock == nil {
		o.Clock = transport.NewClock()
	}
	if o.Shards <= 0 {
		o.Shards = runtime.GOMAXPROCS(0)
	}
	if o.Sockets <= 0 {
		o.Sockets = defaultSockets
	}
	if o.Capacity <= 0 {
		o.Capacity = defaultCapacity
	}
	if o.Connecting == 0 {
		o.Connecting = defaultConnecting
	}
	f.bits = bits.Len(uint(o.Capacity - 1))
	f.loopback = (!o.UDP.IsValid() || isLoopback(o.UDP)) && (!o.TCP.IsValid() || isLoopback(o.TCP))
	return *o
}

// isLoopback reports whether devices can have loopback addresses towards a.
func isLoopback(a netip.AddrPort) bool { return a.Addr().Is4() && a.Addr().IsLoopback() }

// Add puts devices into the fleet, switched off, and returns the index of the
// first. It must not be called by an Observer.
func (f *Real) Add(specs ...Spec) (first int, err error) {
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	first = f.table.len()
	if f.loopback && first+len(specs) > 1<<f.bits {
		return first, fmt.Errorf("fleet: no room for %d devices: Options.Capacity is %d", first+len(specs), 1<<f.bits)
	}
	sockets := 0
	for i := range specs {
		if err := f.check(&specs[i]); err != nil {
			return first, err
		}
		if !f.loopback || !specs[i].Config.Profile.Board.UDP {
			sockets++
		}
	}
	if n, limit := f.sockets+sockets, transport.DescriptorsMax(); n > limit-otherDescriptors {
		return first, fmt.Errorf("fleet: %d devices need a socket each, and this process may have %d files open: raise the hard limit (ulimit -Hn, LimitNOFILE), or take fewer devices", n, limit)
	}
	f.sockets += sockets
	for _, spec := range specs {
		f.table.add(func(m *member) { m.device = device.New(spec.Config, spec.ID, spec.NVRAM) })
		if spec.Cloud.IsValid() {
			m := f.table.get(f.table.len() - 1)
			f.enqueue(command{m: m, prepare: func(c *core, m *member) { c.setCloud(m, spec.Cloud) }})
		}
	}
	return first, nil
}

// check reports what would keep a device from ever connecting.
func (f *Real) check(s *Spec) error {
	cloud := s.Cloud
	if !cloud.IsValid() {
		cloud = f.options.TCP
		if s.Config.Profile.Board.UDP {
			cloud = f.options.UDP
		}
	}
	switch {
	case !cloud.IsValid():
		return fmt.Errorf("fleet: device %s (%s) has no cloud: set Options.UDP or TCP", s.ID, s.Config.Profile)
	case isLoopback(cloud) != f.loopback:
		return fmt.Errorf("fleet: device %s: %s needs other sockets than the rest of the fleet: make two fleets", s.ID, cloud)
	}
	return nil
}

// Run drives the devices until ctx is done, and closes the sockets. It may be
// called once.
func (f *Real) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make([]error, len(f.shards))
	var wait sync.WaitGroup
	for i, s := range f.shards {
		wait.Go(func() {
			failed[i] = s.driver.Run(ctx)
			cancel() // a part of a fleet is no fleet
		})
	}
	wait.Wait()
	return errors.Join(failed...)
}

// Close closes the sockets of a fleet that is not to run.
func (f *Real) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = f.Run(ctx) // there is nothing to fail
}

// shardOf is the shard of a device.
func (f *Real) shardOf(m *member) *shard { return f.shards[int(m.index)%len(f.shards)] }

func (f *Real) enqueue(c command) { f.shardOf(c.m).enqueue(c) }

// Start begins a ramp.
func (f *Real) Start(r Ramp) {
	r = r.withDefaults(f.Len())
	if r.Count == 0 {
		return
	}
	start := f.options.Clock.Now()
	n := len(f.shards)
	for k := range min(n, r.Count) {
		m := f.table.get(r.First + k)
		s := f.shardOf(m)
		s.enqueue(command{m: m, prepare: func(*core, *member) {
			s.ramps = append(s.ramps, ramp{Ramp: r, start: start, k: k, step: n})
		}})
	}
}

// Addr returns where a device is on loopback, or else the unspecified address:
// what a tap sees as its Local address. It changes with NetworkChange.
func (f *Real) Addr(ctx context.Context, i int) (addr netip.Addr, err error) {
	m := f.table.get(i)
	err = f.Call(ctx, i, func(clock.Instant, *device.Device, *device.Out) {
		addr = f.shardOf(m).network.local(m).Addr()
	})
	return addr, err
}

// Now returns the time of the run.
func (f *Real) Now() clock.Instant { return f.options.Clock.Now() }

// Metrics returns the numbers of the fleet.
func (f *Real) Metrics() Metrics {
	m := Metrics{Devices: f.Len()}
	times := newTimes()
	for _, s := range f.shards {
		s.counters.addTo(&m, times)
		m.Wire.Add(s.driver.Counts())
	}
	m.ConnectTime = latencyOf(times)
	return m
}
