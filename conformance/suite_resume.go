package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
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
				Provoke: "devices are killed, the cloud is restarted, devices are started again", Observe: "that no ClientHello is sent",
				Requirements: []string{"S6", "R-69", "R-74"}, Skip: onlyUDP, Run: checkNoHandshake,
			},
			{
				Name: "bytes", Text: "the first message and its acknowledgement cost exactly what the release needs, and less than 200 bytes",
				Provoke: "devices are killed, the cloud is restarted, devices are started again", Observe: "the packets of the first exchange, headers included",
				Requirements: []string{"S6", "R-71", "R-82"}, Skip: onlyUDP, Judge: judgeResumeBytes, Run: checkResumeBytes,
			},
			{
				Name: "marks", Text: "records carry type 254, 25 or 253 until the cloud has answered",
				Provoke: "devices are killed, the cloud is restarted, devices are started again, and called", Observe: "the content type of each record before and after the cloud's first",
				Requirements: []string{"R-49", "R-50", "R-65", "R-75"}, Skip: onlyUDP, Judge: judgeMarks, Run: checkMarks,
			},
			{
				Name: "sequence", Text: "the cloud's record sequence never goes back, also over its restart",
				Provoke: "devices are killed, the cloud is restarted, devices are started again", Observe: "the record sequences of the cloud before and after",
				Requirements: []string{"R-63"}, Skip: onlyUDP, Judge: judgeSequence, Run: checkSequence,
			},
			{
				Name: "state", Text: "functions and subscriptions work after a resume without a new describe",
				Provoke: "functions are called after the restart", Observe: "results, and that no describe is sent",
				Requirements: []string{"C-13", "R-70"}, Skip: onlyUDP, Run: checkResumedState,
			},
			{
				Name: "storm", Text: "when all devices resume at once, each is acknowledged within 60 s",
				Provoke: "devices are killed, the cloud is restarted, all devices are started again", Observe: "how long the first message of each waits for its acknowledgement",
				Requirements: []string{"R-93"}, Skip: onlyUDP, Run: checkStorm,
			},
			{
				Name: "reconnect", Text: "TCP has no resume: the device connects anew and works",
				Provoke: "devices are killed, the cloud is restarted, devices are started again", Observe: "that they connect and answer a call",
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

// resumeLimit is what the first message of a resume and its acknowledgement cost
// over IPv4: a ping in a record with connection id, or with a trailer. Releases
// before 2.0 say Hello first.
func resumeLimit(release Release) (l limit, known bool) {
	l = limit{requirement: "R-71", name: "first message of a resume and its acknowledgement", unit: "B"}
	if !release.knownBy(pdc.OS3_1, pdc.OS2_0) {
		return l, false
	}
	if yes, _ := release.atLeast(pdc.OS3_1); yes {
		l.value, l.exact = 142, true
	} else if yes, _ := release.atLeast(pdc.OS2_0); yes {
		l.value, l.exact = 135, true
	} else {
		l.value = 199
	}
	return l, true
}

// judgeResumeBytes measures each resume of the conversation. From 2.0 on a device may
// have a reason to say Hello instead of the ping, and the promise is about the ping.
func judgeResumeBytes(c *Conversation, r *Recorder) {
	all := messages(c.Packets)
	pings, _ := c.Release.atLeast(pdc.OS2_0)
	for _, s := range all {
		first := s.packet.Resume && s.message.Repeat == 0 && s.packet.Direction == trace.Up && firstIn(s)
		if first && (!pings || s.message.Kind == pdc.KindPing) {
			measureResume(c, all, s.message.Exchange, r)
		}
	}
}

// firstIn reports whether a message is the first in its packet.
func firstIn(s sight) bool { return s.packet.Messages()[0] == s.message }

// measureResume measures one exchange that resumes a session. One that was sent
// again costs more, and that is the network's doing.
func measureResume(c *Conversation, all []sight, exchange uint64, r *Recorder) {
	if retransmitted(all, exchange) {
		return
	}
	if !acknowledged(all, exchange, trace.Up) {
		if c.Whole {
			r.Judged(1)
			r.Fail(report.Finding{Requirement: "R-82", Device: c.Device, Text: "the first message is not acknowledged", Packets: lines(packetsOf(all, exchange))})
		}
		return
	}
	if l, known := resumeLimit(c.Release); known {
		packets := packetsOf(all, exchange)
		r.Measure(l, c.Device, total(packets), packets...)
	}
}

func checkResumeBytes(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		c := conversation(g, d).since(d.Restarted())
		all := messages(c.Packets)
		if len(all) == 0 {
			r.Fail(report.Finding{Requirement: "R-71", Device: id(d), Text: "nothing was said after the restart"})
			continue
		}
		measureResume(c, all, all[0].message.Exchange, r)
	}
	return nil
}

// stormMax is how long a device may wait for its acknowledgement when all resume:
// then its fourth transmission is over.
const stormMax = 60 * time.Second

func checkStorm(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		packets := d.Packets(d.Restarted())
		all := messages(packets)
		if !Equal(r, "R-93", id(d), "the device says something after the restart", len(all) > 0, true, lines(packets)...) {
			continue
		}
		first := all[0]
		answers := of(all, func(s sight) bool {
			return s.message.Exchange == first.message.Exchange && s.packet.Direction == trace.Down
		})
		if !Equal(r, "R-93", id(d), "its first message is acknowledged", len(answers) > 0, true, lines(packets)...) {
			continue
		}
		r.Judged(1)
		if took := answers[0].packet.At.Sub(first.packet.At); took > stormMax {
			r.Fail(report.Finding{
				Requirement: "R-93", Device: id(d), Text: "the acknowledgement of the first message came late",
				Expected: "within " + stormMax.String(), Actual: took.String(), Packets: lines(packets),
			})
		}
	}
	return nil
}

