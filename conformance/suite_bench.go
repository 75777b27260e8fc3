package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func benchSuite() Suite {
	return Suite{
		Name: "bench",
		Text: "a device is reset, loses its power and sleeps, at moments of the protocol",
		Checks: []Check{
			{
				Name: "reset", Text: "a device that is reset with its power on goes on with its session, at the price of a resume",
				Provoke: "a connected device is reset by its pin or by a control request", Observe: "the first packets of its new life: no ClientHello, and the bytes of the resume",
				Requirements: []string{"B-4", "R-71"}, Run: checkBenchReset,
			},
			{
				Name: "power-cut", Text: "a device that lost its power connects again by itself, and uses no record sequence twice",
				Provoke: "the power of a connected device is cut for some seconds", Observe: "that it connects, and how: the records, and the bytes of a resume",
				Requirements: []string{"B-5", "R-71"}, Run: checkBenchCut,
			},
			{
				Name: "sleep", Text: "a device that sleeps says for how long, is silent, wakes by itself and goes on with its session",
				Provoke: "a connected device is sent to sleep", Observe: "its Goodbye, the silence, and the first packets when it wakes",
				Requirements: []string{"B-6", "B-7", "R-71"}, Skip: onlyReal("does not sleep"), Run: checkBenchSleep,
			},
			{
				Name: "reset-in-update", Text: "a reset in the middle of an update: the old firmware starts, the transfer goes on, the image runs in the end",
				Provoke: "an image is flashed, and the device is reset after chunk 17 is acknowledged, or when --cut-at says", Observe: "Hello, modules, the offset of the next transfer, and the end of the update",
				Requirements: []string{"B-1", "B-2", "B-3"}, Run: checkBenchResetInUpdate,
			},
			{
				Name: "power-cut-in-update", Text: "a loss of power in the middle of an update: the old firmware starts, at most 30 s of the transfer are lost, the image runs in the end",
				Provoke: "an image is flashed, and the power is cut after chunk 17 is acknowledged, or when --cut-at says", Observe: "Hello, modules, the offset of the next transfer, and the end of the update",
				Requirements: []string{"B-1", "B-2", "B-3"}, Run: checkBenchCutInUpdate,
			},
			{
				Name: "power-cut-in-apply", Text: "a loss of power when the device begins to apply an image: it starts the old one or the new one, and runs the new one in the end",
				Provoke: "the power is cut when the device has answered the end of the transfer, and again when it says Goodbye to restart", Observe: "that it connects, and what it runs in the end",
				Requirements: []string{"N-52"}, Run: checkBenchCutInApply,
			},
		},
	}
}

// eachScene runs a check on the scenes of a group, side by side: boards wait most of
// the time.
func eachScene(ctx context.Context, e *target.Env, g *target.Group, r *Recorder, f func(s target.Scene) error, needs ...target.Capability) error {
	scenes, err := e.Scenes(g, needs...)
	if err != nil {
		return err
	}
	var done sync.WaitGroup
	for _, s := range scenes {
		done.Go(func() {
			err := s.Connect(ctx)
			if err == nil {
				err = f(s)
			}
			if err != nil && !errors.As(err, new(*target.Missing)) {
				r.Inconclusive(report.Finding{Device: s.Name(), Text: err.Error()})
			}
		})
	}
	done.Wait()
	return nil
}

// behind are the packets of a scene behind an instant.
func behind(s target.Scene, at clock.Instant) []*trace.Packet {
	packets := s.Packets(at)
	for len(packets) > 0 && packets[0].At <= at {
		packets = packets[1:]
	}
	return packets
}

// judgeLife judges the beginning of a device's new life. It reports whether the
// device went on with its session.
func judgeLife(ctx context.Context, s target.Scene, from clock.Instant, requirement string, keeps bool, r *Recorder) {
	p := s.Profile()
	if err := s.Await(ctx, from); err != nil {
		r.Judged(1)
		r.Fail(report.Finding{Requirement: requirement, Device: s.Name(), Text: "the device did not come back: " + err.Error(), Packets: lines(behind(s, from))})
		return
	}
	r.Judged(1)
	if !p.Board.UDP {
		return
	}
	hellos := func() (n int) {
		for _, h := range handshakes(behind(s, from), trace.Up) {
			if h.Type == trace.ClientHello {
				n++
			}
		}
		return n
	}()
	if keeps {
		Equal(r, requirement, s.Name(), "ClientHellos when it was back", hellos, 0, lines(behind(s, from))...)
	}
	if hellos > 0 {
		return
	}
	c := &Conversation{Device: s.Name(), Transport: "udp", Release: exactly(p.Version.System), Whole: true}
	all := messages(behind(s, from))
	if len(all) == 0 {
		r.Inconclusive(report.Finding{Device: s.Name(), Text: "the device is back, and nothing of it was seen"})
		return
	}
	// From 2.0 on a device may have a reason to say Hello instead of the ping, and the
	// promise is about the ping.
	first := all[0].message
	if first.Kind != pdc.KindPing && p.Version.System >= pdc.OS2_0 {
		r.Remark(report.Finding{Requirement: "R-71", Device: s.Name(), Text: "the resume began with a message that is no ping", Packets: []string{all[0].line()}})
		return
	}
	s.Settle(ctx, func() bool {
		all = messages(behind(s, from))
		return acknowledged(all, first.Exchange, trace.Up)
	})
	measureResume(c, all, first.Exchange, r)
}

