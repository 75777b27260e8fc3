package link

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
)

// states returns the two sides of a session, of the device and of the cloud.
func states(gen dtls.Generation) (device, cloud dtls.State) {
	device = dtls.State{Gen: gen}
	for i := range device.ReadKey {
		device.ReadKey[i], device.WriteKey[i] = byte(i), byte(0x81+i)
	}
	device.ReadSalt, device.WriteSalt = [4]byte{1}, [4]byte{2}
	device.DeviceID = [12]byte{0xe0, 0x0f, 0xce, 0x68}
	if gen == dtls.GenF {
		device.WriteCID = dtls.NewCID([]byte("12345678"))
	}
	cloud = device
	cloud.Server = true
	cloud.ReadKey, cloud.WriteKey = device.WriteKey, device.ReadKey
	cloud.ReadSalt, cloud.WriteSalt = device.WriteSalt, device.ReadSalt
	cloud.ReadCID, cloud.WriteCID = device.WriteCID, dtls.CID{}
	return device, cloud
}

// A pairTest tells the story of two Links that are joined by hand.
type pairTest struct {
	t             *testing.T
	device, cloud *Link
	now           clock.Instant
	out           Out
}

func newPair(t *testing.T, gen dtls.Generation) *pairTest {
	device, cloud := states(gen)
	return &pairTest{
		t: t, device: newLink(device, &coap.DeviceUDP, 0), cloud: newLink(cloud, &coap.CloudUDP, 0x2000),
	}
}

// take returns what l has sent, and forgets all events.
func (p *pairTest) take() [][]byte {
	var packets [][]byte
	for _, packet := range p.out.Packets {
		packets = append(packets, bytes.Clone(packet))
	}
	p.out.Reset()
	return packets
}

// receive gives datagrams to l, checks the kinds of events, and returns what l
// sends.
func (p *pairTest) receive(l *Link, datagrams [][]byte, want ...any) [][]byte {
	p.t.Helper()
	var got []any
	var packets [][]byte
	for _, d := range datagrams {
		p.out.Reset()
		l.Receive(p.now, bytes.Clone(d), &p.out)
		for _, e := range p.out.Events {
			switch e.Kind {
			case Exchange:
				got = append(got, e.CoAP.Kind)
			case Dropped:
				got = append(got, e.Reason)
			default:
				got = append(got, e.Kind)
			}
		}
		packets = append(packets, p.take()...)
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("got events %v, want %v", got, want)
	}
	return packets
}

var publish = coap.Message{Code: coap.POST, Options: coap.Options{coap.Text(coap.URIPath, "E"), coap.Text(coap.URIPath, "x")}}

func (p *pairTest) publish() [][]byte {
	p.device.Send(p.now, publish, 9, &p.out)
	return p.take()
}

// ack is the cloud's answer to the last message of the device.
func (p *pairTest) ack(id uint16) [][]byte {
	p.cloud.Reply(p.now, coap.Message{ID: id}, coap.Message{}, &p.out)
	return p.take()
}

// A publish, its ACK, a ping of each side.
func TestConversation(t *testing.T) {
	for _, gen := range []dtls.Generation{dtls.GenA, dtls.GenD, dtls.GenE, dtls.GenF} {
		p := newPair(t, gen)
		p.receive(p.cloud, p.publish(), coap.Received)
		p.receive(p.device, p.ack(1), coap.Acknowledged)
		p.device.Ping(p.now, 0, &p.out)
		p.receive(p.device, p.receive(p.cloud, p.take(), coap.Ping), coap.Acknowledged)
		p.cloud.Ping(p.now, 0, &p.out)
		p.receive(p.cloud, p.receive(p.device, p.take(), coap.Ping), coap.Acknowledged)
		if p.device.LastID() != 2 || p.cloud.LastID() != 0x2001 || p.device.Waiting()+p.cloud.Waiting() > 0 {
			t.Errorf("generation %v: got IDs %#x and %#x", gen, p.device.LastID(), p.cloud.LastID())
		}
	}
}

