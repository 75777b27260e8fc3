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

func timerSuite() Suite {
	return Suite{
		Name: "timers",
		Text: "retransmission, keep-alive and expiry, in virtual time",
		Checks: []Check{
			{
				Name: "handshake-retransmission", Text: "ClientHello at 0, 3, 9 and 21 s, given up after 45 s; 0 and 3 s, given up after 9 s up to 1.4.0",
				Provoke: "the cloud is silent from the start", Observe: "when ClientHellos are sent",
				Requirements: []string{"R-47"}, Skip: onlyUDP, Run: checkHandshakeTimers,
			},
			{
				Name: "keep-alive", Text: "a ping after the interval of board and release without input, and an answer",
				Provoke: "a connected device is left alone", Observe: "when pings are sent, and their acknowledgements",
				Requirements: []string{"R-82", "R-87", "D-13"}, Run: checkKeepAlive,
			},
			{
				Name: "silent-cloud", Text: "no answer to a ping: the connection is dropped after 30 s over UDP and 10 s over TCP",
				Provoke: "the cloud falls silent under a connected device", Observe: "pings, and when the device says that it is offline",
				Requirements: []string{"R-21", "R-87", "D-13"}, Run: checkSilentCloud,
			},
			{
				Name: "retransmission", Text: "a Confirmable message goes four times, at intervals that double from 4 to 6 s on",
				Provoke: "the cloud falls silent, and the device publishes", Observe: "when the event is sent again",
				Requirements: []string{"D-2", "R-77"}, Skip: onlyUDP, Judge: judgeRetransmission, Run: checkRetransmission,
			},
			{
				Name: "expiry", Text: "resumes that nobody answers end in a full handshake",
				Provoke: "the device is restarted and the cloud is silent", Observe: "marked records, and when a ClientHello follows",
				Requirements: []string{"R-76", "R-77"}, Skip: onlyUDP, Run: checkExpiry,
			},
			{
				Name: "same-seed", Text: "the same seed gives the same packets",
				Provoke: "two runs with one seed and one with another", Observe: "a hash of every byte on the network",
				Requirements: []string{"D-1"}, Run: checkSameSeed,
			},
		},
	}
}

// eachBoard runs a check on one virtual device of each board of the group.
func eachBoard(e *target.Env, g *target.Group, r *Recorder, f func(v *target.Virtual, name string) error) error {
	seen := make(map[string]bool)
	for _, d := range g.Devices {
		name := d.Profile.String()
		if seen[name] {
			continue
		}
		seen[name] = true
		v, err := e.Virtual(d.Profile, e.Seed(), target.Puppet{})
		if err != nil {
			return err
		}
		if err := f(v, name); err != nil {
			r.Inconclusive(report.Finding{Device: name, Text: err.Error()})
		}
	}
	return nil
}

// clientHelloTimes returns when ClientHellos were sent, in whole seconds since
// the first.
func clientHelloTimes(packets []*trace.Packet) []int {
	var times []int
	var first clock.Instant
	for _, p := range packets {
		for _, h := range handshakes([]*trace.Packet{p}, trace.Up) {
			if h.Type != trace.ClientHello {
				continue
			}
			if times == nil {
				first = p.At
			}
			times = append(times, int(p.At.Sub(first).Round(time.Second)/time.Second))
		}
	}
	return times
}

func checkHandshakeTimers(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachBoard(e, g, r, func(v *target.Virtual, name string) error {
		v.Silence(true)
		v.PowerOn()
		v.Run(50 * time.Second)
		// The next attempt follows one second after the last was given up.
		want := []int{0, 3, 9, 21, 46}
		if g.System < pdc.OS1_4 {
			want = []int{0, 3, 10, 13, 20}
		}
		got := clientHelloTimes(v.Packets(0))
		if len(got) > len(want) {
			got = got[:len(want)]
		}
		Equal(r, "R-47", name, "seconds at which ClientHellos were sent", fmt.Sprint(got), fmt.Sprint(want))
		return nil
	})
}

