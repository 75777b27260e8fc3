package target

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/evidence"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// A Virtual is one device and the reference cloud on a virtual network, in
// virtual time: what takes 23 minutes takes a millisecond, and the same seed gives
// the same run.
type Virtual struct {
	*stage

	cloud *vnet.Node
	node  *endpoint.Node
	fleet *fleet.Virtual
	log   []logged
	seen  map[string]int          // events that the cloud took, by name
	ended func(app.FlashProgress) // hears of an update
}

// A Puppet is what a virtual run has besides the faults of the run.
type Puppet struct {
	Cloud  func(*CloudConfig)
	Device func(*DeviceConfig)
}

// Virtual returns a device with the given profile, switched off, and a cloud that
// knows it, both with the faults of the run and those of the puppet.
func (e *Env) Virtual(p *profile.Profile, runSeed uint64, puppet Puppet) (*Virtual, error) {
	if err := e.need(VirtualTime); err != nil {
		return nil, err
	}
	edit := func(c *DeviceConfig) {
		for _, f := range []func(*DeviceConfig){puppet.Device, e.options.Device} {
			if f != nil {
				f(c)
			}
		}
	}
	return newVirtual(e.kept(), p, runSeed, edit, func(c *CloudConfig) {
		if puppet.Cloud != nil {
			puppet.Cloud(c)
		}
		if e.options.Cloud != nil {
			e.options.Cloud(c, false)
		}
	})
}

func newVirtual(kept *evidence.Collector, p *profile.Profile, runSeed uint64, edit func(*DeviceConfig), adjust func(*CloudConfig)) (*Virtual, error) {
	v := &Virtual{seen: make(map[string]int), stage: newStage(kept, p, runSeed)}
	config := v.deviceConfig(runSeed)
	edit(config)
	own, err := v.reference(runSeed, v.observe, adjust)
	if err != nil {
		return nil, err
	}
	v.node, v.cloud = own.node, own.place
	v.fleet = v.simulated(v.happened, fleet.Spec{Config: config, ID: v.id})
	return v, nil
}

func (v *Virtual) observe(o endpoint.Observation) {
	if o.What == endpoint.Secured && o.Session.DTLS != nil {
		v.wire.decoder.AddSecrets(*o.Session.DTLS)
	}
	if o.What == endpoint.Published {
		v.seen[o.Event.Name]++
	}
	if p, ok := o.Effect.(app.FlashProgress); ok && v.ended != nil {
		v.ended(p)
	}
}

// Seen counts how often the cloud took an event of that name.
func (v *Virtual) Seen(name string) int { return v.seen[name] }

// An Access is how a party is connected to the network.
type Access = vnet.Access

// A Link is one direction of an Access.
type Link = vnet.Link

// Access sets how the device is connected to the network.
func (v *Virtual) Access(a Access) { v.fleet.Node(0).SetAccess(&a) }

// CloudAccess sets how the cloud is connected to the network.
func (v *Virtual) CloudAccess(a Access) { v.cloud.SetAccess(&a) }

// LoseEvery drops one datagram in n from now on, both directions counted
// together. Unlike a loss by chance it never takes what is sent again right after
// what it replaces.
func (v *Virtual) LoseEvery(n int) {
	seen := 0
	v.Net.Hook(func(f *vnet.Flight) {
		if f.Kind == transport.DatagramSeen {
			if seen++; seen%n == 0 {
				f.Drop()
			}
		}
	})
}

// Lose drops the datagram number n from now on, in whichever direction.
func (v *Virtual) Lose(n int) {
	v.Net.Hook(func(f *vnet.Flight) {
		if f.Kind == transport.DatagramSeen {
			if n--; n == 0 {
				f.Drop()
			}
		}
	})
}

// natPort is what a NAT adds to the port of the device when it forgets it.
const natPort = 5000

