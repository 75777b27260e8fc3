package endpoint

import (
	"errors"
	"testing"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
)

// welcoming makes a node that registers strangers while open is true.
func welcoming(b **bench, open *bool) func(*Config) {
	return func(c *Config) {
		c.Welcome = func() bool { return *open }
		c.Adopt = func(id store.DeviceID, spki []byte, udp bool, done func(error)) {
			if _, known := (*b).store.Identity(id); known {
				done(errors.New("it has another key"))
				return
			}
			d := &store.Device{ID: id, Owner: store.AccountID{1}}
			if udp {
				d.P256 = spki
			} else {
				d.RSA = spki
			}
			(*b).store.Write([]store.Op{store.PutDevice(d)}, done)
		}
	}
}

func newWelcomingBench(t *testing.T) (b *bench, open *bool) {
	t.Helper()
	open = new(bool)
	*open = true
	return newBench(t, welcoming(&b, open)), open
}

// A device that nobody registered gets in while strangers are welcome, with its
// first Hello, and stays in when they are not any more.
func TestStrangerIsRegistered(t *testing.T) {
	for gen := dtls.GenA; gen <= dtls.GenF; gen++ {
		t.Run(gen.String(), func(t *testing.T) {
			b, open := newWelcomingBench(t)
			p := b.puppet(1, gen)
			p.connect()
			*open = false
			if st, known := b.node.Status(p.id); !known || !st.Online {
				t.Errorf("status %+v", st)
			}
			if identity, known := b.store.Identity(p.id); !known || identity.Owner != (store.AccountID{1}) {
				t.Errorf("identity %+v", identity)
			}
			p.wantAck(p.ping())
			p.wantAck(p.say(publish(p, "temp", "1")))
			// As any other it resumes after a restart of the node.
			b.start(nil)
			p.wantAck(p.ping())
			p.connect()
			other := b.puppet(2, gen)
			other.handshake()
			if other.link != nil {
				t.Error("a stranger got in although none is welcome")
			}
		})
	}
}

func TestStrangerOverTCPIsRegistered(t *testing.T) {
	b, open := newWelcomingBench(t)
	p := b.photon(photonRSA())
	p.connect()
	*open = false
	p.say(coap.Message{Type: coap.Confirmable})
	if last := p.got[len(p.got)-1]; last.Kind != coap.Acknowledged {
		t.Errorf("the ping was answered %+v", last)
	}
	if st, _ := b.node.Status(p.id); !st.Online || st.Transport != "tcp" {
		t.Errorf("status %+v", st)
	}
	p.connect() // again, now that it is known
}

// A stranger cannot take the place of a device that has another key, be it over
// UDP or TCP.
func TestStrangerTakesNoOthersName(t *testing.T) {
	b, _ := newWelcomingBench(t)
	owner, thief := b.puppet(1, dtls.GenF), b.puppet(2, dtls.GenF)
	b.register(owner, 1)
	owner.connect()
	thief.id = owner.id
	thief.handshake()
	if id := thief.say(thief.hello().Message(thief.dialect())); thief.acked(id) {
		t.Error("the thief was greeted")
	}
	if thief.ended == nil {
		t.Error("the thief keeps its session")
	}
	if last := b.seen[len(b.seen)-1]; last.What != Ended {
		t.Errorf("seen %+v", last)
	}
	owner.wantAck(owner.ping())

	p := b.photon(photonRSA())
	b.registerRSA(p, 1)
	p.open(otherRSA(), false)
	if p.link != nil || !p.closed {
		t.Error("another key over TCP was let in")
	}
}

// What is not a Hello, and a stranger that says nothing, get nowhere.
func TestStrangerMustGreet(t *testing.T) {
	b, _ := newWelcomingBench(t)
	p := b.puppet(1, dtls.GenF)
	p.handshake()
	p.say(publish(p, "temp", "1"))
	if p.ended == nil {
		t.Error("a stranger published")
	}
	q := b.puppet(2, dtls.GenF)
	q.handshake()
	b.wait(2 * greetPatienceUDP)
	if q.ended == nil {
		t.Error("a stranger may be silent for ever")
	}
	if n := len(b.node.index.all()); n != 0 {
		t.Errorf("%d devices are known", n)
	}
	hello := p.hello()
	hello.DeviceID = nil
	p.handshake()
	p.say(hello.Message(p.dialect()))
	if p.ended == nil || len(p.requests(pdc.KindServerHello)) > 0 {
		t.Error("a stranger without a name was let in")
	}
}

// What the Hello said is in the record of the device, over UDP and TCP.
func TestHelloIsRecorded(t *testing.T) {
	b := newBench(t, nil)
	p, q := b.puppet(1, dtls.GenF), b.photon(photonRSA())
	b.register(p, 1)
	b.registerRSA(q, 1)
	p.connect()
	q.connect()
	for id, want := range map[store.DeviceID]store.Device{
		p.id: {Platform: uint16(pdc.Boron), Product: uint16(pdc.Boron), ProductVersion: 0xffff, LastAddress: "127.1.0.1"},
		q.id: {Platform: uint16(pdc.Photon), Product: 6, ProductVersion: 0xffff, LastAddress: "127.2.0.1"},
	} {
		d, err := b.store.Device(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if d.Platform != want.Platform || d.Product != want.Product || d.ProductVersion != want.ProductVersion ||
			d.LastAddress != want.LastAddress || d.LastHandshake.Unix() != 1_700_000_000 {
			t.Errorf("recorded %+v, want %+v", d, want)
		}
	}
}
