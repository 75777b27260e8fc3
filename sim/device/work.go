package device

import (
	"github.com/muster/muster/protocol/clock"
)

// work is what a device has to do besides being connected. It exists only while
// there is something.
type work struct {
	calls     []call
	publishes []pendingPublish
	post      *post
	fetches   []fetch
	ledger    *ledgers
}

// busy returns the device's work, to which something is to be added.
func (d *Device) busy() *work {
	if d.work == nil {
		d.work = new(work)
	}
	return d.work
}

// idle lets go of work that is done.
func (d *Device) idle() {
	if w := d.work; w != nil && len(w.calls) == 0 && len(w.publishes) == 0 && w.post == nil && len(w.fetches) == 0 && w.ledger == nil {
		d.work = nil
	}
}

func (w *work) deadline() clock.Instant {
	due := clock.Never
	for i := range w.calls {
		due = min(due, w.calls[i].due)
	}
	for i := range w.publishes {
		due = min(due, w.publishes[i].due)
	}
	for i := range w.fetches {
		due = min(due, w.fetches[i].serving.Deadline())
	}
	if w.ledger != nil {
		due = min(due, w.ledger.deadline())
	}
	return due
}

func (d *Device) advanceWork(now clock.Instant, out *Out) {
	d.finishCalls(now, out)
	d.failPublishes(now, false, MessageTimeout, out)
	d.expireFetches(now)
	if l := d.work.ledger; l != nil && !now.Before(l.deadline()) {
		d.advanceLedgers(now, out)
	}
	d.idle()
}

// abandonWork forgets what belongs to a connection that is over. Functions go
// on running.
func (d *Device) abandonWork(now clock.Instant, out *Out) {
	if d.work == nil {
		return
	}
	d.failPublishes(now, true, NetworkGone, out)
	d.work.post, d.work.fetches, d.work.ledger = nil, nil, nil
	d.idle()
}
