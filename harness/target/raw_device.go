package target

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
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

// A RawDevice is a puppet without any protocol before a cloud: what it says is made
// elsewhere, by an encoder that is not ours.
type RawDevice struct {
	*stage
	// Raw is the puppet.
	Raw *peer.Raw

	env       *Env
	place     place
	device    *Device        // whose place it takes before a foreign cloud
	neighbour *Device        // another one
	own       *ownCloud      // nil: the cloud is not ours
	refs      uint64         // of commands
	taken     map[string]int // events, by name
}

// An ownCloud is the reference cloud of a virtual stage.
type ownCloud struct {
	place *vnet.Node
	node  *endpoint.Node
	store *store.Store
}

// NewRawDevice returns a puppet in the place of a device of the profile, and a cloud
// that knows its key: the reference cloud in virtual time, with the faults of the run
// and those of adjust, if that is not nil, or the foreign cloud that is judged.
func (e *Env) NewRawDevice(p *profile.Profile, runSeed uint64, adjust func(*CloudConfig)) (*RawDevice, error) {
	d := &RawDevice{env: e, Raw: new(peer.Raw), taken: make(map[string]int)}
	var err error
	switch {
	case e.isForeign() && adjust == nil:
		d.stage, d.device, err = e.newLiveStage(p)
	default:
		if err = e.need(VirtualTime); err == nil {
			d.stage = newStage(e.kept(), p, runSeed)
			d.own, err = d.reference(runSeed, d.observe, func(c *CloudConfig) {
				if adjust != nil {
					adjust(c)
				}
				if e.options.Cloud != nil {
					e.options.Cloud(c, false)
				}
			})
		}
	}
	if err != nil {
		return nil, err
	}
	d.place = d.attach(d.Raw, true)
	return d, nil
}

// isForeign reports whether a cloud is judged that is not ours.
func (e *Env) isForeign() bool { return e.options.Spec != nil && e.options.Spec.Cloud != nil }

// Sees reports whether the target has a capability. A check asks before it looks at what
// only some targets show; what it asks for in vain makes it unsupported.
func (e *Env) Sees(c Capability) bool { return e.Lacks(c) == "" }

// Sees is Env.Sees.
func (d *RawDevice) Sees(c Capability) bool { return d.env.Sees(c) }

// Needs is Env.Needs.
func (d *RawDevice) Needs(c Capability) error { return d.env.need(c) }

func (d *RawDevice) observe(o endpoint.Observation) {
	if o.What == endpoint.Secured && o.Session.DTLS != nil {
		d.wire.decoder.AddSecrets(*o.Session.DTLS)
	}
	if o.What == endpoint.Published {
		d.taken[o.Event.Name]++
	}
}

// DeviceScalar returns the private key of a device over UDP, 32 bytes.
func (s *stage) DeviceScalar() []byte { return scalar(s.deviceEC) }

// CloudScalar returns the private key of the cloud over UDP, 32 bytes.
func (s *stage) CloudScalar() []byte { return scalar(s.own.ec) }

func scalar(key *ecdsa.PrivateKey) []byte {
	b, err := key.Bytes()
	if err != nil {
		panic(fmt.Sprintf("target: a key of the harness: %v", err))
	}
	return b
}

// CloudSPKI returns the public key of the cloud over UDP.
func (s *stage) CloudSPKI() []byte { return mustSPKI(s.cloudEC) }

// DeviceRSA returns the private key of a device over TCP.
func (s *stage) DeviceRSA() *rsa.PrivateKey { return s.deviceRSA }

// CloudRSA returns the public key of the cloud over TCP.
func (s *stage) CloudRSA() *rsa.PublicKey { return s.cloudRSA }

// Home is the address of the device; Cloud and CloudTCP are those of the cloud,
// CloudElsewhere another one that it has.
func (s *stage) Home(port uint16) netip.AddrPort { return netip.AddrPortFrom(s.home, port) }

