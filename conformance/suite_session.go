package conformance

import (
	"context"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func sessionSuite() Suite {
	return Suite{
		Name:    "session",
		Text:    "a live session: it follows its device, and ends when the device says so",
		Prepare: switchOn,
		Checks: []Check{
			{
				Name: "new-address", Text: "a device that changed its address is answered there",
				Provoke: "a device changes its address and pings", Observe: "the address that the cloud answers to",
				Requirements: []string{"R-64", "R-88"}, Skip: onlyWithCID, Run: checkNewAddress,
			},
			{
				Name: "goodbye", Text: "a device that leaves says why, is acknowledged over UDP only, counts as offline at once, and can come back",
				Provoke: "a device is told to disconnect, and then to connect", Observe: "Goodbye and its acknowledgement, and the status on the account's stream",
				Requirements: []string{"C-14", "C-56"}, Skip: onlyWithGoodbye, Run: checkGoodbye,
			},
		},
	}
}

func checkNewAddress(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, g.Sample(8)), func(d *target.Device) {
		mark := d.Mark()
		d.NetworkChanged()
		d.Ping()
		answered := false
		err := e.Until(ctx, func() bool {
			packets := d.Packets(mark)
			moved := ""
			for _, p := range packets {
				if p.NewAddress && p.Direction == trace.Up {
					moved = p.DeviceAddress
				}
				answered = answered || moved != "" && p.Direction == trace.Down && p.DeviceAddress == moved
			}
			return answered
		})
		r.Judged(1)
		if err != nil || !answered {
			r.Fail(report.Finding{Requirement: "R-64", Device: id(d), Text: "no answer came to the new address", Packets: lines(d.Packets(mark))})
		}
	})
	return nil
}

// onlyWithCID skips releases without connection id, which notice a new address by
// their keep-alive only: "network/nat-change" judges them in virtual time.
func onlyWithCID(g *target.Group) string {
	if g.System < pdc.OS3_1 && g.Transport == "udp" {
		return "releases before 3.1 notice it by their keep-alive: see network/nat-change"
	}
	return onlyUDP(g)
}

// onlyWithGoodbye skips releases that leave without a word.
func onlyWithGoodbye(g *target.Group) string {
	if g.System < pdc.OS2_0 {
		return "releases before 2.0 leave without a word"
	}
	return ""
}

func checkGoodbye(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, g.Sample(4)), func(d *target.Device) {
		mark := d.Mark()
		tells := e.Sees(target.EventStream)
		var status *target.Stream
		if tells {
			status = e.Subscribe(d.Account, pdc.EventStatus)
			defer status.Close()
		}
		d.Disconnect()
		if _, err := d.Await(ctx, mark, func(e *target.Event) bool { return e.Kind == target.Offline }); err != nil {
			r.Inconclusive(report.Finding{Device: id(d), Text: err.Error()})
			return
		}
		settle(ctx, e, func() bool {
			all := messages(d.Packets(mark))
			goodbyes := of(all, kind(pdc.KindGoodbye))
			return len(goodbyes) > 0 && (g.Transport == "tcp" || acknowledged(all, goodbyes[0].message.Exchange, trace.Up))
		})
		judgeGoodbye(g, d, mark, r)
		if tells {
			judgeStatus(ctx, status, d, r)
		} else {
			r.Remark(remark("C-14", id(d), "not looked at, as the target does not show it: that the stream says that the device is offline"))
		}
		back := d.Mark()
		d.Connect()
		if _, err := d.AwaitOnline(ctx, back); err != nil {
			r.Fail(report.Finding{Requirement: "C-14", Device: id(d), Text: "the device could not come back: " + err.Error()})
		}
	})
	return nil
}

func judgeGoodbye(g *target.Group, d *target.Device, mark target.Mark, r *Recorder) {
	all := messages(d.Packets(mark))
	goodbyes := of(all, kind(pdc.KindGoodbye))
	if !Equal(r, "C-14", id(d), "goodbyes", len(goodbyes), 1) {
		return
	}
	if _, err := pdc.ParseGoodbye(goodbyes[0].message.CoAP); err != nil {
		r.Fail(report.Finding{Requirement: "C-14", Device: id(d), Text: err.Error(), Packets: []string{goodbyes[0].line()}})
	}
	Equal(r, "C-56", id(d), "the goodbye is acknowledged", acknowledged(all, goodbyes[0].message.Exchange, trace.Up), g.Transport == "udp", goodbyes[0].line())
}

// soon is less than the time after which a silent device counts as offline.
const soon = 20 * time.Second

// judgeStatus expects that the account's stream says soon that the device is
// offline.
func judgeStatus(ctx context.Context, status *target.Stream, d *target.Device, r *Recorder) {
	r.Judged(1)
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	for {
		select {
		case ev := <-status.C:
			if ev.Device.String() == d.Hex() && string(ev.Data) == "offline" {
				return
			}
		case <-ctx.Done():
			r.Fail(report.Finding{Requirement: "C-14", Device: id(d), Text: "the stream does not say that the device is offline"})
			return
		}
	}
}
