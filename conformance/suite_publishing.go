package conformance

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

func publishingSuite() Suite {
	return Suite{
		Name: "publishing",
		Text: "how a device publishes, and what it does with the events that mean something to it, before a puppet cloud in virtual time",
		Checks: []Check{
			{
				Name: "burst", Text: "of five events within a second four are sent, and refused ones count",
				Provoke: "the application publishes five events within a second, and goes on", Observe: "the events on the wire",
				Requirements: []string{"D-6"}, Run: checkBurst,
			},
			{
				Name: "encoding", Text: "path, lifetime, marker and format are those of the release",
				Provoke: "the application publishes events with lifetime, format, empty and no data", Observe: "the bytes of each event",
				Requirements: []string{"D-6"}, Run: checkPublishEncoding,
			},
			{
				Name: "timeout", Text: "an event that wants its acknowledgement fails 20 s later, and the link ends with the last retransmission",
				Provoke: "a puppet cloud does not acknowledge an event", Observe: "the type of the event, and when the application hears that it failed",
				Requirements: []string{"D-6"}, Run: checkPublishTimeout,
			},
			{
				Name: "reset", Text: "the reset event leads to a goodbye with its reason, and to the mode that it names",
				Provoke: "a puppet cloud delivers spark/device/reset with each of its words", Observe: "goodbye, reconnect and the safe-mode event",
				Requirements: []string{"D-20"}, Run: checkResetCommand,
			},
			{
				Name: "forced", Text: "updates/forced is echoed when it changes something, and with no data at all it is a crash",
				Provoke: "a puppet cloud delivers updates/forced as true, as false, again, and without data", Observe: "the echo, and whether the device restarts",
				Requirements: []string{"D-20"}, Skip: since(pdc.OS1_2), Run: checkForcedEcho,
			},
			{
				Name: "claimed", Text: "an event below spark/device/claim/ makes the device forget its claim code",
				Provoke: "a puppet cloud delivers an event below spark/device/claim/, or none, and ends the session", Observe: "the claim code in the next full handshake",
				Requirements: []string{"D-20"}, Run: checkClaimForgotten,
			},
		},
	}
}

// burstSpan is how long a burst may last so that all of it is within one second for the
// device, whatever the way to it takes.
const burstSpan = 800 * time.Millisecond

func checkBurst(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		c.Run(2 * time.Second)
		mark := c.Now()
		for range 5 {
			// What is on the wire tells whether it was refused.
			if err := c.Publish("burst", []byte("x")); err != nil && !c.CanPublish(target.Publication{Data: []byte("x")}) {
				return err
			}
		}
		c.Run(500 * time.Millisecond)
		burst := heardOf(c.Heard(mark), named("burst"))
		if n := len(burst); n > 0 && burst[n-1].At.Sub(burst[0].At) > burstSpan {
			unseen(r, "D-6", name, "a burst: the machine was too busy to make the events follow one another")
			return nil
		}
		Equal(r, "D-6", name, "events on the wire of five within one second", len(burst), 4, lines(c.Packets(mark))...)
		if !c.Sees(target.VirtualTime) {
			unseen(r, "D-6", name, "whether refused events count: that depends on milliseconds")
			return nil
		}
		// The fifth attempt was at the beginning of the second, and counts: three
		// more fit into the next one.
		mark = c.Now()
		for range 5 {
			c.Run(150 * time.Millisecond)
			_ = c.Publish("hammer", []byte("x"))
		}
		sent := len(heardOf(c.Heard(mark), named("hammer")))
		Equal(r, "D-6", name, fmt.Sprintf("less than all of five events within 750 ms after a burst are sent (%d were)", sent), sent < 5, true, lines(c.Packets(mark))...)
		return nil
	})
}

