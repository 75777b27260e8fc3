package conformance

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

func listeningSuite() Suite {
	return Suite{
		Name: "listening",
		Text: "how a cloud takes events and subscriptions and delivers to them, from a puppet device in virtual time",
		Checks: []Check{
			{
				Name: "event-forms", Text: "a lone marker, a lifetime of 0 to 4 bytes and any format are taken",
				Provoke: "a puppet device publishes events in odd but legal forms", Observe: "the acknowledgement, and name, data and lifetime on the account's stream",
				Requirements: []string{"C-23", "C-24"}, Run: checkEventForms,
			},
			{
				Name: "formats", Text: "deliveries to releases before 6.2 have no option but a lifetime; later ones have the format, 60 where the handler wants structured data",
				Provoke: "the account publishes text, binary and structured data", Observe: "the options of the deliveries",
				Requirements: []string{"C-25"}, Run: checkDeliveryFormats,
			},
			{
				Name: "needs-data", Text: "no delivery has an empty name, and those about updates always have data",
				Provoke: "the cloud is told to send events without a name and without data", Observe: "the deliveries",
				Requirements: []string{"C-26"}, Run: checkNeedsData,
			},
			{
				Name: "subscriptions", Text: "every form of subscription is understood, and a new Hello replaces them all",
				Provoke: "a puppet device subscribes in each form, and in two sessions", Observe: "how often each event is delivered",
				Requirements: []string{"C-27"}, Run: checkSubscriptionForms,
			},
			{
				Name: "refusals", Text: "a subscription or event that is one too many is 4.00 without a token, never a Reset",
				Provoke: "a puppet device subscribes two hundred times, and publishes what is too long", Observe: "the answers",
				Requirements: []string{"C-28"}, Skip: onlyUDP, Run: checkPolicyRefusals,
			},
			{
				Name: "limits", Text: "nothing longer than the device takes is sent to it",
				Provoke: "the account publishes events around the limits of the release", Observe: "which of them are delivered",
				Requirements: []string{"C-29"}, Run: checkDeliveryLimits,
			},
			{
				Name: "requests", Text: "a device that asks for its name, its address or random characters gets an event of the same name",
				Provoke: "a puppet device subscribes to these events and publishes them", Observe: "the deliveries",
				Requirements: []string{"C-30"}, Run: checkRequestEvents,
			},
			{
				Name: "claim", Text: "a device that publishes a good claim code is told so, and belongs to the account; a bad code changes nothing",
				Provoke: "a puppet device publishes a claim code that exists, and one that does not", Observe: "the delivery, and the stream",
				Requirements: []string{"C-31"}, Run: checkClaimCodes,
			},
		},
	}
}

// eventForms are events behind type and ID, and what is on the stream then.
var eventForms = []struct {
	name, rest string
	event      string
	data       string
	ttl        uint32
}{
	{"a lone marker", "b1 45 01 78 ff", "x", "", 60},
	{"no data", "b1 45 01 78", "x", "", 60},
	{"a lifetime of no bytes", "b1 45 01 78 30 ff 31", "x", "1", 0},
	{"a lifetime of one byte", "b1 45 01 78 31 3c ff 31", "x", "1", 60},
	{"a lifetime of two bytes", "b1 45 01 78 32 0e 10 ff 31", "x", "1", 3600},
	{"a lifetime of three bytes", "b1 45 01 78 33 00 0e 10 ff 31", "x", "1", 3600},
	{"a lifetime of four bytes", "b1 45 01 78 34 00 00 0e 10 ff 31", "x", "1", 3600},
	{"text as a format of no bytes", "b1 45 01 78 10 ff 31", "x", "1", 60},
	{"JSON", "b1 45 01 78 11 32 ff 7b 7d", "x", "{}", 60},
	{"structured data", "b1 45 01 78 12 fd e9 ff a0", "x", "\xa0", 60},
	{"a format that nobody knows", "b1 45 01 78 12 ab cd ff 31", "x", "1", 60},
	{"format and lifetime", "b1 45 01 78 11 32 21 05 ff 31", "x", "1", 5},
	{"a public event", "b1 65 01 78 ff 31", "x", "1", 60},
	{"a name with a slash in one segment", "b1 45 03 61 2f 62 ff 31", "a/b", "1", 60},
	{"a name with a slash in two segments", "b1 45 01 61 01 62 ff 31", "a/b", "1", 60},
	{"a name in four segments", "b1 45 01 61 01 62 01 63 01 64 ff 31", "a/b/c/d", "1", 60},
}

