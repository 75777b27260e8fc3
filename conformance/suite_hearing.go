package conformance

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

func hearingSuite() Suite {
	return Suite{
		Name: "hearing",
		Text: "how a cloud hears devices: Hello, acknowledgements, copies, silence and goodbyes, from a puppet device in virtual time",
		Checks: []Check{
			{
				Name: "hello-forms", Text: "every form of Hello is read, and bytes behind the known ones are ignored",
				Provoke: "a puppet device says Hello in each form that its transport has", Observe: "the answer, and what the cloud has recorded",
				Requirements: []string{"C-3"}, Run: checkHelloForms,
			},
			{
				Name: "hello-answer", Text: "over UDP the acknowledgement of the Hello comes first, over TCP a POST to h within four seconds",
				Provoke: "a puppet device says Hello", Observe: "the first messages of the cloud, and when they come",
				Requirements: []string{"C-1", "C-2"}, Run: checkFirstAnswer,
			},
			{
				Name: "never-reset", Text: "nothing that a session says is answered with a Reset, and the session lives on",
				Provoke: "a puppet device sends a ping, unknown requests, answers to nothing and malformed events", Observe: "that no Reset comes, and that a ping is acknowledged",
				Requirements: []string{"C-4", "C-5", "N-8"}, Run: checkNeverReset,
			},
			{
				Name: "acknowledges", Text: "every kind of Confirmable message is acknowledged within a second, and nothing that is not Confirmable",
				Provoke: "a puppet device sends each kind once, as CON and as NON", Observe: "the acknowledgements",
				Requirements: []string{"C-6", "C-56", "C-57"}, Run: checkAcknowledges,
			},
			{
				Name: "copies", Text: "a copy within 93 s gets the same acknowledgement and changes nothing; the same ID in a new session is new",
				Provoke: "a puppet device sends an event three times, and an event of the same ID after a new handshake", Observe: "acknowledgements, and the account's stream",
				Requirements: []string{"C-7", "C-8"}, Skip: onlyUDP, Run: checkCopies,
			},
			{
				Name: "retransmits", Text: "a request is repeated with ID and bytes until it is acknowledged, at least twice and not sooner than two seconds; then the device counts as lost",
				Provoke: "the cloud calls a function of a puppet device that does not acknowledge", Observe: "the copies, when they come, and when the device is offline",
				Requirements: []string{"C-12"}, Skip: onlyUDP, Run: checkRetransmits,
			},
			{
				Name: "vanished", Text: "a device that says nothing any more is offline after its keep-alive and 30 s, and online with its next word",
				Provoke: "a puppet device falls silent", Observe: "when the cloud says that it is offline",
				Requirements: []string{"C-15", "C-13"}, Run: checkVanished,
			},
			{
				Name: "goodbye", Text: "the reasons of a goodbye are decoded in their order, and the device is offline",
				Provoke: "a puppet device says that it sleeps for an hour", Observe: "the acknowledgement, and what the cloud says of the device",
				Requirements: []string{"C-14"}, Skip: since(pdc.OS2_0), Run: checkGoodbyeReasons,
			},
			{
				Name: "time", Text: "the time is ten bytes with the token of the request, and no request makes the cloud tell it otherwise",
				Provoke: "a puppet device asks for the time with tokens of one, two and no bytes", Observe: "the bytes of the answer, and its value",
				Requirements: []string{"C-11", "N-51"}, Run: checkTimeAnswers,
			},
			{
				Name: "gap", Text: "over TCP a message ID that is left out either closes the connection or changes nothing",
				Provoke: "a puppet device over TCP leaves out a message ID", Observe: "whether the stream is closed, or the event taken",
				Requirements: []string{"N-49"}, Skip: onlyTCP, Run: checkIDGap,
			},
		},
	}
}

// A form of Hello, behind ID and path, with what it says.
type helloForm struct {
	name     string
	payload  string // %s is the id of the device
	platform pdc.Platform
	system   uint16
	message  uint16
}

