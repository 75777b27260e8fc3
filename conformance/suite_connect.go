package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func connectSuite() Suite {
	return Suite{
		Name: "connect",
		Text: "how a device connects: to a puppet cloud that is slow, deaf or refuses, in virtual time",
		Checks: []Check{
			{
				Name: "hello", Text: "the Hello has the bytes of the release, comes first, and message IDs go up by one",
				Provoke: "a device connects to a puppet cloud", Observe: "the bytes of its Hello, and the IDs of all that it sends",
				Requirements: []string{"D-1"}, Run: checkHelloBytes,
			},
			{
				Name: "order", Text: "describes, events, time and subscriptions follow the Hello in the order of the release",
				Provoke: "a device with a claim code, a serial number and key trouble connects", Observe: "kind and name of every message, in order",
				Requirements: []string{"D-19"}, Run: checkGreetingOrder,
			},
			{
				Name: "withheld", Text: "one missing acknowledgement keeps the device from being connected, and after 60 to 90 s it drops the connection",
				Provoke: "a puppet cloud does not acknowledge one event of the greeting", Observe: "when the device drops the connection",
				Requirements: []string{"D-5"}, Skip: skipAny(onlyUDP, since(pdc.OS1_4)), Run: checkWithheldAck,
			},
			{
				Name: "lost-acks", Text: "a message whose acknowledgements are all lost is given up, and not sent again when the device is back",
				Provoke: "a puppet cloud does not acknowledge an event of a device that is connected", Observe: "the copies of the event, before the device connects again and after",
				Requirements: []string{"N-22"}, Skip: skipAny(onlyUDP, since(pdc.OS1_4)), Run: checkLostAcks,
			},
			{
				Name: "subscriptions", Text: "a refused or changed subscription makes the device subscribe anew when it resumes, an accepted list is not repeated",
				Provoke: "a puppet cloud refuses a subscription, or none; then the device resumes, with the same ones or with one more", Observe: "the subscriptions that follow the resume",
				Requirements: []string{"D-11"}, Skip: skipAny(onlyUDP, since(pdc.OS2_0)), Run: checkSubscriptionBurst,
			},
			{
				Name: "time", Text: "while a time request is unanswered no other is sent; any 2.05 sets the clock and is never acknowledged",
				Provoke: "a puppet cloud acknowledges a time request without an answer, and the application asks again", Observe: "the time requests, and what a 2.05 that nobody asked for causes",
				Requirements: []string{"D-12"}, Run: checkTimeRequests,
			},
			{
				Name: "deaf", Text: "a request that arrives before the Hello is acknowledged gets nothing, and its copy afterwards is answered",
				Provoke: "a puppet cloud sends a request before it acknowledges the Hello, and once more afterwards", Observe: "the replies to either",
				Requirements: []string{"N-23"}, Skip: onlyUDP, Run: checkDeafDevice,
			},
			{
				Name: "no-server-hello", Text: "over TCP a device that gets no Hello of the cloud closes after four seconds and tries again",
				Provoke: "a puppet cloud over TCP does not answer the Hello", Observe: "the time until the next Hello",
				Requirements: []string{"N-48"}, Skip: onlyTCP, Run: checkNoServerHello,
			},
		},
	}
}

// claimCode is a claim code of a device's memory.
const claimCode = "muster0123456789muster0123456789muster0123456789muster012345678"

// talkative is a device that has everything to say when it connects.
var talkative = target.Stagecraft{
	Device: func(c *target.DeviceConfig) { c.Serial = "SN000001" },
}

func talkativeStage(e *target.Env, p *target.DeviceProfile) (*target.PuppetCloud, error) {
	craft := talkative
	craft.Memory = &target.DeviceMemory{ClaimCode: claimCode, KeyErrors: 1}
	return e.NewPuppetCloud(p, e.Seed(), craft)
}

// wantHello is the Hello of a profile as a pattern: the table of the reference,
// from an encoder that is not the simulator's.
func wantHello(c *target.PuppetCloud, deviceID string) string {
	p, platform := c.Profile, uint16(c.Profile.Board.Platform)
	flags := 0
	for _, f := range []struct{ since, bit int }{{pdc.OS0_8, 2}, {pdc.OS1_2, 4}, {pdc.OS2_0, 0x30}} {
		if int(p.Version.System) >= f.since {
			flags |= f.bit
		}
	}
	if p.Version.System >= pdc.OS2_0 && p.Board.Platform.Gen3() {
		flags |= 0x40
	}
	if p.OTA3() {
		flags |= 0x80
	}
	kind, idLength := "40", 12
	if !p.Board.UDP {
		kind, idLength, deviceID = "50", 0, ""
	}
	hello := fmt.Sprintf("%s 02 __ __ b1 68 ff %04x ffff %04x %04x", kind, platform, flags, platform)
	if p.Version.System >= pdc.OS3_0 || p.Board.UDP {
		hello += fmt.Sprintf("00 %02x %s", idLength, deviceID)
	}
	if p.Version.System >= pdc.OS3_0 {
		hello += fmt.Sprintf("%04x %04x %08x 0200", p.Version.System, p.Dialect().Limits().Message, p.MaxBinary())
	}
	return hello
}

