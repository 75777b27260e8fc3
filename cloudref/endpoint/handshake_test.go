package endpoint

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/transport"
)

// clientHello is a ClientHello of another encoder than ours.
func clientHello(random byte, cookie []byte) []byte {
	h := gen.DeviceHello('F', bytes.Repeat([]byte{random}, 32))
	h.Cookie = cookie
	return gen.Plain(uint64(len(cookie)), h.Message()).Bytes()
}

// answers gives a datagram to the node and returns what it sent.
func (b *bench) answers(peer netip.AddrPort, datagram []byte) (sent []transport.Packet) {
	b.node.Datagram(b.now, transport.Packet{Local: b.local, Peer: peer, Data: bytes.Clone(datagram)}, b.out)
	for _, p := range b.out.Packets() {
		p.Data = bytes.Clone(p.Data)
		sent = append(sent, p)
	}
	b.out.Clear()
	return sent
}

func cookieOf(t *testing.T, sent []transport.Packet) []byte {
	t.Helper()
	if len(sent) != 1 || len(sent[0].Data) < 28 || sent[0].Data[0] != 22 || sent[0].Data[13] != 3 {
		t.Fatalf("got %d datagrams %x, want a HelloVerifyRequest", len(sent), sent)
	}
	return sent[0].Data[28:]
}

func client(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 5684)
}

// 10,000 hellos without a cookie leave nothing, and get less than
// they sent.
func TestCookieGateKeepsNothing(t *testing.T) {
	b := newBench(t, nil)
	hello := clientHello(1, nil)
	for n := range 10_000 {
		sent := b.answers(client(n), hello)
		cookieOf(t, sent)
		if len(sent[0].Data) > len(hello) || sent[0].Local != b.local || sent[0].Peer != client(n) {
			t.Fatalf("sent %+v for %d bytes", sent, len(hello))
		}
	}
	if b.node.HalfOpen() != 0 || len(b.node.timers.heap) != 0 || b.node.counts.Handshakes.Load() != 0 {
		t.Error("something is kept")
	}
}

// a cookie is good for its address and its time.
func TestForeignAndExpiredCookies(t *testing.T) {
	b := newBench(t, nil)
	cookie := cookieOf(t, b.answers(client(1), clientHello(1, nil)))
	cookieOf(t, b.answers(client(2), clientHello(1, cookie)))                               // another address
	cookieOf(t, b.answers(client(1), clientHello(2, cookie)))                               // another hello
	cookieOf(t, b.answers(client(1), clientHello(1, gen.Flip(cookie, 3, 0))))               // forged
	cookieOf(t, b.answers(netip.AddrPortFrom(client(1).Addr(), 9), clientHello(1, cookie))) // another port
	b.now = b.now.Add(time.Hour)
	cookieOf(t, b.answers(client(1), clientHello(1, cookie))) // too old
	if b.node.HalfOpen() != 0 {
		t.Error("a handshake began")
	}
	fresh := cookieOf(t, b.answers(client(1), clientHello(1, nil)))
	if sent := b.answers(client(1), clientHello(1, fresh)); len(sent) == 0 || b.node.HalfOpen() != 1 {
		t.Error("a good cookie does not begin a handshake")
	}
}

// stopped handshakes are bounded for an address and in all, expire, and
// keep nobody out.
func TestHalfOpenIsBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.HalfOpenMax, c.HalfOpenPerAddress = 100, 10 })
	begin := func(peer netip.AddrPort) {
		cookie := cookieOf(t, b.answers(peer, clientHello(7, nil)))
		b.answers(peer, clientHello(7, cookie))
	}
	for n := range 50 {
		begin(netip.AddrPortFrom(client(1).Addr(), uint16(1000+n)))
	}
	if n := b.node.HalfOpen(); n != 10 {
		t.Errorf("%d half-open handshakes of one address, want 10", n)
	}
	for n := range 300 {
		begin(client(n + 10))
	}
	if n := b.node.HalfOpen(); n != 100 || len(b.node.timers.heap) > 100 {
		t.Errorf("%d half-open handshakes and %d timers, want 100", n, len(b.node.timers.heap))
	}
	p := b.puppet(1, dtls.GenF)
	b.register(p, 1)
	p.connect()
	b.wait(61 * time.Second)
	if n := b.node.HalfOpen(); n != 0 {
		t.Errorf("%d half-open handshakes after 61 s", n)
	}
	if len(b.node.half.hosts) != 0 || len(b.node.half.peers) != 0 {
		t.Error("something is left of them")
	}
}