var helloForms = map[string][]helloForm{
	"tcp": {
		{name: "13 bytes, the oldest", payload: "ff ff ff ff 00 00"},
		{name: "15 bytes, up to 2.x", payload: "00 06 ff ff 00 36 00 06", platform: pdc.Photon},
		{name: "25 bytes, from 3.0 on", payload: "00 06 ff ff 00 36 00 06 00 00 0c e6 03 c0 00 06 00 00 02 00", platform: pdc.Photon, system: 3302, message: 960},
		{name: "three bytes more", payload: "00 06 ff ff 00 36 00 06 00 00 0c e6 03 c0 00 06 00 00 02 00 01 02 03", platform: pdc.Photon, system: 3302, message: 960},
	},
	"udp": {
		{name: "29 bytes, up to 2.x", payload: "00 0a ff ff 00 06 00 0a 00 0c %s", platform: pdc.Electron},
		{name: "39 bytes, from 3.0 on", payload: "00 0d ff ff 00 f6 00 0d 00 0c %s 18 38 04 80 00 17 70 00 02 00", platform: pdc.Boron, system: 6200, message: 1152},
		{name: "three bytes more", payload: "00 0d ff ff 00 f6 00 0d 00 0c %s 18 38 04 80 00 17 70 00 02 00 01 02 03", platform: pdc.Boron, system: 6200, message: 1152},
	},
}