func checkHelloBytes(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		heard := withoutCopies(c.Heard(0))
		if !Equal(r, "D-1", name, "the device says something", len(heard) > 0, true) {
			return nil
		}
		judgeReplies(r, "D-1", name, "the first message", c, 0, heard[:1], []string{wantHello(c, c.ID())})
		for i := 1; i < len(heard); i++ {
			step := heard[i].CoAP.ID - heard[i-1].CoAP.ID
			if heard[i].Err != nil || heard[i].CoAP.Type > coap.NonConfirmable {
				continue // an answer has the ID of what it answers
			}
			r.Judged(1)
			if step != 1 && heard[i-1].CoAP.Type <= coap.NonConfirmable {
				r.Fail(report.Finding{
					Requirement: "D-1", Device: name, Text: "the IDs of two messages in succession", Expected: "one more",
					Actual: fmt.Sprintf("%04x, %04x", heard[i-1].CoAP.ID, heard[i].CoAP.ID), Packets: lines(c.Packets(0)),
				})
			}
		}
		return nil
	})
}

// withoutCopies leaves out what was heard before.
func withoutCopies(all []peer.Message) []peer.Message {
	seen := make(map[string]bool)
	return slices.DeleteFunc(all, func(m peer.Message) bool {
		again := seen[string(m.Wire)]
		seen[string(m.Wire)] = true
		return again
	})
}

// label says what a message of a greeting is.
func label(m peer.Message) string {
	kind := pdc.Classify(m.CoAP, true)
	switch kind {
	case pdc.KindPublish:
		if p, err := pdc.ParsePublish(m.CoAP); err == nil {
			return p.Name
		}
	case pdc.KindSubscribe:
		if s, err := pdc.ParseSubscribe(m.CoAP); err == nil {
			return "subscribe " + s.Filter
		}
	case pdc.KindDescribePost:
		if p, err := pdc.ParseDescribePost(m.CoAP); err == nil {
			return fmt.Sprintf("describe %d", p.Flags)
		}
	default: // the kind says enough
	}
	return kind.String()
}

// greeting is the order of PDC-1.1 for a talkative device.
func greeting(p *target.DeviceProfile) []string {
	system, list := p.Version.System, []string{"Hello"}
	add := func(when bool, names ...string) {
		if when {
			list = append(list, names...)
		}
	}
	early := system >= 5900 && system < pdc.OS6_0 || system >= pdc.OS6_2 // the time comes early
	add(system >= pdc.OS2_0, "describe 1")
	add(true, "spark/device/claim/code")
	add(early, "Time request")
	add(system <= pdc.OS5_8 || system >= pdc.OS6_0 && system < pdc.OS6_2, "spark/device/ident/0")
	add(system < pdc.OS3_0 && p.Board.Platform != pdc.Electron, "spark/hardware/max_binary")
	add(system < pdc.OS3_0 && !p.Board.UDP, "spark/hardware/ota_chunk_size")
	add(system >= pdc.OS0_6 && !p.Board.Virtual, "spark/device/last_reset")
	add(system >= pdc.OS1_2, "particle/device/updates/enabled", "particle/device/updates/forced")
	add(!early && system >= pdc.OS2_0, "Time request")
	add(system >= pdc.OS2_0, "describe 2")
	add(system >= pdc.OS1_2, "subscribe particle")
	add(true, "subscribe spark", "subscribe "+target.SubscribedTo)
	add(system < pdc.OS2_0, "Time request")
	add(system >= pdc.OS0_7, "spark/device/key/error")
	return list
}