// A retransmission is the same message in a new record, and a board gives up
// after the fourth.
func TestRetransmissionInNewRecord(t *testing.T) {
	p := newPair(t, dtls.GenF)
	first := p.publish()
	p.now = p.device.Deadline()
	p.device.Advance(p.now, &p.out)
	second := p.take()
	if len(second) != 1 || bytes.Equal(first[0], second[0]) {
		t.Fatalf("got %x after %x, want another record", second, first)
	}
	p.receive(p.cloud, second, coap.Received)
	answer := p.ack(1)
	p.receive(p.device, p.receive(p.cloud, first, coap.Duplicate), coap.Acknowledged)
	p.receive(p.device, answer, coap.Unmatched)

	p.publish()
	var kinds []coap.EventKind
	for p.device.Deadline() != clock.Never {
		p.now = p.device.Deadline()
		p.device.Advance(p.now, &p.out)
		for _, e := range p.out.Events {
			kinds = append(kinds, e.CoAP.Kind)
		}
		p.out.Reset()
	}
	if !slices.Equal(kinds, []coap.EventKind{coap.TimedOut}) || p.device.Over() {
		t.Errorf("got %v, over %v", kinds, p.device.Over())
	}
}

// A replayed record, a forged one and noise are dropped with their reasons; the
// session goes on.
func TestBadDatagrams(t *testing.T) {
	p := newPair(t, dtls.GenF)
	datagram := p.publish()
	p.receive(p.cloud, datagram, coap.Received)
	p.receive(p.cloud, datagram, dtls.DropReplay)
	next := p.publish()
	forged := [][]byte{bytes.Clone(next[0])}
	forged[0][len(forged[0])-1] ^= 1
	p.receive(p.cloud, forged, dtls.DropTag)
	p.receive(p.cloud, [][]byte{{}, {0}, []byte("GET / HTTP/1.1\r\n\r\n")}, dtls.DropShort, dtls.DropShort, dtls.DropTruncated)
	p.receive(p.cloud, next, coap.Received)
}

// Several records in one datagram are opened in order, and each is answered;
// the Arrival tells new datagrams from late ones.
func TestSeveralRecords(t *testing.T) {
	p := newPair(t, dtls.GenF)
	late := p.publish()
	var both []byte
	for range 2 {
		p.device.Ping(p.now, 0, &p.out)
		both = append(both, p.take()[0]...)
	}
	p.out.Reset()
	arrival := p.cloud.Receive(p.now, bytes.Clone(both), &p.out)
	if len(p.out.Events) != 2 || len(p.out.Packets) != 2 || arrival != (dtls.Arrival{Authentic: true, Newest: true}) {
		t.Errorf("got %d events, %d packets, %+v", len(p.out.Events), len(p.out.Packets), arrival)
	}
	p.out.Reset()
	if got := p.cloud.Receive(p.now, bytes.Clone(late[0]), &p.out); got != (dtls.Arrival{Authentic: true}) {
		t.Errorf("late: got %+v, want authentic and not newest", got)
	}
	p.out.Reset()
	if got := p.cloud.Receive(p.now, []byte{1, 2, 3}, &p.out); got != (dtls.Arrival{}) {
		t.Errorf("noise: got %+v", got)
	}
}

// Device OS: an early board answers a record of an unknown type with an alert,
// which the Link sends; not when no sequence is reserved for it.
func TestAlertOfEarlyBoard(t *testing.T) {
	unknown := [][]byte{{99, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0}}
	p := newPair(t, dtls.GenA)
	if packets := p.receive(p.device, unknown, dtls.DropType); len(packets) != 1 || packets[0][0] != byte(dtls.TypeAlert) {
		t.Errorf("got %x, want an alert", packets)
	}
	p.device.DTLS().ReserveUntil(1)
	if packets := p.receive(p.device, unknown, dtls.DropType); len(packets) > 0 {
		t.Errorf("got %x without a sequence", packets)
	}
}

// A restored device marks what it sends until the cloud has answered.
func TestMovedSession(t *testing.T) {
	for gen, mark := range map[dtls.Generation]byte{dtls.GenE: 254, dtls.GenF: 253} {
		p := newPair(t, gen)
		p.device.DTLS().Move()
		moved := p.publish()
		if moved[0][0] != mark {
			t.Errorf("generation %v: got type %d, want %d", gen, moved[0][0], mark)
		}
		p.receive(p.cloud, moved, coap.Received)
		p.receive(p.device, p.ack(1), coap.Acknowledged)
		if after := p.publish(); after[0][0] >= 253 {
			t.Errorf("generation %v: got type %d after the answer", gen, after[0][0])
		}
	}
}

