package endpoint

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/transport"
)

// A forger makes records of a puppet's session with another encoder.
type forger struct {
	p    *puppet
	keys gen.Keys
	cid  []byte
	next uint64
}

func newForger(p *puppet) *forger {
	s := p.link.DTLS()
	keys, cid := s.Secrets(), s.WriteCID()
	return &forger{p: p, keys: gen.SplitKeyBlock(keys.Block()), cid: slices.Clone(cid.Bytes()), next: s.SendSequence()}
}

// sealed is a record of the device, correct so far.
func (f *forger) sealed(sequence uint64, content []byte) gen.Sealed {
	r := gen.Sealed{Key: f.keys.ClientKey, Salt: f.keys.ClientSalt, Sequence: sequence, Type: 23, Content: content}
	if len(f.cid) > 0 {
		r.CID = f.cid
	}
	return r
}

// ping is a fresh ping in the next record.
func (f *forger) ping() gen.Sealed {
	f.next++
	return f.sealed(f.next, []byte{0x40, 0, byte(f.next >> 8), byte(f.next)})
}

func connected(t *testing.T, gen dtls.Generation, edit func(*Config)) (*bench, *puppet) {
	t.Helper()
	b := newBench(t, edit)
	p := b.puppet(1, gen)
	b.register(p, 1)
	p.connect()
	return b, p
}

// and the forms of a resumed session.
func TestGoodRecords(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	f := newForger(p)
	for name, datagram := range map[string][]byte{
		"type 25":  f.ping().Bytes(),
		"type 253": gen.Moved253(f.ping().Bytes()),
	} {
		if sent := b.answers(p.addr, datagram); len(sent) != 1 || sent[0].Data[0] != 23 {
			t.Errorf("%s: got %v, want one record of type 23 (R-56)", name, sent)
		}
	}
	two := gen.Cat(f.ping().Bytes(), f.ping().Bytes())
	if sent := b.answers(p.addr, two); len(sent) != 2 {
		t.Errorf("two records got %d answers (R-57)", len(sent))
	}
}

// everything else is met with silence, and the session lives.
func TestBadRecords(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	f := newForger(p)
	replayed := f.ping().Bytes()
	if len(b.answers(p.addr, replayed)) != 1 {
		t.Fatal("the first is not answered")
	}
	bad := map[string][]byte{"replayed (R-52)": replayed}
	with := func(name string, edit func(*gen.Sealed)) {
		s := f.ping()
		edit(&s)
		bad[name] = s.Bytes()
	}
	with("RFC 9146 (R-51)", func(s *gen.Sealed) { s.RFC9146 = true })
	with("bad tag (R-54)", func(s *gen.Sealed) { s.Tag = make([]byte, 8) })
	with("epoch 2", func(s *gen.Sealed) { s.Epoch = new(2) })
	with("epoch 0", func(s *gen.Sealed) { s.Epoch = new(0) })
	with("version feff", func(s *gen.Sealed) { s.Version = 0xfeff })
	with("inner zeros (R-55)", func(s *gen.Sealed) { s.Inner = make([]byte, 16) })
	with("no inner type", func(s *gen.Sealed) { s.Inner = []byte{} })
	with("length", func(s *gen.Sealed) { s.Length = new(900) })
	with("another salt", func(s *gen.Sealed) { s.Salt = []byte{1, 2, 3, 4} })
	good := f.ping().Bytes()
	for n := range good {
		bad[fmt.Sprintf("cut at %d", n)] = good[:n]
	}
	bad["trailing garbage"] = gen.Cat(f.ping().Bytes(), []byte{1, 2, 3})
	bad["plaintext alert (R-58)"] = gen.PlainAlert(9, 2, 40).Bytes()
	bad["plaintext data (R-58)"] = gen.Record{Type: 23, Sequence: 9, Body: []byte{0x40, 0, 0, 1}}.Bytes()
	for name, datagram := range bad {
		if sent := b.answers(p.addr, datagram); len(sent) > 0 {
			t.Errorf("%s: answered %x", name, sent[0].Data)
		}
	}
	if sent := b.answers(p.addr, good); len(sent) != 1 {
		t.Error("the session is dead")
	}
}