// ChangeNAT gives the device another port on the open network, of which it knows
// nothing. What comes to the old one is lost.
func (v *Virtual) ChangeNAT() {
	device := v.fleet.Node(0)
	v.Net.Hook(func(f *vnet.Flight) {
		switch {
		case f.Kind != transport.DatagramSeen:
		case f.Sender == device:
			f.From = netip.AddrPortFrom(f.From.Addr(), f.From.Port()+natPort)
		case f.To.Port() < natPort+1 || f.To.Port()-natPort < 1024:
			f.Drop()
		default:
			f.To = netip.AddrPortFrom(f.To.Addr(), f.To.Port()-natPort)
		}
	})
}

// Flash sends an application image of size bytes to the device and returns how
// that ended: nil, if the device runs it before limit has passed.
func (v *Virtual) Flash(size int, limit time.Duration) error {
	profile := v.fleet.Device(0).Profile()
	d := &Device{ID: v.id, Profile: profile}
	parsed, err := app.ParseImage(image(d, size, profile.Board.Platform))
	if err != nil {
		return err
	}
	return v.flash(parsed, limit)
}

func (v *Virtual) flash(parsed *app.Image, limit time.Duration) (err error) {
	ended := false
	v.ended = func(p app.FlashProgress) {
		switch p.Stage {
		case app.FlashDone:
			ended, err = true, nil
		case app.FlashFailed:
			ended, err = true, p.Err
		default: // on its way
		}
	}
	v.node.Command(store.DeviceID(v.id), func(now clock.Instant, d *app.Device, out *app.Out) { d.Flash(now, flashRef, parsed, out) })
	v.cloud.Do(v.node.Run)
	if !v.Net.RunUntil(func() bool { return ended }, v.Net.Now().Add(limit)) {
		return fmt.Errorf("target: the update did not end within %v of virtual time", limit)
	}
	return err
}

// flashRef names the command of Flash: there is one at a time.
const flashRef = 1

func (v *Virtual) happened(_ int, at clock.Instant, e device.Event) {
	e.Data = slices.Clone(e.Data)
	v.log = append(v.log, logged{at, e})
}

// PowerOn boots the device.
func (v *Virtual) PowerOn() { v.fleet.PowerOn(0) }

// Publish makes the device publish an event.
func (v *Virtual) Publish(name string, data []byte) (err error) {
	v.fleet.Publish(0, device.Publication{Name: name, Data: data}, func(e error) { err = e })
	v.Run(0)
	return err
}

// Suspend stops the device as if its process had been killed.
func (v *Virtual) Suspend() {
	v.fleet.Suspend(0)
	v.Run(0)
}

// Silence makes the cloud unreachable, or reachable again: it gets nothing and
// sends nothing.
func (v *Virtual) Silence(on bool) { v.cloud.SetOnline(!on) }

// Connect powers the device on and waits, in virtual time, until it is connected.
func (v *Virtual) Connect() error {
	v.PowerOn()
	if !v.fleet.RunOnline(v.Net.Now().Add(5 * time.Minute)) {
		return fmt.Errorf("target: the device did not connect within five minutes of virtual time")
	}
	// Move the time, so that what follows lies behind what was said here.
	v.Run(time.Second)
	return nil
}

// RunOnline lets time pass until the device is connected, or until limit has
// passed.
func (v *Virtual) RunOnline(limit time.Duration) {
	v.fleet.RunOnline(v.Net.Now().Add(limit))
	v.Run(0)
}

// Online returns when the device was connected first, clock.Never if it was not.
func (v *Virtual) Online() clock.Instant {
	for _, l := range v.log {
		if l.event.Kind == Online {
			return l.at
		}
	}
	return clock.Never
}

// OTA3 reports whether the device speaks OTA version 3.
func (v *Virtual) OTA3() bool { return v.fleet.Device(0).Profile().OTA3() }

// Events returns what the device says happened from an instant on.
func (v *Virtual) Events(since clock.Instant) []Event {
	var list []Event
	for _, l := range v.log {
		if l.at >= since {
			list = append(list, l.event)
		}
	}
	return list
}

// Cellular reports whether the device's main interface is a modem.
func (v *Virtual) Cellular() bool { return v.fleet.Device(0).Profile().Board.Cellular() }
