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
		Name: "variables",
		Text: "the value stays on the device and travels only when asked for",
		Checks: []Check{
			{
				Name: "read", Text: "int, double, string and bool come back as the device has them",
				Requirements: []string{"S3", "S10", "C-36", "D-8"}, Run: checkRead,
			},
			{
				Name: "response-form", Text: "piggybacked up to 1.4, separate and acknowledged from 1.5 on",
				Requirements: []string{"C-6", "D-8"}, Run: checkValueForm,
			},
			{
				Name: "only-when-asked", Text: "no value is on the wire that nobody asked for",
				Requirements: []string{"S10"}, Run: checkOnlyWhenAsked,
			},
			{
				Name: "unknown", Text: "a variable that the describe does not list is refused, and nothing is sent",
				Requirements: []string{"C-22"}, Run: checkUnknownVariable,
			},
		},
	}
}

func checkRead(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(g.Devices, func(d *target.Device) {
		if !d.Connected() {
			return
		}
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

func checkOnlyWhenAsked(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := messages(d.Packets(start))
		asked := make(map[uint64]bool)
		for _, s := range all {
			switch s.message.Kind {
			case pdc.KindVariableRequest:
				asked[s.message.Exchange] = true
			case pdc.KindVariableValue:
				Equal(r, "S10", id(d), "the value was asked for", asked[s.message.Exchange], true, s.line())
			default:
				// Other messages carry no values.
			}
		}
	}
	return nil
}

func checkUnknownVariable(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(g.Sample(4), func(d *target.Device) {
		if !d.Connected() {
			return
		}
		mark := d.Mark()
		_, err := e.Read(ctx, d, "nosuch")
		if _, refused := target.Refusal(err); !refused {
			r.Judged(1)
			r.Fail(report.Finding{Requirement: "C-22", Device: id(d), Text: "the read was not refused", Actual: errText(err)})
			return
		}
		sent := of(messages(d.Packets(mark)), kind(pdc.KindVariableRequest))
		Equal(r, "C-22", id(d), "requests on the wire", len(sent), 0)
	})
	return nil
}
