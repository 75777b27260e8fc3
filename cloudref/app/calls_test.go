package app

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// brewer is a connected device with a function and variables.
func brewer(t *testing.T, dia pdc.Dialect, edit func(*Config)) *cloudTest {
	t.Helper()
	x := newCloudTest(t, dia, edit)
	x.hello(0)
	x.describe(brewing, systemDescribe(dia, nil))
	return x
}

func (x *cloudTest) call(ref uint64, argument string) {
	x.run(func(out *Out) { x.d.Call(x.now, ref, "brew", argument, out) })
}

// C-33, C-9: both options are there, the path first, one byte of token.
func TestCallWithoutArgument(t *testing.T) {
	x := brewer(t, boron62, nil)
	x.call(1, "")
	wire := x.lastSend(pdc.KindFunctionCall).Message.Append(nil)
	if got := hex.EncodeToString(wire); got[:4] != "4102" || got[10:] != "b1660462726577"+"40" {
		t.Errorf("sent %s", got)
	}
}

func TestCall(t *testing.T) {
	x := brewer(t, boron62, nil)
	x.call(1, "strong")
	s := x.lastSend(pdc.KindFunctionCall)
	x.ack(s, coap.Message{})
	x.receive(pdc.FunctionResult{Token: s.Message.Token, Value: -7}.Message(x.dia))
	if r := x.result(1); r.Err != nil || r.Int != -7 {
		t.Errorf("got %+v", r)
	}
	if x.d.work != nil {
		t.Error("something is left of the call")
	}
}

// Who calls a device that has just connected does not hear that it has no functions: its
// describe is on the way.
func TestCallWaitsForTheDescribe(t *testing.T) {
	for _, dia := range []pdc.Dialect{boron62, pdc.NewDialect(1200, pdc.Electron)} { // one that posts it, and one that is asked
		x := brewer(t, dia, nil)
		x.hello(0)
		asked := x.sends
		for _, f := range []func(*Out){
			func(out *Out) { x.d.Call(x.now, 1, "brew", "strong", out) },
			func(out *Out) { x.d.Call(x.now, 2, "tea", "", out) },
			func(out *Out) { x.d.Read(x.now, 3, "milk", out) },
		} {
			if x.run(f); len(x.sends)+len(x.effects) > 0 {
				t.Errorf("before the describe: sent %v, said %v", x.sends, x.effects)
			}
		}
		x.sends = asked
		x.describe(brewing, systemDescribe(dia, nil))
		x.wantFailure(2, NoSuchName)
		x.wantFailure(3, NoSuchName)
		s := x.lastSend(pdc.KindFunctionCall)
		x.ack(s, coap.Message{})
		x.receive(pdc.FunctionResult{Token: s.Message.Token, Value: 1}.Message(x.dia))
		if r := x.result(1); r.Err != nil || r.Int != 1 {
			t.Errorf("got %+v", r)
		}
	}
}

// It hears so in the end, should the device never describe itself.
func TestCallWithoutADescribe(t *testing.T) {
	x := newCloudTest(t, boron62, nil)
	x.hello(0)
	x.call(1, "")
	x.wait(time.Minute)
	x.wantFailure(1, NoSuchName)
}

// C-34: the result comes, and never the ACK.
func TestResultBeforeAck(t *testing.T) {
	x := brewer(t, boron62, nil)
	x.call(1, "")
	s := x.lastSend(pdc.KindFunctionCall)
	x.receive(pdc.FunctionResult{Token: s.Message.Token, Value: 3}.Message(x.dia))
	if r := x.result(1); r.Int != 3 || r.Err != nil {
		t.Errorf("got %+v", r)
	}
	x.ack(s, coap.Message{}) // late
	x.receive(pdc.FunctionResult{Token: s.Message.Token, Value: 3}.Message(x.dia))
	x.wantReply(coap.Empty, 0)
	if _, again := effectOf[Result](x); again {
		t.Error("the call ended twice")
	}
}

// C-35: an ACK of 4.00 fails the call; its result is acknowledged and ignored.
func TestCallRefused(t *testing.T) {
	x := brewer(t, boron62, nil)
	x.call(1, "")
	s := x.lastSend(pdc.KindFunctionCall)
	x.ack(s, coap.Message{Code: coap.BadRequest})
	x.wantFailure(1, Refused)
	x.receive(pdc.FunctionResult{Token: s.Message.Token, Value: 3}.Message(x.dia))
	x.wantReply(coap.Empty, 0)
}

