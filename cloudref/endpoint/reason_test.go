package endpoint

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
)

// wantReason wants the last refusal to have that reason, to be counted, and to say
// text.
func (b *bench) wantReason(want Reason, text string) {
	b.t.Helper()
	for i := len(b.seen) - 1; i >= 0; i-- {
		o := b.seen[i]
		if o.What != Refused && o.What != Stray {
			continue
		}
		if o.Why != want || !strings.Contains(o.Detail, text) || o.Session.Peer == "" {
			b.t.Errorf("observed %v: %+v, want %v and %q", o.Why, o, want, text)
		}
		if b.node.Counts().Refused(want) == 0 {
			b.t.Errorf("%v is not counted", want)
		}
		return
	}
	b.t.Errorf("nothing was refused, want %v", want)
}

// Why a device does not get in is told apart, as far as the wire tells.
func TestReasonsOverUDP(t *testing.T) {
	b := newBench(t, nil)
	p := b.puppet(1, dtls.GenF)
	p.handshake()
	b.wantReason(ReasonUnknownKey, store.FingerprintOf(dtls.SPKI(&p.key.PublicKey)).String())

	b.register(p, 1)
	right := b.key
	b.key = seed.P256(seed.Bytes(9, "another cloud"))
	p.handshake()
	b.wantReason(ReasonServerKey, "decrypt_error")
	// Old firmware says nothing, gives up after a while and begins again.
	old := b.puppet(2, dtls.GenA)
	b.register(old, 1)
	old.handshake()
	old.handshake()
	b.wantReason(ReasonTimeout, "another handshake")
	b.wait(10 * time.Minute)
	if b.node.HalfOpen() != 0 {
		t.Errorf("%d handshakes are open", b.node.HalfOpen())
	}
	b.key = right

	p.connect()
	d, err := b.store.Device(t.Context(), p.id)
	if err != nil {
		t.Fatal(err)
	}
	d.Flags |= store.Denied
	if err := b.store.Do(t.Context(), store.PutDevice(d)); err != nil {
		t.Fatal(err)
	}
	b.deliver()
	p.handshake()
	b.wantReason(ReasonDenied, "unknown key")

	for _, gen := range []dtls.Generation{dtls.GenC, dtls.GenF} {
		q := b.puppet(3+byte(gen), gen)
		b.register(q, 1)
		q.connect()
		q.restart()
		b.start(func(c *Config) { c.Faults.ForgetSessions = true })
		q.ping()
		b.wantReason(ReasonUnknownSession, "does not have")
		last := b.seen[len(b.seen)-1]
		if claimed := (last.Device == q.id); claimed != (gen == dtls.GenC) {
			t.Errorf("%v: the record claims device %v", gen, last.Device)
		}
		// Many at once are counted, and not told one by one.
		seen, counted := len(b.seen), b.node.Counts().Refused(ReasonUnknownSession)
		for range 50 {
			b.sendFrom(q.addr, q.last)
		}
		if n := b.node.Counts().Refused(ReasonUnknownSession) - counted; n != 50 || len(b.seen) > seen+1 {
			t.Errorf("%d counted, %d told of 50", n, len(b.seen)-seen)
		}
	}
}

func TestReasonsOverTCP(t *testing.T) {
	b := newBench(t, nil)
	p := b.photon(photonRSA())
	p.open(photonRSA(), false)
	b.wantReason(ReasonUnknownDevice, "unknown device")
	b.registerRSA(p, 1)
	p.open(otherRSA(), false)
	b.wantReason(ReasonOtherKey, "the key that was offered has the SHA-256")
	right := b.rsa
	b.rsa = lightssl.GenerateCloudKey(seed.Bytes(9, "another cloud"))
	p.open(photonRSA(), false)
	b.wantReason(ReasonServerKey, "refused")
	b.rsa = right
	p.open(nil, true)
	b.wait(time.Minute)
	b.wantReason(ReasonTimeout, "timed out")
	p.connect()
}
