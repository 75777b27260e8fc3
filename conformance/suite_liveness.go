package conformance

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
)

func livenessSuite() Suite {
	return Suite{
		Name: "liveness",
		Text: "acknowledgements, retransmissions, probes and noise at the cloud, in virtual time",
		Checks: []Check{
			{
				Name: "pings", Text: "a ping is acknowledged within a second, however many come, and never reset",
				Provoke:      "a forged device pings a hundred times",
				Observe:      "each answer, and when it comes",
				Requirements: []string{"R-82"}, Skip: onlyUDP, Run: checkPings,
			},
			{
				Name: "duplicates", Text: "a message that comes again in a new record gets the same answer and is carried out once",
				Provoke:      "a forged device repeats an event, at once and up to 44 s later",
				Observe:      "the answers, byte for byte, and copies of the event",
				Requirements: []string{"R-83"}, Skip: onlyUDP, Run: checkDuplicates,
			},
			{
				Name: "own-messages", Text: "the cloud sends its own message four times at intervals that double, and keeps the session",
				Provoke:      "a forged device does not acknowledge an event",
				Observe:      "when the event comes, and that a later ping is acknowledged",
				Requirements: []string{"R-84"}, Skip: onlyUDP, Run: checkOwnMessages,
			},
			{
				Name: "probes", Text: "probes of 14 to 525 bytes come back as they are, malformed ones do not, and a flood is bounded",
				Provoke:      "probes of every size, with wrong lengths and epochs, and a thousand at once",
				Observe:      "what comes back, byte for byte, and how much",
				Requirements: []string{"R-85", "R-86"}, Skip: onlyUDP, Run: checkProbes,
			},
			{
				Name: "largest", Text: "the largest message that a release may send is taken",
				Provoke:      "a forged device sends messages up to the limit of its release",
				Observe:      "that each is acknowledged",
				Requirements: []string{"R-95"}, Skip: onlyUDP, Run: checkLargest,
			},
			{
				Name: "noise", Text: "thousands of mutated datagrams and frames leave the cloud and its sessions as they were",
				Provoke:      "records, hellos and frames are mutated at random and sent from the device's address and others",
				Observe:      "that nothing of it is answered, and that the session goes on",
				Requirements: []string{"R-94"}, Run: checkCloudNoise,
			},
		},
	}
}

func checkPings(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		for n := range 100 {
			said := w.Now()
			id := f.tell(ping)
			w.Within(time.Second, func() bool { return !f.ignored(id) })
			acks := f.acks(id)
			if !w.expect("R-82", fmt.Sprintf("ping %d is acknowledged within a second", n+1), len(acks) == 1 && acks[0].at.Sub(said) <= time.Second) {
				break
			}
		}
		for _, h := range f.heard {
			w.expect("R-82", "no Reset is sent", len(h.wire) < 4 || h.wire[0]>>4 != 7)
		}
		return nil
	})
}

func checkDuplicates(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		if err := w.Takes(45 * time.Second); err != nil {
			return err
		}
		message, id := f.numbered(eventOf(40))
		began := w.Now()
		w.Send(f.from, f.record(message).Bytes())
		for _, after := range []time.Duration{time.Second, 5 * time.Second, 20 * time.Second, 44 * time.Second} {
			w.Run(began.Add(after).Sub(w.Now()))
			w.Send(f.from, f.record(message).Bytes())
		}
		acks := f.acks(id)
		if Equal(r, "R-83", w.name, "answers to a message that came five times within 45 s", len(acks), 5) {
			for _, a := range acks[1:] {
				w.expect("R-83", "each answer is the same", bytes.Equal(a.wire, acks[0].wire))
			}
		}
		if w.Sees(target.Insight) {
			Equal(r, "R-83", w.name, "copies of the event that the cloud took", w.Taken("x"), 1)
		} else {
			w.unseen("R-83", "copies of the event that the cloud took")
		}
		return nil
	})
}

func checkOwnMessages(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		if err := w.Takes(2 * time.Minute); err != nil {
			return err
		}
		f.deaf = true
		mark := w.Now()
		f.elicit("own", []byte("x"))
		w.Run(2 * time.Minute)
		var times []clock.Instant
		var first []byte
		for _, h := range f.heard {
			if h.at >= mark && len(h.wire) > 4 && h.wire[0]>>4 == 4 {
				if first == nil {
					first = h.wire
				}
				w.expect("R-84", "each transmission is the same message", bytes.Equal(h.wire, first))
				times = append(times, h.at)
			}
		}
		if Equal(r, "R-84", w.name, "transmissions of a message that nobody acknowledges", len(times), 4) {
			for i := 1; i < len(times); i++ {
				shortest, got := 4*time.Second<<(i-1), times[i].Sub(times[i-1])
				w.expect("R-84", fmt.Sprintf("the interval before transmission %d is %v to %v (it is %v)", i+1, shortest, shortest*3/2, got),
					got >= shortest-slack/4 && got <= shortest*3/2+slack/4)
			}
		}
		w.offline("R-84", "a device that does not answer counts as offline")
		f.deaf = false
		w.expect("R-84", "its session is kept", f.alive())
		return nil
	})
}