func checkGreetingOrder(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, p := range kindsOf(g) {
		stage := talkativeStage
		if !e.Sees(target.Tailoring) {
			stage = func(e *target.Env, p *target.DeviceProfile) (*target.PuppetCloud, error) {
				return e.NewPuppetCloud(p, e.Seed(), target.Stagecraft{})
			}
		}
		c, err := stage(e, p)
		if err != nil {
			return err
		}
		if err := c.Online(); err != nil {
			r.Inconclusive(report.Finding{Device: p.String(), Text: err.Error()})
			continue
		}
		var got []string
		for _, m := range withoutCopies(c.Heard(0)) {
			if m.Err == nil && m.CoAP.Type <= coap.NonConfirmable && coap.IsRequest(m.CoAP.Code) {
				got = append(got, label(m))
			}
		}
		// Which of the system's two subscriptions leads is not written down.
		if i := slices.Index(got, "subscribe spark"); i >= 0 && i+1 < len(got) && got[i+1] == "subscribe particle" {
			got[i], got[i+1] = got[i+1], got[i]
		}
		want := greeting(p)
		if !e.Sees(target.Tailoring) {
			got, want = inCommon(got, want)
		}
		Equal(r, "D-19", p.String(), "what the device says when it connects", strings.Join(got, ", "), strings.Join(want, ", "), lines(c.Packets(0))...)
	}
	return nil
}

// inCommon compares the greeting of a device that is as it is with that of one that has
// everything to say: it may have more subscriptions and events of its own, and lack what
// some have.
func inCommon(got, want []string) (heard, wanted []string) {
	some := []string{"spark/device/claim/code", "spark/device/ident/0", "spark/device/key/error", "subscribe " + target.SubscribedTo}
	heard = slices.DeleteFunc(got, func(s string) bool { return !slices.Contains(want, s) })
	wanted = slices.DeleteFunc(want, func(s string) bool { return slices.Contains(some, s) && !slices.Contains(heard, s) })
	return heard, wanted
}

// withheldTime is how long checkWithheldAck takes.
const withheldTime = 110 * time.Second

func checkWithheldAck(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, p := range kindsOf(g) {
		c, err := e.NewPuppetCloud(p, e.Seed(), target.Stagecraft{})
		if err != nil {
			return err
		}
		if err := c.Takes(withheldTime); err != nil {
			return err
		}
		withheld := named("particle/device/updates/forced")
		c.Peer.SetAnswer(func(m peer.Message) ([][]byte, bool) { return nil, m.Err == nil && withheld(m) })
		c.PowerOn()
		c.Run(50 * time.Second)
		first := heardOf(c.Heard(0), withheld)
		if len(first) == 0 {
			r.Inconclusive(report.Finding{Device: p.String(), Text: "the device did not send the event whose acknowledgement is withheld", Packets: lines(c.Packets(0))})
			continue
		}
		if c.Sees(target.Telling) {
			Equal(r, "D-5", p.String(), "the device calls itself connected after 50 s without one acknowledgement", c.Connected(), false)
		} else {
			unseen(r, "D-5", p.String(), "whether the device calls itself connected meanwhile")
		}
		c.Within(60*time.Second, func() bool { return beganAnew(c.Packets(first[0].At+1)) != clock.Never })
		dropped := beganAnew(c.Packets(first[0].At + 1))
		after := dropped.Sub(first[0].At)
		r.Judged(1)
		if dropped == clock.Never || after < 60*time.Second-slack || after > 90*time.Second+slack+c.Tolerance() {
			r.Fail(report.Finding{
				Requirement: "D-5", Device: p.String(), Text: "the device drops the connection at another time", Expected: "60 to 90 s after the message",
				Actual: howLate(dropped, first[0].At), Packets: last(c.Packets(first[0].At)),
			})
		}
	}
	return nil
}

func checkLostAcks(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		if err := c.Takes(lostLeast); err != nil {
			return err
		}
		lost := named("lost")
		c.Peer.SetAnswer(func(m peer.Message) ([][]byte, bool) { return nil, m.Err == nil && lost(m) })
		mark := c.Now()
		if err := c.Publish("lost", []byte("x")); err != nil {
			return err
		}
		c.Within(lostTime, func() bool { return beganAnew(c.Packets(mark+1)) != clock.Never })
		c.Run(settledTime) // it would have sent it again by then
		copies := heardOf(c.Heard(mark), lost)
		ids := make(map[uint16]bool)
		for _, m := range copies {
			ids[m.CoAP.ID] = true
		}
		Equal(r, "N-22", name, "the event is sent again", len(copies) > 1, true, lines(c.Packets(mark))...)
		Equal(r, "N-22", name, "IDs of the event and its copies", len(ids), 1, lines(c.Packets(mark))...)
		again := beganAnew(c.Packets(mark + 1))
		Equal(r, "N-22", name, "the device gives up and connects again", again != clock.Never, true, lines(c.Packets(mark))...)
		Equal(r, "N-22", name, "copies of the event behind that", len(heardOf(c.Heard(again), lost)), 0, lines(c.Packets(mark))...)
		Equal(r, "N-22", name, "the device is connected in the end", c.Connected(), true, last(c.Packets(mark))...)
		return nil
	})
}