// as a node: clients that are odd but legal get in, others do not.
func TestClients(t *testing.T) {
	for _, test := range []struct {
		name   string
		gen    dtls.Generation
		faults dtls.ClientFaults
		in     bool
	}{
		{"five datagrams (R-34)", dtls.GenC, dtls.ClientFaults{}, true},
		{"fragments (R-35)", dtls.GenF, dtls.ClientFaults{FragmentSize: 40}, true},
		{"overlapping fragments (R-35)", dtls.GenF, dtls.ClientFaults{FragmentSize: 40, OverlapFragments: 10}, true},
		{"extra suites (R-38)", dtls.GenF, dtls.ClientFaults{CipherSuites: []uint16{0x0a0a, 0xc02b, 0xc0ae, 0x00ff}}, true},
		{"bad CertificateVerify (R-30)", dtls.GenF, dtls.ClientFaults{BadCertificateVerify: true}, false},
		{"no CertificateVerify", dtls.GenF, dtls.ClientFaults{OmitCertificateVerify: true}, false},
		{"empty Certificate (R-31)", dtls.GenF, dtls.ClientFaults{Certificate: []byte{0, 0, 0}}, false},
		{"empty X.509 Certificate (R-31)", dtls.GenF, dtls.ClientFaults{Certificate: []byte{0, 0, 3, 0, 0, 0}}, false},
		{"bad Finished (R-33)", dtls.GenF, dtls.ClientFaults{BadFinished: true}, false},
		{"no suite (R-37)", dtls.GenF, dtls.ClientFaults{CipherSuites: []uint16{0xc02b}}, false},
		{"DTLS 1.0 (R-48)", dtls.GenF, dtls.ClientFaults{Version: 0xfeff}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, nil)
			p := b.puppet(1, test.gen)
			b.register(p, 1)
			p.faults = test.faults
			p.handshake()
			if in := p.link != nil && p.failed == nil; in != test.in {
				t.Fatalf("in %v (%v), want %v", in, p.failed, test.in)
			}
			if test.in {
				p.wantAck(p.say(p.hello().Message(p.dialect())))
				return
			}
			if n := b.node.counts.Secured.Load(); n != 0 {
				t.Error("the node has a session")
			}
		})
	}
}

// the device repeats its flight, because ours was lost.
func TestFinalFlightIsRepeated(t *testing.T) {
	for gen := dtls.GenA; gen <= dtls.GenF; gen++ {
		t.Run(gen.String(), func(t *testing.T) {
			b := newBench(t, nil)
			p := b.puppet(1, gen)
			b.register(p, 1)
			dropped := false
			b.net = func(up bool) []time.Duration {
				if !up && !dropped && b.node.counts.Secured.Load() == 1 {
					dropped = true
					return nil
				}
				return []time.Duration{time.Millisecond}
			}
			p.handshake()
			b.wait(20 * time.Second)
			if !dropped || p.link == nil {
				t.Fatalf("dropped %v, failed %v", dropped, p.failed)
			}
			id := p.say(p.hello().Message(p.dialect()))
			b.wait(time.Second)
			p.wantAck(id)
		})
	}
}

// a handshake beside a live session leaves it alone, until the Hello.
func TestHandshakeBesideASession(t *testing.T) {
	for _, gen := range []dtls.Generation{dtls.GenC, dtls.GenF} {
		t.Run(gen.String(), func(t *testing.T) {
			b := newBench(t, nil)
			p := b.puppet(1, gen)
			b.register(p, 1)
			p.connect()
			cookie := cookieOf(t, b.answers(p.addr, clientHello(1, nil)))
			if sent := b.answers(p.addr, clientHello(1, cookie)); len(sent) == 0 {
				t.Fatal("no flight")
			}
			p.wantAck(p.ping())
			b.wait(2 * time.Minute)
			p.wantAck(p.ping())
		})
	}
}

// A late copy of each datagram of a handshake begins no other, whose flights the
// device would pay for.
func TestLateCopiesOfAHandshake(t *testing.T) {
	for gen := dtls.GenA; gen <= dtls.GenF; gen++ {
		t.Run(gen.String(), func(t *testing.T) {
			b := newBench(t, nil)
			p := b.puppet(1, gen)
			b.register(p, 1)
			b.net = func(up bool) []time.Duration {
				if up {
					return []time.Duration{time.Millisecond, 4 * time.Second}
				}
				return []time.Duration{time.Millisecond}
			}
			p.handshake()
			b.wait(10 * time.Second)
			if begun, open := b.node.counts.Handshakes.Load(), b.node.half.len(); begun != 1 || open != 0 {
				t.Errorf("%d handshakes begun and %d open, want 1 and 0", begun, open)
			}
			b.net = nil
			p.wantAck(p.ping())
		})
	}
}

// Only the last completed handshakes are remembered.
func TestDoneHandshakesAreBounded(t *testing.T) {
	b := newBench(t, nil)
	for i := range 3 * doneMax {
		b.node.half.remember(b.now, doneHello{peer: client(i)})
	}
	x := &b.node.half
	if len(x.done) != doneMax || len(x.doneRing) != doneMax || !x.isDone(b.now, doneHello{peer: client(3*doneMax - 1)}) || x.isDone(b.now, doneHello{peer: client(0)}) {
		t.Errorf("%d remembered, want the last %d", len(x.done), doneMax)
	}
}