// C-22, C-29, S10: what cannot succeed is not sent.
func TestCallsThatAreNotSent(t *testing.T) {
	for name, test := range map[string]struct {
		f    func(x *cloudTest, out *Out)
		want Reason
	}{
		"unknown function":  {func(x *cloudTest, out *Out) { x.d.Call(x.now, 1, "tea", "", out) }, NoSuchName},
		"unknown variable":  {func(x *cloudTest, out *Out) { x.d.Read(x.now, 1, "tea", out) }, NoSuchName},
		"long argument":     {func(x *cloudTest, out *Out) { x.d.Call(x.now, 1, "brew", strings.Repeat("x", 1025), out) }, TooLong},
		"long event":        {func(x *cloudTest, out *Out) { x.d.SendEvent(x.now, 1, Event{Name: "a", Data: make([]byte, 1025)}, out) }, TooLong},
		"event, no name":    {func(x *cloudTest, out *Out) { x.d.SendEvent(x.now, 1, Event{}, out) }, TooLong},
		"event, long name":  {func(x *cloudTest, out *Out) { x.d.SendEvent(x.now, 1, Event{Name: strings.Repeat("n", 65)}, out) }, TooLong},
		"lost":              {func(x *cloudTest, out *Out) { x.d.Lost(x.now, out); x.d.Call(x.now, 1, "brew", "", out) }, NotOnline},
		"lost, of variable": {func(x *cloudTest, out *Out) { x.d.Lost(x.now, out); x.d.Read(x.now, 1, "temp", out) }, NotOnline},
		"update of nothing": {func(x *cloudTest, out *Out) { x.d.Lost(x.now, out); x.d.RequestDescribe(x.now, 1, out) }, NotOnline},
	} {
		t.Run(name, func(t *testing.T) {
			x := brewer(t, boron62, nil)
			x.run(func(out *Out) { test.f(x, out) })
			x.wantFailure(1, test.want)
			if len(x.sends) > 0 {
				t.Errorf("sent %v", x.sends)
			}
		})
	}
}

// C-29 with every version: the largest event and argument fit the messages of
// the device; recode checks each.
func TestLargestMessages(t *testing.T) {
	for _, dia := range []pdc.Dialect{photon05, electron12, photon23, electron23, boron31, boron54, boron62} {
		t.Run(pdc.Release(dia.System), func(t *testing.T) {
			x := brewer(t, dia, nil)
			l := dia.Limits()
			x.run(func(out *Out) {
				x.d.SendEvent(x.now, 1, Event{Name: strings.Repeat("n", l.EventName), Data: make([]byte, l.EventData), Content: pdc.FormatOctetStream}, out)
			})
			if len(x.sends) != 1 {
				t.Errorf("the largest event was not sent: %+v", x.effects)
			} else if x.sends[0].Message.Type == coap.Confirmable {
				x.ack(x.sends[0], coap.Message{})
			}
			x.call(2, strings.Repeat("a", l.Argument))
			x.lastSend(pdc.KindFunctionCall)
		})
	}
	x := newCloudTest(t, boron62, nil)
	x.dia.MaxMessage = 800 // a link with a small MTU
	x.hello(0)
	x.describe(brewing, nil)
	x.call(1, strings.Repeat("a", 1000))
	x.wantFailure(1, TooLong)
}

// C-36 and the vectors of PDC-5.2.
func TestVariables(t *testing.T) {
	for _, test := range []struct {
		name, value, want string
	}{
		{"temp", "f4fdd478e9365ac0", "-104.858"},
		{"count", "fffe7e33", "-98765"},
		{"state", "776f6f74", "woot"},
		{"state", "", ""},
		{"on", "00", "false"},
	} {
		for _, dia := range []pdc.Dialect{electron12, boron62} {
			t.Run(test.name+"/"+pdc.Release(dia.System), func(t *testing.T) {
				x := brewer(t, dia, nil)
				x.run(func(out *Out) { x.d.Read(x.now, 1, test.name, out) })
				s := x.lastSend(pdc.KindVariableRequest)
				answer := coap.Message{Code: coap.Content, Token: s.Message.Token, Payload: gen.Hex(test.value)}
				if dia.System >= pdc.OS1_5 {
					x.ack(s, coap.Message{})
					x.receive(answer)
				} else {
					x.ack(s, answer)
				}
				r := x.result(1)
				v, err := pdc.DecodeVariable(r.Type, r.Value)
				if r.Err != nil || err != nil || !strings.Contains(fmt.Sprintf("%+v", v), test.want) {
					t.Errorf("got %+v, %v, %v; want %s", v, r.Err, err, test.want)
				}
			})
		}
	}
}

// C-37, C-36: errors and values of the wrong size.
func TestVariableFailures(t *testing.T) {
	for name, test := range map[string]struct {
		answer coap.Message
		want   Reason
	}{
		"not found": {coap.Message{Code: coap.NotFound}, NoSuchName},
		"internal":  {coap.Message{Code: coap.InternalError}, Refused},
		"too short": {coap.Message{Code: coap.Content, Payload: []byte{1, 2}}, Unusable},
	} {
		t.Run(name, func(t *testing.T) {
			x := brewer(t, boron62, nil)
			x.run(func(out *Out) { x.d.Read(x.now, 1, "temp", out) })
			s := x.lastSend(pdc.KindVariableRequest)
			x.ack(s, coap.Message{})
			test.answer.Token = s.Message.Token
			x.receive(test.answer)
			x.wantReply(coap.Empty, 0)
			x.wantFailure(1, test.want)
		})
	}
}

