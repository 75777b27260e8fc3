package coap

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
)

func TestDeterminism(t *testing.T) {
	trace := func(seed uint64) string {
		x := NewExchange(&DeviceUDP, 0, rand.New(rand.NewPCG(seed, 0)), nil)
		var out Out
		s := ""
		for range 3 {
			x.Send(0, publish, 0, &out)
		}
		for x.Deadline() != clock.Never {
			now := x.Deadline()
			out.Reset()
			x.Advance(now, &out)
			s += fmt.Sprintf("%v %x %d\n", now, out.Messages, len(out.Events))
		}
		return s
	}
	if first, again := trace(1), trace(1); first != again {
		t.Error("one seed gave two traces")
	}
	if trace(1) == trace(2) {
		t.Error("two seeds gave one trace")
	}
}

func FuzzExchange(f *testing.F) {
	for _, tt := range wellFormed {
		f.Add([]byte{0}, gen.Hex(tt.wire))
		f.Add([]byte{3, 1, 2, 0, 9}, gen.Hex(tt.wire))
	}
	params := []*Params{&CloudUDP, &DeviceUDP, &CloudTCP, &DeviceTCP}
	f.Fuzz(func(t *testing.T, script, wire []byte) {
		if len(script) == 0 || len(script) > 200 {
			return
		}
		x := NewExchange(params[script[0]%4], 0xfffe, rand.New(rand.NewPCG(1, 1)), nil)
		var out Out
		var now clock.Instant
		for _, step := range script[1:] {
			out.Reset()
			switch step % 6 {
			case 0:
				x.Receive(now, wire, &out)
			case 1:
				x.Send(now, publish, 1, &out)
			case 2:
				x.Receive(now, wire, &out)
				for _, e := range out.Events {
					if e.Kind == Received {
						x.Reply(now, e.Message, Message{Code: Content, Token: e.Message.Token}, &out)
					}
				}
			case 3:
				now = now.Add(time.Duration(step) * time.Second)
				x.Advance(now, &out)
			case 4:
				if due := x.Deadline(); due != clock.Never {
					now = max(now, due)
					x.Advance(now, &out)
					if x.Deadline() <= now {
						t.Fatalf("the deadline %v has not moved on", due)
					}
				}
			default:
				if len(wire) > 3 {
					wire[3] ^= step
				}
			}
			if len(out.Messages) > 200 || len(out.Events) > 200 {
				t.Fatalf("%d messages and %d events of one step", len(out.Messages), len(out.Events))
			}
		}
	})
}
