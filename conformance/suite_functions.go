package conformance

import (
	"context"
	"strings"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func functionSuite() Suite {
	return Suite{
		Name:    "functions",
		Text:    "the cloud calls functions of one device; no device calls another",
		Prepare: switchOn,
		Checks: []Check{
			{
				Name: "call", Text: "a call reaches the device with its argument, and its result comes back",
				Provoke: "the cloud calls a function of every device", Observe: "request, acknowledgement and result, decoded",
				Requirements: []string{"S3", "S11", "C-34", "D-7"}, Run: checkCall,
			},
			{
				Name: "arguments", Text: "empty, long and negative: every argument up to the limit of the release arrives whole",
				Provoke: "functions are called with empty, long and odd arguments", Observe: "the argument in the request and the result that it leads to",
				Requirements: []string{"C-33", "D-7"}, Run: checkArguments,
			},
			{
				Name: "request-form", Text: "one byte of token, the path first, two path segments and the argument, acknowledged before the result",
				Provoke: "functions are called", Observe: "token, options and order of request, acknowledgement and result",
				Requirements: []string{"C-9", "C-33", "D-7"}, Needs: []string{"arguments"}, Judge: judgeCallForm, Run: checkCallForm,
			},
			{
				Name: "unknown", Text: "a function that the describe does not list is refused, and nothing is sent",
				Provoke: "a function that does not exist is called", Observe: "that no request is sent",
				Requirements: []string{"C-22"}, Run: checkUnknownFunction,
			},
			{
				Name: "too-long", Text: "an argument above the limit of the release is refused, and nothing is sent",
				Provoke: "a function is called with an argument above the limit", Observe: "that no request is sent",
				Requirements: []string{"C-29"}, Run: checkLongArgument,
			},
			{
				Name: "between-devices", Text: "what a device says in the manner of the cloud reaches no other device",
				Provoke: "a forged device sends function calls, variable requests and the like, for another device of its account", Observe: "that the other device hears nothing",
				Requirements: []string{"S11", "S14"}, Skip: onlyUDP, Run: checkBetweenDevices,
			},
		},
	}
}

func checkCall(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, g.Devices), func(d *target.Device) {
		// Each device gets another argument, so that an answer of another shows.
		argument := "32," + d.Hex()
		judgeCall(ctx, e, d, target.FunctionSum, argument, target.Sum(argument), r)
	})
	return nil
}

func judgeCall(ctx context.Context, e *target.Env, d *target.Device, function, argument string, want int32, r *Recorder) {
	mark := d.Mark()
	got, err := e.Call(ctx, d, function, argument)
	if err != nil {
		r.Fail(report.Finding{Requirement: "S11", Device: id(d), Text: "the call failed: " + err.Error(), Packets: lines(d.Packets(mark))})
		return
	}
	Equal(r, "C-34", id(d), "what the function returned", got, want, lines(d.Packets(mark))...)
}

// limitsOf are the sizes that a group's release takes.
func limitsOf(d *target.Device) pdc.Limits {
	return d.Profile.Dialect().Limits()
}

func checkArguments(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, g.Sample(4)), func(d *target.Device) {
		longest := strings.Repeat("x", limitsOf(d).Argument)
		judgeCall(ctx, e, d, target.FunctionSum, "", 0, r)
		judgeCall(ctx, e, d, target.FunctionSum, longest, target.Sum(longest), r)
		judgeCall(ctx, e, d, target.FunctionMinus, "anything", -1, r)
	})
	return nil
}

// judgeCallForm judges each call, and that it is acknowledged where nothing is missing.
func judgeCallForm(c *Conversation, r *Recorder) {
	all := messages(c.Packets)
	for _, s := range of(all, kind(pdc.KindFunctionCall)) {
		m := s.message.CoAP
		if _, err := pdc.ParseFunctionCall(m); err != nil {
			r.Fail(report.Finding{Requirement: "C-33", Device: c.Device, Text: err.Error(), Packets: []string{s.line()}})
		}
		Equal(r, "C-9", c.Device, "bytes of token", len(m.Token), 1, s.line())
		Equal(r, "C-9", c.Device, "the path comes first", len(m.Options) > 0 && m.Options[0].ID == coap.URIPath, true, s.line())
		if c.Whole {
			Equal(r, "D-7", c.Device, "the device acknowledges the call", acknowledged(all, s.message.Exchange, trace.Down), true, s.line())
		}
	}
}

func checkCallForm(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		settled(ctx, e, d, trace.Down, kind(pdc.KindFunctionCall))
		judgeCallForm(conversation(g, d), r)
	}
	return nil
}

func checkUnknownFunction(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, g.Sample(4)), func(d *target.Device) {
		judgeRefusedCall(ctx, e, d, "C-22", "nosuch", "x", r)
	})
	return nil
}

func checkLongArgument(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, g.Sample(4)), func(d *target.Device) {
		judgeRefusedCall(ctx, e, d, "C-29", target.FunctionSum, strings.Repeat("x", limitsOf(d).Argument+1), r)
	})
	return nil
}

// judgeRefusedCall expects that a call is refused by the cloud, and that nothing
// of it is on the wire.
func judgeRefusedCall(ctx context.Context, e *target.Env, d *target.Device, requirement, function, argument string, r *Recorder) {
	mark := d.Mark()
	_, err := e.Call(ctx, d, function, argument)
	if reason, refused := target.Refusal(err); !refused || reason == target.NotOnline {
		r.Judged(1)
		r.Fail(report.Finding{Requirement: requirement, Device: id(d), Text: "the call was not refused", Actual: errText(err)})
		return
	}
	calls := of(messages(d.Packets(mark)), func(s sight) bool {
		call, err := pdc.ParseFunctionCall(s.message.CoAP)
		return kind(pdc.KindFunctionCall)(s) && err == nil && call.Name == function && call.Argument == argument
	})
	Equal(r, requirement, id(d), "calls on the wire", len(calls), 0)
}

func errText(err error) string {
	if err == nil {
		return "it succeeded"
	}
	return err.Error()
}
