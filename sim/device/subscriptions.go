package device

import (
	"iter"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// systemSubscriptions yields the subscriptions of the system, which come first.
func (d *Device) systemSubscriptions(yield func(pdc.Subscribe) bool) bool {
	spark := pdc.Subscribe{Filter: "spark", Scope: pdc.ScopeMyDevices}
	if !d.atLeast(pdc.OS1_2) {
		// Device OS: up to 1.1 without a scope, and no other.
		spark.Scope = pdc.ScopeFirehose
		return yield(spark)
	}
	particle := pdc.Subscribe{Filter: "particle", Scope: pdc.ScopeMyDevices}
	if d.has(profile.ParticleFirst) {
		return yield(particle) && yield(spark)
	}
	return yield(spark) && yield(particle)
}

// subscriptions yields all handlers that are registered at present, as many as
// the release has room for.
func (d *Device) subscriptions() iter.Seq[pdc.Subscribe] {
	return func(yield func(pdc.Subscribe) bool) {
		room := d.Dialect().Limits().Subscriptions
		next := func(s pdc.Subscribe) bool {
			room--
			return room >= 0 && yield(s)
		}
		if !d.systemSubscriptions(next) {
			return
		}
		if app := d.app(); app != nil && d.setupRan() {
			for _, s := range app.Subscriptions {
				if !next(s) {
					return
				}
			}
		}
		for _, s := range d.extra {
			if !next(s) {
				return
			}
		}
	}
}

// subscribeAll sends every subscription. The cloud knows them when each was
// acknowledged with success (PDC-4.2).
func (d *Device) subscribeAll(now clock.Instant, out *Out) {
	d.subsPending, d.subsFailed = 0, false
	for s := range d.subscriptions() {
		d.subscribe(now, s, out)
	}
	if d.subsPending == 0 {
		d.known.remember(d.current(), knownSubscriptions)
	}
}

func (d *Device) subscribe(now clock.Instant, s pdc.Subscribe, out *Out) {
	m := s.Message(d.Dialect())
	if m.Type == coap.Confirmable {
		d.subsPending++
	}
	d.send(now, m, tagSubscription, out)
}

// subscribed takes the answer to a subscription.
func (d *Device) subscribed(code coap.Code) {
	if code != coap.Empty && !coap.IsSuccess(code) && !d.faults().Connects.IgnoresRefusals {
		d.subsFailed = true
	}
	if d.subsPending--; d.subsPending == 0 && !d.subsFailed {
		d.known.remember(d.current(), knownSubscriptions)
	}
}

// Subscribe adds a handler while the device runs. It reports false when there
// is no room for it.
func (d *Device) Subscribe(now clock.Instant, s pdc.Subscribe, out *Out) bool {
	n := 1
	for range d.subscriptions() {
		n++
	}
	if d.state == Off || n > d.Dialect().Limits().Subscriptions {
		return false
	}
	d.extra = append(d.extra, s)
	if d.state == Connected {
		d.subscribe(now, s, out)
	}
	return true
}
