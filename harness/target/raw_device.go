package target

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// A RawDevice is a puppet without any protocol before the reference cloud, in
// virtual time: what it says is made elsewhere, by an encoder that is not ours.
type RawDevice struct {
	*stage
	// Raw is the puppet.
	Raw *peer.Raw

	place  *vnet.Node
	cloud  *vnet.Node
	node   *endpoint.Node
	store  *store.Store
	adjust func(*CloudConfig)
	refs   uint64
	taken  map[string]int // events, by name
}

// NewRawDevice returns a puppet in the place of a device of the profile, and a
// reference cloud that knows its key, with the faults of the run and those of
// adjust, if that is not nil.
func (e *Env) NewRawDevice(p *profile.Profile, runSeed uint64, adjust func(*CloudConfig)) (*RawDevice, error) {
	if err := e.need(VirtualTime); err != nil {
		return nil, err
	}
	d := &RawDevice{stage: newStage(e.kept(), p, runSeed), Raw: new(peer.Raw), taken: make(map[string]int)}
	d.adjust = func(c *CloudConfig) {
		if adjust != nil {
			adjust(c)
		}
		if e.options.Cloud != nil {
			e.options.Cloud(c, false)
		}
	}
	var err error
	if d.node, d.cloud, d.store, err = d.reference(runSeed, d.observe, d.adjust); err != nil {
		return nil, err
	}
	d.place = d.Net.AttachPrefix(d.Raw, netip.PrefixFrom(virtualDevice, 24).Masked())
	return d, nil
}

func (d *RawDevice) observe(o endpoint.Observation) {
	if o.What == endpoint.Secured && o.Session.DTLS != nil {
		d.wire.decoder.AddSecrets(*o.Session.DTLS)
	}
	if o.What == endpoint.Published {
		d.taken[o.Event.Name]++
	}
}

// DeviceScalar returns the private key of a device over UDP, 32 bytes.
func (s *stage) DeviceScalar() []byte { return scalar(virtualKeys().deviceEC) }

// CloudScalar returns the private key of the cloud over UDP, 32 bytes.
func (s *stage) CloudScalar() []byte { return scalar(virtualKeys().cloudEC) }

func scalar(key *ecdsa.PrivateKey) []byte {
	b, err := key.Bytes()
	if err != nil {
		panic(fmt.Sprintf("target: a key of the harness: %v", err))
	}
	return b
}

// CloudSPKI returns the public key of the cloud over UDP.
func (s *stage) CloudSPKI() []byte { return mustSPKI(&virtualKeys().cloudEC.PublicKey) }

// DeviceRSA and CloudRSA return the private keys over TCP.
func (s *stage) DeviceRSA() *rsa.PrivateKey { return virtualKeys().deviceRSA }

// CloudRSA returns the cloud's.
func (s *stage) CloudRSA() *rsa.PrivateKey { return virtualKeys().cloudRSA }

// Home is the address of the device; Cloud and CloudTCP are those of the cloud,
// Elsewhere another one that it has.
func (s *stage) Home(port uint16) netip.AddrPort { return netip.AddrPortFrom(virtualDevice, port) }

// Stranger is the address number n, 1 to 100, of somebody else.
func (s *stage) Stranger(n int, port uint16) netip.AddrPort {
	b := virtualDevice.As4()
	b[3] = byte(100 + n)
	return netip.AddrPortFrom(netip.AddrFrom4(b), port)
}

// Cloud returns the cloud's address for UDP.
func (s *stage) Cloud() netip.AddrPort { return cloudUDP }

// CloudElsewhere returns the other address that the cloud has.
func (s *stage) CloudElsewhere() netip.AddrPort {
	return netip.AddrPortFrom(virtualCloud2, cloudUDP.Port())
}

// CloudTCP returns the cloud's address for TCP.
func (s *stage) CloudTCP() netip.AddrPort { return cloudTCP }

// Act lets f act for the puppet.
func (d *RawDevice) Act(f func(now clock.Instant, p *peer.Raw, out *transport.Out)) {
	d.place.Do(func(now clock.Instant, out *transport.Out) { f(now, d.Raw, out) })
}

// Send sends datagrams to the cloud and returns what comes back to the same
// address within a tenth of a second.
func (d *RawDevice) Send(from netip.AddrPort, datagrams ...[]byte) []peer.RawDatagram {
	return d.SendTo(d.Cloud(), from, datagrams...)
}