// markOf is the content type of a resumed record.
func markOf(release Release) dtls.ContentType {
	if yes, _ := release.atLeast(pdc.OS4_0); yes {
		return dtls.TypeMovedCID
	}
	if yes, _ := release.atLeast(pdc.OS3_1); yes {
		return dtls.TypeCID
	}
	return dtls.TypeMovedTrailer
}

func checkMarks(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	// A device that has nothing to say would not show that the mark is gone.
	target.Each(present(r, g.Sample(8)), func(d *target.Device) {
		judgeCall(ctx, e, d, target.FunctionSum, d.Hex(), target.Sum(d.Hex()), r)
	})
	for _, d := range g.Devices {
		judgeMarksOf(conversation(g, d).since(d.Restarted()).Packets, conversation(g, d), r)
	}
	return nil
}

// judgeMarks looks at each resume of the conversation that begins with a mark, to the
// next one. Without a mark it may be a live session at a new address, which goes on
// as it was.
func judgeMarks(c *Conversation, r *Recorder) {
	if !c.Release.knownBy(pdc.OS4_0, pdc.OS3_1) {
		return
	}
	from := -1
	for i, p := range c.Packets {
		if p.Direction != trace.Up || !p.Resume {
			continue
		}
		if t := p.Records[0].Type; t != dtls.TypeMovedCID && t != dtls.TypeMovedTrailer {
			if from >= 0 {
				judgeMarksOf(c.Packets[from:i], c, r)
			}
			from = -1
			continue
		}
		if from >= 0 {
			judgeMarksOf(c.Packets[from:i], c, r)
		}
		from = i
	}
	if from >= 0 {
		judgeMarksOf(c.Packets[from:], c, r)
	}
}

// inFlight is how long what a device had sent can be on its way when the answer of
// the cloud was seen somewhere between them.
const inFlight = 5 * time.Second

// judgeMarksOf judges the packets of one resume.
func judgeMarksOf(packets []*trace.Packet, c *Conversation, r *Recorder) {
	plain := dtls.TypeApplication
	if yes, _ := c.Release.atLeast(pdc.OS3_1); yes {
		plain = dtls.TypeCID
	}
	answered, first, unread := clock.Never, true, unreadUntil(packets)
	for _, p := range packets {
		if p.Association != packets[0].Association || p.Connection != packets[0].Connection {
			continue // a handshake, and what came behind it
		}
		for i := range p.Records {
			rec := &p.Records[i]
			switch {
			case rec.Message == nil:
			case p.Direction == trace.Down:
				answered = min(answered, p.At)
			case first:
				Equal(r, "R-75", c.Device, "type of the first record", rec.Type, markOf(c.Release), p.String())
				first = false
			case answered == clock.Never:
				Equal(r, "R-75", c.Device, "type of a record before the cloud has answered", rec.Type, markOf(c.Release), p.String())
			case c.Whole && !c.Far && rec.Message.Repeat == 0 && p.At > unread || p.At.Sub(answered) > inFlight:
				// The cloud's first answer has reached the device: the mark goes. What is
				// repeated may have been made before, and leave late on a busy machine.
				Equal(r, "R-75", c.Device, "type of a record after the cloud has answered", rec.Type, plain, p.String())
			}
		}
	}
}

// unreadUntil returns when the device sent something last without having read what had
// arrived: it repeated what was acknowledged. On a busy machine a datagram lies in a
// socket for seconds.
func unreadUntil(packets []*trace.Packet) (at clock.Instant) {
	acknowledged := make(map[uint64]bool)
	for _, s := range messages(packets) {
		switch m := s.message; {
		case m.Exchange == 0:
		case s.packet.Direction == trace.Down:
			acknowledged[m.Exchange] = acknowledged[m.Exchange] || m.CoAP.Type == coap.Acknowledgement
		case m.Repeat > 0 && acknowledged[m.Exchange]:
			at = s.packet.At
		}
	}
	return at
}

// judgeSequence looks for a sequence that was used for two records, which repeats a
// nonce.
func judgeSequence(c *Conversation, r *Recorder) {
	for _, p := range c.Packets {
		if p.Direction != trace.Down {
			continue
		}
		for i := range p.Records {
			if rec := &p.Records[i]; rec.Epoch == 1 && rec.State == trace.Opened {
				r.Judged(1)
				if rec.Reused {
					r.Fail(report.Finding{Requirement: "R-63", Device: c.Device, Text: "a sequence was used for two records", Packets: []string{p.String()}})
				}
			}
		}
	}
}

// checkSequence judges besides that no sequence behind the restart is not above all
// before it. Within either life of the cloud the network may reorder.
func checkSequence(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	compared := false
	for _, d := range g.Devices {
		c := conversation(g, d)
		judgeSequence(c, r)
		before := make(map[uint32]uint64) // highest, by association
		for _, p := range c.Packets {
			if p.Direction != trace.Down {
				continue
			}
			for i := range p.Records {
				rec := &p.Records[i]
				if rec.Epoch != 1 {
					continue
				}
				highest, seen := before[p.Association]
				switch {
				case p.At < d.Restarted().At:
					before[p.Association] = max(highest, rec.Sequence)
				case seen && rec.Sequence <= highest && !rec.Reused:
					r.Fail(report.Finding{
						Requirement: "R-63", Device: id(d), Text: "behind the restart of the cloud the sequence went back",
						Expected: fmt.Sprintf("above %d", highest), Actual: fmt.Sprint(rec.Sequence), Packets: []string{p.String()},
					})
				}
				compared = compared || seen && p.At >= d.Restarted().At
			}
		}
	}
	if !compared {
		r.Inconclusive(report.Finding{Text: "the cloud sent nothing in any session behind its restart"})
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
