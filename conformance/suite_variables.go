package conformance

import (
	"context"
	"fmt"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func variableSuite() Suite {
	return Suite{
		Name:    "variables",
		Text:    "the value stays on the device and travels only when asked for",
		Prepare: switchOn,
		Checks: []Check{
			{
				Name: "read", Text: "int, double, string and bool come back as the device has them",
				Provoke: "every variable of every device is read", Observe: "the value in the response, beside what the device has",
				Requirements: []string{"S3", "S10", "C-36", "D-8"}, Run: checkRead,
			},
			{
				Name: "response-form", Text: "piggybacked up to 1.4, separate and acknowledged from 1.5 on",
				Provoke: "variables are read", Observe: "type and code of the response, and its acknowledgement",
				Requirements: []string{"C-6", "D-8"}, Needs: []string{"read"}, Run: checkValueForm,
			},
			{
				Name: "only-when-asked", Text: "each value on the wire was asked for, and is told once",
				Provoke: "variables are read", Observe: "that every value answers a request, once",
				Requirements: []string{"S10"}, Needs: []string{"read"}, Judge: judgeOnlyWhenAsked,
			},
			{
				Name: "unknown", Text: "a variable that the describe does not list is refused, and nothing is sent",
				Provoke: "a variable that does not exist is read", Observe: "that no request is sent",
				Requirements: []string{"C-22"}, Run: checkUnknownVariable,
			},
			{
				Name: "too-often", Text: "who asks for variables too often is refused with 429 and told when to come back, and nobody before",
				Provoke: "one address asks 10,200 times, of one device after the other", Observe: "the status of each answer",
				Requirements: []string{"S12"}, Run: checkTooOften,
			},
		},
	}
}

// tooOften is how many calls of one address are answered in five minutes.
const tooOften = 10_000

func checkTooOften(ctx context.Context, e *target.Env, _ *target.Group, r *Recorder) error {
	a, err := e.AskOften(ctx, tooOften+200)
	if err != nil {
		return err
	}
	Equal(r, "S12", "", "calls that are answered before the first that is refused", a.Answered, tooOften)
	Equal(r, "S12", "", "calls that are refused behind that", a.Refused, 200)
	Equal(r, "S12", "", "a refusal says when to come back", a.RetryAfter != "", true)
	return nil
}

func checkRead(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, g.Devices), func(d *target.Device) {
		for name, want := range target.Variables(d.ID) {
			mark := d.Mark()
			got, err := e.Read(ctx, d, name)
			if err != nil {
				r.Fail(report.Finding{Requirement: "S10", Device: id(d), Text: name + ": " + err.Error(), Packets: lines(d.Packets(mark))})
				continue
			}
			Equal(r, "C-36", id(d), "the value of "+name, fmt.Sprint(got), fmt.Sprint(want), lines(d.Packets(mark))...)
		}
	})
	return nil
}

func checkValueForm(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := settled(ctx, e, d, trace.Up, func(s sight) bool {
			return kind(pdc.KindVariableValue)(s) && s.message.CoAP.Type == coap.Confirmable
		})
		for _, s := range of(all, kind(pdc.KindVariableValue)) {
			piggybacked := s.message.CoAP.Type == coap.Acknowledgement
			Equal(r, "D-8", id(d), "the value is piggybacked", piggybacked, g.System < pdc.OS1_5, s.line())
			if s.message.CoAP.Type == coap.Confirmable {
				Equal(r, "C-6", id(d), "the value is acknowledged", acknowledged(all, s.message.Exchange, trace.Up), true, s.line())
			}
		}
	}
	return nil
}

// judgeOnlyWhenAsked counts how often each value was told. In a recording the question
// may lie before its beginning.
func judgeOnlyWhenAsked(c *Conversation, r *Recorder) {
	told := make(map[uint64]int)
	for _, s := range messages(c.Packets) {
		switch {
		case s.packet.Direction != trace.Up || s.message.Repeat > 0:
		case s.message.Kind == pdc.KindVariableValue:
			told[s.message.Exchange]++
			Equal(r, "S10", c.Device, "times that a value was told", told[s.message.Exchange], 1, s.line())
		case s.message.Kind == pdc.KindResponse && c.Whole:
			// The decoder knows of no request with this token.
			r.Fail(report.Finding{Requirement: "S10", Device: c.Device, Text: "an answer that nobody asked for", Packets: []string{s.line()}})
		}
	}
}

func checkUnknownVariable(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, g.Sample(4)), func(d *target.Device) {
		mark := d.Mark()
		_, err := e.Read(ctx, d, "nosuch")
		if reason, refused := target.Refusal(err); !refused || reason == target.NotOnline {
			r.Judged(1)
			r.Fail(report.Finding{Requirement: "C-22", Device: id(d), Text: "the read was not refused", Actual: errText(err)})
			return
		}
		sent := of(messages(d.Packets(mark)), kind(pdc.KindVariableRequest))
		Equal(r, "C-22", id(d), "requests on the wire", len(sent), 0)
	})
	return nil
}
