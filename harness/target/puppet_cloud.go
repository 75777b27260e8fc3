package target

import (
	"errors"
	"slices"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// A PuppetCloud is a puppet that plays the cloud before a simulated device, in
// virtual time.
type PuppetCloud struct {
	*stage
	// Peer is the puppet.
	Peer *peer.Cloud

	place *vnet.Node
	fleet *fleet.Virtual
	log   []logged

	config *DeviceConfig
}

// A Stagecraft is what a PuppetCloud has besides the faults of the run. Zero
// fields change nothing.
type Stagecraft struct {
	Cloud  func(*peer.CloudConfig)
	Device func(*DeviceConfig)
	// Memory is what the device starts with; nil: from the factory.
	Memory *DeviceMemory
}

// A DeviceMemory is what survives a reset of a device.
type DeviceMemory = device.NVRAM

// A SimulatedDevice is a simulated device, for what only its application can do.
type SimulatedDevice = device.Device

// A SimulatedOut takes what a simulated device does.
type SimulatedOut = device.Out

// NewPuppetCloud returns a puppet, and a simulated device of the profile with the
// faults of the run, switched off.
func (e *Env) NewPuppetCloud(p *profile.Profile, runSeed uint64, craft Stagecraft) (*PuppetCloud, error) {
	if err := e.need(VirtualTime); err != nil {
		return nil, err
	}
	c := &PuppetCloud{stage: newStage(e.kept(), p, runSeed)}
	config := c.deviceConfig(runSeed)
	c.config = config
	if craft.Device != nil {
		craft.Device(config)
	}
	if e.options.Device != nil {
		e.options.Device(config)
	}
	keys := virtualKeys()
	pc := peer.CloudConfig{
		ECKey: keys.cloudEC, RSAKey: keys.cloudRSA, DeviceID: c.id, Rand: seed.Bytes(runSeed, "puppet/cloud"),
		Lookup: func([12]byte) []byte { return mustSPKI(&keys.deviceRSA.PublicKey) },
		Unix:   uint32(virtualEpoch.Unix()), Observe: c.observe,
	}
	if craft.Cloud != nil {
		craft.Cloud(&pc)
	}
	c.Peer = peer.NewCloud(pc)
	c.place = c.Net.Attach(c.Peer, virtualCloud)
	c.place.SetAccess(&latency)
	c.place.Listen(cloudref.PortTCP)
	c.fleet = c.simulated(c.happened, fleet.Spec{Config: config, ID: c.id, NVRAM: craft.Memory})
	return c, nil
}

func (c *PuppetCloud) observe(e peer.Event) {
	if e.Kind == peer.Secured && e.Secrets != nil {
		c.wire.decoder.AddSecrets(*e.Secrets)
	}
}

func (c *PuppetCloud) happened(_ int, at clock.Instant, e device.Event) {
	e.Data = slices.Clone(e.Data)
	c.log = append(c.log, logged{at, e})
}

// Events returns what the device says happened from an instant on.
func (c *PuppetCloud) Events(since clock.Instant) []Event {
	var list []Event
	for _, l := range c.log {
		if l.at >= since {
			list = append(list, l.event)
		}
	}
	return list
}

// Act lets f act for the puppet.
func (c *PuppetCloud) Act(f func(now clock.Instant, p *peer.Cloud, out *transport.Out)) {
	c.place.Do(func(now clock.Instant, out *transport.Out) { f(now, c.Peer, out) })
}

// Say sends bytes as one CoAP message and lets a second pass.
func (c *PuppetCloud) Say(message []byte) {
	c.Whisper(message)
	c.Run(time.Second)
}

// Whisper sends bytes as one CoAP message; no time passes.
func (c *PuppetCloud) Whisper(message []byte) {
	c.Act(func(_ clock.Instant, p *peer.Cloud, out *transport.Out) { p.Say(message, out) })
}

// Tell sends a message with the next ID, lets a second pass, and returns the ID.
func (c *PuppetCloud) Tell(m pdc.Message) uint16 {
	wire := m.Message(c.Profile.Dialect())
	wire.ID = c.Peer.NextID()
	c.Say(wire.Append(nil))
	return wire.ID
}

// Heard returns what the puppet heard from an instant on.
func (c *PuppetCloud) Heard(since clock.Instant) []peer.Message { return c.Peer.Heard(since) }

// PowerOn boots the device, which then connects.
func (c *PuppetCloud) PowerOn() { c.fleet.PowerOn(0) }

// Online powers the device on and waits, in virtual time, until it calls itself
// connected and has said what it has to say.
func (c *PuppetCloud) Online() error {
	c.PowerOn()
	if !c.fleet.RunOnline(c.Now().Add(5 * time.Minute)) {
		return errors.New("target: the device does not connect to the puppet within five minutes of virtual time")
	}
	c.Run(5 * time.Second)
	return nil
}

// Connected reports whether the device calls itself connected.
func (c *PuppetCloud) Connected() bool { return c.fleet.Online(0) }

// Device lets f act for the application of the device.
func (c *PuppetCloud) Device(f func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut)) {
	c.fleet.Do(0, f)
	c.Run(0)
}

