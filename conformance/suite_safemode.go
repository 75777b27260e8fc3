package conformance

import (
	"context"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func safeModeSuite() Suite {
	return Suite{
		Name:    "safemode",
		Text:    "a device whose application needs a system module that it does not have",
		Prepare: switchOn,
		Checks: []Check{{
			Name: "rescue", Text: "a device in safe mode is sent the system module that it lacks, and not its application, and leaves safe mode",
			Provoke: "a device boots whose application needs a newer system part, of which the cloud has an image", Observe: "size and hash of the image that is begun, and what the device says when it is back",
			Requirements: []string{"C-32"}, Skip: hasSystemParts, Run: checkRescue,
		}},
	}
}

// hasSystemParts skips boards whose firmware is one piece.
func hasSystemParts(g *target.Group) string {
	for _, m := range g.Devices[0].Profile.Factory() {
		if m.Function == systemPart {
			return ""
		}
	}
	return "the board has no system part of its own"
}

// lacking is the last system part of a board, one version newer than it has, and
// an application that needs it.
func lacking(p *target.DeviceProfile) (system, application firmware) {
	for _, m := range p.Factory() {
		if m.Function == systemPart {
			system = firmware{
				start: m.Start, version: m.Version + 1, platform: uint16(p.Board.Platform), function: systemPart, index: m.Index, body: make([]byte, 3000),
			}
			for i, d := range m.Dependencies {
				system.needs[i] = need{d.Function, d.Index, d.Version}
			}
		}
	}
	application = firmwareFor(p, userPart, 2000)
	application.needs = [2]need{{systemPart, system.index, system.version}}
	return system, application
}

func checkRescue(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	system, application := lacking(g.Devices[0].Profile)
	d, err := e.Stranded(ctx, g, [][]byte{system.bytes(), application.bytes()}, target.SystemNeed{Index: system.index, Version: system.version})
	if err != nil {
		return err
	}
	defer e.Dismiss(d)
	mark := d.Mark()
	d.PowerOn()
	if _, err := d.AwaitOnline(ctx, mark); err != nil {
		return err
	}
	offered := func(s sight) bool { return kind(pdc.KindUpdateStart)(s) || kind(pdc.KindUpdateBegin)(s) }
	r.Judged(1)
	if err := e.Until(ctx, func() bool { return len(of(messages(d.Packets(mark)), offered)) > 0 }); err != nil {
		r.Fail(report.Finding{Requirement: "C-32", Device: id(d), Text: "a device in safe mode is sent nothing", Packets: last(d.Packets(mark))})
		return nil
	}
	size := offeredSize(of(messages(d.Packets(mark)), offered)[0])
	Equal(r, "C-32", id(d), "bytes of the image that is begun: that of the system part", size, len(system.bytes()), last(d.Packets(mark))...)
	if err := e.Until(ctx, func() bool { return appliedUpdate(d, mark) }); err != nil {
		r.Fail(report.Finding{Requirement: "C-32", Device: id(d), Text: "the device does not come back with the module", Packets: last(d.Packets(mark))})
	}
	return nil
}

// offeredSize is the size of the image that an update is begun for.
func offeredSize(s sight) int {
	if start, err := pdc.ParseUpdateStart(s.message.CoAP); err == nil && s.message.Kind == pdc.KindUpdateStart {
		return int(start.FileSize)
	}
	begin, err := pdc.ParseUpdateBegin(s.message.CoAP)
	if err != nil {
		return -1
	}
	return int(begin.Length)
}

// appliedUpdate reports whether a device has said Hello with the flag of an update
// that was applied.
func appliedUpdate(d *target.Device, mark target.Mark) bool {
	for _, s := range of(messages(d.Packets(mark)), kind(pdc.KindHello)) {
		if hello, err := pdc.ParseHello(s.message.CoAP); err == nil && s.packet.Direction == trace.Up && hello.Flags&pdc.HelloUpdated != 0 {
			return true
		}
	}
	return false
}
