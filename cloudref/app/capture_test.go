package app

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A replay gives a Device the messages that real firmware sent to another
// cloud. What that cloud said is left out, so answers to it match nothing here,
// and must be acknowledged all the same.
type replay struct {
	*cloudTest
	seen     map[uint16]bool // ids of Confirmable messages: repeats are the link's business
	greeted  bool
	asked    *Send // a describe request of ours that is not answered
	known    *Describe
	messages int
}

// TestRecordedDevices plays every recording that has messages in it.
func TestRecordedDevices(t *testing.T) {
	played := 0
	for _, c := range fixtures.Captures() {
		if strings.Contains(c.Scenario, "hs-") || strings.Contains(c.Scenario, "handshake") {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			r := &replay{cloudTest: newCloudTest(t, pdc.Dialect{}, nil)}
			r.d = New(DeviceID(c.DeviceID), &r.c)
			for _, it := range c.Items {
				if it.Op != fixtures.OpUp {
					continue
				}
				r.now = clock.Instant(it.At)
				for _, wire := range it.Plaintexts() {
					if m, err := coap.Parse(wire); err == nil {
						r.message(c.Transport == "udp", m)
					}
				}
			}
			if r.messages == 0 {
				t.Skip("no message of a device in it")
			}
			played++
			r.judge(c)
		})
	}
	if played < 40 {
		t.Errorf("only %d recordings have messages", played)
	}
}

func (r *replay) message(udp bool, m coap.Message) {
	r.t.Helper()
	kind := pdc.Classify(m, true)
	if kind == pdc.KindHello {
		r.seen = map[uint16]bool{}
	}
	switch {
	case m.Type == coap.Acknowledgement && r.asked != nil && m.Code == coap.Content && bytes.HasPrefix(m.Payload, []byte("{")):
		m.Token = r.asked.Message.Token
		r.ack(*r.asked, m)
		r.asked, r.known = nil, r.d.Describe()
		return
	case m.Type == coap.Acknowledgement, m.Type == coap.Reset, m.Code == coap.Empty, r.seen[m.ID]:
		return
	case kind == pdc.KindHello:
		r.run(func(out *Out) { r.d.Hello(r.now, udp, m, out) })
		r.dia, r.greeted = r.d.Dialect(), true
	case !r.greeted:
		return // before the recording's first Hello
	default:
		r.run(func(out *Out) { r.d.Receive(r.now, m, out) })
	}
	r.messages++
	if m.Type == coap.Confirmable {
		r.seen[m.ID] = true
	}
	r.answered(kind, m)
	if d := r.d.Describe(); d.complete() && d.hasSystem() {
		r.known = d // until the next Hello
	}
	for i, s := range r.sends {
		if pdc.Classify(s.Message, false) == pdc.KindDescribeRequest {
			r.asked = &r.sends[i]
		}
	}
}

// answered checks that the firmware would be content with the answer.
func (r *replay) answered(kind pdc.Kind, m coap.Message) {
	r.t.Helper()
	if m.Type != coap.Confirmable {
		if len(r.replies) > 0 {
			r.t.Errorf("%v was answered %v", m, r.replies)
		}
		return
	}
	if len(r.replies) != 1 {
		r.t.Fatalf("%v got %d replies", m, len(r.replies))
	}
	reply := r.replies[0]
	if reply.ID != m.ID {
		r.t.Errorf("%v was answered with id %d", m, reply.ID)
	}
	switch kind {
	case pdc.KindTimeRequest:
		answer, err := pdc.ParseTimeResponse(reply)
		if err != nil || !bytes.Equal(reply.Token, m.Token) || len(reply.Options) > 0 || answer.Unix < 1_700_000_000 {
			r.t.Errorf("the time request %v was answered %v: %v", m, reply, err)
		}
	case pdc.KindLedgerRequest:
		if reply.Code == coap.Content || reply.Code == coap.Empty {
			r.t.Errorf("the ledger request %v was answered %v", m, reply)
		}
	default:
		if reply.Code != coap.Empty {
			r.t.Errorf("%v was answered %v, want an empty ACK", m, reply)
		}
	}
}

// judge checks what the cloud knows in the end.
func (r *replay) judge(c *fixtures.Capture) {
	r.t.Helper()
	if c.Scenario != "session" {
		return
	}
	d := r.known
	if !d.complete() || !d.hasSystem() || len(d.Application.Functions) == 0 || len(d.Application.Variables) == 0 {
		r.t.Errorf("the describe is %+v", d)
	}
	if len(r.d.Subscriptions().All()) == 0 {
		r.t.Error("no subscriptions")
	}
	// What was stored serves the next life of the cloud.
	before := r.d
	r.restart()
	r.run(func(out *Out) { r.d.Resumed(r.now.Add(time.Second), out) })
	if !r.d.Ready() || r.d.LastHello().System != before.LastHello().System || r.d.Dialect() != before.Dialect() ||
		r.d.Describe() != before.Describe() || r.d.Subscriptions() != before.Subscriptions() {
		r.t.Errorf("restored %+v, want %+v", r.d.profile, before.profile)
	}
}