func checkEventForms(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		for _, form := range eventForms {
			mark, id := d.Now(), d.Peer.NextID()
			head, want := "40", []string{fmt.Sprintf("60 00 %04x", id)}
			if g.Transport == "tcp" {
				head, want = "50", nil
			}
			d.Say(gen.Hex(fmt.Sprintf("%s 02 %04x %s", head, id, form.rest)))
			judgeAnswers(r, "C-23", name, form.name+": the answer to the event", d, mark, want)
			if !d.Sees(target.EventStream) {
				continue
			}
			d.Patient(func() bool { return taken(d, mark, form.event) > 0 })
			var got []string
			for _, ev := range d.Events(mark) {
				if !d.Sees(target.Insight) {
					if ev.Name != form.event {
						continue // such as that the device is online
					}
					if !utf8.ValidString(form.data) || strings.HasPrefix(string(ev.Data), "data:") {
						ev.Data = []byte(form.data) // an API has ways of its own with what is no text
					}
				}
				got = append(got, fmt.Sprintf("%q %q %d", ev.Name, ev.Data, ev.TTL))
			}
			Equal(r, "C-23", name, form.name+": name, data and lifetime on the stream", strings.Join(got, ", "), fmt.Sprintf("%q %q %d", form.event, form.data, form.ttl), lines(d.Packets(mark))...)
		}
		if !d.Sees(target.EventStream) {
			unseen(r, "C-23", name, "name, data and lifetime on the stream")
		}
		return nil
	})
}

// delivered waits until an event is delivered.
func delivered(d *target.PuppetDevice, since clock.Instant, event string) {
	d.Patient(func() bool { return len(deliveredAs(d, d.Heard(since), event)) > 0 })
}

// subscribe sends a subscription, behind type and ID.
func subscribe(d *target.PuppetDevice, rest string) {
	d.Say(gen.Hex(fmt.Sprintf("40 01 %04x b1 65 %s", d.Peer.NextID(), rest)))
}

// deliveries returns what was delivered of an event, as the options behind the
// path and the payload.
func deliveredAs(d *target.PuppetDevice, heard []peer.Message, name string) []string {
	var list []string
	for _, m := range heardOf(heard, asks(coap.POST, "eE")) {
		delivery, err := pdc.ParseEventDelivery(m.CoAP)
		if err != nil || delivery.Name != name || !d.IsMine(m.CoAP.Payload) && !strings.HasPrefix(name, "spark/") {
			continue
		}
		var options []string
		for _, o := range m.CoAP.Options {
			if o.ID != coap.URIPath && (o.ID != coap.MaxAge || d.Dialect.System >= pdc.OS6_2) {
				options = append(options, fmt.Sprintf("%d=%x", o.ID, o.Value))
			}
		}
		list = append(list, fmt.Sprintf("[%s] %x", strings.Join(options, " "), m.CoAP.Payload))
	}
	return list
}

func checkDeliveryFormats(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		subscribe(d, "04 74 65 78 74")             // text
		subscribe(d, "06 62 69 6e 61 72 79 41 62") // binary?b
		subscribe(d, "03 6f 62 6a 41 63")          // obj?c
		for _, event := range []struct {
			name    string
			data    []byte
			content pdc.ContentFormat
			want    string // from 6.2 on
		}{
			{"text", []byte("1"), pdc.FormatText, "[] %x"},
			{"binary", []byte{0xff, 0}, pdc.FormatOctetStream, "[12=2a] %x"},
			{"obj", []byte{0xa0}, pdc.FormatStructured, "[12=3c] %x"},
			{"binary/json", []byte("{}"), pdc.FormatJSON, "[12=32] %x"},
		} {
			if event.content != pdc.FormatText && !d.Sees(target.Prompting) {
				unseen(r, "C-25", name, "how an event is delivered that is not text")
				continue
			}
			mark := d.Now()
			data := d.Mine(event.data)
			d.Publish(event.name, data, event.content)
			delivered(d, mark, event.name)
			want := fmt.Sprintf(event.want, data)
			if g.System < pdc.OS6_2 {
				want = fmt.Sprintf("[] %x", data)
			}
			Equal(r, "C-25", name, fmt.Sprintf("options and data of the delivery of %q", event.name), strings.Join(deliveredAs(d, d.Heard(mark), event.name), ", "), want, lines(d.Packets(mark))...)
		}
		return nil
	})
}

