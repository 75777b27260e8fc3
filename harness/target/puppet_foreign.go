package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport/live"
)

// A foreignTie is what a puppet device has of a cloud that is not ours, besides the
// connection: its API, if it has one. What that answers comes while time passes.
type foreignTie struct {
	d      *PuppetDevice
	device *Device // whose place the puppet takes
	net    *live.Network
	alive  context.Context // until the check has ended
	loops  bool            // was found to give devices their own events
	update *Outcome        // of the last image that was sent
}

// meetForeign puts the puppet before the cloud that is judged.
func (d *PuppetDevice) meetForeign(p *profile.Profile) error {
	s, device, err := d.env.newLiveStage(p)
	if err != nil {
		return err
	}
	alive, cancel := context.WithCancel(context.Background())
	d.env.use.atEnd(cancel)
	d.stage, d.foreign = s, &foreignTie{d: d, device: device, net: s.venue.(*liveVenue).net, alive: alive}
	if d.Sees(EventStream) {
		d.foreign.follow()
	}
	return nil
}

// follow hears the events of the device on the stream of its account.
func (t *foreignTie) follow() {
	tape := t.d.env.tapeOf(t.device.Account)
	opened := t.d.Await(tapeTime, func() bool {
		select {
		case <-tape.opened:
			return true
		default:
			return false
		}
	})
	if err := tape.failure(); err != nil || !opened {
		_ = t.d.env.use.note(&Missing{Capability: EventStream, Why: fmt.Sprintf("it opens no stream that stays: %v", err)})
		return
	}
	t.d.env.use.atEnd(tape.listen(t.device.ID, func(ev StreamEvent) { t.net.Post(func() { t.hear(ev) }) }))
}

// tapeTime is how long an API may take to open a stream.
const tapeTime = 10 * time.Second

// hear takes an event of the device.
func (t *foreignTie) hear(ev StreamEvent) {
	t.d.events = append(t.d.events, CloudEvent{At: t.d.Now(), Name: ev.Name, Data: ev.Data, TTL: ev.TTL})
	if t.update == nil || ev.Name != pdc.EventFlashStatus {
		return
	}
	switch status := string(ev.Data); {
	case strings.HasPrefix(status, "failed"):
		t.update.Done, t.update.Err = true, errors.New("the cloud says that the update failed")
	case strings.HasPrefix(status, "success"):
		t.update.Done = true
	}
}

// ask has the API do something; the outcome changes while time passes.
func (t *foreignTie) ask(c Capability, f func(ctx context.Context, o *Outcome)) *Outcome {
	if err := t.d.env.need(c); err != nil {
		return &Outcome{Done: true, Err: err}
	}
	outcome := new(Outcome)
	ctx, cancel := context.WithTimeout(t.alive, askTime)
	go func() {
		defer cancel()
		var answer Outcome
		f(ctx, &answer)
		t.net.Post(func() {
			answer.Done, answer.Stages, answer.Packets = true, outcome.Stages, outcome.Packets
			*outcome = answer
		})
	}()
	return outcome
}

// askTime bounds a question to an API.
const askTime = time.Minute

func (t *foreignTie) call(name, argument string) *Outcome {
	return t.ask(Functions, func(ctx context.Context, o *Outcome) {
		o.Int, o.Err = t.d.env.service.call(ctx, t.device, name, argument)
	})
}

func (t *foreignTie) read(name string) *Outcome {
	return t.ask(VariableReads, func(ctx context.Context, o *Outcome) {
		o.Value, o.Err = t.d.env.service.read(ctx, t.device, name)
	})
}

func (t *foreignTie) publish(name string, data []byte, content pdc.ContentFormat) {
	if content != pdc.FormatText {
		_ = t.d.env.need(Prompting)
		return
	}
	if !t.d.Sees(CloudPublish) {
		t.publishItself(name, data)
		return
	}
	o := t.ask(CloudPublish, func(ctx context.Context, o *Outcome) {
		o.Err = t.d.env.service.publish(ctx, t.device.Account, name, data)
	})
	t.d.Await(10*time.Second, func() bool { return o.Done })
	t.d.Settle(time.Second)
}

// publishItself has the device publish: where devices of an account hear its events, it
// hears its own.
func (t *foreignTie) publishItself(name string, data []byte) {
	if !t.loops {
		t.loops = true
		const probe = "muster/loop"
		t.d.Tell(pdc.Subscribe{Filter: probe, Scope: pdc.ScopeMyDevices}.Message(t.d.Dialect))
		mark := t.d.Now()
		t.d.Tell(pdc.Publish{Private: true, Name: probe, Data: []byte("1")}.Message(t.d.Dialect))
		heard := func() bool {
			return slices.ContainsFunc(t.d.Heard(mark), func(m peer.Message) bool {
				delivery, err := pdc.ParseEventDelivery(m.CoAP)
				return m.Err == nil && err == nil && delivery.Name == probe
			})
		}
		if !t.d.Patient(heard) {
			_ = t.d.env.need(CloudPublish) // it does not give devices their own events
			return
		}
	}
	t.d.Tell(pdc.Publish{Private: true, Name: name, Data: data}.Message(t.d.Dialect))
}

// flash has the API send an image. What becomes of it, an API tells as events.
func (t *foreignTie) flash(image []byte) *Outcome {
	if err := t.d.env.need(EventStream); err != nil {
		return &Outcome{Done: true, Err: err}
	}
	form, kind, err := imageForm(image)
	if err != nil {
		return &Outcome{Done: true, Err: err}
	}
	api, _ := t.d.env.service.(*rest) // without one there are no updates
	t.update = new(Outcome)
	update := t.update
	sent := t.ask(Updates, func(ctx context.Context, o *Outcome) {
		o.Err = api.do(ctx, t.device.Account, http.MethodPut, "/v1/devices/"+t.device.Hex(), kind, form.Bytes(), nil)
	})
	t.d.Patient(func() bool { return sent.Done || update.Done })
	if sent.Err != nil {
		update.Done, update.Err = true, sent.Err
	}
	return update
}

// Functions returns those of the device that the cloud knows, and whether it tells: it
// does when it is ours, or has an API.
func (d *PuppetDevice) Functions() (names []string, tells bool) {
	if d.foreign == nil {
		return d.Recorded().Functions, true
	}
	api, ok := d.env.service.(*rest)
	if !ok || !d.Sees(RESTAPI) {
		return nil, false
	}
	var answer struct {
		Functions []string `json:"functions"`
	}
	o := d.foreign.ask(RESTAPI, func(ctx context.Context, o *Outcome) {
		o.Err = api.do(ctx, d.foreign.device.Account, http.MethodGet, "/v1/devices/"+d.foreign.device.Hex(), "", nil, &answer)
	})
	if !d.Await(10*time.Second, func() bool { return o.Done }) || o.Err != nil {
		return nil, false
	}
	return answer.Functions, true
}