// keepAlive is the time without input after which a device pings.
func keepAlive(g *target.Group, cellular bool) time.Duration {
	switch {
	case g.Transport == "tcp":
		return 15 * time.Second
	case cellular:
		return 23 * time.Minute
	case g.System < pdc.OS3_0:
		return 30 * time.Second
	default:
		return 25 * time.Second
	}
}

// slack is what a timer may be late in a device's loop.
const slack = 2 * time.Second

func checkKeepAlive(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachBoard(e, g, r, func(v *target.Virtual, name string) error {
		want := keepAlive(g, v.Cellular())
		if err := v.Connect(); err != nil {
			return err
		}
		v.Run(2*want + time.Minute)
		all := messages(v.Packets(0))
		quiet := lastBefore(all, kind(pdc.KindPing))
		pings := of(all, func(s sight) bool {
			return kind(pdc.KindPing)(s) && s.packet.Direction == trace.Up && s.packet.At > quiet
		})
		if len(pings) == 0 {
			r.Fail(report.Finding{Requirement: "R-87", Device: name, Text: fmt.Sprintf("no ping within %v", 2*want+time.Minute)})
			return nil
		}
		r.Judged(1)
		if got := pings[0].packet.At.Sub(quiet); got < want-slack || got > want+slack {
			r.Fail(report.Finding{
				Requirement: "R-87", Device: name, Text: "the first ping came at another time after the last input",
				Expected: want.String(), Actual: got.String(),
			})
		}
		Equal(r, "R-82", name, "the ping is acknowledged", acknowledged(all, pings[0].message.Exchange, trace.Up), true)
		return nil
	})
}

// lastBefore returns when the device last received something before the first
// message that fits.
func lastBefore(all []sight, fits func(sight) bool) clock.Instant {
	quiet := clock.Instant(0)
	for _, s := range all {
		if s.packet.Direction == trace.Up && fits(s) && quiet > 0 {
			break
		}
		if s.packet.Direction == trace.Down {
			quiet = s.packet.At
		}
	}
	return quiet
}

func checkSilentCloud(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachBoard(e, g, r, func(v *target.Virtual, name string) error {
		if err := v.Connect(); err != nil {
			return err
		}
		interval, patience := keepAlive(g, v.Cellular()), 30*time.Second
		if g.Transport == "tcp" {
			patience = 10 * time.Second
		}
		silent := v.Net.Now()
		v.Silence(true)
		v.Run(interval + patience + 5*time.Second)
		pings := of(messages(v.Packets(silent)), kind(pdc.KindPing))
		Equal(r, "R-87", name, "a ping is sent before the connection is dropped", len(pings) > 0, true)
		offline := false
		for _, ev := range v.Events(silent) {
			offline = offline || ev.Kind == target.Offline
		}
		Equal(r, "R-87", name, fmt.Sprintf("the connection is dropped within %v", interval+patience+5*time.Second), offline, true)
		return nil
	})
}

func checkRetransmission(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachBoard(e, g, r, func(v *target.Virtual, name string) error {
		if err := v.Connect(); err != nil {
			return err
		}
		silent := v.Net.Now()
		v.Silence(true)
		if err := v.Publish("demo", []byte("x")); err != nil {
			return err
		}
		v.Run(2 * time.Minute)
		var times []clock.Instant
		for _, s := range messages(v.Packets(silent)) {
			if s.message.Event == "demo" && s.message.CoAP.Type == coap.Confirmable {
				times = append(times, s.packet.At)
			}
		}
		judgeIntervals(r, name, times)
		return nil
	})
}

