package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func networkSuite() Suite {
	return Suite{
		Name: "network",
		Text: "networks that lose, double and reorder datagrams, and a NAT that forgets, in virtual time",
		Checks: []Check{
			{
				Name: "lost", Text: "with each of the first 20 datagrams lost once a retransmission helps: the device is connected within 30 s",
				Provoke: "each of the first 20 datagrams is dropped, one in each run", Observe: "when the device is connected",
				Requirements: []string{"N-21", "R-34", "R-36"}, Skip: onlyUDP, Run: checkLost,
			},
			{
				Name: "doubled", Text: "with every datagram doubled both ways an event is taken once",
				Provoke: "every datagram is carried twice", Observe: "how often the cloud takes each event",
				Requirements: []string{"N-19", "R-52", "C-7"}, Skip: onlyUDP, Run: checkDoubled,
			},
			{
				Name: "reordered", Text: "with datagrams that overtake one another by up to a second, and every tenth lost, the device is connected within 90 s, and events are taken once",
				Provoke: "datagrams overtake one another and some are lost", Observe: "when the device is connected, and how often the cloud takes each event",
				Requirements: []string{"N-20", "R-34", "R-53"}, Skip: onlyUDP, Run: checkReordered,
			},
			{
				Name: "nat-change", Text: "a NAT gives the device another port: from 3.1 on the session goes on at once, before that with a resume",
				Provoke: "a NAT gives the device another port", Observe: "answers at the new port, resumes and ClientHellos",
				Requirements: []string{"R-64", "R-65", "R-88"}, Skip: onlyUDP, Run: checkNATChange,
			},
			{
				Name: "ota", Text: "an update by version 3 gets through 30 % loss, doubling and reordering; acknowledgements never go back",
				Provoke: "an image is flashed over a network that loses, doubles and reorders", Observe: "the counts in the device's acknowledgements",
				Requirements: []string{"N-39", "C-43", "D-15"}, Skip: onlyOTA3, Judge: judgeUpdateAcks, Run: checkLossyUpdate,
			},
		},
	}
}

// onlyOTA3 skips releases without OTA version 3.
func onlyOTA3(g *target.Group) string {
	if why := onlyUDP(g); why != "" {
		return why
	}
	for _, d := range g.Devices {
		if d.Profile.OTA3() {
			return ""
		}
	}
	return "no board of the group has OTA version 3"
}

// connectMax is how long a connect may take when the network is bad.
const connectMax = 90 * time.Second

// connectOneLost is how long it may take when one datagram is lost. N-21 grants
// 90 s, but then a device passes that sends nothing again and begins anew after
// some 70 s.
const connectOneLost = 30 * time.Second

// judgeConnected expects that the device has come online within limit of its first
// datagram.
func judgeConnected(r *Recorder, requirement, name, how string, limit time.Duration, v *target.Virtual) bool {
	packets := v.Packets(0)
	if len(packets) == 0 {
		r.Inconclusive(report.Finding{Device: name, Text: "the device sent nothing"})
		return false
	}
	took := v.Online().Sub(packets[0].At)
	r.Judged(1)
	if v.Online() != clock.Never && took <= limit {
		return true
	}
	r.Fail(report.Finding{Requirement: requirement, Device: name, Text: "the device is not connected in time " + how, Expected: "at most " + limit.String(), Actual: took.String(), Packets: lines(packets)})
	return false
}