// A publication and its options and payload on the wire, by release.
var publications = []struct {
	name         string
	since, until uint16
	event        target.Publication
	want         string // behind ID and path
}{
	{"no data", 0, 0, target.Publication{Name: "x"}, "b1 45 01 78"},
	{"public up to 6.1", 0, pdc.OS6_2, target.Publication{Name: "x", Public: true, Data: []byte("1")}, "b1 65 01 78 ff 31"},
	{"public", pdc.OS6_2, 0, target.Publication{Name: "x", Public: true, Data: []byte("1")}, "b1 45 01 78 ff 31"},
	{"an empty string up to 2.x", 0, pdc.OS3_0, target.Publication{Name: "x", Data: []byte{}}, "b1 45 01 78 ff"},
	{"an empty string", pdc.OS3_0, 0, target.Publication{Name: "x", Data: []byte{}}, "b1 45 01 78"},
	{"a lifetime up to 6.1", 0, pdc.OS6_2, target.Publication{Name: "x", TTL: 3600}, "b1 45 01 78 33 00 0e 10"},
	{"a lifetime", pdc.OS6_2, 0, target.Publication{Name: "x", TTL: 3600}, "b1 45 01 78 32 0e 10"},
	{"the default lifetime", 0, 0, target.Publication{Name: "x", TTL: 60}, "b1 45 01 78"},
	{"slashes", 0, 0, target.Publication{Name: "a/b", Data: []byte("1")}, "b1 45 03 61 2f 62 ff 31"},
	{"a format", pdc.OS6_2, 0, target.Publication{Name: "x", Data: []byte{0xa0}, Format: pdc.FormatStructured}, "b1 45 01 78 12 fd e9 ff a0"},
}

func checkPublishEncoding(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		for _, p := range publications {
			if g.System < p.since || p.until != 0 && g.System >= p.until {
				continue
			}
			if !c.CanPublish(p.event) && c.Sees(target.Commands) {
				unseen(r, "D-6", name, p.name+": the console of the device cannot tell its application to")
				continue
			}
			c.Run(2 * time.Second)
			mark := c.Now()
			if err := c.PublishWith(p.event); err != nil {
				return err
			}
			c.Settle(time.Second)
			judgeHeard(r, "D-6", name, p.name+": the event on the wire", c, mark, nil, []string{"?0 02 __ __ " + p.want})
			for _, m := range heardOf(c.Heard(mark), named(p.event.Name)) {
				Equal(r, "D-6", name, p.name+": the event is Confirmable", m.CoAP.Type == coap.Confirmable, g.Transport == "udp", lines(c.Packets(mark))...)
			}
		}
		return nil
	})
}

func checkPublishTimeout(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		withheld := named("slow")
		c.Peer.SetAnswer(func(m peer.Message) ([][]byte, bool) { return nil, m.Err == nil && withheld(m) })
		mark := c.Now()
		if err := c.PublishWith(target.Publication{Name: "slow", Data: []byte("x"), WithAck: true}); err != nil {
			return err
		}
		c.Run(19 * time.Second)
		Equal(r, "D-6", name, "the publish has failed after 19 s", failed(c.Events(mark)), false)
		c.Run(2 * time.Second)
		Equal(r, "D-6", name, "the publish has failed after 21 s", failed(c.Events(mark)), true)
		for _, m := range heardOf(c.Heard(mark), withheld) {
			// Also over TCP, because it wants to know.
			Equal(r, "D-6", name, "an event that wants its acknowledgement is Confirmable", m.CoAP.Type == coap.Confirmable, true, lines(c.Packets(mark))...)
		}
		return nil
	})
}

func failed(events []target.Event) bool {
	for _, ev := range events {
		if ev.Kind == target.PublishFailed {
			return true
		}
	}
	return false
}

// deliver is a delivery in a form that every release takes.
func deliver(c *target.PuppetCloud, name string, data []byte) {
	m := coap.Message{
		Type: coap.Confirmable, Code: coap.POST, ID: c.Peer.NextID(), Payload: data,
		Options: coap.Options{{ID: coap.URIPath, Value: []byte("E")}, {ID: coap.URIPath, Value: []byte(name)}},
	}
	if !c.Profile.Board.UDP {
		m.Type = coap.NonConfirmable
	}
	c.Say(m.Append(nil))
}

// resetCommands are what spark/device/reset can say, with the reason in the
// goodbye and what the device says of itself when it is back.
var resetCommands = []struct {
	data   string
	event  string // "" for spark/device/reset
	since  uint16
	until  uint16 // exclusive; 0: no bound
	reason []byte // of the goodbye, as it is encoded
	back   bool   // by itself
	safe   bool   // in safe mode
}{
	{data: "reboot", reason: []byte{0x8c, 0x01}, back: true},
	{data: "safe mode", reason: []byte{110}, back: true, safe: true},
	{data: "dfu", reason: []byte{120}},
	{data: "Reboot", back: true},
	{data: "network", since: pdc.OS2_3, back: true},
	{data: "x", event: pdc.EventKeyRestore, since: pdc.OS4_0, reason: []byte{0x96, 0x01}, back: true},
	{data: "x", event: pdc.EventKeyRestore, until: pdc.OS4_0, back: true},
}