// the window is 64 wide.
func TestWindow(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	f := newForger(p)
	top := f.next + 1000
	for _, test := range []struct {
		sequence uint64
		want     int
	}{{top, 1}, {top - 63, 1}, {top - 64, 0}, {top - 63, 0}, {top + 1, 1}, {top - 62, 1}} {
		record := f.sealed(test.sequence, []byte{0x40, 0, byte(test.sequence >> 8), byte(test.sequence)}).Bytes()
		if got := len(b.answers(p.addr, record)); got != test.want {
			t.Errorf("sequence top%+d: %d answers, want %d", int(test.sequence)-int(top), got, test.want)
		}
	}
}

// R-83, C-7: a message that comes again in a new record is answered alike and
// executed once, for 93 s.
func TestDuplicateMessages(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	f := newForger(p)
	m := publish(p, "temp", "1")
	m.ID = 0x7777
	var first []byte
	for i, pause := range []time.Duration{0, 5 * time.Second, 40 * time.Second, 47 * time.Second} {
		b.wait(pause)
		f.next++
		p.raw = nil
		p.send(f.sealed(f.next, m.Append(nil)).Bytes())
		b.deliver()
		if len(p.raw) != 1 {
			t.Fatalf("copy %d got %d answers", i, len(p.raw))
		}
		answer := f.open(t, p.raw[0])
		if first == nil {
			first = answer
		} else if !bytes.Equal(answer, first) {
			t.Errorf("copy %d was answered %x, the first %x", i, answer, first)
		}
	}
	published := 0
	for _, o := range b.seen {
		if o.What == Published {
			published++
		}
	}
	if published != 1 {
		t.Errorf("published %d times", published)
	}
}

// open decrypts a record of the cloud.
func (f *forger) open(t *testing.T, datagram []byte) []byte {
	t.Helper()
	records, _ := gen.Split(datagram, 0)
	_, content, ok := gen.Open(records[0], f.keys.ServerKey, f.keys.ServerSalt, false)
	if !ok {
		t.Fatalf("cannot open %x", datagram)
	}
	return content
}

// a resume from another address, its bytes on the wire, and
// what follows goes there.
func TestResume(t *testing.T) {
	for gen := dtls.GenA; gen <= dtls.GenF; gen++ {
		t.Run(gen.String(), func(t *testing.T) {
			b, p := connected(t, gen, nil)
			p.restart()
			p.moveTo(netip.MustParseAddrPort("127.9.9.9:4000"))
			p.raw = nil
			p.wantAck(p.ping())
			const ipv4 = 28
			want := 135
			if gen == dtls.GenF {
				want = 142
			}
			if got := len(p.last) + len(p.raw[0]) + 2*ipv4; got != want {
				t.Errorf("resumed in %d bytes, want %d (R-71)", got, want)
			}
			b.command(p.id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Ping(now, 1, out) })
			if r := b.result(1); r.Err != nil {
				t.Errorf("the cloud's ping did not arrive: %v", r.Err)
			}
			if n := b.node.counts.Resumed.Load(); n != 1 {
				t.Errorf("counted %d resumes", n)
			}
		})
	}
}

