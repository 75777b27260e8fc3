package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

func sendingSuite() Suite {
	return Suite{
		Name: "sending",
		Text: "how a cloud sends updates, by either protocol, to a puppet device that loses, refuses, waits and comes back, in virtual time",
		Checks: []Check{
			{
				Name: "start", Text: "chunks fit the messages of the device, are a multiple of four from 512 on, and the hash is that of the whole file",
				Provoke: "an update is sent to devices with messages of 960 and of 1152 bytes", Observe: "the options of Start",
				Requirements: []string{"C-40"}, Skip: onlyOTA3, Run: checkSentStart,
			},
			{
				Name: "offset", Text: "the transfer goes on where the device is, to the last byte, and where nothing is missing ends at once",
				Provoke: "a puppet device answers Start with an offset in the middle, and at the end", Observe: "the chunks, and what they make",
				Requirements: []string{"C-41", "C-42"}, Skip: onlyOTA3, Run: checkSentOffset,
			},
			{
				Name: "lossy", Text: "only what is missing is sent again, lost acknowledgements are survived and old ones ignored",
				Provoke: "a puppet device loses a fifth of chunks and acknowledgements, and repeats an old one", Observe: "the image that arrives, and how many chunks it took",
				Requirements: []string{"C-43", "C-44"}, Skip: onlyOTA3, Run: checkSentOverLoss,
			},
			{
				Name: "finish", Text: "Finish comes when all is in, its answer is acknowledged at once, and success is what the device says when it is back",
				Provoke: "a puppet device delays its answer to Finish, and comes back with and without the flag", Observe: "Finish, acknowledgement, and what the owner is told",
				Requirements: []string{"C-44"}, Skip: onlyOTA3, Run: checkSentFinish,
			},
			{
				Name: "refused", Text: "an error of the device is acknowledged and told, and the image is not sent again",
				Provoke: "a puppet device answers Finish with error -1360, and comes back", Observe: "the acknowledgement, what the owner is told, and whether a Start follows",
				Requirements: []string{"C-45"}, Skip: onlyOTA3, Run: checkSentRefused,
			},
			{
				Name: "legacy", Text: "nothing is sent before UpdateReady; exactly the chunks that are missing are sent again, and UpdateDone after them",
				Provoke: "a puppet device delays UpdateReady, and loses chunks 1 and 5", Observe: "the order of requests, and the image that arrives",
				Requirements: []string{"C-46"}, Skip: onlyLegacy, Run: checkLegacyFast,
			},
			{
				Name: "legacy-slow", Text: "without fast mode a refused chunk is sent again, and an accepted one never",
				Provoke: "a puppet device refuses one chunk once", Observe: "the checksums of the chunks, in order",
				Requirements: []string{"C-47"}, Skip: onlyLegacy, Run: checkLegacySlow,
			},
			{
				Name: "legacy-own-done", Text: "up to 0.7 the device may end the update itself",
				Provoke: "a puppet device loses a chunk, and says UpdateDone when it has come", Observe: "the acknowledgement, and what the owner is told",
				Requirements: []string{"C-48"}, Skip: until(pdc.OS0_8), Run: checkLegacyOwnDone,
			},
			{
				Name: "interrupted", Text: "an update whose connection is lost goes on by itself when the device is back: where it was by v3, from the beginning by the legacy protocol",
				Provoke: "a puppet device loses its connection in the middle of an update, and comes back", Observe: "the requests of the cloud, and the image that arrives",
				Requirements: []string{"N-36", "N-46", "C-41"}, Run: checkSentInterrupted,
			},
			{
				Name: "quiet", Text: "pings, describes and events wait until the update is over",
				Provoke: "the cloud is told to ping, describe and deliver during an update", Observe: "the requests during it, and after it",
				Requirements: []string{"C-49"}, Run: checkQuietSending,
			},
			{
				Name: "held", Text: "an update that the application does not allow waits until it does, or until the device has confirmed that it is forced",
				Provoke: "a puppet device says updates/enabled = false, and later forced = true", Observe: "when the update begins",
				Requirements: []string{"C-50"}, Skip: since(pdc.OS1_2), Run: checkHeldUpdate,
			},
		},
	}
}