func checkBenchReset(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachScene(ctx, e, g, r, func(s target.Scene) error {
		life, err := s.Reset(ctx)
		if err != nil {
			return err
		}
		judgeLife(ctx, s, life, "B-4", s.Keeps() == target.Yes, r)
		return nil
	}, target.Resets)
}

func checkBenchCut(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachScene(ctx, e, g, r, func(s target.Scene) error {
		life, err := s.Cut(ctx)
		if err != nil {
			return err
		}
		judgeLife(ctx, s, life, "B-5", false, r)
		for _, p := range behind(s, life) {
			for i := range p.Records {
				if rec := &p.Records[i]; p.Direction == trace.Up && rec.Epoch == 1 && rec.State == trace.Opened && rec.Type != dtls.TypeHandshake {
					Equal(r, "B-5", s.Name(), "the record sequence was used before", rec.Reused, false, p.String())
				}
			}
		}
		return nil
	}, target.PowerCut)
}

// The times of a sleep: how long it is wanted, and how much is lost on the way into
// it and out of it.
const (
	sleepTime  = 10 * time.Second
	sleepSlack = 2 * time.Second
)

func checkBenchSleep(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachScene(ctx, e, g, r, func(s target.Scene) error {
		began := s.Now()
		planned, err := s.Sleep(ctx, sleepTime)
		if err != nil {
			return err
		}
		awake := s.Await(ctx, began)
		asleep := judgeGoodnight(s, began, planned, r)
		if awake != nil {
			r.Judged(1)
			r.Fail(report.Finding{Requirement: "B-6", Device: s.Name(), Text: "it did not wake: " + awake.Error(), Packets: lines(behind(s, asleep))})
			return nil
		}
		for _, p := range behind(s, asleep.Add(sleepSlack)) {
			if p.Direction == trace.Up {
				r.Judged(1)
				if silent := p.At.Sub(asleep); silent < planned-sleepSlack {
					r.Fail(report.Finding{
						Requirement: "B-6", Device: s.Name(), Text: "it was not silent while it slept",
						Expected: "nothing for " + planned.String(), Actual: silent.Round(time.Millisecond).String(), Packets: []string{p.String()},
					})
				}
				break
			}
		}
		judgeLife(ctx, s, asleep.Add(sleepSlack), "B-7", true, r)
		return nil
	}, target.Sleeps)
}

// judgeGoodnight judges how a device went to sleep, and returns when it did.
func judgeGoodnight(s target.Scene, began clock.Instant, planned time.Duration, r *Recorder) (asleep clock.Instant) {
	p := s.Profile()
	if p.Version.System < pdc.OS2_0 {
		return began
	}
	goodbyes := of(messages(s.Packets(began)), kind(pdc.KindGoodbye))
	if !Equal(r, "B-6", s.Name(), "goodbyes", len(goodbyes), 1, lines(s.Packets(began))...) {
		return began
	}
	g, err := pdc.ParseGoodbye(goodbyes[0].message.CoAP)
	if err != nil {
		r.Fail(report.Finding{Requirement: "B-6", Device: s.Name(), Text: err.Error(), Packets: []string{goodbyes[0].line()}})
		return goodbyes[0].packet.At
	}
	Equal(r, "B-6", s.Name(), "the reason of its Goodbye", g.CloudReason, pdc.CloudSleep, goodbyes[0].line())
	Equal(r, "B-6", s.Name(), "the seconds that it plans to sleep", g.SleepSeconds, uint32(planned/time.Second), goodbyes[0].line())
	return goodbyes[0].packet.At
}

func checkBenchResetInUpdate(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachCutOff(ctx, e, g, r, imageSizeLarge+4, "reset", target.Scene.Reset, target.Resets)
}

