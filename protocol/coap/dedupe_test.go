package coap

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
)

func TestDuplicates(t *testing.T) {
	const request = "41 02 20 01 61 b1 66 03 6c 65 6e"
	for _, tt := range []struct {
		name     string
		params   Params
		reply    Message
		wire     string
		lifetime time.Duration
	}{
		{"device/empty", DeviceUDP, Message{}, "60 00 20 01", 45 * time.Second},
		{"device/response", DeviceUDP, Message{Code: BadRequest, Token: []byte{0x61}}, "61 80 20 01 61", 45 * time.Second},
		{"device/reset", DeviceUDP, Message{Type: Reset}, "70 00 20 01", 45 * time.Second},
		{"cloud/empty", CloudUDP, Message{}, "60 00 20 01", 93 * time.Second},
		{"cloud/response", CloudUDP, Message{Code: Content, Token: []byte{0x61}, Payload: []byte{1}}, "61 45 20 01 61 ff 01", 93 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newExchangeTest(t, tt.params, Faults{})
			e.receive(request)
			e.wantEvent(Received)
			e.receive(request) // in progress
			e.wantEvent(Duplicate)
			e.wait(time.Second)
			e.reply(request, tt.reply)
			e.wantMessage(tt.wire)
			for e.now < clock.Instant(tt.lifetime) {
				e.receive(request)
				e.wantEvent(Duplicate)
				e.wantMessage(tt.wire)
				e.wait(11 * time.Second)
			}
			e.wait(tt.lifetime + 200*time.Millisecond - time.Duration(e.now))
			e.receive(request)
			e.wantEvent(Received)
			e.settle()
		})
	}
}

func TestDedupeLifetime(t *testing.T) {
	wire := gen.Hex("40 02 00 01 b1 45")
	for ms := -300; ms < 300; ms += 7 {
		born := clock.Instant(time.Duration(ms) * time.Millisecond)
		for after, want := range map[time.Duration]EventKind{
			45 * time.Second:                      Duplicate,
			45*time.Second + 135*time.Millisecond: Received,
		} {
			x := NewExchange(&DeviceUDP, 0, nil, nil)
			var out Out
			x.Receive(born, wire, &out)
			out.Reset()
			x.Receive(born.Add(after), wire, &out)
			if got := out.Events[0].Kind; got != want {
				t.Errorf("born at %v, %v later: got %v, want %v", born, after, got, want)
			}
		}
	}
}

func TestNonConfirmable(t *testing.T) {
	e := newExchangeTest(t, CloudTCP, Faults{})
	const result = "51 44 15 71 61 ff 00 00 00 03"
	for range 2 {
		e.receive(result)
		e.wantEvent(Received)
		e.reply(result, Message{})
	}
	e.reply(result, Message{Code: BadRequest, Token: []byte{0x61}})
	e.wantMessage("51 80 10 00 61")
	e.reply(result, Message{Type: Reset})
	e.wantMessage("70 00 15 71")
	e.receive("50 00 15 72")
	e.wantEvent(Unmatched)
	e.settle()
}

func TestForget(t *testing.T) {
	const request = "41 01 20 02 5a b1 64 41 02"
	e := newExchangeTest(t, DeviceUDP, Faults{})
	e.receive(request)
	e.x.Forget(e.wantEvent(Received).Message)
	e.receive(request)
	e.wantEvent(Received)
	e.settle()
}

func TestClear(t *testing.T) {
	e := newExchangeTest(t, CloudUDP, Faults{})
	e.send(publish)
	e.wantMessage(publishWire)
	e.receive("40 02 00 01 b1 45")
	e.wantEvent(Received)
	e.x.Clear()
	e.receive("40 02 00 01 b1 45")
	e.wantEvent(Received)
	e.wait(time.Hour)
	e.send(publish)
	e.wantMessage("40 02 10 01 b1 45 01 78")
}

func TestDedupeBounds(t *testing.T) {
	p := CloudUDP
	p.ReplyBytesMax = 100
	x := NewExchange(&p, 0, fixed(0), nil)
	var out Out
	for id := range 10000 {
		out.Reset()
		x.Receive(0, gen.Hex(fmt.Sprintf("41 01 %04x 61 b1 74", id)), &out)
		x.Reply(0, out.Events[0].Message, Message{Code: Content, Payload: make([]byte, 20)}, &out)
	}
	if len(x.seen) != p.DedupeMax || cap(x.seen) > 2*p.DedupeMax {
		t.Errorf("got %d remembered, storage for %d, want %d", len(x.seen), cap(x.seen), p.DedupeMax)
	}
	if len(x.replies) != 4 {
		t.Errorf("got %d replies of 25 bytes, want 4", len(x.replies))
	}
	x.Advance(clock.Instant(time.Hour), &out)
	if x.seen != nil || x.replies != nil {
		t.Errorf("got %d IDs and %d replies after an hour, want none", len(x.seen), len(x.replies))
	}
}
