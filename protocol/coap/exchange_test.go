package coap

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
)

// factors is a source whose draws of IntN(256) are the given numbers, again and
// again.
type factors []uint64

func (f *factors) Uint64() uint64 {
	v := (*f)[0]
	*f = append((*f)[1:], v)
	return v
}

// fixed returns a generator for which IntN(256) yields r in turn.
func fixed(r ...uint64) *rand.Rand {
	f := factors(r)
	return rand.New(&f)
}

// An exchangeTest tells the story of one Exchange in virtual time. What it
// sends and reports must be consumed by want verbs before time goes on.
type exchangeTest struct {
	t   *testing.T
	x   Exchange
	now clock.Instant
	out Out
}

func newExchangeTest(t *testing.T, p Params, f Faults) *exchangeTest {
	t.Helper()
	return &exchangeTest{t: t, x: NewExchange(&p, 0x0fff, fixed(0), &f)}
}

// settle fails on anything that was not wanted and empties out.
func (e *exchangeTest) settle() {
	e.t.Helper()
	if len(e.out.Messages) > 0 {
		e.t.Errorf("at %v: unwanted message %x", e.now, e.out.Messages[0])
	}
	if len(e.out.Events) > 0 {
		e.t.Errorf("at %v: unwanted event %v of %v", e.now, e.out.Events[0].Kind, e.out.Events[0].Message)
	}
	e.out.Reset()
}

func (e *exchangeTest) send(m Message) uint16 {
	e.t.Helper()
	e.settle()
	return e.x.Send(e.now, m, 7, &e.out)
}

func (e *exchangeTest) receive(wire string) {
	e.t.Helper()
	e.settle()
	e.x.Receive(e.now, gen.Hex(wire), &e.out)
}

func (e *exchangeTest) reply(to string, m Message) {
	e.t.Helper()
	e.settle()
	received, err := Parse(gen.Hex(to))
	if err != nil {
		e.t.Fatal(err)
	}
	e.x.Reply(e.now, received, m, &e.out)
}

// wait lets time pass and advances at every deadline on the way.
func (e *exchangeTest) wait(d time.Duration) {
	e.t.Helper()
	e.settle()
	until := e.now.Add(d)
	for due := e.x.Deadline(); due <= until; due = e.x.Deadline() {
		e.now = due
		e.x.Advance(e.now, &e.out)
	}
	e.now = until
}

func (e *exchangeTest) wantMessage(wire string) {
	e.t.Helper()
	if len(e.out.Messages) == 0 {
		e.t.Fatalf("at %v: no message, want %s", e.now, wire)
	}
	if got, want := hex.EncodeToString(e.out.Messages[0]), hex.EncodeToString(gen.Hex(wire)); got != want {
		e.t.Errorf("at %v: got message %s, want %s", e.now, got, want)
	}
	e.out.Messages = e.out.Messages[1:]
}

func (e *exchangeTest) wantEvent(kind EventKind) Event {
	e.t.Helper()
	if len(e.out.Events) == 0 {
		e.t.Fatalf("at %v: no event, want %v", e.now, kind)
	}
	got := e.out.Events[0]
	if got.Kind != kind {
		e.t.Errorf("at %v: got event %v, want %v", e.now, got.Kind, kind)
	}
	e.out.Events = slices.Clone(e.out.Events[1:])
	return got
}

func (e *exchangeTest) wantMessageAfter(d time.Duration, wire string) {
	e.t.Helper()
	e.wait(d - 1)
	e.settle()
	e.wait(1)
	e.wantMessage(wire)
}

var publish = Message{Type: Confirmable, Code: POST, Options: Options{Text(URIPath, "E"), Text(URIPath, "x")}}

const (
	publishWire = "40 02 10 00 b1 45 01 78"
	publishAck  = "60 00 10 00"
)

// RFC 7252 Section 4.2 with the numbers of Device OS: four transmissions, the
// wait doubled after each, and failure after the fourth wait.
func TestRetransmission(t *testing.T) {
	e := newExchangeTest(t, DeviceUDP, Faults{})
	e.send(publish)
	e.wantMessage(publishWire)
	e.wantMessageAfter(4*time.Second, publishWire)
	e.wantMessageAfter(8*time.Second, publishWire)
	e.wantMessageAfter(16*time.Second, publishWire)
	e.wait(32*time.Second - 1)
	e.wait(1)
	if got := e.wantEvent(TimedOut); got.ID != 0x1000 || got.Tag != 7 {
		t.Errorf("got ID %#x, tag %d, want 0x1000, 7", got.ID, got.Tag)
	}
	e.wait(time.Hour)
	e.settle()
}

