package coap

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
)

func TestIDs(t *testing.T) {
	var out Out
	x := NewExchange(&DeviceTCP, 0xfffe, nil, nil)
	for _, want := range []uint16{0xffff, 0, 1} {
		if got := x.Send(0, publish, 0, &out); got != want {
			t.Errorf("got ID %#x, want %#x", got, want)
		}
	}

	x = NewExchange(&CloudUDP, 0x7fff, fixed(0), nil)
	chunk := Message{Type: NonConfirmable, Code: POST}
	if got := x.Send(0, publish, 0, &out); got != 0x8000 {
		t.Errorf("got ID %#x, want 0x8000", got)
	}
	for id := uint16(0x8001); id != 0x8000; id++ {
		out.Reset()
		if got := x.Send(clock.Instant(time.Second), chunk, 0, &out); got != id {
			t.Fatalf("got ID %#x, want %#x", got, id)
		}
	}
	if got := x.Send(clock.Instant(time.Second), publish, 0, &out); got != 0xc000 {
		t.Errorf("after a round within 45 s: got ID %#x, want 0xc000", got)
	}
}

func TestIDsNotReused(t *testing.T) {
	x := NewExchange(&CloudUDP, 12345, rand.New(rand.NewPCG(1, 1)), nil)
	used := map[uint16]clock.Instant{}
	var out Out
	for i := range 200_000 {
		now := clock.Instant(i) * clock.Instant(time.Millisecond)
		m := Message{Type: Confirmable, Code: POST}
		if i%3 > 0 {
			m.Type = NonConfirmable
		}
		id := x.Send(now, m, 0, &out)
		x.Clear()
		out.Reset()
		if m.Type != Confirmable {
			continue
		}
		if last, ok := used[id]; ok && now.Sub(last) < 45*time.Second {
			t.Fatalf("ID %#x used at %v and %v", id, last, now)
		}
		used[id] = now
	}
}