// A device that hears no answer to its first ping, or sleeps right behind it, marks
// what it says in the next resume too: that is one more. A ping that is sent again in
// the same resume, and a burst of marked records, are not.
func TestResumesWithMarksOnly(t *testing.T) {
	for gen253, generation := range map[bool]dtls.Generation{true: dtls.GenF, false: dtls.GenC} {
		b, p := connected(t, generation, nil)
		f := newForger(p)
		id := uint16(0x5000)
		marked := func(content []byte) {
			t.Helper()
			f.next++
			record := f.sealed(f.next, content).Bytes()
			if gen253 {
				record = gen.Moved253(record)
			} else {
				record = gen.Moved254(record, p.id[:])
			}
			b.answers(p.addr, record)
		}
		ping := func() { t.Helper(); marked([]byte{0x40, 0, byte(id >> 8), byte(id)}) }
		resumed := func(what string, want uint64) {
			t.Helper()
			if n := b.node.counts.Resumed.Load(); n != want {
				t.Errorf("%s, %s: counted %d resumes, want %d", generation, what, n, want)
			}
		}
		ping()
		resumed("a ping", 1)
		b.node.Command(p.id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Ping(now, 1, out) })
		b.node.Advance(b.now, b.out)
		b.out.Clear() // it does not arrive
		ping()
		m := publish(p, "temp", "1")
		m.ID = 0x6000
		marked(m.Append(nil))
		resumed("the same burst", 1)
		id++
		ping()
		resumed("another ping", 2)
		if r := b.result(1); r.Err == nil {
			t.Error("what was asked before the resume was answered")
		}
		p.addr = netip.MustParseAddrPort("127.9.9.9:4000")
		m.ID++
		marked(m.Append(nil))
		resumed("another socket", 3)
	}
}

// a trailer proves nothing.
func TestForgedTrailers(t *testing.T) {
	b, p := connected(t, dtls.GenC, nil)
	other := b.puppet(2, dtls.GenC)
	b.register(other, 1)
	other.connect()
	f := newForger(p)
	record := f.ping().Bytes()
	moved := gen.Moved254(record, p.id[:])
	attacker := netip.MustParseAddrPort("6.6.6.6:666")
	for name, datagram := range map[string][]byte{
		"length 11":        gen.Set(moved, len(moved)-1, 11),
		"another device":   gen.Moved254(record, other.id[:]),
		"unknown device":   gen.Moved254(record, make([]byte, 12)),
		"no trailer":       moved[:len(moved)-13],
		"byte too much":    append(slices.Clone(moved), 12),
		"bad tag":          gen.Flip(moved, len(moved)-15, 1),
		"of another key":   gen.Moved254(newForger(other).ping().Bytes(), p.id[:]),
		"plain, elsewhere": record,
	} {
		if sent := b.answers(attacker, datagram); len(sent) > 0 {
			t.Errorf("%s: answered", name)
		}
	}
	for _, p := range []*puppet{p, other} {
		if st, _ := b.node.Status(p.id); st.Peer != p.addr.String() {
			t.Errorf("the session of %s moved to %s", p.id, st.Peer)
		}
		p.wantAck(p.ping())
	}
}

// an old record from elsewhere does not move the session, be it replayed
// or withheld.
func TestAddressFollowsTheNewestOnly(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	f := newForger(p)
	withheld := f.ping().Bytes()
	newer := f.ping().Bytes()
	if len(b.answers(p.addr, newer)) != 1 {
		t.Fatal("no answer")
	}
	attacker := netip.MustParseAddrPort("6.6.6.6:666")
	if sent := b.answers(attacker, newer); len(sent) > 0 {
		t.Error("a replay was answered")
	}
	sent := b.answers(attacker, withheld)
	if len(sent) != 1 || sent[0].Peer != p.addr {
		t.Errorf("the answer to an older record went to %v", sent)
	}
	if st, _ := b.node.Status(p.id); st.Peer != p.addr.String() {
		t.Errorf("the session moved to %s", st.Peer)
	}
}

// C-13: everything is served after a restart of the cloud and a
// resume with a ping only.
func TestStateSurvivesARestart(t *testing.T) {
	for _, gen := range []dtls.Generation{dtls.GenC, dtls.GenF} {
		t.Run(gen.String(), func(t *testing.T) {
			b, p := connected(t, gen, nil)
			p.describeBrewing()
			p.wantAck(p.say(pdc.Subscribe{Filter: "temp"}.Message(p.dialect())))
			b.now = b.now.Add(time.Minute)
			b.start(nil)
			if st, known := b.node.Status(p.id); !known || st.Online {
				t.Errorf("restored as %+v", st)
			}
			p.restart()
			p.got = nil
			p.wantAck(p.ping())
			b.node.Publish(store.AccountID{1}, app.Event{Name: "temp", Data: []byte("1")})
			b.command(p.id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Call(now, 7, "brew", "", out) })
			if len(p.requests(pdc.KindFunctionCall)) != 1 || len(p.requests(pdc.KindEventDelivery)) != 1 {
				t.Errorf("the device got %+v", p.got)
			}
		})
	}
}