// lostTime is how long a device may take to give a message up, and be back: 60 to 90 s,
// and what it waits for then. settledTime is how long it is listened to behind that, and
// lostLeast what all of it takes in the best case.
const (
	lostTime    = 150 * time.Second
	settledTime = 30 * time.Second
	lostLeast   = 90 * time.Second
)

// howLate says how long after an instant something came, if it did.
func howLate(at, since clock.Instant) string {
	if at == clock.Never {
		return "not at all"
	}
	return "after " + at.Sub(since).Round(time.Millisecond).String()
}

// beganAnew returns when a device began a handshake or resumed, clock.Never if it
// did not.
func beganAnew(packets []*trace.Packet) clock.Instant {
	for _, p := range packets {
		if p.Direction != trace.Up {
			continue
		}
		if p.Resume || sent([]*trace.Packet{p}, trace.Up, trace.ClientHello) {
			return p.At
		}
		for _, m := range p.Messages() {
			if m.Kind == pdc.KindHello && m.Repeat == 0 {
				return p.At
			}
		}
	}
	return clock.Never
}

func checkSubscriptionBurst(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, way := range []struct {
		what           string
		refuse, change bool
		want           int
	}{
		{"when it resumes and nothing has changed", false, false, 0},
		{"when it resumes and one was refused before", true, false, sentAtFirst},
		{"when it resumes with one more than before", false, true, 4},
	} {
		for _, p := range kindsOf(g) {
			if way.change && !e.Sees(target.Tailoring) {
				unseen(r, "D-11", p.String(), "what the device does "+way.what)
				continue
			}
			c, err := e.NewPuppetCloud(p, e.Seed(), target.Stagecraft{})
			if err != nil {
				return err
			}
			if err := judgeBurst(r, c, way.what, way.refuse, way.change, way.want); err != nil {
				r.Inconclusive(report.Finding{Device: p.String(), Text: err.Error()})
			}
		}
	}
	return nil
}

// sentAtFirst is how many subscriptions a simulated device has: two of the system, one of
// the application.
const sentAtFirst = 3

// judgeBurst restarts a connected device and counts the subscriptions that it
// sends.
func judgeBurst(r *Recorder, c *target.PuppetCloud, what string, refuse, change bool, want int) error {
	refused := "subscribe " + target.SubscribedTo
	if !c.Sees(target.Tailoring) {
		refused = "subscribe spark" // every device has it
	}
	c.Peer.SetAnswer(func(m peer.Message) ([][]byte, bool) {
		if refuse && m.Err == nil && label(m) == refused {
			return [][]byte{{0x60, 0x80, m.Wire[2], m.Wire[3]}}, true
		}
		return nil, false
	})
	if err := c.Online(); err != nil {
		return err
	}
	c.Peer.SetAnswer(nil)
	if want == sentAtFirst && !c.Sees(target.Tailoring) {
		subscribes := func(m peer.Message) bool { return pdc.Classify(m.CoAP, true) == pdc.KindSubscribe }
		want = len(heardOf(withoutCopies(c.Heard(0)), subscribes)) // its application may have more
	}
	mark := c.Now()
	var edit func(*target.DeviceConfig)
	if change {
		edit = subscribesToMore
	}
	if err := c.Reboot(edit, nil); err != nil {
		return err
	}
	c.Return(mark, 20*time.Second)
	burst := len(heardOf(c.Heard(mark), func(m peer.Message) bool { return pdc.Classify(m.CoAP, true) == pdc.KindSubscribe }))
	Equal(r, "D-11", c.Profile.String(), "subscriptions that the device sends "+what, burst, want, lines(c.Packets(mark))...)
	return nil
}

// subscribesToMore gives the application one more subscription.
func subscribesToMore(c *target.DeviceConfig) {
	app := *c.App
	app.Subscriptions = append(slices.Clone(app.Subscriptions), pdc.Subscribe{Filter: "more/", Scope: pdc.ScopeMyDevices})
	c.App = &app
}