// close_notify ends the peer's Link; both then ignore everything.
func TestClose(t *testing.T) {
	p := newPair(t, dtls.GenF)
	datagram := p.publish()
	p.cloud.Close(&p.out)
	closed := p.take()
	p.out.Reset()
	p.device.Receive(p.now, closed[0], &p.out)
	var alert *dtls.AlertError
	if len(p.out.Events) != 1 || p.out.Events[0].Kind != Closed || !errors.As(p.out.Events[0].Err, &alert) || alert.Local {
		t.Errorf("got %+v", p.out.Events)
	}
	p.receive(p.cloud, datagram)
	if packets := p.publish(); len(packets) > 0 || p.device.Deadline() != clock.Never || !p.device.Over() || !p.cloud.Over() {
		t.Error("a Link that is over has sent something or waits")
	}
	p.cloud.Close(&p.out)
	if packets := p.take(); len(packets) > 0 {
		t.Errorf("closing twice sent %x", packets)
	}
}

// Device OS: a RST ends the session, whatever it is about, and what follows in
// the datagram is not looked at.
func TestReset(t *testing.T) {
	p := newPair(t, dtls.GenF)
	p.publish()
	p.cloud.SendRaw([]byte{0x70, 0, 0x77, 0x77}, &p.out)
	p.cloud.Ping(p.now, 0, &p.out)
	p.receive(p.device, [][]byte{bytes.Join(p.take(), nil)}, coap.WasReset, Closed)
	if !p.device.Over() || p.device.Deadline() != clock.Never {
		t.Error("the device goes on after a RST")
	}

	// The cloud reports it and goes on.
	p = newPair(t, dtls.GenF)
	p.device.SendRaw([]byte{0x70, 0, 0x77, 0x77}, &p.out)
	p.receive(p.cloud, p.take(), coap.WasReset)
	if p.cloud.Over() {
		t.Error("a RST has ended the cloud's Link")
	}
}

// A message that has no sequence waits for one, in order, and is not lost.
func TestReservation(t *testing.T) {
	p := newPair(t, dtls.GenF)
	p.cloud.DTLS().ReserveUntil(1)
	p.device.Ping(p.now, 0, &p.out)
	pings := p.take()
	p.receive(p.cloud, pings, coap.Ping) // sequence 0
	p.receive(p.cloud, p.publish(), coap.Received)

	p.cloud.Reply(p.now, coap.Message{ID: 2}, coap.Message{}, &p.out)
	if len(p.out.Packets) > 0 || len(p.out.Events) != 1 || p.out.Events[0].Kind != NeedReservation {
		t.Fatalf("got %d packets, %+v", len(p.out.Packets), p.out.Events)
	}
	p.out.Reset()
	p.cloud.Ping(p.now, 0, &p.out) // behind it, without another event
	if len(p.out.Packets)+len(p.out.Events) > 0 {
		t.Fatalf("got %d packets, %+v", len(p.out.Packets), p.out.Events)
	}

	p.cloud.Reserve(2, &p.out)
	if len(p.out.Packets) != 1 || len(p.out.Events) != 1 || p.out.Events[0].Kind != NeedReservation {
		t.Fatalf("after a reservation of one: got %d packets, %+v", len(p.out.Packets), p.out.Events)
	}
	p.receive(p.device, p.take(), coap.Acknowledged)
	p.cloud.Reserve(100, &p.out)
	p.receive(p.device, p.take(), coap.Ping)

	// What waits is bounded.
	p.cloud.DTLS().ReserveUntil(0)
	for range 1000 {
		p.cloud.SendRaw([]byte{0x40, 0, 0, 1}, &p.out)
	}
	if len(p.cloud.held) != heldMax {
		t.Errorf("got %d messages that wait, want %d", len(p.cloud.held), heldMax)
	}
}