func checkLost(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	const datagrams = 20
	for n := 1; n <= datagrams && ctx.Err() == nil; n++ {
		err := eachBoard(e, g, r, func(v *target.Virtual, name string) error {
			v.Lose(n)
			v.PowerOn()
			v.RunOnline(2 * connectMax)
			judgeConnected(r, "N-21", name, fmt.Sprintf("without datagram %d", n), connectOneLost, v)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func checkDoubled(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachBoard(e, g, r, func(v *target.Virtual, name string) error {
		// The copy comes later than the answer to the first one.
		bad := target.Access{Up: target.Link{Delay: 20 * time.Millisecond, Jitter: 50 * time.Millisecond, Duplicate: 1}}
		return judgeEvents(r, v, name, "N-19", bad)
	})
}

func checkReordered(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachBoard(e, g, r, func(v *target.Virtual, name string) error {
		bad := target.Access{Up: target.Link{Delay: 20 * time.Millisecond, Reorder: 0.3, ReorderBy: 900 * time.Millisecond}}
		v.LoseEvery(10)
		return judgeEvents(r, v, name, "N-20", bad)
	})
}

// judgeEvents connects over a bad network and expects that each event of the
// device is taken once.
func judgeEvents(r *Recorder, v *target.Virtual, name, requirement string, bad target.Access) error {
	v.Access(bad)
	v.CloudAccess(bad)
	v.PowerOn()
	v.RunOnline(2 * connectMax)
	if !judgeConnected(r, requirement, name, "over a bad network", connectMax, v) {
		return nil
	}
	for n := range 5 {
		if err := v.Publish(fmt.Sprintf("demo%d", n), []byte("x")); err != nil {
			return err
		}
		v.Run(5 * time.Second)
	}
	v.Run(time.Minute)
	for n := range 5 {
		event := fmt.Sprintf("demo%d", n)
		Equal(r, requirement, name, "copies of "+event+" that the cloud took", v.Seen(event), 1)
	}
	return nil
}

func checkNATChange(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachBoard(e, g, r, func(v *target.Virtual, name string) error {
		if err := v.Connect(); err != nil {
			return err
		}
		v.Run(10 * time.Second)
		changed := v.Net.Now()
		v.ChangeNAT()
		// The next ping, and where that stays unanswered the time until the device
		// connects again. A message that wants an acknowledgement would end the
		// session.
		limit := keepAlive(g, v.Cellular()) + time.Minute
		v.Run(limit)
		packets := v.Packets(changed)
		all := messages(packets)
		resumed, answered := false, false
		for _, p := range packets {
			resumed = resumed || p.Resume
		}
		for _, s := range all {
			answered = answered || s.packet.Direction == trace.Down
		}
		Equal(r, "R-88", name, fmt.Sprintf("the cloud answers at the new port within %v", limit), answered, true, lines(packets)...)
		Equal(r, "R-88", name, "the device resumes its session first", resumed, g.System < pdc.OS3_1, lines(packets)...)
		Equal(r, "R-88", name, "the device needs a handshake", sent(packets, trace.Up, trace.ClientHello), false, lines(packets)...)
		return nil
	})
}

// lossyImage is the size in bytes of the image that crosses a bad network.
const lossyImage = 1 << 18

func checkLossyUpdate(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachBoard(e, g, r, func(v *target.Virtual, name string) error {
		if !v.OTA3() {
			return nil
		}
		if err := v.Connect(); err != nil {
			return err
		}
		bad := target.Link{
			Delay: 30 * time.Millisecond, Jitter: 40 * time.Millisecond, Loss: 0.15, Duplicate: 0.1,
			Reorder: 0.1, ReorderBy: 100 * time.Millisecond,
		}
		// Either end loses 15 %: together nearly 30 % each way.
		v.Access(target.Access{Up: bad, Down: bad})
		v.CloudAccess(target.Access{Up: bad, Down: bad})
		began := v.Net.Now()
		r.Judged(1)
		if err := v.Flash(lossyImage, time.Hour); err != nil {
			r.Fail(report.Finding{Requirement: "N-39", Device: name, Text: "the update failed: " + err.Error(), Packets: last(v.Packets(began))})
			return nil
		}
		judgeChunkAcks(r, name, messages(v.Packets(began)))
		return nil
	})
}

// judgeUpdateAcks judges the acknowledgements of updates in a conversation, if there
// are any.
func judgeUpdateAcks(c *Conversation, r *Recorder) {
	if all := of(messages(c.Packets), func(s sight) bool {
		return s.message.Kind == pdc.KindUpdateStart || s.message.Kind == pdc.KindUpdateAck
	}); len(of(all, kind(pdc.KindUpdateAck))) > 0 {
		judgeChunkAcks(r, c.Device, all)
	}
}

// judgeChunkAcks expects that what a device has of an image never becomes less
// within a transfer, and that it acknowledges at all.
func judgeChunkAcks(r *Recorder, name string, all []sight) {
	acks, highest := 0, uint32(0)
	for _, s := range all {
		switch {
		case s.message.Kind == pdc.KindUpdateStart:
			highest = 0
		case s.message.Kind == pdc.KindUpdateAck && s.message.HasChunk && !s.packet.Received:
			acks++
			if s.message.Chunk < highest {
				r.Fail(report.Finding{Requirement: "D-15", Device: name, Text: fmt.Sprintf("an acknowledgement of %d chunks behind one of %d", s.message.Chunk, highest), Packets: []string{s.line()}})
			}
			highest = max(highest, s.message.Chunk)
		}
	}
	Equal(r, "D-15", name, "the device acknowledges chunks", acks > 0, true)
}
