package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

func callingSuite() Suite {
	return Suite{
		Name: "calling",
		Text: "how a cloud calls functions and reads variables of a puppet device that answers late, oddly or not at all, in virtual time",
		Checks: []Check{
			{
				Name: "request", Text: "token, path, name and argument are where a device looks for them, also when the argument is empty",
				Provoke: "the cloud calls a function with and without an argument, and reads a variable", Observe: "the bytes of the requests",
				Requirements: []string{"C-9", "C-33"}, Run: checkRequestBytes,
			},
			{
				Name: "late-ack", Text: "a result counts that comes before the acknowledgement, after it, or without it, and is acknowledged once",
				Provoke: "a puppet device sends the result first, and the acknowledgement later or never", Observe: "the acknowledgement of the result, and what the caller gets",
				Requirements: []string{"C-34"}, Run: checkLateAck,
			},
			{
				Name: "refused", Text: "a 4.00 without a token fails that call at once, and a result that comes all the same is acknowledged and ignored",
				Provoke: "a puppet device refuses a call in the acknowledgement, and answers it later", Observe: "what the caller gets, and that the session lives on",
				Requirements: []string{"C-35"}, Run: checkRefusedCall,
			},
			{
				Name: "values", Text: "int is big-endian, double little-endian, a string may be empty, and each is read by the type of the describe",
				Provoke: "a puppet device answers reads with the values of the reference, piggybacked and separate", Observe: "what the caller gets",
				Requirements: []string{"C-36"}, Run: checkValues,
			},
			{
				Name: "not-found", Text: "a 4.04 says that there is no such variable, and is acknowledged",
				Provoke: "a puppet device answers a read with 4.04", Observe: "the acknowledgement, and what the caller gets",
				Requirements: []string{"C-37"}, Run: checkNotFound,
			},
			{
				Name: "crossed", Text: "answers that come in another order go to the calls whose token they have",
				Provoke: "a puppet device answers two calls in reverse order", Observe: "what the callers get",
				Requirements: []string{"C-34", "N-20"}, Run: checkCrossedResults,
			},
			{
				Name: "crowd", Text: "of very many calls to a device that does not answer, some wait and the others are refused at once",
				Provoke: "a function is called 400 times while a puppet device acknowledges and answers nothing", Observe: "how many callers wait, what the others are told, and that the session lives on",
				Requirements: []string{"A-17"}, Run: checkCrowd,
			},
		},
	}
}

// asked returns the last request of the cloud that fits, and answers nothing.
func asked(d *target.PuppetDevice, fits func(m peer.Message) bool, do func() *target.Outcome) (m peer.Message, outcome *target.Outcome, err error) {
	mark := d.Now()
	outcome = do()
	d.Settle(time.Second)
	d.Patient(func() bool { return outcome.Done || len(answersTo(d, mark, 1, fits)) > 0 })
	requests := answersTo(d, mark, 1, fits)
	switch {
	case len(requests) > 0:
	case outcome.Err != nil:
		return m, outcome, fmt.Errorf("the cloud sends no request: %w", outcome.Err)
	default:
		return m, outcome, errors.New("the cloud sends no request")
	}
	return requests[0], outcome, nil
}

func checkRequestBytes(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		for _, step := range []struct {
			what string
			do   func() *target.Outcome
			want string
			// prompted: only to be had of a cloud that is told to.
			prompted bool
		}{
			{"a call", func() *target.Outcome { return d.Call(target.FunctionSum, "32,240") }, "41 02 __ __ __ b1 66 03 73 75 6d 46 33 32 2c 32 34 30", false},
			{"a call with an empty argument", func() *target.Outcome { return d.Call(target.FunctionSum, "") }, "41 02 __ __ __ b1 66 03 73 75 6d 40", false},
			{"a read", func() *target.Outcome { return d.Read(target.VariableCount) }, "41 01 __ __ __ b1 76 05 63 6f 75 6e 74", false},
			{"a signal", func() *target.Outcome { return d.Signal(true) }, "41 03 __ __ __ b1 73 41 01", true},
			{"the end of a session", d.Discard, "41 03 __ __ __ b1 6b 41 01", true},
		} {
			if step.prompted && !d.Sees(target.Prompting) {
				unseen(r, "C-33", name, "the bytes of "+step.what)
				continue
			}
			mark := d.Now()
			step.do()
			d.Settle(time.Second)
			d.Patient(func() bool { return len(d.Heard(mark)) > 0 })
			judgeAnswers(r, "C-33", name, "the bytes of "+step.what, d, mark, []string{step.want})
			d.Settle(time.Second)
		}
		return nil
	})
}

