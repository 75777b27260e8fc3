package target

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
)

// A PuppetCloud is a puppet that plays the cloud before a device: a simulated one in
// virtual time, or a board or program on sockets, in the place of its cloud.
type PuppetCloud struct {
	*stage
	// Peer is the puppet.
	Peer *peer.Cloud

	env     *Env
	place   place
	actor   actor
	secured int // how many messages were heard before the session was
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

// NewPuppetCloud returns a puppet, and a device of the profile, switched off: a simulated
// one with the faults of the run, or the board or program that is judged.
func (e *Env) NewPuppetCloud(p *profile.Profile, runSeed uint64, craft Stagecraft) (*PuppetCloud, error) {
	c := &PuppetCloud{env: e}
	play, random := c.simulate, io.Reader(seed.Bytes(runSeed, "puppet/cloud"))
	if e.playsBoards() {
		play, random = c.playBoard, rand.Reader
	}
	config, err := play(p, runSeed, craft)
	if err != nil {
		return nil, err
	}
	config.Rand, config.Observe = random, c.observe
	if craft.Cloud != nil {
		craft.Cloud(&config)
	}
	c.Peer = peer.NewCloud(config)
	return c, c.stand(c.Peer)
}

// simulate puts a simulated device on a virtual stage.
func (c *PuppetCloud) simulate(p *profile.Profile, runSeed uint64, craft Stagecraft) (peer.CloudConfig, error) {
	e := c.env
	if err := e.need(VirtualTime); err != nil {
		return peer.CloudConfig{}, err
	}
	c.stage = newStage(e.kept(), p, runSeed)
	config := c.deviceConfig(runSeed)
	if craft.Device != nil {
		craft.Device(config)
	}
	if e.options.Device != nil {
		e.options.Device(config)
	}
	c.actor = newSimulation(c.stage, config, craft.Memory)
	keys := virtualKeys()
	return peer.CloudConfig{
		ECKey: c.own.ec, RSAKey: c.own.rsa, DeviceID: c.id, Unix: uint32(virtualEpoch.Unix()),
		Lookup: func([12]byte) []byte { return mustSPKI(&keys.deviceRSA.PublicKey) },
	}, nil
}

// playBoard has a board or program play.
func (c *PuppetCloud) playBoard(p *profile.Profile, _ uint64, craft Stagecraft) (peer.CloudConfig, error) {
	e := c.env
	if craft.Device != nil || craft.Memory != nil {
		if err := e.need(Tailoring); err != nil {
			return peer.CloudConfig{}, err
		}
	}
	s, d, err := e.newFloorStage(p)
	if err != nil {
		return peer.CloudConfig{}, err
	}
	c.stage = s
	c.actor = &boardActor{env: e, d: d, begun: func() { open(c.place) }}
	return peer.CloudConfig{
		ECKey: c.own.ec, RSAKey: c.own.rsa, DeviceID: c.id, Unix: uint32(time.Now().Unix()),
		Lookup: func([12]byte) []byte { return d.who.Key },
	}, nil
}

// stand puts the puppet where the device looks for its cloud.
func (c *PuppetCloud) stand(h transport.Host) (err error) {
	c.place, err = c.stage.stand(h)
	return err
}

// stand puts a host where the device looks for its cloud. Before a board it hears nothing
// until the board was restarted.
func (s *stage) stand(h transport.Host) (place, error) {
	if s.Net == nil {
		p, err := s.enter(h)
		if err == nil {
			p.SetOnline(false)
		}
		return p, err
	}
	node := s.Net.Attach(h, virtualCloud)
	node.SetAccess(&latency)
	node.Listen(cloudref.PortTCP)
	return node, nil
}

func (c *PuppetCloud) observe(e peer.Event) {
	if e.Kind != peer.Secured {
		return
	}
	c.secured = len(c.Heard(0))
	c.unlock(e)
}

// unlock has the wire read a session of a puppet.
func (s *stage) unlock(e peer.Event) {
	switch {
	case e.Secrets != nil:
		s.wire.decoder.AddSecrets(*e.Secrets)
	case e.Credentials != nil && s.Net == nil:
		s.wire.decoder.AddCredentials(nil, *e.Credentials, trace.DeviceID(s.id))
	}
}

// Sees is Env.Sees.
func (c *PuppetCloud) Sees(capability Capability) bool { return c.env.Sees(capability) }

// Needs is Env.Needs.
func (c *PuppetCloud) Needs(capability Capability) error { return c.env.need(capability) }

// Events returns what the device says happened from an instant on.
func (c *PuppetCloud) Events(since clock.Instant) []Event { return c.actor.events(since) }

// Act lets f act for the puppet.
func (c *PuppetCloud) Act(f func(now clock.Instant, p *peer.Cloud, out *transport.Out)) {
	c.place.Do(func(now clock.Instant, out *transport.Out) { f(now, c.Peer, out) })
}

// Say sends bytes as one CoAP message and lets come what comes back, for a second.
func (c *PuppetCloud) Say(message []byte) {
	c.Whisper(message)
	c.Settle(time.Second)
}

// Whisper sends bytes as one CoAP message; no time passes.
func (c *PuppetCloud) Whisper(message []byte) {
	c.Act(func(_ clock.Instant, p *peer.Cloud, out *transport.Out) { p.Say(message, out) })
}

// Tell sends a message with the next ID, lets come what comes back, for a second, and
// returns the ID.
func (c *PuppetCloud) Tell(m pdc.Message) uint16 {
	wire := m.Message(c.Profile.Dialect())
	wire.ID = c.Peer.NextID()
	c.Say(wire.Append(nil))
	return wire.ID
}

// Heard returns what the puppet heard from an instant on.
func (c *PuppetCloud) Heard(since clock.Instant) []peer.Message { return c.Peer.Heard(since) }

// PowerOn boots the device, which then connects.
func (c *PuppetCloud) PowerOn() { c.actor.powerOn() }

// Online powers the device on and waits until it calls itself connected and has said what
// it has to say. A board is connected when it has begun to use its session.
func (c *PuppetCloud) Online() error {
	c.PowerOn()
	if a, ok := c.actor.(*simulation); ok {
		return a.awaitOnline()
	}
	b, ok := c.actor.(*boardActor)
	if ok {
		if why := b.d.Absent(); why != "" {
			return errors.New(why)
		}
	}
	limit := c.bound(connectTime)
	came := c.Await(limit, c.Connected)
	if ok {
		b.d.came(came)
	}
	if !came {
		return fmt.Errorf("target: the device %s does not connect to the puppet within %v", c.ID(), limit)
	}
	// A busy device may pause behind its Hello for longer than one that has said all.
	c.Patient(func() bool { return c.heardSinceSecured(func(m Heard) bool { return !isHello(m) }) })
	c.Calm(calmTime)
	return nil
}

// Connected reports whether the device calls itself connected. A board says nothing of
// itself: it is when it has begun to use its session.
func (c *PuppetCloud) Connected() bool {
	if a, ok := c.actor.(*simulation); ok {
		return a.fleet.Online(0)
	}
	return c.Peer.Secured() && c.heardSinceSecured(isHello)
}

// heardSinceSecured reports whether a message came in the present session.
func (c *PuppetCloud) heardSinceSecured(which func(Heard) bool) bool {
	return slices.ContainsFunc(c.Heard(0)[c.secured:], which)
}

func isHello(m Heard) bool { return m.Err == nil && m.CoAP.Code == coap.POST && m.CoAP.Path() == "h" }

// Device lets f act for the application of the device.
func (c *PuppetCloud) Device(f func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut)) error {
	return c.actor.application(f)
}