// onlyLegacy skips releases whose boards all have OTA protocol v3.
func onlyLegacy(g *target.Group) string {
	for _, d := range g.Devices {
		if !d.Profile.OTA3() {
			return ""
		}
	}
	return "every board of the group has OTA version 3"
}

// withTaker runs a check on puppets that take updates, by v3 or by the legacy
// protocol.
func withTaker(e *target.Env, g *target.Group, r *Recorder, v3 bool, f func(t *taker, name string) error) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		if d.Profile.OTA3() != v3 {
			return nil
		}
		t := newTaker(d)
		if !d.Sees(target.Insight) && d.Within(unaskedTime, func() bool { return len(t.log) > 0 }) {
			// What another check, or another run, left unfinished would be taken for what
			// this one sends.
			return d.Lack(target.Updates, "it goes on with an update of the device that was begun before")
		}
		return f(t, name)
	})
}

// unaskedTime is when a cloud goes on with an update that was cut, at the latest.
const unaskedTime = 2 * time.Second

// sentImage is the size in bytes of the images that are sent.
const sentImage = 20_000

func checkSentStart(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, message := range []uint16{960, 1152} {
		err := withNewPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
			if !d.Profile.OTA3() {
				return nil
			}
			hello := d.Hello()
			hello.MaxMessage = message
			if err := d.OnlineWith(hello); err != nil {
				return err
			}
			t, image, mark := newTaker(d), d.Image(sentImage), d.Now()
			if _, err := d.Flash(image); err != nil {
				return err
			}
			d.Settle(time.Second)
			d.Patient(func() bool { return len(t.log) > 0 })
			what := fmt.Sprintf("(messages of %d bytes)", message)
			if !Equal(r, "C-40", name, "the first request "+what, first(t.log), "start", lines(d.Packets(mark))...) {
				return nil
			}
			size, most := t.start.ChunkSize, uint32(message-14)/4*4
			Equal(r, "C-40", name, fmt.Sprintf("chunks of %d bytes are a multiple of four from 512 to %d %s", size, most, what), size >= 512 && size <= most && size%4 == 0, true, lines(d.Packets(mark))...)
			sum := sha256.Sum256(image)
			Equal(r, "C-40", name, "the hash is that of the whole file", bytes.Equal(t.start.SHA256, sum[:]), true, lines(d.Packets(mark))...)
			Equal(r, "C-40", name, "the size is that of the whole file", int(t.start.FileSize), len(image), lines(d.Packets(mark))...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func first(log []string) string {
	if len(log) == 0 {
		return "none"
	}
	return log[0]
}

func checkSentOffset(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, offset := range []uint32{5120, sentImage} {
		requirement := "C-41"
		if offset == sentImage {
			requirement = "C-42"
		}
		err := withTaker(e, g, r, true, func(t *taker, name string) error {
			t.offset = offset
			image, mark := t.d.Image(sentImage), t.d.Now()
			if _, err := t.d.Flash(image); err != nil {
				return err
			}
			t.within(10*time.Second, "finish")
			what := fmt.Sprintf("(the device has %d of %d bytes)", offset, len(image))
			Equal(r, requirement, name, "what the cloud does "+what, strings.Join(t.log, ", "), "start, finish", lines(t.d.Packets(mark))...)
			Equal(r, requirement, name, "what arrives is the rest of the image "+what, bytes.Equal(t.data[offset:], image[offset:]), true, lines(t.d.Packets(mark))...)
			Equal(r, requirement, name, "chunks "+what, len(t.have), int((uint32(len(image))-offset+t.start.ChunkSize-1)/t.start.ChunkSize), lines(t.d.Packets(mark))...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lossyRate is how many of a hundred messages a puppet loses.
const lossyRate = 20

func checkSentOverLoss(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTaker(e, g, r, true, func(t *taker, name string) error {
		rng := rand.New(rand.NewPCG(seed.Stream(e.Seed(), "sending/lossy").Uint64(), 1))
		t.lose = func() bool { return rng.IntN(100) < lossyRate }
		t.stale = true
		image, mark := t.d.Image(100_000), t.d.Now()
		outcome, err := t.d.Flash(image)
		if err != nil {
			return err
		}
		t.within(5*time.Minute, "finish")
		Equal(r, "C-43", name, "the image has arrived as it is", bytes.Equal(t.data, image), true, last(t.d.Packets(mark))...)
		Equal(r, "C-44", name, "requests that came too early", strings.Join(t.early, ", "), "", last(t.d.Packets(mark))...)
		r.Measure(limit{"C-43", "chunks sent, of those of the image, at 20 % loss of chunks and acknowledgements", "%", 200, false},
			name, int64(t.packets(outcome, mark))*100/int64(max(t.count, 1)))
		return nil
	})
}

func checkSentFinish(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, applied := range []bool{true, false} {
		err := withTaker(e, g, r, true, func(t *taker, name string) error {
			t.held = true
			mark := t.d.Now()
			outcome, err := t.d.Flash(t.d.Image(sentImage))
			if err != nil {
				return err
			}
			t.within(10*time.Second, "finish")
			Equal(r, "C-44", name, "requests that came too early", strings.Join(t.early, ", "), "", last(t.d.Packets(mark))...)
			if t.d.Sees(target.Insight) { // an API says so when the image was sent, or later
				Equal(r, "C-44", name, "the update is reported as done before the device has answered", outcome.Done, false)
			}
			answered, answer := t.d.Now(), t.verdict()
			t.d.Say(answer)
			judgeAnswers(r, "C-44", name, "what the cloud says to the answer to Finish", t.d, answered, []string{fmt.Sprintf("60 00 %02x%02x", answer[2], answer[3])})
			if t.d.Sees(target.Insight) {
				Equal(r, "C-44", name, "the update is reported as done before the device is back", outcome.Done, false)
			}
			t.d.Run(5 * time.Second)
			t.held = false
			t.offset = sentImage // what it has by now
			if err := t.back(applied); err != nil {
				return err
			}
			t.d.Peer.SetAnswer(t.answer)
			if applied && !t.d.Sees(target.Insight) {
				unseen(r, "C-44", name, "that the update is reported as done when the device says so")
				return nil
			}
			if applied {
				Equal(r, "C-44", name, "the update is reported as done when the device says so", outcome.Done && outcome.Err == nil, true)
				return nil
			}
			if !t.d.Sees(target.Insight) {
				unseen(r, "C-44", name, "what the cloud says of an update that the device does not run")
				return nil
			}
			t.d.Run(time.Minute)
			Equal(r, "C-44", name, "the update is reported as done though the device does not say so", outcome.Done && outcome.Err == nil, false)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkSentRefused(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTaker(e, g, r, true, func(t *taker, name string) error {
		t.refusal = pdc.ErrPlatform
		mark := t.d.Now()
		outcome, err := t.d.Flash(t.d.Image(sentImage))
		if err != nil {
			return err
		}
		t.within(10*time.Second, "finish")
		ended(t.d, outcome)
		acks := heardOf(t.d.Heard(mark), func(m peer.Message) bool { return m.CoAP.Type == coap.Acknowledgement })
		Equal(r, "C-45", name, "acknowledgements of the answers to Start and Finish", len(acks), 2, last(t.d.Packets(mark))...)
		Equal(r, "C-45", name, "the update is reported as failed", outcome.Done && outcome.Err != nil, true)
		if t.d.Sees(target.Insight) {
			Equal(r, "C-45", name, "the error that is reported", outcome.SystemError(), int32(pdc.ErrPlatform))
		} else {
			unseen(r, "C-45", name, "the error that is reported")
		}
		if err := t.back(false); err != nil {
			return err
		}
		t.d.Peer.SetAnswer(t.answer)
		again := t.d.Now()
		if !later(r, t.d, "C-45", name, 10*time.Minute) {
			return nil
		}
		Equal(r, "C-45", name, "Starts of the same image afterwards", len(heardOf(t.d.Heard(again), asks(coap.POST, "S"))), 0, last(t.d.Packets(again))...)
		return nil
	})
}

func checkLegacyFast(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTaker(e, g, r, false, func(t *taker, name string) error {
		t.unready, t.skip = true, map[int]int{1: 1, 5: 1}
		t.ownsDone = g.System < pdc.OS0_8
		image, mark := t.d.Image(4000), t.d.Now()
		outcome, err := t.d.Flash(image)
		if err != nil {
			return err
		}
		t.d.Run(5 * time.Second)
		t.unready = false
		t.d.Say(t.ready())
		end := "done"
		if t.ownsDone {
			end = "chunk 5"
		}
		t.within(30*time.Second, end)
		Equal(r, "C-46", name, "requests that came too early", strings.Join(t.early, ", "), "", last(t.d.Packets(mark))...)
		want := "begin, chunk 0, chunk 1, chunk 2, chunk 3, chunk 4, chunk 5, chunk 6, chunk 7, done, chunk 1, chunk 5"
		if !t.ownsDone {
			want += ", done"
		}
		if !t.d.Sees(target.Insight) && slices.Contains(t.log, "begin") {
			t.log = slices.Compact(t.log) // where time is real a cloud may ask again
		}
		Equal(r, "C-46", name, "what the cloud does", strings.Join(t.log, ", "), want, last(t.d.Packets(mark))...)
		Equal(r, "C-46", name, "the image has arrived as it is", bytes.Equal(t.data[:min(len(image), len(t.data))], image), true, last(t.d.Packets(mark))...)
		acknowledged := len(heardOf(t.d.Heard(mark), func(m peer.Message) bool { return m.CoAP.Type == coap.Acknowledgement }))
		acks := 2 // of UpdateReady and of ChunkMissed
		switch {
		case t.ownsDone && g.Transport == "udp":
			acks = 3 // and of the device's own UpdateDone
		case g.Transport == "tcp" && g.System >= pdc.OS2_0:
			acks = 0
		case g.Transport == "tcp":
			acks = 1 // ChunkMissed is Confirmable over TCP too
		}
		Equal(r, "C-46", name, "acknowledgements of UpdateReady and ChunkMissed", acknowledged, acks, last(t.d.Packets(mark))...)
		if err := t.back(true); err != nil {
			return err
		}
		ended(t.d, outcome)
		Equal(r, "C-46", name, "the update is reported as done when the device says so", outcome.Done && outcome.Err == nil, true)
		return nil
	})
}

func checkLegacySlow(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTaker(e, g, r, false, func(t *taker, name string) error {
		t.slow, t.spoiled = true, map[int]int{1: 1}
		image, mark := t.d.Image(2000), t.d.Now()
		if _, err := t.d.Flash(image); err != nil {
			return err
		}
		t.within(30*time.Second, "done")
		want := []string{"begin"}
		for i := 0; i*chunkSize < len(image); i++ {
			data := make([]byte, chunkSize)
			copy(data, image[i*chunkSize:])
			if i == 1 {
				want = append(want, fmt.Sprintf("chunk %08x %v", pdc.ChunkCRC(data), false))
			}
			want = append(want, fmt.Sprintf("chunk %08x %v", pdc.ChunkCRC(data), true))
		}
		Equal(r, "C-47", name, "what the cloud does", strings.Join(t.log, ", "), strings.Join(append(want, "done"), ", "), last(t.d.Packets(mark))...)
		return nil
	})
}

func checkLegacyOwnDone(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTaker(e, g, r, false, func(t *taker, name string) error {
		t.ownsDone, t.skip = true, map[int]int{1: 1}
		mark := t.d.Now()
		outcome, err := t.d.Flash(t.d.Image(2000))
		if err != nil {
			return err
		}
		t.within(20*time.Second, "chunk 1")
		Equal(r, "C-48", name, "what the cloud does", strings.Join(t.log, ", "), "begin, chunk 0, chunk 1, chunk 2, chunk 3, done, chunk 1", last(t.d.Packets(mark))...)
		if t.d.Sees(target.Insight) {
			Equal(r, "C-48", name, "the stage of the update when the device has said UpdateDone", outcome.Stage(), "restarting", last(t.d.Packets(mark))...)
		}
		if g.Transport == "udp" {
			acks := heardOf(t.d.Heard(mark), func(m peer.Message) bool { return m.CoAP.Type == coap.Acknowledgement })
			Equal(r, "C-48", name, "acknowledgements of UpdateReady, ChunkMissed and UpdateDone", len(acks), 3, last(t.d.Packets(mark))...)
		}
		if err := t.back(true); err != nil {
			return err
		}
		if !t.d.Sees(target.Insight) {
			unseen(r, "C-48", name, "that the update is reported as done when the device says so")
			return nil
		}
		Equal(r, "C-48", name, "the update is reported as done when the device says so", outcome.Done && outcome.Err == nil, true)
		return nil
	})
}

func checkSentInterrupted(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	err := withTaker(e, g, r, true, func(t *taker, name string) error {
		chunks := 0
		t.lose = func() bool { chunks++; return chunks > 10 } // and everything behind it
		image, mark := t.d.Image(sentImage), t.d.Now()
		if _, err := t.d.Flash(image); err != nil {
			return err
		}
		t.d.Within(2*time.Second, func() bool { return chunks > 10 })
		t.d.Patient(func() bool { return chunks > 10 })
		t.offset, t.lose = t.done*t.start.ChunkSize, nil
		before := t.data
		t.d.Peer.Resume()
		t.d.Tell(coap.Message{Type: coap.Confirmable})
		if t.d.Dialect.System >= pdc.OS1_2 {
			t.d.Tell(pdc.Publish{Private: true, Name: pdc.EventUpdatesEnabled, Data: []byte("true")}.Message(t.d.Dialect))
		}
		t.within(30*time.Second, "finish")
		Equal(r, "N-36", name, "what the cloud does", strings.Join(t.log, ", "), "start, start, finish", last(t.d.Packets(mark))...)
		whole := append(bytes.Clone(before[:t.offset]), t.data[t.offset:]...)
		Equal(r, "N-36", name, fmt.Sprintf("the image has arrived in two parts, of %d bytes and the rest", t.offset), bytes.Equal(whole, image), true, last(t.d.Packets(mark))...)
		return nil
	})
	if err != nil {
		return err
	}
	return withTaker(e, g, r, false, func(t *taker, name string) error {
		image, mark := t.d.Image(4000), t.d.Now()
		if _, err := t.d.Flash(image); err != nil {
			return err
		}
		t.d.Within(30*time.Millisecond, func() bool { return len(t.log) > 3 }) // three chunks
		came := len(t.log)
		if err := t.d.Online(); err != nil {
			return err
		}
		t.d.Peer.SetAnswer(t.answer)
		t.log = nil
		t.within(30*time.Second, "done")
		Equal(r, "N-46", name, "the transfer was cut in the middle", came > 1 && came < 9, true)
		want := "begin, chunk 0, chunk 1, chunk 2, chunk 3, chunk 4, chunk 5, chunk 6, chunk 7, done"
		Equal(r, "N-46", name, "what the cloud does when the device is back", strings.Join(t.log, ", "), want, last(t.d.Packets(mark))...)
		Equal(r, "N-46", name, "the image has arrived as it is", bytes.Equal(t.data[:min(len(image), len(t.data))], image), true, last(t.d.Packets(mark))...)
		return nil
	})
}

// bulk are the requests that must wait during an update.
func bulk(heard []peer.Message) []string {
	var list []string
	for _, m := range heard {
		if m.Err != nil || m.CoAP.Type != coap.Confirmable && m.CoAP.Type != coap.NonConfirmable {
			continue
		}
		if kind := pdc.Classify(m.CoAP, false); kind == pdc.KindPing || kind == pdc.KindDescribeRequest || kind == pdc.KindEventDelivery {
			list = append(list, kind.String())
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func checkQuietSending(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, v3 := range []bool{true, false} {
		err := withTaker(e, g, r, v3, func(t *taker, name string) error {
			if err := t.d.Needs(target.Prompting); err != nil {
				return err
			}
			subscribe(t.d, "04 6e 65 77 73")
			t.held, t.unready = true, true // so that it lasts
			if _, err := t.d.Flash(t.d.Image(4000)); err != nil {
				return err
			}
			t.d.Run(2 * time.Second)
			mark := t.d.Now()
			t.d.Ping()
			t.d.Redescribe()
			t.d.Publish("news", []byte("1"), pdc.FormatText)
			t.d.Call(target.FunctionSum, "x")
			t.d.Run(2 * time.Second)
			Equal(r, "C-49", name, "pings, describes and events during an update", strings.Join(bulk(t.d.Heard(mark)), ", "), "", last(t.d.Packets(mark))...)
			Equal(r, "C-49", name, "calls during an update", len(heardOf(t.d.Heard(mark), asks(coap.POST, "f"))), 1, last(t.d.Packets(mark))...)
			after := endUpdate(t)
			t.d.Run(10 * time.Second)
			Equal(r, "C-49", name, "pings, describes and events after it", strings.Join(bulk(t.d.Heard(after)), ", "), "Describe request, Event delivery, Ping", last(t.d.Packets(after))...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// endUpdate lets an update that was held fail, so that the device stays where it
// is.
func endUpdate(t *taker) clock.Instant {
	mark := t.d.Now()
	t.held, t.unready, t.refusal = false, false, pdc.ErrPlatform
	if t.d.Profile.OTA3() {
		t.d.Say(t.verdict())
	} else {
		t.d.Say(t.ready())
	}
	return mark
}

func checkHeldUpdate(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, v3 := range []bool{true, false} {
		err := withTaker(e, g, r, v3, func(t *taker, name string) error {
			d := t.d
			if err := d.Needs(target.Prompting); err != nil {
				return err
			}
			d.Tell(pdc.Publish{Private: true, Name: pdc.EventUpdatesEnabled, Data: []byte("false")}.Message(d.Dialect))
			mark := d.Now()
			outcome, err := d.Flash(d.Image(4000))
			if err != nil {
				return err
			}
			d.Run(20 * time.Second)
			Equal(r, "C-50", name, "what the cloud sends of an update that is not allowed", strings.Join(t.log, ", "), "", last(d.Packets(mark))...)
			Equal(r, "C-50", name, "the stage of the update", outcome.Stage(), "held")
			Equal(r, "C-50", name, "deliveries that say that an update waits", len(deliveredAs(d, d.Heard(mark), pdc.EventUpdatesPending)), 1, last(d.Packets(mark))...)
			mark = d.Now()
			d.Force(true)
			d.Run(5 * time.Second)
			Equal(r, "C-50", name, "deliveries that force updates", strings.Join(deliveredAs(d, d.Heard(mark), pdc.EventUpdatesForced), ", "), "[] "+fmt.Sprintf("%x", "true"), last(d.Packets(mark))...)
			Equal(r, "C-50", name, "what the cloud sends before the device has confirmed", strings.Join(t.log, ", "), "", last(d.Packets(mark))...)
			d.Tell(pdc.Publish{Private: true, Name: pdc.EventUpdatesForced, Data: []byte("true")}.Message(d.Dialect))
			d.Run(5 * time.Second)
			Equal(r, "C-50", name, "the update begins when the device has confirmed", len(t.log) > 0, true, last(d.Packets(mark))...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