func (p *puppet) describeBrewing() {
	p.b.t.Helper()
	describe := pdc.ApplicationDescribe{Functions: []string{"brew"}}
	p.wantAck(p.say(pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeApplication, Payload: describe.Append(nil)}.Message(p.dialect())))
}

// A device without connection id that moved before the restart is found at its
// new address, and one that never noticed the restart goes on as before.
func TestRestartUnnoticed(t *testing.T) {
	for gen := dtls.GenA; gen <= dtls.GenF; gen++ {
		t.Run(gen.String(), func(t *testing.T) {
			b, p := connected(t, gen, nil)
			p.restart()
			p.moveTo(netip.MustParseAddrPort("127.9.9.9:4000"))
			p.wantAck(p.ping()) // from here on records are unmarked
			b.start(nil)
			p.wantAck(p.ping())
		})
	}
}

// however often the cloud is killed, its sequence never goes back.
func TestSequenceNeverGoesBack(t *testing.T) {
	b, p := connected(t, dtls.GenF, func(c *Config) { c.Reservation = 16 })
	rng := seed.Stream(1, "kills")
	highest := uint64(0)
	for round := range 30 {
		for range rng.IntN(40) {
			p.raw = nil
			p.wantAck(p.ping())
			for _, r := range p.raw {
				got := sequences([][]byte{r})
				if got <= highest {
					t.Fatalf("round %d: sequence %d after %d", round, got, highest)
				}
				highest = got
			}
		}
		b.start(func(c *Config) { c.Reservation = 16 })
	}
}

// TRN-4.5: a session whose application state is lost ends with close_notify at
// its device's first record.
func TestLostStateIsTold(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	if err := b.store.Do(t.Context(), store.DropApp(p.id, partSession), store.DropApp(p.id, partDescribe)); err != nil {
		t.Fatal(err)
	}
	b.start(nil)
	p.restart()
	p.ping()
	b.wait(time.Second)
	if p.ended == nil {
		t.Error("the device does not know that its state is lost")
	}
	p.connect()
}

// But a Hello makes it good (PDC-1.1 B).
func TestLostStateIsRenewedByHello(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	if err := b.store.Do(t.Context(), store.DropApp(p.id, partSession), store.DropApp(p.id, partDescribe)); err != nil {
		t.Fatal(err)
	}
	b.start(nil)
	p.restart()
	p.wantAck(p.say(p.hello().Message(p.dialect())))
	b.wait(time.Second)
	if p.ended != nil {
		t.Error("the session ended")
	}
	p.wantAck(p.ping())
}

// a new key ends sessions, live and stored.
func TestRevokedKey(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted %v", restarted), func(t *testing.T) {
			b, p := connected(t, dtls.GenF, nil)
			d, err := b.store.Device(t.Context(), p.id)
			if err != nil {
				t.Fatal(err)
			}
			d.P256 = gen.SPKI(bytes.Repeat([]byte{7}, 32))
			if err := b.store.Do(t.Context(), store.PutDevice(d)); err != nil {
				t.Fatal(err)
			}
			if restarted {
				b.start(nil)
			}
			b.node.Advance(b.now, b.out)
			b.out.Clear()
			if sent := b.answers(p.addr, newForger(p).ping().Bytes()); len(sent) > 0 {
				t.Error("the session is answered")
			}
			if p.handshake(); p.link != nil {
				t.Error("the old key got in")
			}
		})
	}
}