// Publish makes the device publish an event, and returns why it refuses.
func (c *PuppetCloud) Publish(name string, data []byte) (refused error) {
	return c.PublishWith(Publication{Name: name, Data: data})
}

// PowerOff takes the device's power away; PowerOn gives it back.
func (c *PuppetCloud) PowerOff() { c.actor.powerOff() }

// Suspend stops the device as if its process had been killed.
func (c *PuppetCloud) Suspend() { c.actor.suspend() }

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
func (c *PuppetCloud) PublishWith(p Publication) (refused error) { return c.actor.publish(p) }

// CanPublish reports whether the device can be told to publish that.
func (c *PuppetCloud) CanPublish(p Publication) bool {
	return c.Sees(Tailoring) || plain(p) && c.Sees(Commands)
}

// SyncTime makes the application of the device ask for the time.
func (c *PuppetCloud) SyncTime() error {
	return c.Device(func(now clock.Instant, d *SimulatedDevice, out *SimulatedOut) { d.SyncTime(now, out) })
}

// BeganAnew returns what the device said first when it began to use a connection
// anew after an instant: Hello, or the ping of a resume.
func (c *PuppetCloud) BeganAnew(since clock.Instant) (first Heard, began bool) {
	for _, m := range c.Heard(since) {
		if m.Err == nil && (m.CoAP.Code == coap.POST && m.CoAP.Path() == "h" || c.resumes(m, since)) {
			return m, true
		}
	}
	return Heard{}, false
}