// SendTo does what Send does, to any address.
func (d *RawDevice) SendTo(to, from netip.AddrPort, datagrams ...[]byte) []peer.RawDatagram {
	before := len(d.Raw.Datagrams)
	d.Act(func(_ clock.Instant, _ *peer.Raw, out *transport.Out) {
		for _, b := range datagrams {
			out.Send(from, to, b)
		}
	})
	d.Run(100 * time.Millisecond)
	var replies []peer.RawDatagram
	for _, r := range d.Raw.Datagrams[before:] {
		if r.Local == from {
			replies = append(replies, r)
		}
	}
	return replies
}

// Arrived returns the datagrams that arrived at an address from an instant on.
func (d *RawDevice) Arrived(at netip.AddrPort, since clock.Instant) []peer.RawDatagram {
	var list []peer.RawDatagram
	for _, r := range d.Raw.Datagrams {
		if r.Local == at && r.At >= since {
			list = append(list, r)
		}
	}
	return list
}

// Dial opens a stream to the cloud.
func (d *RawDevice) Dial() *peer.RawStream {
	var s *peer.RawStream
	d.Act(func(_ clock.Instant, p *peer.Raw, out *transport.Out) { s = p.Dial(d.CloudTCP(), out) })
	d.Run(10 * time.Millisecond)
	return s
}

// Write sends bytes on a stream, each piece by itself, and lets a tenth of a second
// pass.
func (d *RawDevice) Write(s *peer.RawStream, pieces ...[]byte) {
	for _, b := range pieces {
		d.Act(func(_ clock.Instant, _ *peer.Raw, out *transport.Out) { out.Write(s.ID, b) })
		d.Run(time.Millisecond)
	}
	d.Run(100 * time.Millisecond)
}

// Hang closes a stream.
func (d *RawDevice) Hang(s *peer.RawStream) {
	d.Act(func(now clock.Instant, p *peer.Raw, out *transport.Out) { p.Close(now, s, out) })
	d.Run(10 * time.Millisecond)
}

// Online reports whether the cloud thinks that the device is there.
func (d *RawDevice) Online() bool {
	st, _ := d.node.Status(store.DeviceID(d.id))
	return st.Online
}

// command gives the cloud a command about the device.
func (d *RawDevice) command(f func(now clock.Instant, ref uint64, a *app.Device, out *app.Out)) {
	d.refs++
	ref := d.refs
	d.node.Command(store.DeviceID(d.id), func(now clock.Instant, a *app.Device, out *app.Out) { f(now, ref, a, out) })
	d.cloud.Do(d.node.Run)
	d.Run(0)
}

// Ping makes the cloud ask for a sign of life.
func (d *RawDevice) Ping() {
	d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.Ping(now, ref, out) })
}

// Event makes the cloud send an event to the device, whatever it subscribed to.
func (d *RawDevice) Event(name string, data []byte) {
	d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) {
		a.SendEvent(now, ref, app.Event{Name: name, Data: data, Private: true}, out)
	})
}

// neighbourKey is the key of the device that Neighbour registers.
var neighbourKey = sync.OnceValue(func() *ecdsa.PrivateKey { return seed.P256(seed.Bytes(3, "virtual/device")) })

// NeighbourScalar returns the private key of the neighbour, 32 bytes.
func (d *RawDevice) NeighbourScalar() []byte { return scalar(neighbourKey()) }

// Neighbour registers another device of the same account and returns its id.
func (d *RawDevice) Neighbour() ([12]byte, error) {
	id := d.id
	id[11]++
	record := &store.Device{ID: store.DeviceID(id), Name: "neighbour", Owner: virtualOwner, P256: mustSPKI(&neighbourKey().PublicKey)}
	if err := d.store.Do(context.Background(), store.PutDevice(record)); err != nil {
		return id, fmt.Errorf("target: registering: %w", err)
	}
	return id, nil
}

// Rekey registers another key for the device in place of its own.
func (d *RawDevice) Rekey() error {
	record, err := d.store.Device(context.Background(), store.DeviceID(d.id))
	if err != nil {
		return fmt.Errorf("target: finding the device: %w", err)
	}
	record.P256 = mustSPKI(&seed.P256(seed.Bytes(4, "virtual/device")).PublicKey)
	if err := d.store.Do(context.Background(), store.PutDevice(record)); err != nil {
		return fmt.Errorf("target: registering: %w", err)
	}
	d.cloud.Do(d.node.Run)
	d.Run(0)
	return nil
}

// Taken counts how often the cloud took an event of that name from the device.
func (d *RawDevice) Taken(name string) int { return d.taken[name] }