// only devices of the first generations are told, once in 10 s.
func TestStaleSession(t *testing.T) {
	b, p := connected(t, dtls.GenC, func(c *Config) { c.ClassicStale = true })
	p.restart()
	b.store = store.NewMemory()
	b.register(p, 1)
	b.start(func(c *Config) { c.ClassicStale = true })
	f := newForger(p)
	moved := gen.Moved254(f.ping().Bytes(), p.id[:])
	sent := b.answers(p.addr, moved)
	if len(sent) != 1 || !bytes.Equal(sent[0].Data, gen.StaleSession()) || len(sent[0].Data) > len(moved) {
		t.Fatalf("sent %x", sent)
	}
	if sent := b.answers(p.addr, moved); len(sent) > 0 {
		t.Error("told twice at once")
	}
	b.now = b.now.Add(11 * time.Second)
	if sent := b.answers(p.addr, moved); len(sent) != 1 {
		t.Error("not told again after 10 s")
	}
	if sent := b.answers(p.addr, gen.Moved254(f.ping().Bytes(), make([]byte, 12))); len(sent) > 0 {
		t.Error("an unknown id was answered")
	}
}

// a command to a silent device is sent four times, then the device is
// away; its session stays.
func TestSilentDevice(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	p.deaf, p.raw = true, nil
	b.command(p.id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Ping(now, 1, out) })
	b.wait(91 * time.Second)
	if len(p.raw) != 4 {
		t.Errorf("%d transmissions, want 4", len(p.raw))
	}
	if r := b.result(1); r.Err == nil || r.Err.Reason != app.Unreachable {
		t.Errorf("got %+v", r)
	}
	if st, _ := b.node.Status(p.id); st.Online {
		t.Error("the device is online")
	}
	p.deaf = false
	p.wantAck(p.ping())
	if st, _ := b.node.Status(p.id); !st.Online {
		t.Error("the device is back, and offline")
	}
}

// C-14, C-15: a device is offline after its Goodbye, even when its ACK was lost,
// or when it does not ping any more.
func TestOffline(t *testing.T) {
	t.Run("goodbye", func(t *testing.T) {
		b, p := connected(t, dtls.GenF, nil)
		f := newForger(p)
		m := pdc.Goodbye{Fields: pdc.GoodbyeCloudReason, CloudReason: pdc.CloudSleep}.Message(p.dialect())
		m.ID = 0x6000
		for range 3 { // the ACK was lost
			f.next++
			if len(b.answers(p.addr, f.sealed(f.next, m.Append(nil)).Bytes())) != 1 {
				t.Error("the Goodbye was not acknowledged")
			}
			if st, _ := b.node.Status(p.id); st.Online {
				t.Fatal("the device said goodbye and is online")
			}
		}
		if len(b.answers(p.addr, f.ping().Bytes())) != 1 {
			t.Error("no answer")
		}
		if st, _ := b.node.Status(p.id); !st.Online {
			t.Error("the device is back, and offline")
		}
	})
	t.Run("silence", func(t *testing.T) {
		b, p := connected(t, dtls.GenF, nil) // a Boron: it pings every 23 minutes
		b.wait(46 * time.Minute)
		if st, _ := b.node.Status(p.id); !st.Online {
			t.Error("offline too early")
		}
		b.wait(time.Minute)
		if st, _ := b.node.Status(p.id); st.Online {
			t.Error("online after 47 minutes of silence")
		}
		p.wantAck(p.ping())
	})
}

// The store fails: nothing is acknowledged, nobody waits for ever, and it is
// tried again.
func TestStoreFails(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	p.describeBrewing()
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	if id := p.say(publish(p, "temp", "1")); p.acked(id) {
		t.Error("an event that is not stored was acknowledged")
	}
	if id := p.say(pdc.Subscribe{Filter: "temp"}.Message(p.dialect())); p.acked(id) {
		t.Error("a subscription that is not stored was acknowledged")
	}
	b.wait(10 * time.Second) // retransmissions
	if id := p.say(pdc.Subscribe{Filter: "temp"}.Message(p.dialect())); p.acked(id) {
		t.Error("a subscription that is not stored was acknowledged at the second try")
	}
	if n := b.node.counts.Unstored.Load(); n < 4 {
		t.Errorf("%d failures, want at least 4", n)
	}
	p.wantAck(p.ping())
	b.command(p.id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Call(now, 1, "brew", "", out) })
	if len(p.requests(pdc.KindFunctionCall)) != 1 {
		t.Error("a function that needs no store is not called")
	}
}