// bound is how long to wait for a device that is to come: what is usual, or half of what
// time the check has.
func (c *PuppetCloud) bound(usual time.Duration) time.Duration {
	for usual > time.Second && !c.Affords(2*usual) {
		usual /= 2
	}
	return usual
}

// Return lets a device that is to begin anew come back and say what it has to say: in
// virtual time in d, on sockets in as long as that takes.
func (c *PuppetCloud) Return(since clock.Instant, d time.Duration) {
	if c.Net != nil {
		c.Run(d)
		return
	}
	c.Await(c.bound(returnTime), func() bool {
		_, again := c.BeganAnew(since)
		return again
	})
	c.Calm(d)
}

// Offers reports whether the application of the device registers a function or a variable.
func (c *PuppetCloud) Offers(name string) bool {
	a, ok := c.actor.(*boardActor)
	return !ok || slices.Contains(a.d.registers, name)
}

// NeedsOffer returns an error, and notes it for the check, if the application of the device
// registers no such function.
func (c *PuppetCloud) NeedsOffer(function string) error {
	if c.Offers(function) {
		return nil
	}
	return c.env.use.note(&Missing{Capability: Functions, Why: fmt.Sprintf("the application of the device registers no %q", function)})
}

// MadeUp returns an error, and notes it for the check, if the device must not be sent what
// nobody has built for it: a board would start it, and crash.
func (c *PuppetCloud) MadeUp() error {
	if a, ok := c.actor.(*boardActor); ok && !a.env.takesAny() {
		return a.env.use.note(&Missing{Capability: Flashable, Why: "the check makes images up, which the board would start"})
	}
	return nil
}

// resumes reports whether a message is the ping of a resume. In its own time a device
// pings also when nothing else was said for a while.
func (c *PuppetCloud) resumes(m Heard, since clock.Instant) bool {
	if m.CoAP.Type != coap.Confirmable || m.CoAP.Code != coap.Empty {
		return false
	}
	return c.Net != nil || slices.ContainsFunc(c.Packets(since), func(p *trace.Packet) bool { return p.Resume && p.At <= m.At })
}

// LoseNetwork makes the device's socket fail, as when its network is gone: the
// connection ends, and the device connects again.
func (c *PuppetCloud) LoseNetwork() { c.actor.loseNetwork() }

// Reboot stops the device as if its process had been killed, and starts it again
// with what it remembers. edit and remember, if not nil, change its configuration
// and its memory meanwhile.
func (c *PuppetCloud) Reboot(edit func(*DeviceConfig), remember func(*DeviceMemory)) error {
	return c.actor.reboot(edit, remember)
}

// A Ledger is a ledger of the application of a device.
type Ledger = device.Ledger
