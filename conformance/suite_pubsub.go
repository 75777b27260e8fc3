package conformance

import (
	"context"
	"fmt"
	"strings"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func pubsubSuite() Suite {
	return Suite{
		Name:    "pubsub",
		Text:    "events from device to cloud, from cloud to device and from device to device, within one account",
		Prepare: switchOn,
		Checks: []Check{
			{
				Name: "publish", Text: "an event of a device reaches the account's stream once, and is acknowledged over UDP only",
				Provoke: "every device publishes an event", Observe: "the event's message and its acknowledgement, and the stream of each account",
				Requirements: []string{"S8", "C-6", "C-23", "C-56", "D-6"}, Run: checkPublish,
			},
			{
				Name: "publish-cost", Text: "an event of 20 bytes with a short name costs at most 200 bytes, acknowledgement and headers included",
				Provoke: "every device publishes 20 bytes", Observe: "the packets of that exchange, headers included",
				Requirements: []string{"S7"}, Skip: onlyUDP, Needs: []string{"publish"}, Judge: judgePublishCost,
			},
			{
				Name: "deliver", Text: "an event of the account reaches each of its subscribers once, and nobody else",
				Provoke: "the cloud publishes an event of each account", Observe: "which devices the delivery was sent to, and how often",
				Requirements: []string{"S8", "S9", "S14", "C-27"}, Run: checkDeliver,
			},
			{
				Name: "prefix", Text: "an event whose name does not begin with the filter is not delivered",
				Provoke: "the cloud publishes an event that no filter fits, and then one that does", Observe: "which deliveries were sent",
				Requirements: []string{"S9", "C-27"}, Run: checkPrefix,
			},
			{
				Name: "across", Text: "an event of one device reaches devices of its account over UDP and TCP and of every generation",
				Provoke: "one device of each group publishes", Observe: "which devices of its account the delivery was sent to",
				Requirements: []string{"S5", "S8", "S9"}, Run: checkAcross,
			},
			{
				Name: "delivery-form", Text: "a delivery over TCP is not Confirmable, one over UDP better is, and to releases before 6.2 carries no option but Max-Age",
				Provoke: "the cloud publishes an event", Observe: "type and options of each delivery",
				Requirements: []string{"C-25", "C-55"}, Needs: []string{"deliver"}, Judge: judgeDeliveryForm,
			},
			{
				Name: "name", Text: "a name with slashes is the same on the stream, as one path segment or as several",
				Provoke: "puppet devices publish a name as one segment and as several", Observe: "the name on the stream",
				Requirements: []string{"C-24"}, Run: checkName,
			},
			{
				Name: "too-long", Text: "an event above the limit of the release is not delivered, and the next one is",
				Provoke: "the cloud publishes an event above the limit, and one at the limit", Observe: "which deliveries were sent",
				Requirements: []string{"C-29"}, Run: checkLongEvent,
			},
			{
				Name: "claim", Text: "a device that publishes a claim code is bound to the account, and is told so",
				Provoke: "a device that belongs to nobody publishes a claim code", Observe: "the event that tells it so",
				Requirements: []string{"C-31"}, Run: checkClaim,
			},
		},
	}
}

// unique names an event that nobody else uses, below the prefix that devices
// subscribe to.
func unique(g *target.Group, d *target.Device, what string) string {
	return fmt.Sprintf("%s%s-%s-%s", target.SubscribedTo, what, d.Hex()[16:], g.Transport)
}

// twentyBytes is the data of the event whose cost is measured.
const twentyBytes = "twenty bytes of data"

func checkPublish(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	const name = "demo"
	streams := []*target.Stream{e.Subscribe(0, name), e.Subscribe(1, name)}
	defer streams[0].Close()
	defer streams[1].Close()
	sent, marks := make(map[string]int), make(map[*target.Device]target.Mark)
	for _, d := range present(r, g.Devices) {
		marks[d] = d.Mark()
		if err := d.Publish(ctx, name, []byte(twentyBytes)); err != nil {
			r.Fail(report.Finding{Requirement: "D-6", Device: id(d), Text: "the device refused to publish: " + err.Error()})
			continue
		}
		sent[id(d)]++
	}
	for missing := len(sent); missing > 0; {
		var ev event
		select {
		case ev = <-streams[0].C:
		case ev = <-streams[1].C:
		case <-ctx.Done():
			for device, left := range sent {
				if left > 0 {
					r.Fail(report.Finding{Requirement: "S8", Device: device, Text: "its event did not reach the account's stream"})
				}
			}
			return nil
		}
		device := ev.Device.String()
		if _, ours := sent[device]; !ours {
			continue // of another generation
		}
		missing--
		judgeEvent(r, device, ev.Data, sent)
	}
	for d, mark := range marks {
		judgePublishAck(ctx, e, g, d, mark, name, r)
	}
	judgeNoMore(streams, sent, r)
	return nil
}

// judgeNoMore looks for second copies that came behind the first of all others.
func judgeNoMore(streams []*target.Stream, sent map[string]int, r *Recorder) {
	for _, stream := range streams {
		for len(stream.C) > 0 {
			ev := <-stream.C
			if _, ours := sent[ev.Device.String()]; ours {
				judgeEvent(r, ev.Device.String(), ev.Data, sent)
			}
		}
	}
}

// An event on an account's stream.
type event = target.StreamEvent

func judgeEvent(r *Recorder, device string, data []byte, sent map[string]int) {
	Equal(r, "S8", device, "data of the event on the stream", string(data), twentyBytes)
	if sent[device]--; sent[device] < 0 {
		r.Fail(report.Finding{Requirement: "N-19", Device: device, Text: "its event was seen more than once"})
	}
}

func judgePublishAck(ctx context.Context, e *target.Env, g *target.Group, d *target.Device, mark target.Mark, name string, r *Recorder) {
	var all []sight
	var published []sight
	_ = e.Until(ctx, func() bool {
		all = messages(d.Packets(mark))
		published = of(all, func(s sight) bool { return kind(pdc.KindPublish)(s) && s.message.Event == name })
		return len(published) > 0 && (g.Transport == "tcp" || acknowledged(all, published[0].message.Exchange, trace.Up))
	})
	if len(published) == 0 {
		r.Fail(report.Finding{Requirement: "D-6", Device: id(d), Text: "the event is not on the wire"})
		return
	}
	con := published[0].message.CoAP.Type == coap.Confirmable
	Equal(r, "D-6", id(d), "the event is Confirmable", con, g.Transport == "udp", published[0].line())
	Equal(r, "C-6", id(d), "the event is acknowledged", acknowledged(all, published[0].message.Exchange, trace.Up), con, published[0].line())
}

// publishBudget is what an event may cost, in bytes (S7).
const publishBudget = 200

// What counts as an event of 20 bytes with a short name, in bytes.
const (
	shortName = 8
	shortData = 20
)

// judgePublishCost measures short events that were sent once. Over UDP one that
// wants an acknowledgement counts only together with it.
func judgePublishCost(c *Conversation, r *Recorder) {
	all := messages(c.Packets)
	for _, s := range of(all, kind(pdc.KindPublish)) {
		m := s.message
		switch {
		case len(m.Event) > shortName || len(m.CoAP.Payload) > shortData || retransmitted(all, m.Exchange):
			continue
		case m.CoAP.Type == coap.Confirmable && !acknowledged(all, m.Exchange, trace.Up):
			continue
		}
		packets := packetsOf(all, m.Exchange)
		r.Measure(limit{"S7", "publish and acknowledgement", "B", publishBudget, false}, c.Device, total(packets), packets...)
	}
}

// awaitEvent waits until the device has the event, and returns its data.
func awaitEvent(ctx context.Context, d *target.Device, since target.Mark, name string) ([]byte, error) {
	e, err := d.Await(ctx, since, func(e *target.Event) bool { return e.Kind == target.EventReceived && e.Name == name })
	return e.Data, err
}

func checkDeliver(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	devices := present(r, g.Devices)
	names := [2]string{unique(g, g.Devices[0], "deliver0"), unique(g, g.Devices[0], "deliver1")}
	marks := make(map[*target.Device]target.Mark)
	for _, d := range devices {
		marks[d] = d.Mark()
	}
	// Each account hears of the other's event before its own, or behind its own:
	// so the first of two rounds shows what does not come.
	for range 2 {
		for account, name := range names {
			if err := e.Publish(ctx, account, name, []byte("on")); err != nil {
				return err
			}
		}
	}
	for _, d := range devices {
		name := names[d.Account]
		err := e.Until(ctx, func() bool { return deliveries(d, marks[d], name) >= 2 })
		if err != nil {
			r.Fail(report.Finding{Requirement: "S8", Device: id(d), Text: "the event did not arrive: " + err.Error()})
			continue
		}
		Equal(r, "S8", id(d), "deliveries of an event that was published twice", deliveries(d, marks[d], name), 2)
		Equal(r, "S9", id(d), "deliveries of an event of the other account", deliveries(d, marks[d], names[1-d.Account]), 0)
		data, err := awaitEvent(ctx, d, marks[d], name)
		if err != nil {
			r.Fail(report.Finding{Requirement: "S8", Device: id(d), Text: "the application did not get the event: " + err.Error()})
			continue
		}
		Equal(r, "S8", id(d), "data of the delivery", string(data), "on")
	}
	return nil
}

func checkPrefix(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	other, wanted := "other/"+unique(g, g.Devices[0], "prefix"), unique(g, g.Devices[0], "behind")
	marks := make(map[*target.Device]target.Mark)
	devices := present(r, g.Devices)
	for _, d := range devices {
		marks[d] = d.Mark()
	}
	for _, name := range []string{other, wanted} {
		if err := e.Publish(ctx, 0, name, []byte("x")); err != nil {
			return err
		}
	}
	for _, d := range devices {
		if d.Account != 0 {
			continue
		}
		// The second event comes behind the first, so that absence can be seen.
		if _, err := awaitEvent(ctx, d, marks[d], wanted); err != nil {
			r.Fail(report.Finding{Requirement: "S8", Device: id(d), Text: "the event did not arrive: " + err.Error()})
			continue
		}
		sent := of(messages(d.Packets(marks[d])), func(s sight) bool {
			return s.packet.Direction == trace.Down && s.message.Event == other
		})
		Equal(r, "S9", id(d), "deliveries of an event that it did not subscribe to", len(sent), 0)
	}
	return nil
}

func checkAcross(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	there := present(r, g.Devices[:1])
	if len(there) == 0 {
		return nil
	}
	publisher := there[0]
	name := unique(g, publisher, "across")
	listeners := make(map[*target.Device]target.Mark)
	for _, other := range e.Groups() {
		for _, d := range present(r, other.Sample(4)) {
			listeners[d] = d.Mark()
		}
	}
	if err := publisher.Publish(ctx, name, []byte("hello")); err != nil {
		return err
	}
	for d, mark := range listeners {
		if d.Account != publisher.Account {
			continue
		}
		if _, err := awaitEvent(ctx, d, mark, name); err != nil {
			r.Fail(report.Finding{Requirement: "S8", Device: id(d), Text: fmt.Sprintf("the event of %s did not arrive: %v", publisher, err)})
		}
		r.Judged(1)
	}
	for d, mark := range listeners {
		if d.Account != publisher.Account {
			Equal(r, "S9", id(d), "deliveries to a device of another account", deliveries(d, mark, name), 0)
		}
	}
	return nil
}

func judgeDeliveryForm(c *Conversation, r *Recorder) {
	withOptions, known := c.Release.atLeast(pdc.OS6_2)
	for _, s := range of(messages(c.Packets), kind(pdc.KindEventDelivery)) {
		switch con := s.message.CoAP.Type == coap.Confirmable; {
		case c.Transport == "tcp":
			Equal(r, "C-55", c.Device, "the delivery is Confirmable", con, false, s.line())
		case con:
			r.Judged(1)
		default:
			// A device takes both, and nobody learns whether it got this one.
			r.Judged(1)
			r.Remark(report.Finding{Requirement: "C-55", Device: c.Device, Text: "a delivery over UDP is not Confirmable: it is allowed, and lost when its datagram is", Packets: []string{s.line()}})
		}
		if withOptions || !known {
			continue
		}
		for _, o := range s.message.CoAP.Options {
			if o.ID != coap.URIPath && o.ID != coap.MaxAge {
				r.Fail(report.Finding{
					Requirement: "C-25", Device: c.Device, Packets: []string{s.line()},
					Text: fmt.Sprintf("option %d in a delivery: this release passes no data to its handler then", o.ID),
				})
			}
		}
	}
}

func checkName(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range present(r, g.Sample(2)) {
		name := unique(g, d, "name") + "/with/slashes"
		stream := e.Subscribe(d.Account, unique(g, d, "name"))
		if err := d.Publish(ctx, name, []byte("x")); err != nil {
			r.Fail(report.Finding{Requirement: "D-6", Device: id(d), Text: "the device refused to publish: " + err.Error()})
		}
		if ev, ok := nextOf(ctx, stream, d); ok {
			Equal(r, "C-24", id(d), "the name on the stream", ev.Name, name)
		} else {
			r.Fail(report.Finding{Requirement: "C-24", Device: id(d), Text: "no event with that name reached the stream"})
		}
		stream.Close()
	}
	return nil
}

// nextOf returns the next event of a device on a stream. Some clouds tell more than they
// were asked for, such as all names up to the first slash of a prefix.
func nextOf(ctx context.Context, stream *target.Stream, d *target.Device) (ev target.StreamEvent, ok bool) {
	for {
		select {
		case ev, open := <-stream.C:
			if !open || ev.Device.String() == d.Hex() {
				return ev, open
			}
		case <-ctx.Done():
			return ev, false
		}
	}
}

func checkLongEvent(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range present(r, g.Sample(2)) {
		long, next := unique(g, d, "long"), unique(g, d, "next")
		mark := d.Mark()
		// No release takes more than the cloud does: then the publisher is told.
		_ = e.Publish(ctx, d.Account, long, []byte(strings.Repeat("x", limitsOf(d).EventData+1)))
		if err := e.Publish(ctx, d.Account, next, []byte("x")); err != nil {
			return err
		}
		// The second event comes behind the first, so that absence can be seen.
		if err := e.Until(ctx, func() bool { return deliveries(d, mark, next) > 0 }); err != nil {
			r.Fail(report.Finding{Requirement: "S8", Device: id(d), Text: "the event behind it did not arrive: " + err.Error()})
			continue
		}
		Equal(r, "C-29", id(d), "deliveries of an event that is too long", deliveries(d, mark, long), 0)
	}
	return nil
}

func checkClaim(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	const account = 1
	d, err := e.Claimable(ctx, g, account)
	if err != nil {
		return err
	}
	defer e.Dismiss(d)
	name := unique(g, d, "claimed")
	mark := d.Mark()
	d.PowerOn()
	if _, err := d.AwaitOnline(ctx, mark); err != nil {
		return err
	}
	claimed := func(s sight) bool {
		return kind(pdc.KindEventDelivery)(s) && strings.HasPrefix(s.message.Event, pdc.EventClaimed)
	}
	r.Judged(1)
	if err := e.Until(ctx, func() bool { return len(of(messages(d.Packets(mark)), claimed)) > 0 }); err != nil {
		r.Fail(report.Finding{Requirement: "C-31", Device: id(d), Text: "the device is not told that it is claimed", Packets: last(d.Packets(mark))})
		return nil
	}
	if _, err := d.Await(ctx, mark, func(e *target.Event) bool { return e.Kind == target.Claimed }); err != nil {
		r.Fail(report.Finding{Requirement: "C-31", Device: id(d), Text: "the device keeps its claim code: " + err.Error()})
	}
	if err := e.Publish(ctx, account, name, []byte("x")); err != nil {
		return err
	}
	if err := e.Until(ctx, func() bool { return deliveries(d, mark, name) > 0 }); err != nil {
		r.Fail(report.Finding{Requirement: "C-31", Device: id(d), Text: "the device does not hear the events of its account: " + err.Error()})
	}
	return nil
}