func checkNeedsData(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		mark := d.Now()
		d.Send("", []byte("x"))
		d.Run(time.Second)
		Equal(r, "C-26", name, "deliveries of an event without a name", len(heardOf(d.Heard(mark), asks(coap.POST, "eE"))), 0, lines(d.Packets(mark))...)
		for _, event := range []string{pdc.EventUpdatesPending, pdc.EventUpdatesForced} {
			mark := d.Now()
			d.Send(event, nil)
			d.Run(time.Second)
			for _, m := range heardOf(d.Heard(mark), asks(coap.POST, "eE")) {
				Equal(r, "C-26", name, "a delivery of "+event+" has data", len(m.CoAP.Payload) > 0, true, lines(d.Packets(mark))...)
			}
		}
		return nil
	})
}

// subscriptionForms are subscriptions behind the path, with events that fit and
// some that do not.
var subscriptionForms = []struct {
	name, rest string
	since      uint16
	fits       []string
	others     []string
}{
	{"a prefix", "03 6e 65 77", 0, []string{"new", "news/today"}, []string{"ne", "old/new"}},
	{"to my devices", "03 6d 79 64 41 75", 0, []string{"myd", "mydevice"}, []string{"my"}},
	{"for binary data", "03 62 69 6e 41 62", pdc.OS6_2, []string{"bin"}, []string{"bi"}},
	{"for structured data", "03 6f 62 6a 41 63", pdc.OS6_2, []string{"obj"}, []string{"ob"}},
	{"that is sent twice", "03 64 75 62 41 75", 0, []string{"dub"}, nil},
}

func checkSubscriptionForms(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		for _, form := range subscriptionForms {
			if g.System < form.since {
				continue
			}
			subscribe(d, form.rest)
			if form.name == "that is sent twice" {
				subscribe(d, form.rest)
			}
			for _, event := range form.fits {
				judgeDelivered(r, d, name, "a subscription "+form.name+" fits: deliveries", event, 1)
			}
			for _, event := range form.others {
				judgeDelivered(r, d, name, "a subscription "+form.name+" does not fit: deliveries", event, 0)
			}
		}
		// The account's own events come from no device.
		subscribe(d, "03 6f 6e 65 ff"+hex.EncodeToString([]byte("53ff73065067544816300187")))
		judgeDelivered(r, d, name, "a subscription to one device, and another publishes: deliveries", "one", 0)

		if err := d.Online(); err != nil {
			return err
		}
		judgeDelivered(r, d, name, "a subscription of an earlier session: deliveries", "news/today", 0)
		subscribe(d, "03 6e 65 77")
		judgeDelivered(r, d, name, "a subscription that is made in two sessions: deliveries", "news/today", 1)
		return nil
	})
}

func judgeDelivered(r *Recorder, d *target.PuppetDevice, name, what, event string, want int) {
	mark := d.Now()
	d.Publish(event, d.Mine([]byte("1")), pdc.FormatText)
	if want > 0 {
		delivered(d, mark, event)
	}
	Equal(r, "C-27", name, fmt.Sprintf("%s of %q", what, event), len(deliveredAs(d, d.Heard(mark), event)), want, lines(d.Packets(mark))...)
}

func checkPolicyRefusals(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		refused := 0
		judge := func(what string, wire []byte) {
			mark := d.Now()
			d.Say(wire)
			for _, m := range d.Heard(mark) {
				accepted := fitsPattern(m.Wire, fmt.Sprintf("60 00 %02x%02x", wire[2], wire[3]))
				if !accepted {
					refused++
				}
				ok := accepted || fitsPattern(m.Wire, fmt.Sprintf("60 80 %02x%02x", wire[2], wire[3]))
				r.Judged(1)
				if !ok {
					judgeAnswers(r, "C-28", name, what, d, mark, []string{fmt.Sprintf("60 80 %02x%02x", wire[2], wire[3])})
				}
			}
		}
		for i := range 200 {
			judge(fmt.Sprintf("the answer to subscription %d", i+1), gen.Hex(fmt.Sprintf("40 01 %04x b1 65 04 73 %06x", d.Peer.NextID(), i+0x303030)))
		}
		judge("the answer to an event with a name of 65 bytes", gen.Hex(fmt.Sprintf("40 02 %04x b1 45 0d 34 %s ff 31", d.Peer.NextID(), x(65))))
		// Policy: a cloud that takes all of them refuses nothing.
		lives(r, d, "C-28", name)
		if refused == 0 {
			r.Remark(remark("C-28", name, "the cloud refused none of 200 subscriptions"))
		}
		return nil
	})
}