func checkResetCommand(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, command := range resetCommands {
		if g.System < command.since || command.until != 0 && g.System >= command.until {
			continue
		}
		if (command.safe || !command.back) && g.Devices[0].Profile.Board.Virtual && !e.Sees(target.VirtualTime) {
			unseen(r, "D-20", g.String(), fmt.Sprintf("what the device does after %q: the virtual device has no such mode", command.data))
			continue
		}
		err := withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
			virtual := c.Profile.Board.Virtual // says no Goodbye, and restores no key
			restarted := command.reason != nil || command.data == "network"
			restarted = restarted && (!virtual || command.event != pdc.EventKeyRestore)
			mark := c.Now()
			deliver(c, cmp.Or(command.event, pdc.EventReset), []byte(command.data))
			switch {
			case c.Sees(target.VirtualTime):
				c.Run(12 * time.Second) // less than until the next ping
			case restarted && command.back:
				c.Return(mark, 12*time.Second)
			default:
				c.Run(3 * time.Second)
			}
			what := fmt.Sprintf("after %s %q ", cmp.Or(command.event, pdc.EventReset), command.data)
			heard := c.Heard(mark)
			goodbyes := heardOf(heard, asks(coap.POST, "x"))
			wantGoodbyes := 0
			if command.reason != nil && g.System >= pdc.OS2_0 && !virtual {
				wantGoodbyes = 1
			}
			if Equal(r, "D-20", name, what+"goodbyes", len(goodbyes), wantGoodbyes, lines(c.Packets(mark))...) && wantGoodbyes == 1 {
				want := append([]byte{3, 5}, command.reason...)
				Equal(r, "D-20", name, what+"the goodbye", fmt.Sprintf("% x", goodbyes[0].CoAP.Payload), fmt.Sprintf("% x", want), lines(c.Packets(mark))...)
			}
			_, again := c.BeganAnew(mark)
			Equal(r, "D-20", name, what+"the device begins anew by itself", again, restarted && command.back, last(c.Packets(mark))...)
			Equal(r, "D-20", name, what+"the device says that it is in safe mode", len(heardOf(heard, named(pdc.EventSafeMode))) > 0, command.safe, last(c.Packets(mark))...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkForcedEcho(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		for _, step := range []struct {
			data string
			echo string
		}{{"true", "true"}, {"true", ""}, {"t", ""}, {"false", "false"}} {
			mark := c.Now()
			deliver(c, pdc.EventUpdatesForced, []byte(step.data))
			c.Patient(func() bool {
				return step.echo == "" || len(heardOf(c.Heard(mark), named(pdc.EventUpdatesForced))) > 0
			})
			var got [][]byte
			for _, m := range heardOf(c.Heard(mark), named(pdc.EventUpdatesForced)) {
				got = append(got, m.CoAP.Payload)
			}
			Equal(r, "D-20", name, fmt.Sprintf("the echo of updates/forced = %q", step.data), string(bytes.Join(got, []byte("+"))), step.echo, lines(c.Packets(mark))...)
		}
		mark := c.Now()
		deliver(c, pdc.EventUpdatesForced, nil)
		c.Return(mark, 10*time.Second)
		_, again := c.BeganAnew(mark)
		// Device OS: a null pointer. A device that were not to crash would do better
		// than real ones, and hide what a cloud must never send.
		Equal(r, "D-20", name, "updates/forced without any data restarts the device", again, true, lines(c.Packets(mark))...)
		return nil
	})
}

func checkClaimForgotten(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, p := range kindsOf(g) {
		for _, told := range []bool{false, true} {
			c, err := talkativeStage(e, p)
			if err != nil {
				return err
			}
			if err := c.Online(); err != nil {
				return err
			}
			if told {
				deliver(c, "spark/device/claim/code", []byte("x"))
			}
			mark := c.Now()
			newSession(c)
			what := "the device sends its claim code at the next full handshake"
			Equal(r, "D-20", p.String(), fmt.Sprintf("%s (it was claimed: %v)", what, told), len(heardOf(c.Heard(mark), named(pdc.EventClaimCode))) > 0, !told, lines(c.Packets(mark))...)
		}
	}
	return nil
}

// newSession makes the device connect with a full handshake.
func newSession(c *target.PuppetCloud) {
	if c.Profile.Board.UDP {
		c.Say([]byte{0x70, 0, 0x12, 0x34})
		c.Run(20 * time.Second)
		return
	}
	c.PowerOff()
	c.PowerOn()
	c.Run(20 * time.Second)
}
