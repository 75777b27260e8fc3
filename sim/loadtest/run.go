package loadtest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/sim/record"
)

// Run runs a scenario, or a part of it, until its last phase is over or ctx is
// done: then the run is Interrupted and its results stand. A run of all parts has
// been judged ([scenario.Judge]); one of a part has no verdict.
//
// An error means that there are no results: the options make no sense, or sockets
// could not be opened.
func Run(ctx context.Context, o Options) (*record.Run, error) {
	r, err := Prepare(o)
	if err != nil {
		return nil, err
	}
	return r.Run(ctx, o.Began, nil)
}

// A Ready is a run that may begin at any moment: sockets are open and devices are
// there, switched off. Nothing has been sent.
type Ready struct{ conductor *conductor }

// Prepare does what takes time before a run can begin. Of the options, Began is not
// looked at.
func Prepare(o Options) (*Ready, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c := &conductor{options: &o, seen: make(map[string]uint64), phase: -1}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	return &Ready{c}, nil
}

// Run is [Run] for what was prepared: the first phase begins at a time that may have
// passed; zero: now. sink, if not nil, hears of the run instead of that of the
// options. It may be called once.
func (r *Ready) Run(ctx context.Context, began time.Time, sink Sink) (*record.Run, error) {
	if sink != nil {
		r.conductor.options.Sink = sink
	}
	if began.IsZero() {
		began = time.Now()
	}
	r.conductor.begin(began)
	return r.conductor.conduct(ctx)
}

// Close lets go of what is not to be run.
func (r *Ready) Close() error { return r.conductor.engine.stop() }

// complete checks the options and puts the defaults in.
func (o *Options) complete() error {
	switch n := o.Scenario.Devices(); {
	case o.Member == nil || o.Keys == nil:
		return errors.New("loadtest: Options without Member or Keys")
	case o.Part.First < 0 || o.Part.Count < 0 || o.Part.First+o.Part.Count > n:
		return fmt.Errorf("loadtest: part %d+%d of %d devices", o.Part.First, o.Part.Count, n)
	}
	if o.Sink == nil {
		o.Sink = Sinks(nil)
	}
	if o.Seed == 0 {
		o.Seed = o.Scenario.Seed
	}
	for o.Seed == 0 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return fmt.Errorf("loadtest: drawing a seed: %w", err)
		}
		o.Seed = binary.LittleEndian.Uint64(b[:]) >> 16 // short enough to type
	}
	o.Part = o.Part.of(o.Scenario.Devices())
	return nil
}

// specs makes the devices of the part.
func (o *Options) specs() ([]fleet.Spec, error) {
	want, err := o.Scenario.Profiles()
	if err != nil {
		return nil, err
	}
	type kind struct {
		group   int
		profile string
	}
	configs := make(map[kind]*device.Config)
	apps := make(map[int]*device.App)
	specs := make([]fleet.Spec, 0, o.Part.Count)
	for i := o.Part.First; i < o.Part.First+o.Part.Count; i++ {
		m := o.Member(i)
		if m.Profile.String() != want(i).String() {
			return nil, fmt.Errorf("loadtest: device %d is %s, and the scenario wants %s", i, m.Profile, want(i))
		}
		g := o.Scenario.GroupOf(i)
		k := kind{g, m.Profile.String()}
		if configs[k] == nil {
			if apps[g] == nil {
				apps[g] = application(&o.Scenario.Groups[g], o.Seed)
			}
			group := &o.Scenario.Groups[g]
			t := fleet.Template{
				Keys: o.Keys, EC: o.Cloud.EC, RSA: o.Cloud.RSA, App: apps[g], Seed: o.Seed,
				Seeded: o.Virtual != nil, Server: o.Cloud.Name,
				Edit: func(c *device.Config) {
					c.KeepAlive = group.KeepAlive
					if n := group.Network; n != nil {
						c.MTU = uint16(min(n.MTU, 1500))
					}
				},
			}
			if err := o.needs(m.Profile); err != nil {
				return nil, err
			}
			configs[k] = t.Config(m.Profile)
		}
		specs = append(specs, fleet.Spec{Config: configs[k], ID: m.ID})
	}
	return specs, nil
}

