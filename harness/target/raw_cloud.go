package target

import (
	"crypto/rsa"
	"net/netip"
	"slices"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// A RawCloud is a puppet without any protocol in the place of the cloud before a
// simulated device, in virtual time.
type RawCloud struct {
	*stage
	// Raw is the puppet.
	Raw *peer.Raw

	place *vnet.Node
	fleet *fleet.Virtual
	log   []logged
}

// NewRawCloud returns a puppet, and a simulated device of the profile with the
// faults of the run, switched off.
func (e *Env) NewRawCloud(p *profile.Profile, runSeed uint64) (*RawCloud, error) {
	if err := e.need(VirtualTime); err != nil {
		return nil, err
	}
	c := &RawCloud{stage: newStage(e.kept(), p, runSeed), Raw: new(peer.Raw)}
	config := c.deviceConfig(runSeed)
	if e.options.Device != nil {
		e.options.Device(config)
	}
	c.place = c.Net.Attach(c.Raw, virtualCloud)
	c.place.Listen(cloudref.PortTCP)
	c.fleet = c.simulated(c.happened, fleet.Spec{Config: config, ID: c.id})
	return c, nil
}

func (c *RawCloud) happened(_ int, at clock.Instant, e device.Event) {
	e.Data = slices.Clone(e.Data)
	c.log = append(c.log, logged{at, e})
}

// PowerOn boots the device, which then connects, and runs until it has said
// something or a minute has passed.
func (c *RawCloud) PowerOn() {
	c.fleet.PowerOn(0)
	heard := len(c.Raw.Datagrams) + len(c.Raw.Streams)
	c.Net.RunUntil(func() bool { return len(c.Raw.Datagrams)+len(c.Raw.Streams) > heard }, c.Now().Add(time.Minute))
}

// Act lets f act for the puppet.
func (c *RawCloud) Act(f func(now clock.Instant, p *peer.Raw, out *transport.Out)) {
	c.place.Do(func(now clock.Instant, out *transport.Out) { f(now, c.Raw, out) })
}

// Send sends datagrams to the device and lets a tenth of a second pass.
func (c *RawCloud) Send(to netip.AddrPort, datagrams ...[]byte) {
	c.Act(func(_ clock.Instant, _ *peer.Raw, out *transport.Out) {
		for _, b := range datagrams {
			out.Send(c.Cloud(), to, b)
		}
	})
	c.Run(100 * time.Millisecond)
}

// Write sends bytes on a stream and lets a tenth of a second pass.
func (c *RawCloud) Write(s *peer.RawStream, b []byte) {
	c.Act(func(_ clock.Instant, _ *peer.Raw, out *transport.Out) { out.Write(s.ID, b) })
	c.Run(100 * time.Millisecond)
}

// DeviceID returns the id of the device.
func (s *stage) DeviceID() [12]byte { return s.id }

// CloudKey returns the private key of the cloud over TCP.
func (c *RawCloud) CloudKey() *rsa.PrivateKey { return virtualKeys().cloudRSA }