// result is a function result in bytes.
func result(d *target.PuppetDevice, token []byte, value int32) []byte {
	kind := coap.Confirmable
	if !d.Dialect.UDP {
		kind = coap.NonConfirmable
	}
	m := coap.Message{
		Type: kind, Code: coap.Changed, ID: d.Peer.NextID(), Token: token,
		Payload: []byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)},
	}
	return m.Append(nil)
}

func checkLateAck(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, order := range []string{"ack, result", "result, ack", "result"} {
		err := withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
			d.Peer.SetAnswer(peer.Silent)
			request, outcome, err := asked(d, asks(coap.POST, "f"), func() *target.Outcome { return d.Call(target.FunctionSum, "x") })
			if err != nil {
				return err
			}
			mark := d.Now()
			answer := result(d, request.CoAP.Token, 42)
			switch order {
			case "ack, result":
				d.Say(peer.Ack(request))
				d.Say(answer)
			case "result, ack":
				d.Say(answer)
				d.Say(peer.Ack(request))
			case "result":
				d.Say(answer)
			}
			d.Settle(time.Second)
			ended(d, outcome)
			what := order + ": "
			Equal(r, "C-34", name, what+"the call has ended well", outcome.Done && outcome.Err == nil, true, lines(d.Packets(mark))...)
			Equal(r, "C-34", name, what+"what the function returned", outcome.Int, 42, lines(d.Packets(mark))...)
			acks := heardOf(d.Heard(mark), func(m peer.Message) bool { return m.CoAP.Type == coap.Acknowledgement })
			want := 1
			if g.Transport == "tcp" {
				want = 0
			}
			Equal(r, "C-34", name, what+"acknowledgements of the result", len(acks), want, lines(d.Packets(mark))...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkRefusedCall(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		d.Peer.SetAnswer(peer.Silent)
		request, outcome, err := asked(d, asks(coap.POST, "f"), func() *target.Outcome { return d.Call(target.FunctionSum, "x") })
		if err != nil {
			return err
		}
		mark := d.Now()
		d.Say([]byte{0x60, 0x80, request.Wire[2], request.Wire[3]})
		ended(d, outcome)
		Equal(r, "C-35", name, "the call that was refused has failed", outcome.Done && outcome.Err != nil, true, lines(d.Packets(mark))...)
		late := result(d, request.CoAP.Token, 42)
		mark = d.Now()
		d.Say(late)
		want := []string{fmt.Sprintf("60 00 %02x%02x", late[2], late[3])}
		if g.Transport == "tcp" {
			want = nil
		}
		judgeAnswers(r, "C-35", name, "the answer to the result of a call that was refused", d, mark, want)
		d.Peer.SetAnswer(nil)
		_, next, err := asked(d, asks(coap.POST, "f"), func() *target.Outcome { return d.Call(target.FunctionSum, "y") })
		if err != nil {
			return err
		}
		Equal(r, "C-35", name, "the next call has failed", next.Done, false)
		return nil
	})
}

// values are what a device answers, with what that is.
var values = []struct {
	name, variable, payload string
	want                    pdc.Value
}{
	{"an int", target.VariableCount, "ff fe 7e 33", pdc.Value{Type: pdc.VariableInt, Int: -98765}},
	{"a double", target.VariableLevel, "f4 fd d4 78 e9 36 5a c0", pdc.Value{Type: pdc.VariableDouble, Double: -104.858}},
	{"a string", target.VariableLabel, "77 6f 6f 74", pdc.Value{Type: pdc.VariableString, String: "woot"}},
	{"an empty string", target.VariableLabel, "", pdc.Value{Type: pdc.VariableString}},
	{"false", target.VariableReady, "00", pdc.Value{Type: pdc.VariableBool}},
	{"true", target.VariableReady, "01", pdc.Value{Type: pdc.VariableBool, Bool: true}},
}

// respond answers a request, piggybacked or separately.
func respond(d *target.PuppetDevice, request peer.Message, code coap.Code, payload []byte, separate bool) uint16 {
	m := coap.Message{Type: coap.Acknowledgement, Code: code, ID: request.CoAP.ID, Token: request.CoAP.Token, Payload: payload}
	if separate {
		d.Say(peer.Ack(request))
		m.Type, m.ID = coap.Confirmable, d.Peer.NextID()
		if !d.Dialect.UDP {
			m.Type = coap.NonConfirmable
		}
	}
	d.Say(m.Append(nil))
	return m.ID
}

func checkValues(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		d.Peer.SetAnswer(peer.Silent)
		for _, value := range values {
			for _, separate := range []bool{false, true} {
				mark := d.Now()
				request, outcome, err := asked(d, asks(coap.GET, "v"), func() *target.Outcome { return d.Read(value.variable) })
				if err != nil {
					return err
				}
				respond(d, request, coap.Content, gen.Hex(value.payload), separate)
				got := "no value"
				if ended(d, outcome) {
					got = fmt.Sprintf("%v %v", outcome.Value, outcome.Err)
				}
				Equal(r, "C-36", name, fmt.Sprintf("%s (separate: %v)", value.name, separate), got, fmt.Sprintf("%v %v", value.want, error(nil)), lines(d.Packets(mark))...)
			}
		}
		return nil
	})
}