// Stranger is the address number n, 1 to 100, of somebody else.
func (s *stage) Stranger(n int, port uint16) netip.AddrPort {
	b := s.home.As4()
	b[3] = byte(100 + n)
	return netip.AddrPortFrom(netip.AddrFrom4(b), port)
}

// Cloud returns the cloud's address for UDP.
func (s *stage) Cloud() netip.AddrPort { return s.udp }

// CloudElsewhere returns another address that the cloud has, the zero value if none is
// known.
func (s *stage) CloudElsewhere() netip.AddrPort { return s.elsewhere }

// CloudTCP returns the cloud's address for TCP.
func (s *stage) CloudTCP() netip.AddrPort { return s.tcp }

// Act lets f act for the puppet.
func (d *RawDevice) Act(f func(now clock.Instant, p *peer.Raw, out *transport.Out)) {
	d.place.Do(func(now clock.Instant, out *transport.Out) { f(now, d.Raw, out) })
}

// Send sends datagrams to the cloud and returns what comes back to the same
// address within a tenth of a second, or what a slow cloud takes.
func (d *RawDevice) Send(from netip.AddrPort, datagrams ...[]byte) []peer.RawDatagram {
	return d.SendTo(d.Cloud(), from, datagrams...)
}

// SendFor does what Send does, and returns as soon as done is content with what came
// back; a busy cloud may take its time.
func (d *RawDevice) SendFor(done func(replies []peer.RawDatagram) bool, from netip.AddrPort, datagrams ...[]byte) []peer.RawDatagram {
	if d.own != nil {
		return d.Send(from, datagrams...)
	}
	before := len(d.Raw.Datagrams)
	d.say(d.Cloud(), from, datagrams)
	d.Patient(func() bool { return done(d.repliesTo(from, before)) })
	return d.repliesTo(from, before)
}

// SendTo does what Send does, to any address.
func (d *RawDevice) SendTo(to, from netip.AddrPort, datagrams ...[]byte) []peer.RawDatagram {
	before := len(d.Raw.Datagrams)
	d.say(to, from, datagrams)
	d.Settle(answerTime)
	return d.repliesTo(from, before)
}

// say sends datagrams; no time passes.
func (d *RawDevice) say(to, from netip.AddrPort, datagrams [][]byte) {
	d.Act(func(_ clock.Instant, _ *peer.Raw, out *transport.Out) {
		for _, b := range datagrams {
			out.Send(from, to, b)
		}
	})
}

