package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func resumeSuite() Suite {
	return Suite{
		Name:    "resume",
		Text:    "devices and cloud restart, and the sessions go on without a handshake",
		Prepare: restartAll,
		Checks: []Check{
			{
				Name: "no-handshake", Text: "after both have restarted the session goes on: no ClientHello, no second key exchange",
				Requirements: []string{"S6", "R-69", "R-74"}, Skip: onlyUDP, Run: checkNoHandshake,
			},
			{
				Name: "bytes", Text: "the first message and its acknowledgement cost exactly what the release needs, and less than 200 bytes",
				Requirements: []string{"S6", "R-71", "R-82"}, Skip: onlyUDP, Run: checkResumeBytes,
			},
			{
				Name: "marks", Text: "records carry type 254, 25 or 253 until the cloud has answered",
				Requirements: []string{"R-49", "R-50", "R-65", "R-75"}, Skip: onlyUDP, Run: checkMarks,
			},
			{
				Name: "sequence", Text: "the cloud's record sequence never goes back, also over its restart",
				Requirements: []string{"R-63"}, Skip: onlyUDP, Run: checkSequence,
			},
			{
				Name: "state", Text: "functions and subscriptions work after a resume without a new describe",
				Requirements: []string{"C-13", "R-70"}, Skip: onlyUDP, Run: checkResumedState,
			},
			{
				Name: "reconnect", Text: "TCP has no resume: the device connects anew and works",
				Requirements: []string{"S5", "C-2"}, Skip: onlyTCP, Run: checkReconnect,
			},
		},
	}
}

// restartAll brings all devices online, stops every one as if its process had been
// killed, restarts the cloud, and starts the devices again. The checks look at who
// came back.
func restartAll(ctx context.Context, e *target.Env) error {
	deadline, _ := ctx.Deadline()
	half, cancel := context.WithTimeout(ctx, time.Until(deadline)/2) // who is not there by then is missing anyhow
	defer cancel()
	if err := switchOn(half, e); err != nil {
		return err
	}
	return e.RestartAll(ctx)
}

func checkNoHandshake(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		packets := d.Packets(d.Restarted())
		hellos := 0
		for _, h := range handshakes(packets, trace.Up) {
			if h.Type == trace.ClientHello {
				hellos++
			}
		}
		Equal(r, "R-74", id(d), "ClientHellos after the restart", hellos, 0, lines(packets)...)
		Equal(r, "R-69", id(d), "the device is connected again", d.Connected(), true, lines(packets)...)
	}
	return nil
}

// resumeBytes is what the first message of a resume and its acknowledgement cost
// over IPv4: a ping in a record with connection id, or with a trailer. Releases
// before 2.0 say Hello first.
func resumeBytes(g *target.Group) (limit int64, exact bool) {
	switch {
	case g.System >= pdc.OS3_1:
		return 142, true
	case g.System >= pdc.OS2_0:
		return 135, true
	default:
		return 199, false
	}
}

func checkResumeBytes(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	var costs []int64
	for _, d := range g.Devices {
		all := messages(d.Packets(d.Restarted()))
		if len(all) == 0 {
			r.Fail(report.Finding{Requirement: "R-71", Device: id(d), Text: "nothing was said after the restart"})
			continue
		}
		if retransmitted(all, all[0].message.Exchange) {
			continue
		}
		Equal(r, "R-82", id(d), "the first message is acknowledged", acknowledged(all, all[0].message.Exchange, trace.Up), true, all[0].line())
		costs = append(costs, bytesOf(all, all[0].message.Exchange))
	}
	limit, exact := resumeBytes(g)
	r.Measure("R-71", "first message of a resume and its acknowledgement", "B", costs, limit, exact)
	return nil
}

// markOf is the content type of a resumed record.
func markOf(g *target.Group) dtls.ContentType {
	switch {
	case g.System >= pdc.OS4_0:
		return dtls.TypeMovedCID
	case g.System >= pdc.OS3_1:
		return dtls.TypeCID
	default:
		return dtls.TypeMovedTrailer
	}
}

func checkMarks(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	// A device that has nothing to say would not show that the mark is gone.
	target.Each(present(r, g.Sample(8)), func(d *target.Device) {
		judgeCall(ctx, e, d, target.FunctionSum, d.Hex(), target.Sum(d.Hex()), r)
	})
	plain := dtls.TypeApplication
	if g.System >= pdc.OS3_1 {
		plain = dtls.TypeCID
	}
	for _, d := range g.Devices {
		answered, first := false, true
		for _, p := range d.Packets(d.Restarted()) {
			for i := range p.Records {
				rec := &p.Records[i]
				switch {
				case rec.Message == nil:
				case p.Direction == trace.Down:
					answered = true
				case first:
					Equal(r, "R-75", id(d), "type of the first record", rec.Type, markOf(g), p.String())
					first = false
				case answered:
					// The cloud's first answer has reached the device: the mark goes.
					Equal(r, "R-75", id(d), "type of a record after the cloud has answered", rec.Type, plain, p.String())
				default:
					Equal(r, "R-75", id(d), "type of a record before the cloud has answered", rec.Type, markOf(g), p.String())
				}
			}
		}
	}
	return nil
}

// checkSequence looks for a sequence that was used twice, which would repeat a
// nonce, and for one behind the restart that is not above all before it. Within
// either life of the cloud the network may reorder.
func checkSequence(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		before := make(map[uint32]uint64) // highest, by association
		for _, p := range d.Packets(start) {
			if p.Direction != trace.Down {
				continue
			}
			for i := range p.Records {
				rec := &p.Records[i]
				if rec.Epoch != 1 {
					continue
				}
				highest, seen := before[p.Association]
				if seen && p.At >= d.Restarted().At {
					r.Judged(1)
				}
				switch {
				case rec.Reused:
					r.Fail(report.Finding{Requirement: "R-63", Device: id(d), Text: "a sequence was used for two records", Packets: []string{p.String()}})
				case p.At < d.Restarted().At:
					before[p.Association] = max(highest, rec.Sequence)
				case seen && rec.Sequence <= highest:
					r.Fail(report.Finding{
						Requirement: "R-63", Device: id(d), Text: "behind the restart of the cloud the sequence went back",
						Expected: fmt.Sprintf("above %d", highest), Actual: fmt.Sprint(rec.Sequence), Packets: []string{p.String()},
					})
				}
			}
		}
	}
	return nil
}

func checkResumedState(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, g.Devices), func(d *target.Device) {
		judgeCall(ctx, e, d, target.FunctionSum, d.Hex(), target.Sum(d.Hex()), r)
		if g.System < pdc.OS2_0 {
			return // releases before 2.0 say Hello again, and are asked for their describe
		}
		posts := of(messages(d.Packets(d.Restarted())), kind(pdc.KindDescribePost))
		Equal(r, "R-70", id(d), "describes after the resume", len(posts), 0)
	})
	return nil
}

func checkReconnect(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(g.Devices, func(d *target.Device) {
		Equal(r, "C-2", id(d), "the device is connected again", d.Connected(), true, lines(d.Packets(d.Restarted()))...)
		if d.Connected() {
			judgeCall(ctx, e, d, target.FunctionSum, d.Hex(), target.Sum(d.Hex()), r)
		}
	})
	return nil
}