func checkHelloForms(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, form := range helloForms[g.Transport] {
		err := withNewPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
			if err := d.Handshake(); err != nil {
				return err
			}
			payload := form.payload
			if strings.Contains(payload, "%s") {
				payload = fmt.Sprintf(payload, d.ID())
			}
			mark, id := d.Now(), d.Peer.NextID()
			head := "40 02 %04x b1 68 ff"
			answer := fmt.Sprintf("60 00 %04x", id)
			if g.Transport == "tcp" {
				head, answer = "50 02 %04x b1 68 ff", "?0 02 __ __ b1 68"
			}
			d.Say(gen.Hex(fmt.Sprintf(head, id) + payload))
			heard := d.Heard(mark)
			judgeReplies(r, "C-3", name, form.name+": the answer to the Hello", d, mark, heard[:min(len(heard), 1)], []string{answer})
			if !d.Sees(target.Insight) {
				unseen(r, "C-3", name, form.name+": what the cloud has recorded")
				return nil
			}
			known := d.Recorded()
			Equal(r, "C-3", name, form.name+": what the cloud has recorded",
				fmt.Sprintf("online %v, platform %v, system %d, message %d", known.Online, known.Hello.Platform, known.Hello.System, known.Hello.MaxMessage),
				fmt.Sprintf("online %v, platform %v, system %d, message %d", true, form.platform, form.system, form.message), lines(d.Packets(mark))...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkFirstAnswer(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withNewPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		if err := d.Handshake(); err != nil {
			return err
		}
		mark := d.Now()
		hello := d.Hello().Message(d.Dialect)
		hello.ID = d.Peer.NextID()
		d.Say(hello.Append(nil))
		d.Within(4*time.Second, func() bool {
			return g.Transport == "udp" && len(d.Heard(mark)) > 0 || len(heardOf(d.Heard(mark), asks(coap.POST, "h"))) > 0
		})
		heard := d.Heard(mark)
		if g.Transport == "udp" {
			judgeReplies(r, "C-1", name, "the first message of the cloud", d, mark, heard[:min(len(heard), 1)], []string{fmt.Sprintf("60 00 %04x", hello.ID)})
			return nil
		}
		answers := heardOf(heard, asks(coap.POST, "h"))
		if Equal(r, "C-2", name, "Hellos of the cloud", len(answers) > 0, true, lines(d.Packets(mark))...) {
			Equal(r, "C-2", name, "the Hello of the cloud comes within four seconds", answers[0].At.Sub(mark) < 4*time.Second, true, lines(d.Packets(mark))...)
		}
		return nil
	})
}

// oddities are what a session may say and a cloud must not understand.
var oddities = []struct{ name, say string }{
	{"a ping", "40 00 10 50"},
	{"an unknown POST without a token", "40 02 10 51 b1 5a"},
	{"an unknown POST with a token", "41 02 10 52 77 b1 5a ff 00"},
	{"an unknown POST that is not Confirmable", "50 02 10 53 b1 5a"},
	{"a DELETE", "41 04 10 54 77 b1 65"},
	{"a result of nothing", "41 44 10 55 78 ff 00 00 00 01"},
	{"a value of nothing", "41 45 10 56 79 ff 00 00 00 01"},
	{"an error of nothing", "41 84 10 57 7a"},
	{"an acknowledgement of nothing", "60 00 77 77"},
	{"a piggybacked answer to nothing", "61 44 77 78 7b"},
	{"an event without a name", "40 02 10 58 b1 45"},
	{"an event with an unknown critical option", "40 02 10 59 b1 45 01 78 e1 06 eb aa ff 31"},
	{"an event whose options do not end", "40 02 10 5a b1 45 f1 00"},
	{"an event of another version", "80 02 10 5b b1 45 01 78"},
	{"nine bytes of token", "49 02 10 5c 01 02 03 04 05 06 07 08 09 b1 45 01 78"},
	{"a subscription to the events of nobody", "40 01 10 5d b1 65 01 78 ff 7a 7a"},
	{"a describe that is none", "40 02 10 5e b1 64 41 02 ff 7b 7b"},
	{"a describe in blocks that begins in the middle", "41 02 10 5f 31 b1 64 41 02 c1 16 ff 7b"},
	{"a ledger request that is none", "41 02 10 60 32 b1 4c ff ff ff"},
	{"a goodbye that is none", "40 02 10 61 b1 78 ff 80 80 80 80 80 80 80 80 80 80 80"},
	{"four bytes", "50 02 10 62"},
	{"a class that does not exist", "41 e1 10 63 33"},
	{"one byte", "00"},
	{"a Reset of nothing", "70 00 77 79"},
}

func checkNeverReset(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		for _, odd := range oddities {
			mark := d.Now()
			d.Say(gen.Hex(odd.say))
			resets := heardOf(d.Heard(mark), func(m peer.Message) bool { return m.CoAP.Type == coap.Reset })
			Equal(r, "C-4", name, odd.name+": Resets that come back", len(resets), 0, lines(d.Packets(mark))...)
			if _, err := coap.Parse(gen.Hex(odd.say)); err != nil && !d.Peer.Secured() && g.Transport == "tcp" {
				// Where no tag protects a frame, a message that does not parse may end the
				// connection (S2).
				if err := d.Online(); err != nil {
					return err
				}
			}
			ping := d.Now()
			id := d.Tell(coap.Message{Type: coap.Confirmable})
			// A device over TCP takes any acknowledgement for that of its ping.
			answers := answersTo(d, ping, 1, func(m peer.Message) bool {
				return m.CoAP.Type == coap.Acknowledgement && m.CoAP.Code == coap.Empty && (m.CoAP.ID == id || g.Transport == "tcp")
			})
			if !Equal(r, "C-5", name, odd.name+": acknowledgements of a ping that follows", len(answers), 1, lines(d.Packets(mark))...) {
				return nil
			}
		}
		return nil
	})
}

// answersTo returns what was heard from an instant on that fits, when it is as much as it
// should be at the least.
func answersTo(d *target.PuppetDevice, since clock.Instant, n int, fits func(m peer.Message) bool) []peer.Message {
	d.Patient(func() bool { return len(heardOf(d.Heard(since), fits)) >= n })
	return heardOf(d.Heard(since), fits)
}