//
func TestProbes(t *testing.T) {
	b := newBench(t, nil)
	probe := func(epoch uint16, payload int, length int) []byte {
		return gen.Record{Type: 252, Epoch: epoch, Sequence: 1, Length: &length, Body: make([]byte, payload)}.Bytes()
	}
	for _, n := range []int{1, 256, 512} {
		datagram := probe(0x8001, n, n)
		if sent := b.answers(client(n), datagram); len(sent) != 1 || !bytes.Equal(sent[0].Data, datagram) || sent[0].Local != b.local {
			t.Errorf("%d bytes: got %v", n, sent)
		}
	}
	for name, datagram := range map[string][]byte{
		"epoch": probe(1, 10, 10), "length": probe(0x8001, 10, 11), "too long": probe(0x8001, 513, 513), "short": {252, 0xfe, 0xfd},
	} {
		if sent := b.answers(client(9), datagram); len(sent) > 0 {
			t.Errorf("%s: echoed", name)
		}
	}
	echoed := 0
	for range 1000 {
		echoed += len(b.answers(client(5), probe(0x8001, 10, 10)))
	}
	if echoed != 40 {
		t.Errorf("%d of 1000 probes were echoed at once, want 40", echoed)
	}
	b.now = b.now.Add(time.Second)
	for range 100 {
		echoed += len(b.answers(client(5), probe(0x8001, 10, 10)))
	}
	if echoed != 60 {
		t.Errorf("%d after a second, want 60", echoed)
	}
}

// the largest messages both ways.
func TestLargestMessages(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	m := publish(p, string(bytes.Repeat([]byte("n"), 64)), string(bytes.Repeat([]byte("x"), 1024)))
	p.wantAck(p.say(m))
	p.wantAck(p.say(pdc.Subscribe{Filter: ""}.Message(p.dialect())))
	p.raw = nil
	b.node.Publish(store.AccountID{1}, app.Event{Name: string(bytes.Repeat([]byte("n"), 64)), Data: bytes.Repeat([]byte("x"), 1024)})
	b.node.Advance(b.now, b.out)
	b.deliver()
	if len(p.requests(pdc.KindEventDelivery)) != 1 {
		t.Error("the largest event did not arrive")
	}
	for _, d := range p.raw {
		if len(d) > 29+1152 {
			t.Errorf("a datagram of %d bytes", len(d))
		}
	}
}

// The owner of a device changes: from that moment it hears nothing of the old
// account.
func TestNewOwner(t *testing.T) {
	b, p := connected(t, dtls.GenF, nil)
	p.wantAck(p.say(pdc.Subscribe{Filter: ""}.Message(p.dialect())))
	d, err := b.store.Device(t.Context(), p.id)
	if err != nil {
		t.Fatal(err)
	}
	d.Owner = store.AccountID{2}
	if err := b.store.Do(t.Context(), store.PutDevice(d)); err != nil {
		t.Fatal(err)
	}
	hear := func(owner byte) int {
		p.got = nil
		b.node.Publish(store.AccountID{owner}, app.Event{Name: "temp", Data: []byte("1")})
		b.node.Advance(b.now, b.out)
		b.deliver()
		return len(p.requests(pdc.KindEventDelivery))
	}
	if n := hear(1); n != 0 {
		t.Error("the old account is heard")
	}
	b.node.Reroute(p.id)
	if n := hear(2); n != 1 {
		t.Error("the new account is not heard")
	}
}