// Publish makes the device publish an event, and returns why it refuses.
func (c *PuppetCloud) Publish(name string, data []byte) (refused error) {
	c.Device(func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut) {
		refused = d.Publish(now, device.Publication{Name: name, Data: data}, out)
	})
	return refused
}

// PowerOff takes the device's power away; PowerOn gives it back.
func (c *PuppetCloud) PowerOff() {
	c.fleet.PowerOff(0)
	c.Run(0)
}

// Suspend stops the device as if its process had been killed.
func (c *PuppetCloud) Suspend() {
	c.fleet.Suspend(0)
	c.Run(0)
}

// Unreachable takes the puppet off the network, or brings it back.
func (c *PuppetCloud) Unreachable(on bool) { c.place.SetOnline(!on) }

// Image returns an application image of size bytes for the device.
func (c *PuppetCloud) Image(size int) []byte {
	return image(&Device{ID: c.id, Profile: c.Profile}, size, c.Profile.Board.Platform)
}

// A DeviceProfile is a board with a release of Device OS.
type DeviceProfile = profile.Profile

// Heard is a message that a puppet heard.
type Heard = peer.Message

// A Publication is an event that the application of a device publishes.
type Publication = device.Publication

// PublishWith makes the device publish an event, and returns why it refuses.
func (c *PuppetCloud) PublishWith(p Publication) (refused error) {
	c.Device(func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut) { refused = d.Publish(now, p, out) })
	return refused
}

// SyncTime makes the application of the device ask for the time.
func (c *PuppetCloud) SyncTime() {
	c.Device(func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut) { d.SyncTime(now, out) })
}

// BeganAnew returns what the device said first when it began to use a connection
// anew after an instant: Hello, or the ping of a resume.
func (c *PuppetCloud) BeganAnew(since clock.Instant) (first Heard, began bool) {
	for _, m := range c.Heard(since) {
		if m.Err == nil && (m.CoAP.Type == coap.Confirmable && m.CoAP.Code == coap.Empty || m.CoAP.Code == coap.POST && m.CoAP.Path() == "h") {
			return m, true
		}
	}
	return Heard{}, false
}

// LoseNetwork makes the device's socket fail, as when its network is gone: the
// connection ends, and the device connects again.
func (c *PuppetCloud) LoseNetwork() {
	c.Device(func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut) {
		if c.Profile.Board.UDP {
			d.SocketFailed(now, out)
		} else {
			d.StreamClosed(now, out)
		}
	})
}

// Reboot stops the device as if its process had been killed, and starts it again
// with what it remembers. edit and remember, if not nil, change its configuration
// and its memory meanwhile.
func (c *PuppetCloud) Reboot(edit func(*DeviceConfig), remember func(*DeviceMemory)) error {
	c.Suspend()
	var stored []byte
	c.Device(func(_ clock.Instant, d *SimulatedDevice, _ *SimulatedOut) { stored = d.NVRAM().Append(nil) })
	memory, err := device.ParseNVRAM(stored)
	if err != nil {
		return err
	}
	config := *c.config
	if edit != nil {
		edit(&config)
	}
	if remember != nil {
		remember(memory)
	}
	c.fleet.Replace(0, &config, memory)
	c.Run(0)
	c.PowerOn()
	return nil
}

// A Ledger is a ledger of the application of a device.
type Ledger = device.Ledger