func checkDeliveryLimits(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		subscribe(d, "04 6e 65 77 73")
		limits := d.Dialect.Limits()
		for _, step := range []struct {
			what string
			size int
			want int
		}{{"as long as the device takes", limits.EventData, 1}, {"one byte longer", limits.EventData + 1, 0}, {"far too long", 4000, 0}, {"short again", 1, 1}} {
			if step.size > limits.EventData && !d.Sees(target.CloudPublish) {
				unseen(r, "C-29", name, "what becomes of an event that is "+step.what)
				continue
			}
			mark := d.Now()
			mine := len(d.Mine(nil)) // which cannot be shorter
			d.Publish("news", d.Mine([]byte(strings.Repeat("n", step.size)))[:max(step.size, mine)], pdc.FormatText)
			if step.want > 0 {
				delivered(d, mark, "news")
			}
			Equal(r, "C-29", name, fmt.Sprintf("deliveries of %d bytes, %s", step.size, step.what), len(deliveredAs(d, d.Heard(mark), "news")), step.want, lines(d.Packets(mark))...)
			for _, m := range d.Heard(mark) {
				Equal(r, "C-29", name, "a message is longer than the device takes", len(m.Wire) > limits.Message, false, lines(d.Packets(mark))...)
			}
		}
		return nil
	})
}

func checkRequestEvents(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		for _, family := range []string{"spark", "particle"} {
			subscribe(d, fmt.Sprintf("0%x %x", len(family), family))
			for what, judge := range inOrder(map[string]func(data string) bool{
				"name":   func(data string) bool { return data == d.Name() || d.Name() == "" },
				"ip":     func(data string) bool { return data == d.SeenAs() || d.SeenAs() == "" && net.ParseIP(data) != nil },
				"random": func(data string) bool { return len(data) == 40 },
			}) {
				mark, event := d.Now(), family+"/device/"+what
				d.Tell(pdc.Publish{Private: true, Name: event}.Message(d.Dialect))
				d.Patient(func() bool { return len(heardOf(d.Heard(mark), named(event))) > 0 })
				var got []string
				for _, m := range heardOf(d.Heard(mark), asks(coap.POST, "eE")) {
					if delivery, err := pdc.ParseEventDelivery(m.CoAP); err == nil && delivery.Name == event && (len(m.CoAP.Payload) > 0 || what == "name" && d.Name() == "") {
						got = append(got, string(m.CoAP.Payload))
					}
				}
				if Equal(r, "C-30", name, "answers to "+event, len(got), 1, lines(d.Packets(mark))...) {
					Equal(r, "C-30", name, fmt.Sprintf("the answer to %s is what was asked for (%q)", event, got[0]), judge(got[0]), true, lines(d.Packets(mark))...)
				}
			}
		}
		return nil
	})
}

func checkClaimCodes(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		code, err := d.ClaimCode()
		if err != nil {
			return err
		}
		confirmed := func(since int) bool {
			all := heardOf(d.Heard(0), func(m peer.Message) bool {
				return asks(coap.POST, "eE")(m) && strings.Contains(m.CoAP.Path(), "spark/device/claim/")
			})
			return len(all) > since
		}
		mark := d.Now()
		d.Tell(pdc.Publish{Private: true, Name: pdc.EventClaimCode, Data: []byte(strings.Repeat("0", 63))}.Message(d.Dialect))
		Equal(r, "C-31", name, "a code that does not exist is confirmed", confirmed(0), false, lines(d.Packets(mark))...)
		Equal(r, "C-31", name, "a code that does not exist claims the device", d.Claimed(), false)
		mark = d.Now()
		d.Tell(pdc.Publish{Private: true, Name: pdc.EventClaimCode, Data: []byte(code)}.Message(d.Dialect))
		Equal(r, "C-31", name, "a good code is confirmed", confirmed(0), true, lines(d.Packets(mark))...)
		Equal(r, "C-31", name, "a good code claims the device", d.Claimed(), true)
		Equal(r, "C-31", name, "how often a claim code is on the stream", taken(d, 0, pdc.EventClaimCode), 0)
		return nil
	})
}