func checkTimeRequests(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	asks := asks(coap.GET, "t")
	for _, p := range kindsOf(g) {
		c, err := e.NewPuppetCloud(p, e.Seed(), target.Stagecraft{})
		if err != nil {
			return err
		}
		// An empty acknowledgement keeps the connection, and is no answer.
		c.Peer.SetAnswer(func(m peer.Message) ([][]byte, bool) {
			if m.Err == nil && asks(m) {
				return [][]byte{peer.Ack(m)}, true
			}
			return nil, false
		})
		if err := c.Online(); err != nil {
			r.Inconclusive(report.Finding{Device: p.String(), Text: err.Error()})
			continue
		}
		if !c.Sees(target.Telling) {
			unseen(r, "D-12", p.String(), "what the device does when its application asks for the time")
		} else if err := c.SyncTime(); err != nil {
			return err
		}
		c.Calm(5 * time.Second)
		Equal(r, "D-12", p.String(), "time requests, of which the first was not answered", len(heardOf(c.Heard(0), asks)), 1, lines(c.Packets(0))...)
		mark := c.Now()
		c.Say([]byte{0x41, 0x45, 0x33, 0x01, 0x77, 0xff, 0x69, 0x55, 0xb9, 0x00})
		judgeHeard(r, "D-12", p.String(), "what the device says to a Confirmable 2.05 that it did not ask for", c, mark, nil, nil)
		if !c.Sees(target.Telling) {
			continue
		}
		if err := c.SyncTime(); err != nil {
			return err
		}
		c.Run(time.Second)
		Equal(r, "D-12", p.String(), "time requests after a 2.05 that was not asked for", len(heardOf(c.Heard(mark), asks)), 1, lines(c.Packets(mark))...)
	}
	return nil
}

func checkDeafDevice(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	request := []byte{0x41, 0x03, 0x2f, 0x01, 0x5a, 0xb1, 's', 0x41, 0x01}
	for _, p := range kindsOf(g) {
		c, err := e.NewPuppetCloud(p, e.Seed(), target.Stagecraft{})
		if err != nil {
			return err
		}
		c.Peer.SetAnswer(peer.Silent)
		c.PowerOn()
		greeted := func() bool { return len(heardOf(c.Heard(0), asks(coap.POST, "h"))) > 0 }
		if !c.Within(3*time.Second, greeted) {
			c.Patient(greeted)
		}
		hello := heardOf(c.Heard(0), asks(coap.POST, "h"))
		if len(hello) == 0 {
			r.Inconclusive(report.Finding{Device: p.String(), Text: "the device did not say Hello", Packets: lines(c.Packets(0))})
			continue
		}
		mark := c.Now()
		c.Whisper(request)
		c.Settle(500 * time.Millisecond)
		early := heardOf(c.Heard(mark), belongs(0x2f01, 0x5a))
		judgeReplies(r, "N-23", p.String(), "what the device says to a request before its Hello is acknowledged", c, mark, early, nil)
		c.Peer.SetAnswer(nil)
		c.Say(peer.Ack(hello[0]))
		mark = c.Now()
		c.Say(request)
		judgeHeard(r, "N-23", p.String(), "what the device says to the copy of a request that it could not hear", c, mark, only(belongs(0x2f01, 0x5a)), []string{"61 44 2f 01 5a"})
		Equal(r, "N-23", p.String(), "the device is connected", c.Connected(), true, lines(c.Packets(mark))...)
	}
	return nil
}

func checkNoServerHello(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, p := range kindsOf(g) {
		c, err := e.NewPuppetCloud(p, e.Seed(), target.Stagecraft{})
		if err != nil {
			return err
		}
		c.Peer.SetAnswer(peer.Silent)
		c.PowerOn()
		c.Within(30*time.Second, func() bool { return len(heardOf(c.Heard(0), asks(coap.POST, "h"))) > 1 })
		hellos := heardOf(c.Heard(0), asks(coap.POST, "h"))
		if c.Sees(target.Telling) {
			Equal(r, "N-48", p.String(), "the device calls itself connected", c.Connected(), false)
		}
		if !Equal(r, "N-48", p.String(), "the device tries again", len(hellos) > 1, true, lines(c.Packets(0))...) {
			continue
		}
		wait := hellos[1].At.Sub(hellos[0].At)
		r.Judged(1)
		if wait < 4*time.Second || wait > 10*time.Second+c.Tolerance() {
			r.Fail(report.Finding{
				Requirement: "N-48", Device: p.String(), Text: "the time from a Hello that stays unanswered to the next", Expected: "4 s, and what connecting takes",
				Actual: wait.String(), Packets: lines(c.Packets(0)),
			})
		}
	}
	return nil
}