// One Confirmable request at a time, and none lost.
func TestOneRequestAtATime(t *testing.T) {
	x := brewer(t, boron62, nil)
	for ref := range uint64(5) {
		x.call(ref+1, "")
		if want := 0; ref > 0 && len(x.sends) != want {
			t.Fatalf("request %d was sent while another waits", ref+1)
		}
	}
	x.run(func(out *Out) { x.d.Lost(x.now, out) })
	for ref := range uint64(5) {
		x.wantFailure(ref+1, Unreachable)
	}
	if x.d.work != nil || x.d.Deadline() != clock.Never {
		t.Error("something is left")
	}
}

func TestQueueIsBounded(t *testing.T) {
	x := brewer(t, boron62, func(c *Config) { c.QueueMax = 3 })
	for ref := range uint64(4) {
		x.call(ref+1, "")
	}
	x.wantFailure(4, TooMany)
}

// However many are allowed to wait, there are tokens for those who do.
func TestQueueLeavesTokens(t *testing.T) {
	x := brewer(t, boron62, func(c *Config) { c.QueueMax = 1 << 20 })
	for ref := range uint64(600) {
		x.call(ref+1, "")
	}
	x.wantFailure(600, TooMany)
	if waiting := len(x.d.work.requests); waiting < 200 || waiting >= 256 {
		t.Errorf("%d wait", waiting)
	}
	used := map[string]bool{}
	for _, r := range x.d.work.requests {
		if used[string(r.message.Token)] {
			t.Errorf("two requests with the token %x", r.message.Token)
		}
		used[string(r.message.Token)] = true
	}
}

// A function that does not answer ends with the time it may take.
func TestNoAnswer(t *testing.T) {
	x := brewer(t, boron62, nil)
	x.call(1, "")
	x.ack(x.lastSend(pdc.KindFunctionCall), coap.Message{})
	x.wait(29 * time.Second)
	if len(x.effects) > 0 {
		t.Fatalf("ended early: %+v", x.effects)
	}
	x.wait(2 * time.Second)
	x.wantFailure(1, NoAnswer)
}

// R-84 as far as it is the application's: the device is away, and back when
// something is heard of it.
func TestTimedOut(t *testing.T) {
	x := brewer(t, boron62, nil)
	x.call(1, "")
	x.run(func(out *Out) { x.d.TimedOut(x.now, out) })
	x.wantFailure(1, Unreachable)
	if _, offline := effectOf[Offline](x); !offline || x.d.Ready() {
		t.Errorf("got %+v", x.effects)
	}
	x.d.Heard(x.now)
	x.call(2, "")
	x.lastSend(pdc.KindFunctionCall)
}

// A message that the device rejects, or that the cloud could not send, does not
// hold up what waits behind it.
func TestRejectedAndNotSent(t *testing.T) {
	for name, f := range map[string]func(*Device, clock.Instant, uint32, *Out){"rejected": (*Device).Rejected, "not sent": (*Device).NotSent} {
		t.Run(name, func(t *testing.T) {
			x := brewer(t, boron62, nil)
			x.run(func(out *Out) { x.d.SendEvent(x.now, 1, Event{Name: "a", Data: []byte("b")}, out) })
			s := x.lastSend(pdc.KindEventDelivery)
			x.call(2, "")
			x.run(func(out *Out) { f(x.d, x.now, s.Tag, out) })
			if x.result(1).Err == nil {
				t.Error("the event counts as delivered")
			}
			x.lastSend(pdc.KindFunctionCall)
		})
	}
}

// C-55: over TCP events go Non-confirmable, and nothing waits for an ACK.
func TestEventsOverTCP(t *testing.T) {
	x := brewer(t, photon23, nil)
	for ref := range uint64(3) {
		x.run(func(out *Out) { x.d.SendEvent(x.now, ref+1, Event{Name: "a", Data: []byte("b")}, out) })
		if s := x.lastSend(pdc.KindEventDelivery); s.Message.Type != coap.NonConfirmable || x.result(ref+1).Err != nil {
			t.Errorf("sent %v", s.Message)
		}
	}
}

// C-10: over a whole conversation, 2.05 answers nothing but the time request.
func TestSignalAndPing(t *testing.T) {
	x := brewer(t, boron62, nil)
	x.run(func(out *Out) { x.d.Signal(x.now, 1, true, out) })
	s := x.lastSend(pdc.KindSignal)
	if got := hex.EncodeToString(s.Message.Append(nil)); got[10:] != "b1734101" {
		t.Errorf("sent %s", got)
	}
	x.ack(s, coap.Message{Code: coap.Changed, Token: s.Message.Token})
	if x.result(1).Err != nil {
		t.Error("failed")
	}
	x.run(func(out *Out) { x.d.Ping(x.now, 2, out) })
	x.ack(x.sends[0], coap.Message{})
	if x.result(2).Err != nil {
		t.Error("failed")
	}
	x.run(func(out *Out) { x.d.DiscardSession(x.now, 3, out) })
	x.ack(x.lastSend(pdc.KindKeyChange), coap.Message{})
	if x.result(3).Err != nil {
		t.Error("failed")
	}
}