// confirmables are all kinds of messages of a device that are sent Confirmable,
// without type and ID.
var confirmables = []struct{ name, head, rest string }{
	{"a ping", "0 00", ""},
	{"an event", "0 02", "b1 45 01 78 ff 31"},
	{"a subscription", "0 01", "b1 65 04 6e 65 77 73"},
	{"a describe", "0 02", "b1 64 41 02 ff 7b 22 66 22 3a 5b 5d 2c 22 76 22 3a 7b 7d 7d"},
	{"a describe with a token", "1 02", "31 b1 64 41 02 ff 7b 22 66 22 3a 5b 5d 2c 22 76 22 3a 7b 7d 7d"},
	{"a block of a describe", "1 02", "31 b1 64 11 2a 31 01 c1 0e ff" + strings.Repeat("00", 1024)},
	{"a result", "1 44", "78 ff 00 00 00 01"},
	{"a value", "1 45", "79 ff 00 00 00 01"},
	{"an unknown variable", "1 84", "7a"},
	{"UpdateReady", "1 44", "7b ff 01"},
	{"ChunkReceived, good", "1 44", "7c"},
	{"ChunkReceived, bad", "1 80", "7d"},
	{"ChunkMissed", "0 01", "b1 63 ff 00 01"},
	{"the answer to UpdateStart", "1 41", "7e e1 06 f8 80 40"},
	{"a refusal of UpdateStart", "1 a3", "7e ff 7b 7d"},
	{"the end of an update", "0 03", "b1 75"},
	{"a goodbye", "0 02", "b1 78 ff 01 02"},
}

func checkAcknowledges(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		for _, message := range confirmables {
			for _, confirmable := range []bool{true, false} {
				kind := "4"
				if !confirmable {
					kind = "5"
				}
				mark, id := d.Now(), d.Peer.NextID()
				if message.rest == "" && !confirmable {
					continue // there is no such message
				}
				wire := gen.Hex(kind + message.head[:1] + message.head[1:] + fmt.Sprintf("%04x", id) + message.rest)
				d.Say(wire)
				requirement, want := "C-6", 1
				if !confirmable {
					requirement, want = "C-56", 0
				}
				answers := answersTo(d, mark, want, func(m peer.Message) bool {
					ping := message.rest == "" && g.Transport == "tcp"
					return m.CoAP.Type == coap.Acknowledgement && (m.CoAP.ID == id || ping)
				})
				Equal(r, requirement, name, fmt.Sprintf("%s (Confirmable: %v): acknowledgements within a second", message.name, confirmable), len(answers), want, lines(d.Packets(mark))...)
			}
		}
		return nil
	})
}

// eventWire is a Confirmable private event with that ID.
func eventWire(id uint16, name string) []byte {
	m := coap.Message{
		Type: coap.Confirmable, Code: coap.POST, ID: id, Payload: []byte("1"),
		Options: coap.Options{{ID: coap.URIPath, Value: []byte("E")}, {ID: coap.URIPath, Value: []byte(name)}},
	}
	return m.Append(nil)
}

// taken counts the events of that name on the account's stream.
func taken(d *target.PuppetDevice, mark clock.Instant, name string) int {
	n := 0
	for _, ev := range d.Events(mark) {
		if ev.Name == name {
			n++
		}
	}
	return n
}

func checkCopies(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		if err := d.Takes(90 * time.Second); err != nil {
			return err
		}
		mark, id := d.Now(), d.Peer.NextID()
		for _, pause := range []time.Duration{0, 4 * time.Second, 40 * time.Second, 40 * time.Second} {
			d.Run(pause)
			d.Say(eventWire(id, "once"))
		}
		d.Run(time.Second)
		judgeAnswers(r, "C-7", name, "what an event that comes four times within 93 s causes", d, mark,
			[]string{fmt.Sprintf("60 00 %04x", id), fmt.Sprintf("60 00 %04x", id), fmt.Sprintf("60 00 %04x", id), fmt.Sprintf("60 00 %04x", id)})
		if !d.Sees(target.EventStream) {
			unseen(r, "C-7", name, "how often that event is on the stream")
			return nil
		}
		Equal(r, "C-7", name, "how often that event is on the stream", taken(d, mark, "once"), 1, lines(d.Packets(mark))...)
		if err := d.Online(); err != nil {
			return err
		}
		again := d.Now()
		d.Say(eventWire(id, "again"))
		d.Patient(func() bool { return taken(d, again, "again") > 0 })
		Equal(r, "C-8", name, "how often an event with the ID of one before the handshake is on the stream", taken(d, again, "again"), 1, lines(d.Packets(again))...)
		return nil
	})
}