// A session whose sequence is used up is over: no sequence is used twice.
func TestSequenceExhausted(t *testing.T) {
	_, cloud := states(dtls.GenF)
	cloud.SendNext = 1<<48 - 1
	l := newLink(cloud, &coap.CloudUDP, 0)
	var out Out
	l.Ping(0, 0, &out)
	l.Ping(0, 0, &out)
	if len(out.Packets) != 1 || len(out.Events) != 1 || !errors.Is(out.Events[0].Err, dtls.ErrSequence) || !l.Over() {
		t.Errorf("got %d packets, %+v", len(out.Packets), out.Events)
	}
}

func TestForgetAndClear(t *testing.T) {
	p := newPair(t, dtls.GenF)
	p.receive(p.cloud, p.publish(), coap.Received)
	p.cloud.Forget(coap.Message{ID: 1})
	p.now = p.device.Deadline()
	p.device.Advance(p.now, &p.out)
	p.receive(p.cloud, p.take(), coap.Received)
	p.device.Clear()
	if p.device.Deadline() != clock.Never {
		t.Error("a cleared Link waits")
	}
}

// streams returns the two sides of a connection over TCP.
func streams() (device, cloud *Link) {
	var c lightssl.Credentials
	for i := range c {
		c[i] = byte(i)
	}
	d := OverLightSSL(lightssl.NewDeviceSession(&c, 0), coap.NewExchange(&coap.DeviceTCP, c.FirstID()-1, nil, nil))
	l := OverLightSSL(lightssl.NewCloudSession(&c), coap.NewExchange(&coap.CloudTCP, 0x2000, nil, nil))
	return &d, &l
}

// Over TCP a frame may come in any pieces, and nothing is retransmitted.
func TestStream(t *testing.T) {
	device, cloud := streams()
	var out Out
	device.Send(0, publish, 0, &out)
	device.Ping(0, 0, &out)
	stream := bytes.Join(out.Packets, nil)
	if len(out.Packets) != 2 || device.Deadline() != clock.Never {
		t.Fatalf("got %d frames, deadline %v", len(out.Packets), device.Deadline())
	}
	out.Reset()
	for i := range stream {
		cloud.Receive(0, stream[i:i+1], &out)
	}
	if len(out.Events) != 2 || out.Events[0].CoAP.Kind != coap.Received || out.Events[0].CoAP.Message.Path() != "E/x" ||
		out.Events[1].CoAP.Kind != coap.Ping || len(out.Packets) != 1 {
		t.Errorf("got %+v", out.Events)
	}
	if cloud.DTLS() != nil {
		t.Error("got a DTLS session over TCP")
	}
	cloud.Close(&out)
	if len(out.Packets) != 1 || !cloud.Over() {
		t.Error("closing over TCP sent something, or nothing is over")
	}
}

// What ends a connection over TCP, and what does not.
func TestStreamViolations(t *testing.T) {
	for _, tt := range []struct {
		name          string
		message       []byte // sealed by the peer
		raw           []byte // or on the wire as it is
		device, cloud bool   // is over
	}{
		{name: "keep-alive byte", message: []byte{0}},
		{name: "no message", message: []byte{}},
		{name: "version 0", message: []byte{0, 2, 0, 1}, cloud: true},
		{name: "unknown code class", message: []byte{0x40, 0x20, 0, 1}, cloud: true},
		{name: "length 0", raw: []byte{0, 0}, device: true, cloud: true},
		{name: "length 17", raw: []byte{0, 17}, cloud: true},
		{name: "length 65535", raw: []byte{255, 255}, device: true, cloud: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			device, cloud := streams()
			for l, peer := range map[*Link]*Link{device: cloud, cloud: device} {
				var out Out
				wire := tt.raw
				if wire == nil {
					wire = peer.tcp.Seal(nil, tt.message)
				}
				want := l == device && tt.device || l == cloud && tt.cloud
				l.Receive(0, wire, &out)
				closed := len(out.Events) > 0 && out.Events[len(out.Events)-1].Kind == Closed
				if l.Over() != want || closed != want {
					t.Errorf("device %v: got over %v, event %v, want %v", l == device, l.Over(), closed, want)
				}
			}
		})
	}
}

// Messages behind the one that ends a connection are not looked at.
func TestStreamEndsInTheMiddle(t *testing.T) {
	device, cloud := streams()
	var out Out
	wire := cloud.tcp.Seal(nil, []byte{0x70, 0, 0, 1})
	wire = cloud.tcp.Seal(wire, []byte{0x40, 0, 0, 2})
	device.Receive(0, wire, &out)
	if len(out.Events) != 2 || !errors.Is(out.Events[1].Err, ErrReset) || len(out.Packets) > 0 {
		t.Errorf("got %+v", out.Events)
	}
}