func checkProbes(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		probe := func(epoch uint16, length, size int) []byte {
			return gen.Record{Type: gen.Probe, Epoch: epoch, Sequence: 7, Length: &length, Body: bytes.Repeat([]byte{0xab}, size)}.Bytes()
		}
		for i, size := range []int{14, 15, 64, 269, 525} {
			b := probe(0x8001, size-13, size-13)
			replies := w.SendFor(anything, w.Stranger(i+1, 7777), b)
			w.expect("R-85", fmt.Sprintf("a probe of %d bytes comes back as it is", size), len(replies) == 1 && bytes.Equal(replies[0].Data, b))
		}
		for what, b := range inOrder(map[string][]byte{
			"a low epoch": probe(0x7fff, 20, 20), "epoch 0": probe(0, 20, 20), "a length above what follows": probe(0x8001, 21, 20),
			"a length below what follows": probe(0x8001, 19, 20), "no payload": probe(0x8001, 0, 0), "526 bytes": probe(0x8001, 513, 513),
			"another version": gen.Set(probe(0x8001, 20, 20), 1, 0xfe, 0xff), "twelve bytes": probe(0x8001, 0, 0)[:12],
		}) {
			w.expect("R-86", "a probe with "+what+" does not come back", len(w.Send(w.Stranger(20, 7777), b)) == 0)
		}
		if !w.Alone() {
			w.unseen("R-86", "what becomes of a thousand probes at once")
			return nil
		}
		flood := make([][]byte, 1000)
		for i := range flood {
			flood[i] = probe(0x8001, 20, 20)
		}
		got := len(w.Send(w.Stranger(21, 7777), flood...))
		w.expect("R-86", fmt.Sprintf("of a thousand probes at once less than half come back (%d did)", got), got < len(flood)/2)
		return nil
	})
}

func checkLargest(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		limit := w.Profile.Dialect().Limits().Message
		for _, n := range []int{limit / 2, limit - 1, limit} {
			id := f.tell(eventOf(n))
			w.expect("R-95", fmt.Sprintf("a message of %d bytes is acknowledged", n), f.acknowledged(id))
		}
		w.expect("R-95", "the session goes on", f.alive())
		return nil
	})
}

// Sizes of the noise.
const (
	noiseRounds   = 30
	noiseAtOnce   = 100
	noiseOfFrames = 60
)

// mutate changes a few bytes of b, cuts it, or adds to it.
func mutate(rng *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + rng.IntN(4) {
		if len(b) == 0 {
			break
		}
		switch at := rng.IntN(len(b)); rng.IntN(6) {
		case 0:
			b = b[:at]
		case 1:
			b = append(b, byte(rng.Uint32()), byte(rng.Uint32()))
		case 2:
			b[at] = 0xff
		default:
			b[at] ^= byte(1 << rng.IntN(8))
		}
	}
	return b
}

func checkCloudNoise(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	rng := seed.Stream(e.Seed(), "conformance/noise")
	if g.Transport == "tcp" {
		return withForgery(e, g, r, func(w *forgery) error { return noisyStreams(w, rng) })
	}
	return withForgery(e, g, r, func(w *forgery) error { return noisyDatagrams(w, rng) })
}

func noisyDatagrams(w *forgery, rng *rand.Rand) error {
	f, err := w.connected()
	if err != nil {
		return err
	}
	hello := gen.DeviceHello(w.generation(), fill("noise"))
	for range noiseRounds {
		for _, from := range []int{0, 1} {
			var datagrams [][]byte
			for range noiseAtOnce {
				message, _ := f.numbered(ping)
				s := f.record(message)
				// Only a wrong tag makes sure that a change of what is not authenticated
				// does not leave a good record.
				s.Tag = gen.U(8, rng.Uint64())
				seeds := [][]byte{s.Bytes(), gen.Moved253(s.Bytes()), gen.Plain(9, hello.Message()).Bytes(), gen.PlainAlert(3, 2, 40).Bytes(), make([]byte, rng.IntN(64))}
				datagrams = append(datagrams, mutate(rng, seeds[rng.IntN(len(seeds))]))
			}
			at := f.from
			if from == 1 {
				at = w.Stranger(1+rng.IntN(50), 4444)
			}
			w.r.Judged(len(datagrams))
			for _, d := range w.Send(at, datagrams...) {
				if !answersHello(d) && !isEcho(d, datagrams) {
					w.fail("R-94", fmt.Sprintf("the cloud answers noise with % x", d.Data))
					return nil
				}
			}
		}
		if !w.expect("R-94", "behind a hundred datagrams of noise the session goes on", f.alive()) {
			return nil
		}
	}
	return nil
}

// answersHello reports whether a datagram is what a ClientHello may get.
func answersHello(d peer.RawDatagram) bool {
	all := messagesIn(d.Data)
	return len(all) == 1 && all[0].Type == gen.TypeHelloVerifyRequest || len(alertsIn([]peer.RawDatagram{d})) > 0
}

// isEcho reports whether a datagram is the echo of one that a mutation has made a
// probe.
func isEcho(d peer.RawDatagram, sent [][]byte) bool {
	return len(d.Data) > 0 && d.Data[0] == gen.Probe &&
		slices.ContainsFunc(sent, func(b []byte) bool { return bytes.Equal(b, d.Data) })
}

func noisyStreams(w *forgery, rng *rand.Rand) error {
	quiet, err := w.streamOnline()
	if err != nil {
		return err
	}
	quiet.frames()
	for n := range noiseOfFrames {
		c := w.dial()
		if n%2 == 0 {
			w.Write(c.s, mutate(rng, c.c1(true)))
			c.w.Hang(c.s)
			continue
		}
		if err := c.shake(c.c1(true)); err != nil {
			return err
		}
		w.Write(c.s, mutate(rng, c.up.Seal(ping)), mutate(rng, c.up.Seal(eventOf(50))))
		c.w.Hang(c.s)
	}
	fresh, err := w.streamOnline()
	w.expect("R-94", "behind noise on sixty connections a device gets in", err == nil)
	if err == nil {
		id := fresh.tell(ping)
		messages, _ := fresh.frames()
		w.expect("R-94", "behind noise on sixty connections a ping is acknowledged", acksOf(messages, id) == 1)
	}
	return nil
}