// The factor is 1 + r/512, drawn anew for each transmission.
func TestRetransmissionFactors(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    []uint64
		want []time.Duration // of each wait
	}{
		{"least", []uint64{0}, []time.Duration{4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second}},
		{"most", []uint64{255}, []time.Duration{5992187500, 11984375000, 23968750000, 47937500000}},
		{"anew each time", []uint64{0, 255, 128, 1}, []time.Duration{4 * time.Second, 11984375000, 20 * time.Second, 32062500000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := NewExchange(&DeviceUDP, 0, fixed(tt.r...), nil)
			var out Out
			x.Send(0, publish, 0, &out)
			var at clock.Instant
			for i, want := range tt.want {
				if got := x.Deadline().Sub(at); got != want {
					t.Errorf("wait %d: got %v, want %v", i, got, want)
				}
				at = x.Deadline()
				x.Advance(at, &out)
			}
			if len(out.Messages) != 4 || len(out.Events) != 1 || out.Events[0].Kind != TimedOut {
				t.Errorf("got %d messages, %d events, want 4, 1", len(out.Messages), len(out.Events))
			}
		})
	}
}

// Every schedule lies in the ranges of Device OS: 4-6, 12-18, 28-42, 60-90 s.
func TestRetransmissionRanges(t *testing.T) {
	for seed := range uint64(200) {
		x := NewExchange(&DeviceUDP, 0, rand.New(rand.NewPCG(seed, 1)), nil)
		var out Out
		x.Send(0, publish, 0, &out)
		for i := range 4 {
			at := x.Deadline()
			low := clock.Instant(0).Add(4 * time.Second * (2<<i - 1))
			if at < low || at > low+low/2 {
				t.Errorf("seed %d: deadline %d at %v, want %v to %v", seed, i, at, low, low+low/2)
			}
			x.Advance(at, &out)
		}
	}
}

// What waits does not live in the driver's buffers.
func TestRetransmissionRetains(t *testing.T) {
	e := newExchangeTest(t, DeviceUDP, Faults{})
	e.send(publish)
	e.wantMessage(publishWire)
	for range 3 {
		e.receive("40 00 77 77")
		e.wantEvent(Ping)
		e.wantMessage("60 00 77 77")
	}
	e.wantMessageAfter(4*time.Second, publishWire)
}

func TestAcknowledged(t *testing.T) {
	e := newExchangeTest(t, DeviceUDP, Faults{})
	e.send(publish)
	e.wantMessage(publishWire)
	e.receive("60 00 0f ff") // of something else
	e.wantEvent(Unmatched)
	e.wantMessageAfter(4*time.Second, publishWire)
	e.receive(publishAck)
	if got := e.wantEvent(Acknowledged); got.ID != 0x1000 || got.Tag != 7 || got.Message.Code != Empty {
		t.Errorf("got %+v", got)
	}
	e.receive(publishAck) // of the retransmission
	e.wantEvent(Unmatched)
	e.wait(time.Hour)
	e.settle()
}

// A response in the ACK, and one that comes separately, before the ACK.
func TestResponses(t *testing.T) {
	e := newExchangeTest(t, CloudUDP, Faults{})
	call := Message{Code: POST, Token: []byte{0x61}, Options: Options{Text(URIPath, "f"), Text(URIPath, "len")}}
	e.send(call)
	e.wantMessage("41 02 10 00 61 b1 66 03 6c 65 6e")
	e.receive("61 45 10 00 61 ff 00 00 00 03")
	if got := e.wantEvent(Acknowledged); got.Message.Code != Content || string(got.Message.Payload) != "\x00\x00\x00\x03" {
		t.Errorf("got %v", got.Message)
	}

	e.send(call)
	e.wantMessage("41 02 10 01 61 b1 66 03 6c 65 6e")
	const result = "41 44 00 30 61 ff 00 00 00 03"
	e.receive(result)
	if got := e.wantEvent(Received); got.Message.Code != Changed || string(got.Message.Token) != "\x61" {
		t.Errorf("got %v", got.Message)
	}
	e.reply(result, Message{})
	e.wantMessage("60 00 00 30")
	e.receive("60 00 10 01")
	e.wantEvent(Acknowledged)
	e.receive(result) // our ACK was lost
	e.wantEvent(Duplicate)
	e.wantMessage("60 00 00 30")
	e.settle()
}