func checkBenchCutInUpdate(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachCutOff(ctx, e, g, r, imageSizeLarge+8, "loss of power", target.Scene.Cut, target.PowerCut)
}

// eachCutOff cuts updates off at each of the moments that are wanted. No image is sent
// twice, if they are made up.
func eachCutOff(ctx context.Context, e *target.Env, g *target.Group, r *Recorder, size int, what string, do func(target.Scene, context.Context) (clock.Instant, error), needs target.Capability) error {
	return eachScene(ctx, e, g, r, func(s target.Scene) error {
		for i, at := range e.UpdateMoments() {
			if err := judgeCutOff(ctx, s, what, at, func() (clock.Instant, error) { return do(s, ctx) }, size+8*i, r); err != nil {
				return err
			}
		}
		return nil
	}, needs, target.Flashable)
}

// The stall of a transfer in virtual time: behind chunk 5 nothing comes through for
// longer than the 30 s for which devices may keep what they have in memory.
const (
	stallChunk = 5
	stallTime  = 40 * time.Second
)

// A cutOff is an update that was cut off.
type cutOff struct {
	s             target.Scene
	began         clock.Instant
	gone, life    clock.Instant // the end of the old one, and the beginning of the new one
	came          bool
	err           error
	owes          bool             // it has not yet said that it applied an earlier image
	before, after []pdc.ModuleInfo // that the cloud knew, until the image was offered again
}

// judgeCutOff flashes an image, does something to the device in the middle of it, and
// judges what comes of that.
func judgeCutOff(ctx context.Context, s target.Scene, what string, when target.UpdateMoment, do func() (clock.Instant, error), size int, r *Recorder) error {
	image, err := s.Image(size)
	if err != nil {
		return err
	}
	c := cutOff{s: s, began: s.Now(), before: s.Modules(), owes: owesHello(s.Packets(0))}
	c.after = c.before
	chunk := pdc.DefaultChunkSize
	if s.Profile().OTA3() {
		chunk = 1024
		defer s.When(target.AfterChunk(stallChunk), func() { s.Stall(stallTime) })()
	}
	at, err := when.In(len(image), chunk)
	if err != nil {
		return err
	}
	forget := s.When(at, func() {
		c.came = true
		c.gone = s.Now()
		if c.life, c.err = do(); c.err == nil {
			s.When(target.AfterMessage(pdc.KindUpdateStart, pdc.KindUpdateBegin), func() { c.after = s.Modules() })
		}
	})
	flashed := s.Flash(ctx, image)
	forget()
	packets := s.Packets(c.began)
	starts := of(messages(packets), func(m sight) bool {
		return (kind(pdc.KindUpdateStart)(m) || kind(pdc.KindUpdateBegin)(m)) && m.packet.At >= c.began
	})
	switch {
	case !c.came && flashed != nil:
		return fmt.Errorf("the update failed before it was cut off: %w", flashed)
	case !c.came:
		return fmt.Errorf("the update was over before it could be cut off %s", at)
	case c.err != nil:
		return fmt.Errorf("the %s failed: %w", what, c.err)
	case len(starts) < 2 && flashed == nil:
		return fmt.Errorf("the %s did not cut the update off: the device went on", what)
	}
	r.Judged(1)
	if flashed != nil {
		r.Fail(report.Finding{
			Requirement: "B-3", Device: s.Name(), Text: fmt.Sprintf("behind a %s %s the image was not taken: %v", what, at, flashed), Packets: last(behind(s, c.life)),
		})
	}
	c.judgeOldFirmware(r)
	if s.Profile().OTA3() && !s.Profile().Board.ForgetsPartial {
		c.judgeOffset(r)
	}
	return nil
}

// owesHello reports whether a device has applied an image and not said Hello since: the
// next one says so, whatever happens meanwhile. That is so where the image was what it
// ran already, and it went on with its session.
func owesHello(packets []*trace.Packet) (owes bool) {
	for _, m := range messages(packets) {
		switch m.message.Kind {
		case pdc.KindUpdateFinishResponse, pdc.KindUpdateDoneResponse, pdc.KindDeviceUpdateDone:
			owes = true
		case pdc.KindHello:
			owes = false
		default:
		}
	}
	return owes
}