func checkRetransmits(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		if err := d.Takes(3 * time.Minute); err != nil {
			return err
		}
		d.Peer.SetAnswer(peer.Silent)
		mark := d.Now()
		d.Call(target.FunctionSum, "x")
		d.Run(100 * time.Second)
		calls := heardOf(d.Heard(mark), asks(coap.POST, "f"))
		if !Equal(r, "C-12", name, "the cloud sends its call at least three times", len(calls) >= 3, true, lines(d.Packets(mark))...) {
			return nil
		}
		for _, m := range calls[1:] {
			Equal(r, "C-12", name, "a copy of the call", spaced(m.Wire), spaced(calls[0].Wire), lines(d.Packets(mark))...)
		}
		Equal(r, "C-12", name, "the first copy comes two seconds later at the least", calls[1].At.Sub(calls[0].At) >= 2*time.Second, true, lines(d.Packets(mark))...)
		for _, m := range d.Heard(mark) {
			if m.CoAP.Type == coap.Confirmable && m.At.Sub(calls[0].At) < 45*time.Second && !asks(coap.POST, "f")(m) {
				Equal(r, "C-12", name, "another request has the ID of the call", m.CoAP.ID == calls[0].CoAP.ID, false, lines(d.Packets(mark))...)
			}
		}
		if d.Sees(target.Insight) {
			Equal(r, "C-12", name, "the cloud says that the device is offline", len(d.Notes(mark, "offline")) > 0 || !d.Recorded().Online, true, lines(d.Packets(mark))...)
		} else {
			unseen(r, "C-12", name, "the cloud says that the device is offline")
		}

		d.Peer.SetAnswer(nil)
		d.Tell(coap.Message{Type: coap.Confirmable})
		mark = d.Now()
		d.Call(target.FunctionSum, "y")
		d.Run(60 * time.Second)
		Equal(r, "C-12", name, "transmissions of a call that is acknowledged", len(heardOf(d.Heard(mark), asks(coap.POST, "f"))), 1, lines(d.Packets(mark))...)
		return nil
	})
}

func checkVanished(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		interval := keepAlive(g, d.Profile.Board.Cellular())
		if err := d.Takes(3*interval + 2*time.Minute); err != nil {
			return err
		}
		if err := d.Needs(target.Insight); err != nil {
			return err
		}
		mark := d.Now()
		d.Silence(true)
		d.Run(interval)
		Equal(r, "C-15", name, fmt.Sprintf("the device is offline after %v of silence", interval), len(d.Notes(mark, "offline"))+len(d.Notes(mark, "ended")) > 0, false)
		// Policy: how long a cloud waits. It must know sometime.
		d.Run(2*interval + 2*time.Minute)
		Equal(r, "C-15", name, "the device is offline after three keep-alives of silence", len(d.Notes(mark, "offline"))+len(d.Notes(mark, "ended")) > 0, true)
		d.Silence(false)
		if g.Transport == "tcp" {
			return nil // the connection is gone
		}
		back := d.Now()
		d.Peer.Resume()
		id := d.Tell(coap.Message{Type: coap.Confirmable})
		judgeReplies(r, "C-13", name, "the answer to a ping after the silence", d, back, d.Heard(back)[:min(len(d.Heard(back)), 1)], []string{fmt.Sprintf("60 00 %04x", id)})
		d.Call(target.FunctionSum, "x")
		d.Run(time.Second)
		Equal(r, "C-13", name, "calls that reach the device after it resumed with a ping", len(heardOf(d.Heard(back), asks(coap.POST, "f"))), 1, lines(d.Packets(back))...)
		return nil
	})
}

