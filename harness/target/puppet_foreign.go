package target

import (
	"bytes"
	"context"
	"net/http"
	"slices"
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
	opened := make(chan *Stream, 1)
	go func() {
		stream := t.d.env.service.subscribe(t.device.Account, "")
		t.d.env.use.atEnd(stream.Close)
		opened <- stream
		for ev := range stream.C {
			if ev.Device.String() != t.device.Hex() {
				continue
			}
			t.net.Post(func() {
				t.d.events = append(t.d.events, CloudEvent{At: t.d.Now(), Name: ev.Name, Data: ev.Data, TTL: ev.TTL})
			})
		}
	}()
	var is bool
	t.d.Await(10*time.Second, func() bool {
		select {
		case <-opened:
			is = true
			return true
		default:
			return false
		}
	})
	if !is {
		_ = t.d.env.use.note(&Missing{Capability: EventStream, Why: "it does not open a stream"})
	}
}

// ask has the API do something; the outcome changes while time passes.
func (t *foreignTie) ask(c Capability, limit time.Duration, f func(ctx context.Context, o *Outcome)) *Outcome {
	if err := t.d.env.need(c); err != nil {
		return &Outcome{Done: true, Err: err}
	}
	outcome := new(Outcome)
	ctx, cancel := context.WithTimeout(t.alive, limit)
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
	return t.ask(Functions, askTime, func(ctx context.Context, o *Outcome) {
		o.Int, o.Err = t.d.env.service.call(ctx, t.device, name, argument)
	})
}

func (t *foreignTie) read(name string) *Outcome {
	return t.ask(VariableReads, askTime, func(ctx context.Context, o *Outcome) {
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
	o := t.ask(CloudPublish, askTime, func(ctx context.Context, o *Outcome) {
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
	api, _ := t.d.env.service.(*rest) // without one there are no updates
	return t.ask(Updates, 10*time.Minute, func(ctx context.Context, o *Outcome) {
		status := api.subscribe(t.device.Account, pdc.EventFlashStatus)
		defer status.Close()
		var form *bytes.Buffer
		var kind string
		if form, kind, o.Err = imageForm(image); o.Err != nil {
			return
		}
		if o.Err = api.do(ctx, t.device.Account, http.MethodPut, "/v1/devices/"+t.device.Hex(), kind, form.Bytes(), nil); o.Err == nil {
			o.Err = awaitFlash(ctx, status, t.device)
		}
	})
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
	o := d.foreign.ask(RESTAPI, askTime, func(ctx context.Context, o *Outcome) {
		o.Err = api.do(ctx, d.foreign.device.Account, http.MethodGet, "/v1/devices/"+d.foreign.device.Hex(), "", nil, &answer)
	})
	if !d.Await(10*time.Second, func() bool { return o.Done }) || o.Err != nil {
		return nil, false
	}
	return answer.Functions, true
}