func TestPing(t *testing.T) {
	for name, tt := range map[string]struct {
		params Params
		want   string
	}{
		"cloud/udp":  {CloudUDP, "60 00 10 50"},
		"cloud/tcp":  {CloudTCP, "60 00 10 50"},
		"device/udp": {DeviceUDP, "60 00 10 50"},
		// Device OS: its own next ID.
		"device/tcp": {DeviceTCP, "60 00 10 00"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExchangeTest(t, tt.params, Faults{})
			e.receive("40 00 10 50")
			e.wantEvent(Ping)
			e.wantMessage(tt.want)
			e.settle()
		})
	}
}

// Device OS answers a ping over TCP with an ID of its own.
func TestPingAnsweredWithAnotherID(t *testing.T) {
	e := newExchangeTest(t, CloudTCP, Faults{})
	e.send(publish)
	e.wantMessage(publishWire)
	e.receive("60 00 99 99") // before there is a ping: nothing
	e.wantEvent(Unmatched)
	e.x.SendPing(e.now, 9, &e.out)
	e.out.Reset()
	e.receive("60 00 99 98")
	if got := e.wantEvent(Acknowledged); got.Tag != 9 {
		t.Errorf("got %+v, want the ping acknowledged", got)
	}
	e.receive("60 00 99 97")
	e.wantEvent(Unmatched)
	e.receive(publishAck)
	if got := e.wantEvent(Acknowledged); got.Tag != 7 {
		t.Errorf("got %+v, want the event acknowledged", got)
	}

	e = newExchangeTest(t, CloudUDP, Faults{})
	e.x.SendPing(e.now, 9, &e.out)
	e.out.Reset()
	e.receive("60 00 99 98")
	e.wantEvent(Unmatched)
}

// On a device a RST ends everything, whatever it is about; the cloud reports it.
func TestReset(t *testing.T) {
	e := newExchangeTest(t, DeviceUDP, Faults{})
	e.send(publish)
	e.wantMessage(publishWire)
	e.receive("70 00 99 99")
	if got := e.wantEvent(WasReset); !got.Ends || got.Matched {
		t.Errorf("device: got ends %v, matched %v, want true, false", got.Ends, got.Matched)
	}
	e.wait(time.Hour)
	e.settle()

	e = newExchangeTest(t, CloudUDP, Faults{})
	e.send(publish)
	e.wantMessage(publishWire)
	e.receive("70 00 99 99")
	if got := e.wantEvent(WasReset); got.Ends || got.Matched || got.ID != 0x9999 {
		t.Errorf("cloud: got %+v", got)
	}
	e.receive("70 00 10 00")
	if got := e.wantEvent(WasReset); got.Ends || !got.Matched || got.Tag != 7 {
		t.Errorf("cloud: got %+v", got)
	}
	e.wait(time.Hour)
	e.settle()
}

// TCP: an ACK is matched when it comes and nobody waits for one.
func TestReliable(t *testing.T) {
	e := newExchangeTest(t, CloudTCP, Faults{})
	e.send(publish)
	e.wantMessage(publishWire)
	e.wait(time.Hour)
	e.receive(publishAck)
	e.wantEvent(Acknowledged)
	for range 1000 {
		e.send(publish)
		e.out.Reset()
	}
	if got := e.x.Waiting(); got != reliableWaitingMax {
		t.Errorf("got %d waiting, want %d", got, reliableWaitingMax)
	}
}

func TestMalformed(t *testing.T) {
	const badVersion = "81 02 97 b2 ef b1 66"
	e := newExchangeTest(t, CloudUDP, Faults{})
	e.receive(badVersion)
	if got := e.wantEvent(Malformed); got.Err.Reason != BadVersion || got.ID != 0x97b2 {
		t.Errorf("got %+v", got)
	}
	// The owner may answer, and the message is not taken for a duplicate later.
	e.out.Reset()
	e.x.Reply(e.now, Message{Type: Confirmable, ID: 0x97b2}, Message{Code: BadRequest}, &e.out)
	e.wantMessage("60 80 97 b2")
	e.receive("00")
	e.wantEvent(Malformed)
	e.settle()

	// Device OS: the header is enough for the dispatcher.
	e = newExchangeTest(t, DeviceUDP, Faults{})
	e.receive(badVersion)
	if got := e.wantEvent(Received); got.Err == nil || got.Message.Code != POST || len(got.Wire) != 7 {
		t.Errorf("got %+v", got)
	}
	e.receive(badVersion)
	e.wantEvent(Duplicate)
	e.receive("40 00 10")
	e.wantEvent(Malformed)
	e.settle()
}