// repliesTo are the datagrams behind the first so many that came to an address.
func (d *RawDevice) repliesTo(from netip.AddrPort, before int) []peer.RawDatagram {
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

// Dial opens a stream to the cloud, and returns when the cloud has said something.
func (d *RawDevice) Dial() *peer.RawStream {
	var s *peer.RawStream
	d.Act(func(_ clock.Instant, p *peer.Raw, out *transport.Out) { s = p.Dial(d.CloudTCP(), out) })
	d.Within(10*time.Millisecond, func() bool { return len(s.Pieces) > 0 || s.Closed != clock.Never })
	return s
}

// answerTime is what an answer may take, in virtual time.
const answerTime = 100 * time.Millisecond

// Write sends bytes on a stream, each piece by itself, and lets come what comes back.
func (d *RawDevice) Write(s *peer.RawStream, pieces ...[]byte) {
	for _, b := range pieces {
		d.Act(func(_ clock.Instant, _ *peer.Raw, out *transport.Out) { out.Write(s.ID, b) })
		d.Run(time.Millisecond)
	}
	d.Settle(answerTime)
}

// Hang closes a stream.
func (d *RawDevice) Hang(s *peer.RawStream) {
	d.Act(func(now clock.Instant, p *peer.Raw, out *transport.Out) { p.Close(now, s, out) })
	d.Run(10 * time.Millisecond)
}

// Online reports whether the cloud thinks that the device is there.
func (d *RawDevice) Online() bool {
	if d.own == nil {
		_ = d.env.need(Insight)
		return false
	}
	st, _ := d.own.node.Status(store.DeviceID(d.id))
	return st.Online
}

// command gives the cloud a command about the device.
func (d *RawDevice) command(f func(now clock.Instant, ref uint64, a *app.Device, out *app.Out)) {
	if d.own == nil {
		_ = d.env.need(Prompting)
		return
	}
	d.refs++
	ref := d.refs
	d.own.node.Command(store.DeviceID(d.id), func(now clock.Instant, a *app.Device, out *app.Out) { f(now, ref, a, out) })
	d.own.place.Do(d.own.node.Run)
	d.Run(0)
}

// Ping makes the cloud ask for a sign of life.
func (d *RawDevice) Ping() {
	if api, ok := d.env.service.(*rest); ok && d.own == nil && d.env.need(RESTAPI) == nil {
		ctx, cancel := context.WithTimeout(context.Background(), askTime)
		d.env.use.atEnd(cancel)
		go func() { // whatever the answer is: the wire shows what comes of it
			_ = api.do(ctx, d.device.Account, http.MethodPut, "/v1/devices/"+d.device.Hex()+"/ping", "", nil, nil)
		}()
		d.Settle(time.Second)
		return
	}
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

// NeighbourScalar returns the private key of the neighbour, 32 bytes. If it is a device
// that the cloud knew before, that is switched off.
func (d *RawDevice) NeighbourScalar() ([]byte, error) {
	if d.own == nil {
		key, ok := d.env.keys.Get(d.neighbour.ID).(*ecdsa.PrivateKey)
		if !ok {
			return nil, d.env.need(Registration)
		}
		return scalar(key), d.neighbour.stepDown()
	}
	return scalar(neighbourKey()), nil
}

// Neighbour returns the id of another device of the same account.
func (d *RawDevice) Neighbour() ([12]byte, error) {
	if d.own == nil {
		for _, other := range d.env.devices {
			if other.ID != d.id && other.Profile.Equal(d.Profile) && other.Account == d.device.Account {
				d.neighbour = other
				return other.ID, nil
			}
		}
		return d.id, d.env.use.note(&Missing{Capability: Registration, Why: fmt.Sprintf("the cloud knows one %s of that account, and this takes two", d.Profile)})
	}
	id := d.id
	id[11]++
	record := &store.Device{ID: store.DeviceID(id), Name: "neighbour", Owner: virtualOwner, P256: mustSPKI(&neighbourKey().PublicKey)}
	if err := d.own.store.Do(context.Background(), store.PutDevice(record)); err != nil {
		return id, fmt.Errorf("target: registering: %w", err)
	}
	return id, nil
}

// Rekey registers another key for the device in place of its own.
func (d *RawDevice) Rekey() error {
	if d.own == nil {
		return d.env.need(Registration)
	}
	record, err := d.own.store.Device(context.Background(), store.DeviceID(d.id))
	if err != nil {
		return fmt.Errorf("target: finding the device: %w", err)
	}
	record.P256 = mustSPKI(&seed.P256(seed.Bytes(4, "virtual/device")).PublicKey)
	if err := d.own.store.Do(context.Background(), store.PutDevice(record)); err != nil {
		return fmt.Errorf("target: registering: %w", err)
	}
	d.own.place.Do(d.own.node.Run)
	d.Run(0)
	return nil
}

// Taken counts how often the cloud took an event of that name from the device.
func (d *RawDevice) Taken(name string) int {
	if d.own == nil {
		_ = d.env.need(Insight)
	}
	return d.taken[name]
}

// Unlock tells what reads the wire the secret of a session, if nobody else does.
func (d *RawDevice) Unlock(clientRandom, master []byte) {
	if d.own == nil {
		_ = d.wire.decoder.ReadKeyLog(strings.NewReader(fmt.Sprintf("CLIENT_RANDOM %x %x\n", clientRandom, master))) // it is well written
	}
}