// a second handshake replaces the session, from the same address.
func TestSecondHandshakeReplacesTheSession(t *testing.T) {
	for gen := dtls.GenA; gen <= dtls.GenF; gen++ {
		t.Run(gen.String(), func(t *testing.T) {
			b := newBench(t, nil)
			p := b.puppet(1, gen)
			b.register(p, 1)
			p.connect()
			old := p.link
			p.connect()
			p.wantAck(p.ping())
			young := p.link
			p.link, p.raw = old, nil
			if id := p.ping(); p.acked(id) && len(p.raw) > 0 {
				t.Error("the old session is answered")
			}
			p.link = young
			p.wantAck(p.ping())
			if n := len(b.node.index.cids) + len(b.node.index.peers); n != 1 {
				t.Errorf("%d sessions in the index, want 1", n)
			}
		})
	}
}

// A session whose Hello never comes goes, and leaves the one before it.
func TestSessionWithoutHello(t *testing.T) {
	b := newBench(t, nil)
	p := b.puppet(1, dtls.GenF)
	b.register(p, 1)
	p.connect()
	old := p.link
	p.handshake()
	if p.link == nil {
		t.Fatal(p.failed)
	}
	p.deaf = true
	b.wait(91 * time.Second)
	p.deaf, p.link = false, old
	p.wantAck(p.ping())
	if n := len(b.node.index.cids); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

// N-21 and more: any datagram may be lost, late or double, and the device is in
// within 90 s, with one copy of its event.
func TestFlakyNetwork(t *testing.T) {
	for run := range uint64(60) {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			b := newBench(t, nil)
			p := b.puppet(1, dtls.GenA+dtls.Generation(run%6))
			b.register(p, 1)
			rng := seed.Stream(run, "flaky")
			b.net = func(bool) (delays []time.Duration) {
				for rng.Float64() < 0.12 || len(delays) == 0 {
					if len(delays) == 0 && rng.Float64() < 0.15 {
						return nil
					}
					delays = append(delays, time.Duration(20+rng.IntN(900))*time.Millisecond)
				}
				return delays
			}
			p.flakyConnect(t)
			event := p.say(publish(p, "temp", "1"))
			for range 9 {
				if p.acked(event) {
					break
				}
				b.wait(10 * time.Second)
			}
			p.wantAck(event)
			published := 0
			for _, o := range b.seen {
				if o.What == Published {
					published++
				}
			}
			if published != 1 {
				t.Errorf("%d copies of the event on the stream, want 1 (N-19)", published)
			}
		})
	}
}

// flakyConnect tries until the Hello is acknowledged, as a device does.
func (p *puppet) flakyConnect(t *testing.T) {
	t.Helper()
	for range 4 {
		p.handshake()
		for range 5 {
			if p.b.wait(10 * time.Second); p.link != nil {
				id := p.say(p.hello().Message(p.dialect()))
				for range 9 {
					if p.b.wait(10 * time.Second); p.acked(id) {
						return
					}
				}
				break
			}
			if p.failed != nil {
				break
			}
		}
	}
	t.Fatalf("the device did not get in: %v", p.failed)
}

// datagrams of nobody are met with silence.
func TestSilence(t *testing.T) {
	b := newBench(t, nil)
	for n := range 13 {
		if sent := b.answers(client(1), make([]byte, n)); len(sent) > 0 {
			t.Errorf("%d zero bytes were answered", n)
		}
	}
	rng := seed.Bytes(1, "cids")
	for range 1000 {
		cid := make([]byte, 8)
		if _, err := rng.Read(cid); err != nil {
			t.Fatal(err)
		}
		for _, typ := range []byte{25, 253} {
			record := gen.Record{Type: typ, Epoch: 1, Sequence: 7, CID: cid, Body: make([]byte, 48)}.Bytes()
			if sent := b.answers(client(1), record); len(sent) > 0 {
				t.Fatalf("an unknown connection id was answered %x (R-68)", sent)
			}
		}
	}
	if n := len(b.node.index.devices); n != 0 {
		t.Errorf("%d devices are remembered", n)
	}
}

// without a registered key there is no session, and the log says what to
// do.
func TestDeniedDevice(t *testing.T) {
	b := newBench(t, nil)
	p := b.puppet(1, dtls.GenF)
	b.register(p, 1)
	d, err := b.store.Device(t.Context(), p.id)
	if err != nil {
		t.Fatal(err)
	}
	d.Flags |= store.Denied
	if err := b.store.Do(t.Context(), store.PutDevice(d)); err != nil {
		t.Fatal(err)
	}
	if p.handshake(); p.link != nil {
		t.Error("a device that is denied got in")
	}
}

// after the device's close_notify its session is gone, and a new handshake
// works.
func TestDeviceCloses(t *testing.T) {
	b := newBench(t, nil)
	p := b.puppet(1, dtls.GenF)
	b.register(p, 1)
	p.connect()
	old := *p.link.DTLS()
	alert, err := old.SealAlert(nil, dtls.AlertWarning, dtls.CloseNotify)
	if err != nil {
		t.Fatal(err)
	}
	p.send(alert)
	b.deliver()
	record, err := old.Seal(nil, dtls.TypeApplication, coap.Message{Type: coap.Confirmable, ID: 77}.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if sent := b.answers(p.addr, record); len(sent) > 0 {
		t.Error("a session that was closed is answered")
	}
	if _, err := b.store.Session(t.Context(), p.id); err == nil {
		t.Error("the session is still stored")
	}
	p.connect()
}
