package endpoint

import (
	"encoding/hex"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// effect carries out what the application layer asked for, and tells observers.
func (d *device) effect(now clock.Instant, s *session, e app.Effect, w *work) {
	switch e := e.(type) {
	case app.HelloRefused:
		d.n.counts.HelloRefused.Add(1)
		d.n.observe(now, d, Observation{What: Refused, Why: ReasonHello, Detail: e.Reason})
		if s != nil {
			d.dismiss(now, s, e.Reason, w)
		}
		return
	case app.HelloAccepted:
		d.n.counts.Hellos.Add(1)
		d.heard, d.online = now, true
		if s != nil {
			d.n.observe(now, d, Observation{What: Online, Session: s.info(false)})
			d.noteHello(now, s, e.Hello)
		}
	case app.Offline:
		d.goOffline(now, e.Reason)
	case app.Claimed:
		d.claim(now, e.Code)
	}
	d.n.observe(now, d, Observation{What: Application, Effect: e})
}

// noteHello writes what a Hello said into the record of the device. Nothing waits
// for it: if it is lost the next Hello says it again.
func (d *device) noteHello(now clock.Instant, s *session, hello pdc.Hello) {
	at, peer := d.n.c.WallClock(now), s.peer.Addr().Unmap().String()
	d.n.c.Store.UpdateDevice(d.id, func(r *store.Device) bool {
		r.Platform, r.Product, r.ProductVersion = uint16(hello.Platform), hello.ProductID, hello.ProductVersion
		r.LastHandshake, r.LastHeard, r.LastAddress = at, at, peer
		return true
	}, func(error) {})
}

// claim binds the device to the account that made the code. The device hears of
// it when it is durable (C-31).
func (d *device) claim(now clock.Instant, code string) {
	at := d.n.c.WallClock(now)
	d.n.c.Store.Claim(code, d.id, at, func(_ store.AccountID, err error) {
		d.n.later(d, func(now clock.Instant, d *device, w *work) {
			if err != nil {
				d.n.observe(now, d, Observation{What: Refused, Why: ReasonClaim, Detail: err.Error()})
				return
			}
			d.app.ConfirmClaim(now, &w.app)
			d.applied(now, d.current, w)
			d.reroute()
		})
	})
}

// answer delivers what the device asked for with an event (C-30).
func (d *device) answer(now clock.Instant, e app.Event, w *work) {
	switch pdc.Requested(e.Name) {
	case pdc.NameRequested:
		d.nameOf(func(now clock.Instant, name string, w *work) {
			d.app.AnswerRequest(now, e.Name, []byte(name), &w.app)
			d.applied(now, d.current, w)
		})
	case pdc.IPRequested:
		if d.current != nil {
			d.app.AnswerRequest(now, e.Name, []byte(d.current.peer.Addr().Unmap().String()), &w.app)
			d.applied(now, d.current, w)
		}
	case pdc.RandomRequested:
		// 40 characters, as clients expect.
		var random [20]byte
		if _, err := d.n.c.Rand.Read(random[:]); err == nil {
			d.app.AnswerRequest(now, e.Name, []byte(hex.EncodeToString(random[:])), &w.app)
			d.applied(now, d.current, w)
		}
	default:
		// An ordinary event.
	}
}

// nameOf reads the device's name from the store and calls then.
func (d *device) nameOf(then func(now clock.Instant, name string, w *work)) {
	d.n.c.Store.ReadDevice(d.id, func(record *store.Device, err error) {
		if err != nil {
			return
		}
		d.n.later(d, func(now clock.Instant, _ *device, w *work) { then(now, record.Name, w) })
	})
}
