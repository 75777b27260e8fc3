package conformance

import (
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// What a busy machine does to devices that are right is no fault of theirs.

// marked is a message of a device after a resume, or of the cloud.
func marked(at time.Duration, d trace.Direction, t dtls.ContentType, exchange uint64, repeat int) *trace.Packet {
	m := &trace.Message{Exchange: exchange, Repeat: repeat, CoAP: coap.Message{Type: coap.Confirmable}}
	if d == trace.Down {
		m.CoAP.Type = coap.Acknowledgement
	}
	return &trace.Packet{At: clock.Instant(at), Direction: d, Association: 1, Connection: 2, Records: []trace.Record{{Type: t, Message: m}}}
}

func TestMarksWhileAnAnswerLiesUnread(t *testing.T) {
	const up, down, moved, plain = trace.Up, trace.Down, dtls.TypeMovedCID, dtls.TypeCID
	began := []*trace.Packet{marked(0, up, moved, 1, 0), marked(0, up, moved, 2, 0), marked(2*time.Second, down, plain, 1, 0)}
	for name, test := range map[string]struct {
		then  []*trace.Packet
		fails bool
	}{
		"the mark goes": {[]*trace.Packet{marked(3*time.Second, up, plain, 3, 0)}, false},
		// It repeats what is acknowledged already, so it has not read it; and with it
		// the other, and what it says besides.
		"not read yet": {[]*trace.Packet{
			marked(4*time.Second, up, moved, 3, 0), marked(5*time.Second, up, moved, 1, 1), marked(5*time.Second, up, moved, 2, 1),
			marked(6*time.Second, down, plain, 2, 0), marked(7*time.Second, up, plain, 4, 0),
		}, false},
		"kept behind that":                    {[]*trace.Packet{marked(5*time.Second, up, moved, 1, 1), marked(6*time.Second, up, moved, 4, 0)}, true},
		"kept":                                {[]*trace.Packet{marked(3*time.Second, up, moved, 3, 0)}, true},
		"repeated without being acknowledged": {[]*trace.Packet{marked(8*time.Second, up, moved, 2, 1)}, true},
		"repeated late":                       {[]*trace.Packet{marked(5*time.Second, up, moved, 2, 1)}, false},
		"kept for long":                       {[]*trace.Packet{marked(9*time.Second, up, moved, 1, 1)}, true},
	} {
		r := &Recorder{}
		c := &Conversation{Whole: true, Release: exactly(pdc.OS6_2)}
		judgeMarksOf(append(append([]*trace.Packet(nil), began...), test.then...), c, r)
		if r.failed() != test.fails {
			t.Errorf("%s: %+v", name, r.findings)
		}
	}
}

func TestRepetitions(t *testing.T) {
	flight := func(d trace.Direction, seq uint16, types ...trace.HandshakeType) *trace.Packet {
		p := &trace.Packet{Direction: d}
		for i, typ := range types {
			p.Records = append(p.Records, trace.Record{Handshake: []trace.Handshake{{Type: typ, Seq: seq + uint16(i)}}})
		}
		return p
	}
	hello := func(cookie []byte) *trace.Packet {
		p := flight(trace.Up, 0, trace.ClientHello)
		p.Records[0].Handshake[0].Hello = &trace.Hello{Cookie: cookie}
		return p
	}
	fragment := flight(trace.Up, 2, trace.Certificate)
	fragment.Records[0].Handshake[0].Offset = 80
	said := repetitions{}
	for i, test := range []struct {
		packet *trace.Packet
		again  bool
	}{
		{hello(nil), false},
		{hello([]byte{1}), false},
		{hello([]byte{1}), true},
		{flight(trace.Down, 1, trace.ServerHello, trace.ServerHelloDone), false},
		{flight(trace.Up, 2, trace.Certificate), false},
		{fragment, false},
		{flight(trace.Down, 5, trace.ServerHello, trace.ServerHelloDone), true}, // with new numbers
		{marked(0, trace.Up, dtls.TypeCID, 1, 0), false},
		{marked(0, trace.Up, dtls.TypeCID, 1, 1), true},
		{&trace.Packet{Direction: trace.Down, Records: []trace.Record{{Type: dtls.TypeChangeCipherSpec}}}, false},
	} {
		if got := said.are(test.packet); got != test.again {
			t.Errorf("packet %d: said before is %v", i, got)
		}
	}
}