// needs reports what is missing for devices of a profile.
func (o *Options) needs(p *profile.Profile) error {
	switch udp := p.Board.UDP; {
	case udp && o.Cloud.EC == nil:
		return fmt.Errorf("loadtest: %s pins the cloud's P-256 key, which is not known", p)
	case !udp && o.Cloud.RSA == nil:
		return fmt.Errorf("loadtest: %s pins the cloud's RSA key, which is not known", p)
	case udp && !o.Cloud.UDP.IsValid(), !udp && !o.Cloud.TCP.IsValid():
		return fmt.Errorf("loadtest: there is no address of the cloud for %s", p)
	}
	return nil
}

// prepare makes the fleet.
func (c *conductor) prepare() error {
	o := c.options
	options := fleet.Options{
		UDP: o.Cloud.UDP, TCP: o.Cloud.TCP, Sources: o.Sources,
		Observe: func(i int, at clock.Instant, e device.Event) { c.books[i%len(c.books)].observe(i, at, &e) },
		Meter:   func(i int, at clock.Instant, up bool, n int) { c.books[i%len(c.books)].meter(i, at, up, n) },
	}
	options.Seed = o.Seed
	if p := newPaths(c, o.Scenario); p != nil {
		options.Net = p
	}
	if o.Tune != nil {
		o.Tune(&options)
	}
	if o.Virtual != nil {
		c.engine = newVirtual(o.Virtual, options)
	} else {
		real, err := newReal(options)
		if err != nil {
			return err
		}
		c.engine = real
	}
	specs, err := o.specs()
	if err == nil {
		err = c.engine.add(specs)
	}
	if err != nil {
		return errors.Join(err, c.engine.stop())
	}
	if o.Virtual == nil && len(o.Scenario.Campaigns) > 0 {
		a := newAPI(&o.Cloud)
		for i := range o.Scenario.Campaigns {
			one, err := newCampaign(c, &o.Scenario.Campaigns[i], a)
			if err != nil {
				return errors.Join(err, c.engine.stop())
			}
			if one != nil {
				c.campaigns = append(c.campaigns, one)
			}
		}
	}
	c.tcp = make([]bool, len(specs))
	for i := range specs {
		c.tcp[i] = !specs[i].Config.Profile.Board.UDP
	}
	return nil
}

// begin plans the run, with the time at which it begins.
func (c *conductor) begin(began time.Time) {
	o := c.options
	c.plan = newPlan(o, began, c.engine.now())
	c.run = c.header()
	arrivals, loads := Arrivals(o.Scenario), Loads(o.Scenario)
	shards := c.engine.shards()
	for shard := range shards {
		b := newBook(c.plan, shards, shard, len(c.tcp))
		b.overhead = overheads(o.Cloud)
		f := newFeed(c.plan, b, &c.halt, c.engine.now())
		f.behave(arrivals, loads, shards, shard)
		c.books = append(c.books, b)
		c.spares = append(c.spares, newTallies(c.plan))
	}
	for i, over := range c.tcp {
		if over {
			c.books[i%shards].dev(i).over = overTCP
		}
	}
	c.tcp = nil
	c.joined = c.engine.now()
	c.desk = newBook(c.plan, 1, 0, 0)
	c.spares = append(c.spares, newTallies(c.plan))
	if o.Virtual == nil && len(o.Scenario.Callers) > 0 {
		a, slots := newAPI(&o.Cloud), make(chan struct{}, connectionsMost)
		for i := range o.Scenario.Callers {
			if one := newCaller(c, &o.Scenario.Callers[i], a, slots); one != nil {
				c.callers = append(c.callers, one)
			}
		}
	}
	for _, b := range c.books {
		if len(c.campaigns) > 0 {
			b.updated = c.updated
		}
	}
	for shard, b := range c.books {
		c.engine.feed(shard, b.feed)
	}
}

// updated tells the campaigns how an update ended.
func (c *conductor) updated(i int, why string) {
	for _, one := range c.campaigns {
		one.ended(i, why)
	}
}

// overheads returns the headers of the network around a datagram and a unit over
// TCP, in bytes.
func overheads(c Cloud) [2]uint64 {
	const ip4, ip6, udp, tcp = 20, 40, 8, 20
	n := [2]uint64{ip4 + udp, ip4 + tcp}
	if c.UDP.Addr().Is6() && !c.UDP.Addr().Is4In6() {
		n[overUDP] = ip6 + udp
	}
	if c.TCP.Addr().Is6() && !c.TCP.Addr().Is4In6() {
		n[overTCP] = ip6 + tcp
	}
	return n
}