func checkGoodbyeReasons(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		mark, id := d.Now(), d.Peer.NextID()
		if g.Transport == "udp" {
			d.Say(gen.Hex(fmt.Sprintf("40 02 %04x b1 78 ff 05 06 90 1c", id)))
			judgeAnswers(r, "C-14", name, "the answer to a goodbye", d, mark, []string{fmt.Sprintf("60 00 %04x", id)})
		} else {
			d.Say(gen.Hex(fmt.Sprintf("50 02 %04x b1 78 d0 ea ff 05 06 90 1c", id)))
			judgeAnswers(r, "C-14", name, "the answer to a goodbye with No-Response", d, mark, nil)
		}
		if !d.Sees(target.Insight) {
			unseen(r, "C-14", name, "what the cloud says of a device that goes to sleep")
			return nil
		}
		notes := d.Notes(mark, "offline")
		if !Equal(r, "C-14", name, "how often the cloud says that the device is offline", len(notes), 1, lines(d.Packets(mark))...) {
			return nil
		}
		r.Judged(1)
		if text := notes[0].Detail; !strings.Contains(text, "sleep") || !strings.Contains(text, "3600") {
			r.Fail(report.Finding{Requirement: "C-14", Device: name, Text: "why the device is offline", Expected: "that it sleeps for 3600 s", Actual: text})
		}
		return nil
	})
}

// clocksApart is how many seconds the clock of a foreign cloud and ours may differ.
const clocksApart = 30

func checkTimeAnswers(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		d.Within(17*time.Second, func() bool { return true })
		mark, id := d.Now(), d.Peer.NextID()
		d.Say(gen.Hex(fmt.Sprintf("41 01 %04x 81 b1 74", id)))
		want := fmt.Sprintf("61 45 %04x 81 ff %08x", id, d.Unix(mark))
		if heard := d.Heard(mark); !d.Sees(target.VirtualTime) && len(heard) == 1 && len(heard[0].CoAP.Payload) == 4 {
			// Two clocks are never quite the same, and either may be wrong.
			said := int64(binary.BigEndian.Uint32(heard[0].CoAP.Payload))
			if off := said - d.Unix(mark); off > -clocksApart && off < clocksApart {
				want = fmt.Sprintf("61 45 %04x 81 ff %08x", id, said)
			}
		}
		judgeAnswers(r, "C-11", name, "the answer to a time request", d, mark, []string{want})
		for _, odd := range []string{"42 01 %04x 81 82 b1 74", "40 01 %04x b1 74", "44 01 %04x 01 02 03 04 b1 74"} {
			mark := d.Now()
			d.Say(gen.Hex(fmt.Sprintf(odd, d.Peer.NextID())))
			for _, m := range d.Heard(mark) {
				told := m.CoAP.Code == coap.Content
				Equal(r, "N-51", name, "a token of another length than one byte leads to an answer that sets a wrong clock", told, false, lines(d.Packets(mark))...)
			}
		}
		return nil
	})
}

func checkIDGap(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		mark := d.Now()
		d.Peer.NextID()
		d.Tell(pdc.Publish{Private: true, Name: "gap"}.Message(d.Dialect))
		closed := !d.Peer.Secured()
		if closed && !d.Sees(target.EventStream) {
			r.Judged(1)
			unseen(r, "N-49", name, "whether the event behind the gap is taken all the same")
			return nil
		}
		d.Patient(func() bool { return closed || taken(d, mark, "gap") > 0 })
		Equal(r, "N-49", name, "after a gap the connection is closed, or the event is taken", closed != (taken(d, mark, "gap") == 1), true, lines(d.Packets(mark))...)
		return nil
	})
}
