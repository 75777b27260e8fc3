package conformance

import (
	"testing"

	"github.com/muster/muster/protocol/trace"
)

func TestSentAgain(t *testing.T) {
	hello := func(seq uint16, d trace.Direction) *trace.Packet {
		return &trace.Packet{Association: 1, Direction: d, Records: []trace.Record{{Handshake: []trace.Handshake{{Type: trace.ClientHello, Seq: seq}}}}}
	}
	message := func(repeat int) *trace.Packet {
		return &trace.Packet{Association: 1, Records: []trace.Record{{Message: &trace.Message{Repeat: repeat}}}}
	}
	for name, c := range map[string]struct {
		packets []*trace.Packet
		want    bool
	}{
		"two hellos, the second with a cookie": {[]*trace.Packet{hello(0, trace.Up), hello(1, trace.Up), message(0), message(0)}, false},
		"the same in the other direction":      {[]*trace.Packet{hello(0, trace.Up), hello(0, trace.Down)}, false},
		"a flight again":                       {[]*trace.Packet{hello(1, trace.Up), hello(1, trace.Up)}, true},
		"a message again":                      {[]*trace.Packet{hello(1, trace.Up), message(1)}, true},
	} {
		if got := sentAgain(c.packets); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
