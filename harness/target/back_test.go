package target

import (
	"testing"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/trace"
)

// A board that has begun to talk was back before its bus showed it.
func TestBackBeforeItIsNoticed(t *testing.T) {
	said := func(at clock.Instant, d trace.Direction) *trace.Packet { return &trace.Packet{At: at, Direction: d} }
	resumes, hello, answer := said(30, trace.Up), said(30, trace.Up), said(30, trace.Down)
	resumes.Resume, answer.Resume = true, true
	hello.Records = []trace.Record{{Handshake: []trace.Handshake{{Type: trace.ClientHello}}}}
	const reset, noticed = 10, 40
	for name, test := range map[string]struct {
		packets []*trace.Packet
		want    clock.Instant
	}{
		"silence":                 {nil, noticed},
		"last words":              {[]*trace.Packet{said(12, trace.Up)}, noticed},
		"goes on with a session":  {[]*trace.Packet{said(12, trace.Up), resumes, said(35, trace.Up)}, 29},
		"shakes hands":            {[]*trace.Packet{said(12, trace.Up), hello}, 29},
		"the cloud says anything": {[]*trace.Packet{answer}, noticed},
		"before the reset":        {[]*trace.Packet{{At: 9, Direction: trace.Up, Resume: true}}, noticed},
		"later":                   {[]*trace.Packet{{At: 41, Direction: trace.Up, Resume: true}}, noticed},
	} {
		if got := backSince(test.packets, reset, noticed); got != test.want {
			t.Errorf("%s: back since %d, want %d", name, got, test.want)
		}
	}
}