// judgeOldFirmware expects that the device runs what it ran, until the image is
// complete.
func (c *cutOff) judgeOldFirmware(r *Recorder) {
	for _, m := range messages(behind(c.s, c.life)) {
		switch m.message.Kind {
		case pdc.KindUpdateFinish, pdc.KindUpdateDone, pdc.KindDeviceUpdateDone:
			c.judgeModules(r)
			return
		case pdc.KindHello:
			if hello, err := pdc.ParseHello(m.message.CoAP); err == nil && m.message.Repeat == 0 && !c.owes {
				Equal(r, "B-1", c.s.Name(), "its Hello says that an update was applied", hello.Flags&pdc.HelloUpdated != 0, false, m.line())
			}
		default:
		}
	}
	c.judgeModules(r)
}

// judgeModules compares what the cloud knew before and behind it, if it knew any: a
// resume does not tell.
func (c *cutOff) judgeModules(r *Recorder) {
	if len(c.before) > 0 {
		Equal(r, "B-1", c.s.Name(), "the modules that run behind it", versions(c.after), versions(c.before))
	}
}

// versions lists modules, for comparison.
func versions(list []pdc.ModuleInfo) string {
	text := ""
	for _, m := range list {
		text += fmt.Sprintf("%d.%d v%d ", m.Function, m.Index, m.Version)
	}
	return text
}

// judgeOffset compares where the next transfer began with what had arrived.
func (c *cutOff) judgeOffset(r *Recorder) {
	// What may be lost: what came since 30 s before, and a little for the clock.
	const lost = 32 * time.Second
	var first, next *pdc.UpdateStartResponse
	var size, stored, sent uint32
	for _, m := range messages(c.s.Packets(c.began)) {
		if m.message.Repeat > 0 {
			continue
		}
		switch m.message.Kind {
		case pdc.KindUpdateStart:
			if start, err := pdc.ParseUpdateStart(m.message.CoAP); err == nil && size == 0 {
				size = start.ChunkSize
			}
		case pdc.KindUpdateStartResponse:
			answer, err := pdc.ParseUpdateStartResponse(m.message.CoAP)
			if err != nil {
				continue
			}
			if m.packet.At <= c.gone && first == nil {
				first = &answer
			} else if m.packet.At > c.life && next == nil {
				next = &answer
			}
		case pdc.KindUpdateAck:
			if first != nil && m.packet.At <= c.gone.Add(-lost) {
				stored = max(stored, first.Offset+m.message.Chunk*size)
			}
		case pdc.KindUpdateChunk:
			if first != nil && m.packet.At <= c.life {
				sent = max(sent, first.Offset+(m.message.Chunk+1)*size)
			}
		default:
		}
	}
	if first == nil || next == nil {
		return // that the update failed was told
	}
	r.Judged(1)
	if next.Offset < stored || next.Offset > sent {
		r.Fail(report.Finding{
			Requirement: "B-2", Device: c.s.Name(), Text: "the transfer goes on from another place than the device can have stored",
			Expected: fmt.Sprintf("between byte %d, which was there %v before, and byte %d, which was sent", stored, lost, sent), Actual: fmt.Sprintf("byte %d", next.Offset),
			Packets: last(c.s.Packets(c.gone)),
		})
	}
}

func checkBenchCutInApply(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return eachScene(ctx, e, g, r, func(s target.Scene) error {
		answered := target.AfterMessage(pdc.KindUpdateFinishResponse, pdc.KindUpdateDoneResponse, pdc.KindDeviceUpdateDone)
		if err := judgeCutInApply(ctx, s, answered, imageSize+4, r); err != nil {
			return err
		}
		if s.Profile().Version.System < pdc.OS2_0 || s.Profile().Board.Virtual {
			return nil // it says no Goodbye
		}
		return judgeCutInApply(ctx, s, target.AfterMessage(pdc.KindGoodbye), imageSize+8, r)
	}, target.PowerCut, target.Flashable)
}

func judgeCutInApply(ctx context.Context, s target.Scene, at target.Moment, size int, r *Recorder) error {
	image, err := s.Image(size)
	if err != nil {
		return err
	}
	var cut error
	came, began := false, s.Now()
	forget := s.When(at, func() {
		came = true
		_, cut = s.Cut(ctx)
	})
	flashed := s.Flash(ctx, image)
	forget()
	switch {
	case !came && flashed != nil:
		return fmt.Errorf("the update failed before the power could be cut: %w", flashed)
	case !came:
		return fmt.Errorf("it never was %s", at)
	case cut != nil:
		return fmt.Errorf("cutting the power failed: %w", cut)
	}
	r.Judged(1)
	if flashed != nil {
		r.Fail(report.Finding{
			Requirement: "N-52", Device: s.Name(), Text: fmt.Sprintf("behind a loss of power %s the device does not run the image: %v", at, flashed), Packets: last(s.Packets(began)),
		})
	}
	return nil
}