// judgeRetransmission judges the intervals of what a device sent more than once. A
// transmission that is missing in a recording makes an interval longer, never
// shorter.
func judgeRetransmission(c *Conversation, r *Recorder) {
	type key struct {
		association uint32
		exchange    uint64
		id          uint16
	}
	times := make(map[key][]clock.Instant)
	for _, s := range messages(c.Packets) {
		m, k := s.message, key{s.packet.Association, s.message.Exchange, s.message.CoAP.ID}
		if s.packet.Direction != trace.Up || m.CoAP.Type != coap.Confirmable || s.packet.Duplicate {
			continue
		}
		if m.Repeat == 0 {
			delete(times, k)
		} else if times[k] == nil {
			continue // the first transmission was not seen
		}
		times[k] = append(times[k], s.packet.At)
		if n := len(times[k]); n > 1 {
			r.Judged(1)
			shortest := 4 * time.Second << (n - 2)
			if got := times[k][n-1].Sub(times[k][n-2]); got < shortest-slack/4 {
				r.Fail(report.Finding{
					Requirement: "D-2", Device: c.Device, Text: fmt.Sprintf("transmission %d came early", n),
					Expected: "at least " + shortest.String(), Actual: got.String(), Packets: []string{s.line()},
				})
			}
		}
	}
}

// judgeIntervals expects 4, 8 and 16 s, each times a factor from 1 to 1.5. A
// device whose keep-alive runs out drops the connection before the last one.
func judgeIntervals(r *Recorder, name string, times []clock.Instant) {
	r.Judged(1)
	if len(times) < 3 || len(times) > 4 {
		r.Fail(report.Finding{Requirement: "D-2", Device: name, Text: fmt.Sprintf("%d transmissions, want 4", len(times))})
		return
	}
	for i := 1; i < len(times); i++ {
		shortest := 4 * time.Second << (i - 1)
		if got := times[i].Sub(times[i-1]); got < shortest-slack/4 || got > shortest*3/2+slack/4 {
			r.Fail(report.Finding{
				Requirement: "D-2", Device: name, Text: fmt.Sprintf("interval before transmission %d", i+1),
				Expected: fmt.Sprintf("%v to %v", shortest, shortest*3/2), Actual: got.String(),
			})
		}
	}
}

func checkExpiry(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachBoard(e, g, r, func(v *target.Virtual, name string) error {
		if err := v.Connect(); err != nil {
			return err
		}
		v.Suspend()
		v.Silence(true)
		silent := v.Net.Now()
		v.PowerOn()
		v.Run(5 * time.Minute)
		packets := v.Packets(silent)
		hello, marked := clock.Never, 0
		for _, p := range packets {
			for i := range p.Records {
				switch rec := &p.Records[i]; {
				case len(rec.Handshake) > 0 && rec.Handshake[0].Type == trace.ClientHello:
					hello = min(hello, p.At)
				case rec.Type == dtls.TypeMovedTrailer || rec.Type == dtls.TypeMovedCID || rec.Type == dtls.TypeCID:
					marked++
				}
			}
		}
		r.Judged(1)
		if marked == 0 {
			r.Fail(report.Finding{Requirement: "R-74", Device: name, Text: "the device did not try to resume", Packets: lines(packets)})
		}
		// 60 to 90 s after the first message that stays unanswered, or later where
		// the keep-alive resumes again: three resumes at most.
		if after := hello.Sub(silent); hello == clock.Never || after < 55*time.Second || after > 4*time.Minute {
			r.Fail(report.Finding{
				Requirement: "R-77", Device: name, Text: "the full handshake came at another time",
				Expected: "60 s to 4 min after the resume", Actual: howLate(hello, silent), Packets: lines(packets),
			})
		}
		return nil
	})
}

func checkSameSeed(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	p := g.Devices[0].Profile
	var digests [3]string
	for i, seed := range []uint64{e.Seed(), e.Seed(), e.Seed() + 1} {
		v, err := e.Virtual(p, seed, target.Puppet{})
		if err != nil {
			return err
		}
		if err := v.Connect(); err != nil {
			return err
		}
		v.Run(10 * time.Minute)
		digests[i] = fmt.Sprintf("%x", v.Digest())
	}
	Equal(r, "D-1", p.String(), "two runs with one seed are equal to the last byte", digests[0] == digests[1], true)
	Equal(r, "D-1", p.String(), "runs with two seeds are equal", digests[0] == digests[2], false)
	return nil
}
