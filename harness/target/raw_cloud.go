package target

import (
	"crypto/rsa"
	"net/netip"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
)

// A RawCloud is a puppet without any protocol in the place of the cloud before a
// device: a simulated one in virtual time, or a board or program on sockets.
type RawCloud struct {
	*stage
	// Raw is the puppet.
	Raw *peer.Raw

	env   *Env
	place place
	actor actor
}

// NewRawCloud returns a puppet, and a device of the profile, switched off: a simulated one
// with the faults of the run, or the board or program that is judged.
func (e *Env) NewRawCloud(p *profile.Profile, runSeed uint64) (c *RawCloud, err error) {
	c = &RawCloud{env: e, Raw: new(peer.Raw)}
	if e.playsBoards() {
		var d *Device
		if c.stage, d, err = e.newFloorStage(p); err != nil {
			return nil, err
		}
		c.actor = &boardActor{env: e, d: d, begun: func() { open(c.place) }}
	} else {
		if err := e.need(VirtualTime); err != nil {
			return nil, err
		}
		c.stage = newStage(e.kept(), p, runSeed)
		config := c.deviceConfig(runSeed)
		if e.options.Device != nil {
			e.options.Device(config)
		}
		c.actor = newSimulation(c.stage, config, nil)
	}
	c.place, err = c.stand(c.Raw)
	return c, err
}

// Sees is Env.Sees.
func (c *RawCloud) Sees(capability Capability) bool { return c.env.Sees(capability) }

// PowerOn boots the device, which then connects, and waits until it has said something or
// a minute has passed.
func (c *RawCloud) PowerOn() {
	c.actor.powerOn()
	heard := len(c.Raw.Datagrams) + len(c.Raw.Streams)
	c.Await(time.Minute, func() bool { return len(c.Raw.Datagrams)+len(c.Raw.Streams) > heard })
}

// Act lets f act for the puppet.
func (c *RawCloud) Act(f func(now clock.Instant, p *peer.Raw, out *transport.Out)) {
	c.place.Do(func(now clock.Instant, out *transport.Out) { f(now, c.Raw, out) })
}

// Send sends datagrams to the device and lets come what comes back, for a tenth of a
// second.
func (c *RawCloud) Send(to netip.AddrPort, datagrams ...[]byte) {
	c.Act(func(_ clock.Instant, _ *peer.Raw, out *transport.Out) {
		for _, b := range datagrams {
			out.Send(c.Cloud(), to, b)
		}
	})
	c.Settle(100 * time.Millisecond)
}

// Write sends bytes on a stream and lets come what comes back, for a tenth of a second.
func (c *RawCloud) Write(s *peer.RawStream, b []byte) {
	c.Act(func(_ clock.Instant, _ *peer.Raw, out *transport.Out) { out.Write(s.ID, b) })
	c.Settle(100 * time.Millisecond)
}

// DeviceID returns the id of the device.
func (s *stage) DeviceID() [12]byte { return s.id }

// CloudKey returns the private key of the cloud over TCP.
func (c *RawCloud) CloudKey() *rsa.PrivateKey { return c.own.rsa }