// A frame whose rest does not come ends the connection.
func TestStreamStall(t *testing.T) {
	_, cloud := streams()
	var out Out
	cloud.Receive(0, []byte{0, 32, 1, 2, 3}, &out)
	due := cloud.Deadline()
	if due == clock.Never {
		t.Fatal("nothing is due")
	}
	cloud.Advance(due-1, &out)
	if cloud.Over() {
		t.Error("over before its time")
	}
	cloud.Advance(due, &out)
	if !cloud.Over() || len(out.Events) != 1 || !errors.Is(out.Events[0].Err, lightssl.ErrStall) || cloud.Deadline() != clock.Never {
		t.Errorf("got %+v", out.Events)
	}
}

func TestEventKindsNamed(t *testing.T) {
	for k := Exchange; k < numEventKinds; k++ {
		if eventNames[k] == "" {
			t.Errorf("event kind %d has no name", k)
		}
	}
}

func TestLinkSize(t *testing.T) {
	if n := unsafe.Sizeof(Link{}); n > 450 {
		t.Errorf("a Link takes %d bytes, want at most 450", n)
	}
	t.Logf("a Link takes %d bytes", unsafe.Sizeof(Link{}))
}

// Anything that comes over UDP: no panic, and the session goes on.
func FuzzDatagram(f *testing.F) {
	p := &pairTest{}
	device, cloud := states(dtls.GenF)
	p.device = newLink(device, &coap.DeviceUDP, 0)
	f.Add(p.publish()[0])
	f.Add([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		l := newLink(cloud, &coap.CloudUDP, 0)
		var out Out
		l.Receive(0, bytes.Clone(datagram), &out)
		if l.Over() || len(out.Packets) > 1 || len(out.Events) > len(datagram)+1 {
			t.Fatalf("over %v, %d packets, %d events", l.Over(), len(out.Packets), len(out.Events))
		}
	})
}

// One publish and its ACK, both sides, records included.
func BenchmarkPublishAndAck(b *testing.B) {
	device, cloud := states(dtls.GenF)
	d, c := newLink(device, &coap.DeviceUDP, 0), newLink(cloud, &coap.CloudUDP, 0)
	d.exchange = coap.NewExchange(&coap.DeviceUDP, 0, rand.New(rand.NewPCG(1, 2)), nil)
	out := Out{Ciphers: dtls.NewCiphers(4)}
	back := Out{Ciphers: out.Ciphers}
	var now clock.Instant
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		out.Reset()
		back.Reset()
		d.Send(now, publish, 0, &out)
		c.Receive(now, out.Packets[0], &back)
		c.Reply(now, back.Events[0].CoAP.Message, coap.Message{}, &back)
		d.Receive(now, back.Packets[0], &out)
	}
}

// Who watches sees each message in the clear, with the packet that carries it.
func TestWatch(t *testing.T) {
	p := newPair(t, dtls.GenF)
	p.publish()
	if len(p.out.Clear) > 0 {
		t.Fatal("a message is noted though nobody watches")
	}
	p.out.Watch = true
	p.device.Send(p.now, publish, 9, &p.out)
	sent := slices.Clone(p.out.Clear)
	wire := p.take()
	p.cloud.Receive(p.now, wire[0], &p.out)
	p.cloud.Ping(p.now, 0, &p.out)
	seen := slices.Clone(p.out.Clear)
	clear(wire[0])
	p.out.Reset()
	if len(sent) != 1 || sent[0].Packet != 0 || len(seen) != 2 || seen[0].Packet != -1 || seen[1].Packet != 0 {
		t.Fatalf("sent %v, seen %v", sent, seen)
	}
	if m, err := coap.Parse(sent[0].Message); err != nil || m.Path() != "E/x" || !bytes.Equal(sent[0].Message, seen[0].Message) {
		t.Errorf("sent %x (%v), received %x", sent[0].Message, err, seen[0].Message)
	}
	if len(p.out.Clear) > 0 {
		t.Error("Reset leaves messages")
	}
}
