package app

import (
	"bytes"
	"testing"
	"time"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

func ledgerTest(t *testing.T) *cloudTest {
	t.Helper()
	return brewer(t, boron62, func(c *Config) { c.Ledgers = true })
}

func (x *cloudTest) askLedger(token byte, c pdc.LedgerCall) {
	m := pdc.LedgerRequest{Token: []byte{token}, Payload: c.Append(nil)}.Message(x.dia)
	x.receive(m)
}

func (x *cloudTest) follow(names ...string) {
	c := pdc.LedgerCall{Method: pdc.LedgerSubscribe}
	for _, name := range names {
		c.Ledgers = append(c.Ledgers, pdc.LedgerRef{Name: name, ScopeID: []byte{1}})
	}
	x.askLedger(9, c)
	x.run(func(out *Out) { x.d.AnswerLedger(x.now, []byte{9}, pdc.LedgerReply{Method: pdc.LedgerSubscribe}, out) })
}

// A request is acknowledged, asked for, and answered by a response of its own; with
// that nothing is left of it.
func TestLedgerRequest(t *testing.T) {
	x := ledgerTest(t)
	x.askLedger(7, pdc.LedgerCall{Method: pdc.LedgerGetInfo, Ledgers: []pdc.LedgerRef{{Name: "a"}}})
	x.wantReply(coap.Empty, 0)
	asked, ok := effectOf[LedgerAsked](x)
	if !ok || !bytes.Equal(asked.Token, []byte{7}) || asked.Call.Ledgers[0].Name != "a" {
		t.Fatalf("got %+v", asked)
	}
	x.run(func(out *Out) { x.d.AnswerLedger(x.now, []byte{7}, pdc.LedgerReply{Method: pdc.LedgerGetInfo}, out) })
	s := x.sends[len(x.sends)-1].Message
	if s.Type != coap.Confirmable || s.Code != coap.Changed || !bytes.Equal(s.Token, []byte{7}) || !bytes.Equal(s.Payload, []byte{0x1a, 0x00}) {
		t.Errorf("sent %v with %x", s, s.Payload)
	}
	if x.d.work != nil {
		t.Error("something is left of the request")
	}
	x.run(func(out *Out) { x.d.AnswerLedger(x.now, []byte{7}, pdc.LedgerReply{}, out) })
	if len(x.sends) != 0 {
		t.Error("it is answered twice")
	}
}

// An answer that nobody fetches is dropped after a minute.
func TestLedgerAnswerIsDropped(t *testing.T) {
	x := ledgerTest(t)
	x.askLedger(7, pdc.LedgerCall{Method: pdc.LedgerGetData, Ledgers: []pdc.LedgerRef{{Name: "a"}}})
	x.run(func(out *Out) {
		x.d.AnswerLedger(x.now, []byte{7}, pdc.LedgerReply{Method: pdc.LedgerGetData, Data: make([]byte, 3000)}, out)
	})
	first, err := pdc.ParseLedgerResponse(x.sends[len(x.sends)-1].Message)
	if err != nil || first.Block2 == nil || !first.Block2.More || len(first.Payload) != 1024 {
		t.Fatalf("got %+v, %v", first, err)
	}
	more := func(token byte, num uint32) pdc.LedgerRequest {
		return pdc.LedgerRequest{Token: []byte{token}, ETag: first.ETag, Block2: &coap.Block{Num: num, SZX: coap.SZXMax}}
	}
	x.receive(more(8, 2).Message(x.dia))
	x.wantReply(coap.Changed, 1)
	x.receive(more(9, 9).Message(x.dia))
	x.wantReply(coap.EntityIncomplete, 1)
	x.wait(61 * time.Second)
	if x.d.work != nil {
		t.Error("the answer is kept")
	}
	x.receive(more(10, 1).Message(x.dia))
	x.wantReply(coap.EntityIncomplete, 1)
}

// A device hears of ledgers that it follows, and of no others; what it could not be
// told it is told when it is back.
func TestLedgerNotices(t *testing.T) {
	x := ledgerTest(t)
	x.follow("a", "b")
	x.run(func(out *Out) { x.d.NotifyLedger(x.now, "c", 5, out) })
	if len(x.sends) != 0 {
		t.Error("it hears of a ledger that it does not follow")
	}
	x.run(func(out *Out) { x.d.NotifyLedger(x.now, "a", 5, out) })
	x.lastSend(pdc.KindLedgerNotify)
	x.run(func(out *Out) { x.d.TimedOut(x.now, out) })
	x.run(func(out *Out) { x.d.NotifyLedger(x.now, "a", 6, out) })
	if len(x.sends) != 0 {
		t.Error("a device that is away is told")
	}
	x.receive(pdc.Publish{Name: "awake", Private: true}.Message(x.dia))
	s := x.lastSend(pdc.KindLedgerNotify)
	n, err := pdc.ParseLedgerNotify(s.Message)
	if err != nil {
		t.Fatal(err)
	}
	c, err := pdc.ParseLedgerCall(n.Payload)
	if err != nil || len(c.Ledgers) != 1 || c.Ledgers[0].Updated.Milliseconds != 6 {
		t.Errorf("got %+v, %v", c, err)
	}
	x.ack(s, coap.Message{})
	if x.d.work != nil {
		t.Error("something is left of the notice")
	}
}

// Which ledgers a device follows survives the cloud, and not a new Hello.
func TestFollowedLedgersAreDurable(t *testing.T) {
	x := ledgerTest(t)
	x.follow("a", "b")
	state := x.d.AppendState(SaveLedgers, nil)
	again := New(x.d.ID(), x.d.c)
	if err := again.RestoreLedgers(state); err != nil || !again.profile.following.has("b") || again.profile.following.has("c") {
		t.Errorf("got %+v, %v", again.profile.following, err)
	}
	for n := range state {
		if again.RestoreLedgers(state[:n]) == nil {
			t.Errorf("%d bytes of %d are taken", n, len(state))
		}
	}
	x.hello(0)
	if x.d.profile.following != nil {
		t.Error("after a new Hello the device follows ledgers still")
	}
}

// Nobody in a device handles requests about ledgers whose application has none: it
// would not even acknowledge, and count as gone. One that asked has, also if it follows
// none, and also behind a restart of the cloud.
func TestDevicesWithoutLedgersAreLeftAlone(t *testing.T) {
	x := ledgerTest(t)
	reset := func() { x.run(func(out *Out) { x.d.ResetLedgers(x.now, out) }) }
	reset()
	if len(x.sends) != 0 {
		t.Errorf("a device without ledgers is sent %v", x.sends)
	}
	x.askLedger(7, pdc.LedgerCall{Method: pdc.LedgerGetInfo, Ledgers: []pdc.LedgerRef{{Name: "a"}}})
	x.run(func(out *Out) { x.d.AnswerLedger(x.now, []byte{7}, pdc.LedgerReply{Method: pdc.LedgerGetInfo}, out) })
	reset()
	x.lastSend(pdc.KindLedgerNotify)
	again := New(x.d.ID(), x.d.c)
	if err := again.RestoreLedgers(x.d.AppendState(SaveLedgers, nil)); err != nil || again.profile.following == nil || len(again.profile.following.names) != 0 {
		t.Errorf("got %+v, %v", again.profile.following, err)
	}
	x.hello(0)
	if err := again.RestoreLedgers(x.d.AppendState(SaveLedgers, nil)); err != nil || again.profile.following != nil {
		t.Errorf("behind a new Hello: %+v, %v", again.profile.following, err)
	}
}