// R-93 at small scale: after a restart all devices resume at once.
func TestResumeStorm(t *testing.T) {
	b := newBench(t, nil)
	var all []*puppet
	for n := range byte(200) {
		p := b.puppet(n+1, dtls.GenA+dtls.Generation(n%6))
		b.register(p, 1)
		p.connect()
		all = append(all, p)
	}
	b.start(nil)
	if n := b.node.counts.Restored.Load(); n != 200 {
		t.Fatalf("restored %d sessions, want 200", n)
	}
	for _, p := range all {
		p.restart()
		p.moveTo(netip.AddrPortFrom(p.addr.Addr(), 4000))
		p.wantAck(p.ping())
	}
	if n := b.node.counts.Handshakes.Load(); n != 0 {
		t.Errorf("%d handshakes, want none", n)
	}
}

// FuzzDatagram gives a node with a live session arbitrary datagrams, as they are
// and as the plaintext of that session. The session must stay usable, unless the
// device itself ended it, and nobody gets more bytes than he sent.
func FuzzDatagram(f *testing.F) {
	f.Add(clientHello(1, nil), false)
	f.Add(gen.Record{Type: 25, Epoch: 1, Sequence: 3, CID: make([]byte, 8), Body: make([]byte, 40)}.Bytes(), false)
	f.Add(gen.Record{Type: 254, Epoch: 1, Sequence: 3, Body: make([]byte, 60)}.Bytes(), false)
	f.Add(gen.Record{Type: 252, Epoch: 0x8000, Body: make([]byte, 9)}.Bytes(), false)
	f.Add(gen.StaleSession(), false)
	f.Add([]byte{0x40, 2, 0, 9, 0xb1, 'E', 1, 'x', 0xff, 1}, true)
	f.Add([]byte{0x41, 1, 0, 9, 1, 0xb1, 't'}, true)
	var b *bench // one for all inputs: what one leaves behind must not hurt the next
	var p *puppet
	var fr *forger
	f.Fuzz(func(t *testing.T, data []byte, inside bool) {
		if b == nil {
			b, p = connected(t, dtls.GenF, nil)
			fr = newForger(p)
		}
		b.t, b.seen = t, nil
		if inside && len(data) < 1200 {
			fr.next++
			b.answers(p.addr, fr.sealed(fr.next, data).Bytes())
		} else {
			out := 0
			for _, packet := range b.answers(client(1), data) {
				out += len(packet.Data)
			}
			if out > len(data) {
				t.Errorf("%d bytes for %d (R-92)", out, len(data))
			}
			b.answers(p.addr, data)
		}
		b.now = b.now.Add(time.Second)
		b.node.Advance(b.now, b.out)
		b.out.Clear()
		if n := p.b.node.counts.HelloRefused.Load(); n > 0 {
			b = nil // it said Hello in another name
			return
		}
		if sent := b.answers(p.addr, fr.ping().Bytes()); len(sent) == 0 {
			t.Error("the session is dead")
		}
	})
}

// FuzzStreamData gives a node arbitrary bytes on a connection, beside one that
// must not suffer.
func FuzzStreamData(f *testing.F) {
	f.Add(make([]byte, 256), byte(0))
	f.Add([]byte{0, 16, 18: 1}, byte(1))
	var b *bench
	var good *photon
	f.Fuzz(func(t *testing.T, data []byte, cut byte) {
		if b == nil {
			b = newBench(t, nil)
			good = b.photon(nil)
			b.registerRSA(good, 1)
			good.connect()
		}
		b.t, b.seen, good.got, good.raw = t, nil, nil, nil
		bad := b.photon(nil)
		bad.id[1] = 1
		bad.open(nil, true)
		bad.split = int(cut)
		bad.write(data)
		b.deliver()
		b.node.StreamClosed(b.now, bad.stream, transport.ResetByPeer, b.out)
		good.say(coap.Message{Type: coap.Confirmable})
		if last := good.got[len(good.got)-1]; last.Kind != coap.Acknowledged || good.closed {
			t.Error("the other connection suffered")
		}
	})
}
