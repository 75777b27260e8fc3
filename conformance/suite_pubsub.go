package conformance

import (
	"context"
	"fmt"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func pubsubSuite() Suite {
	return Suite{
		Name: "pubsub",
		Text: "events from device to cloud, from cloud to device and from device to device, within one account",
		Checks: []Check{
			{
				Name: "publish", Text: "an event of a device reaches the account's stream once, and is acknowledged over UDP only",
				Requirements: []string{"S8", "C-6", "C-23", "C-56", "D-6"}, Run: checkPublish,
			},
			{
				Name: "publish-cost", Text: "an event of 20 bytes with a short name costs at most 200 bytes, acknowledgement and headers included",
				Requirements: []string{"S7"}, Skip: onlyUDP, Run: checkPublishCost,
			},
			{
				Name: "deliver", Text: "an event of the account reaches each of its subscribers once, and nobody else",
				Requirements: []string{"S8", "S9", "S14", "C-27"}, Run: checkDeliver,
			},
			{
				Name: "prefix", Text: "an event whose name does not begin with the filter is not delivered",
				Requirements: []string{"S9", "C-27"}, Run: checkPrefix,
			},
			{
				Name: "across", Text: "an event of one device reaches devices of its account over UDP and TCP and of every generation",
				Requirements: []string{"S5", "S8", "S9"}, Run: checkAcross,
			},
			{
				Name: "delivery-form", Text: "a delivery is Confirmable over UDP only, and to releases before 6.2 carries no option but Max-Age",
				Requirements: []string{"C-25", "C-55"}, Run: checkDeliveryForm,
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
	for _, d := range g.Devices {
		if !d.Connected() {
			continue
		}
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
	return nil
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

func checkPublishCost(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	var costs []int64
	for _, d := range g.Devices {
		all := messages(d.Packets(start))
		for _, s := range of(all, func(s sight) bool { return kind(pdc.KindPublish)(s) && s.message.Event == "demo" }) {
			costs = append(costs, bytesOf(all, s.message.Exchange))
			break
		}
	}
	r.Measure("S7", "publish and acknowledgement", "B", costs, publishBudget, false)
	return nil
}

// awaitEvent waits until the device has the event, and returns its data.
func awaitEvent(ctx context.Context, d *target.Device, since target.Mark, name string) ([]byte, error) {
	e, err := d.Await(ctx, since, func(e *target.Event) bool { return e.Kind == target.EventReceived && e.Name == name })
	return e.Data, err
}

// deliveries counts how often a device received an event.
func deliveries(d *target.Device, since target.Mark, name string) int {
	n := 0
	for _, e := range d.Events(since) {
		if e.Kind == target.EventReceived && e.Name == name {
			n++
		}
	}
	return n
}

func checkDeliver(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for account := range 2 {
		name := unique(g, g.Devices[0], fmt.Sprintf("deliver%d", account))
		marks := make(map[*target.Device]target.Mark)
		for _, d := range g.Devices {
			marks[d] = d.Mark()
		}
		if err := e.Publish(ctx, account, name, []byte("on")); err != nil {
			return err
		}
		for _, d := range g.Devices {
			if d.Account != account || !d.Connected() {
				continue
			}
			data, err := awaitEvent(ctx, d, marks[d], name)
			if err != nil {
				r.Fail(report.Finding{Requirement: "S8", Device: id(d), Text: "the event did not arrive: " + err.Error()})
				continue
			}
			Equal(r, "S8", id(d), "data of the delivery", string(data), "on")
		}
		// Everybody who gets it has it now: what a device of the other account
		// would get was sent before.
		for _, d := range g.Devices {
			want := 0
			if d.Account == account {
				want = 1
			}
			if d.Connected() {
				Equal(r, "S9", id(d), fmt.Sprintf("deliveries of an event of account %d to a device of account %d", account, d.Account),
					deliveries(d, marks[d], name), want)
			}
		}
	}
	return nil
}

func checkPrefix(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	other, wanted := "other/"+unique(g, g.Devices[0], "prefix"), unique(g, g.Devices[0], "behind")
	marks := make(map[*target.Device]target.Mark)
	for _, d := range g.Devices {
		marks[d] = d.Mark()
	}
	for _, name := range []string{other, wanted} {
		if err := e.Publish(ctx, 0, name, []byte("x")); err != nil {
			return err
		}
	}
	for _, d := range g.Devices {
		if d.Account != 0 || !d.Connected() {
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
	publisher := (*target.Device)(nil)
	for _, d := range g.Devices {
		if d.Connected() {
			publisher = d
			break
		}
	}
	if publisher == nil {
		return fmt.Errorf("no device of the group is connected")
	}
	name := unique(g, publisher, "across")
	listeners := make(map[*target.Device]target.Mark)
	for _, other := range e.Groups() {
		for _, d := range other.Sample(4) {
			if d.Connected() {
				listeners[d] = d.Mark()
			}
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

func checkDeliveryForm(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		for _, s := range of(messages(d.Packets(start)), kind(pdc.KindEventDelivery)) {
			Equal(r, "C-55", id(d), "the delivery is Confirmable", s.message.CoAP.Type == coap.Confirmable, g.Transport == "udp", s.line())
			if g.System >= pdc.OS6_2 {
				continue
			}
			for _, o := range s.message.CoAP.Options {
				if o.ID != coap.URIPath && o.ID != coap.MaxAge {
					r.Fail(report.Finding{
						Requirement: "C-25", Device: id(d), Packets: []string{s.line()},
						Text: fmt.Sprintf("option %d in a delivery: this release passes no data to its handler then", o.ID),
					})
				}
			}
		}
	}
	return nil
}