func checkNotFound(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		d.Peer.SetAnswer(peer.Silent)
		for _, separate := range []bool{false, true} {
			request, outcome, err := asked(d, asks(coap.GET, "v"), func() *target.Outcome { return d.Read(target.VariableCount) })
			if err != nil {
				return err
			}
			mark := d.Now()
			id := respond(d, request, coap.NotFound, nil, separate)
			ended(d, outcome)
			reason, refused := target.Refusal(outcome.Err)
			if refused && !d.Sees(target.Insight) {
				reason = target.NoSuchName // every API has words of its own
			}
			Equal(r, "C-37", name, fmt.Sprintf("what the caller is told (separate: %v)", separate), fmt.Sprint(outcome.Done, refused, " ", reason), fmt.Sprint(true, true, " ", target.NoSuchName), lines(d.Packets(mark))...)
			if separate && g.Transport == "udp" {
				judgeAnswers(r, "C-37", name, "the answer to a 4.04", d, mark, []string{fmt.Sprintf("60 00 %04x", id)})
			}
		}
		return nil
	})
}

func checkCrossedResults(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		first, one, err := asked(d, asks(coap.POST, "f"), func() *target.Outcome { return d.Call(target.FunctionSum, "1") })
		if err != nil {
			return err
		}
		second, two, err := asked(d, asks(coap.POST, "f"), func() *target.Outcome { return d.Call(target.FunctionSum, "2") })
		if err != nil {
			return err
		}
		mark := d.Now()
		d.Say(result(d, second.CoAP.Token, 2))
		d.Say(result(d, first.CoAP.Token, 1))
		ended(d, one)
		ended(d, two)
		Equal(r, "N-20", name, "what the two calls returned", fmt.Sprint(one.Int, two.Int, one.Done, two.Done), fmt.Sprint(1, 2, true, true), lines(d.Packets(mark))...)
		return nil
	})
}

// crowd is how many call a device at once, and crowdWaits how many of them may wait.
const (
	crowd      = 400
	crowdWaits = 300
)

func checkCrowd(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		if err := d.Needs(target.Insight); err != nil {
			return err // nor is a cloud of others to be asked so often
		}
		d.Peer.SetAnswer(peer.Silent)
		calls := make([]*target.Outcome, 0, crowd)
		for range crowd {
			calls = append(calls, d.Call(target.FunctionSum, "1"))
		}
		waiting, wrong := 0, ""
		for _, call := range calls {
			switch reason, _ := target.Refusal(call.Err); {
			case !call.Done:
				waiting++
			case reason != target.TooMany:
				wrong = fmt.Sprint(call.Err)
			}
		}
		Equal(r, "A-17", name, fmt.Sprintf("of %d callers at most %d wait (%d do)", crowd, crowdWaits, waiting), waiting > 0 && waiting <= crowdWaits, true)
		Equal(r, "A-17", name, "what the others are told, but that too many wait", wrong, "")
		Equal(r, "A-17", name, "the session lives on", d.Peer.Secured(), true)
		return nil
	})
}
