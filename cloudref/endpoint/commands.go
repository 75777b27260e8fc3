package endpoint

import (
	"context"
	"errors"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// Command gives a device a command of the application layer, such as
// app.Device.Call. It runs soon, on whoever drives the node; its outcome is an
// Observation. A device that this node never saw takes commands too: they fail
// as not online.
func (n *Node) Command(id store.DeviceID, f func(now clock.Instant, d *app.Device, out *app.Out)) {
	d := n.index.device(id)
	if d == nil {
		d = n.newDevice(id) // for this once
	}
	n.later(d, func(now clock.Instant, d *device, w *work) {
		f(now, d.app, &w.app)
		d.applied(now, d.current, w)
	})
}

// Publish delivers an event of the API to the devices of an account that want
// it. The caller has stored it.
func (n *Node) Publish(owner store.AccountID, e app.Event) {
	n.deliver(owner, e, store.DeviceID{})
	n.c.Wake()
}

// ResetLedgers makes the devices that are here, and that ever asked about ledgers, ask
// again.
func (n *Node) ResetLedgers() {
	for _, d := range n.index.all() {
		d.mu.Lock()
		asked := d.app.AsksLedgers()
		d.mu.Unlock()
		if asked {
			n.later(d, func(now clock.Instant, d *device, w *work) {
				d.app.ResetLedgers(now, &w.app)
				d.applied(now, d.current, w)
			})
		}
	}
}

// Disconnect ends the session of a device. Over UDP the device is told, and
// makes a full handshake next.
func (n *Node) Disconnect(id store.DeviceID, why string) {
	d := n.index.device(id)
	if d == nil {
		return
	}
	n.later(d, func(now clock.Instant, d *device, w *work) {
		if d.current != nil {
			d.endSession(now, d.current, why, w)
		}
	})
}

// A Status is what the node knows of a device right now.
type Status struct {
	Device    store.DeviceID
	Online    bool
	Transport string // "udp", "tcp", "" without a session
	Peer      string
	Heard     clock.Instant // -1: never since the node started
	Hello     pdc.Hello
	Dialect   pdc.Dialect
	Describe  *app.Describe
	SafeMode  bool
	Updates   app.UpdateFlags
	Subs      []pdc.Subscribe
}

// Status returns what the node knows of a device, and whether it knows any.
func (n *Node) Status(id store.DeviceID) (Status, bool) {
	d := n.index.device(id)
	if d == nil {
		return Status{Device: id, Heard: -1}, false
	}
	return d.status(), true
}

// Statuses returns what the node knows of every device that it has seen or
// restored, in no order.
func (n *Node) Statuses() []Status {
	devices := n.index.all()
	list := make([]Status, 0, len(devices))
	for _, d := range devices {
		list = append(list, d.status())
	}
	return list
}

func (d *device) status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := Status{
		Device: d.id, Online: d.online, Heard: d.heard, Hello: d.app.LastHello(), Dialect: d.app.Dialect(),
		Describe: d.app.Describe(), SafeMode: d.app.SafeMode(), Updates: d.app.UpdateFlags(),
		Subs: d.app.Subscriptions().All(),
	}
	if s := d.current; s != nil {
		info := s.info(false)
		st.Transport, st.Peer = info.Transport, info.Peer
	}
	return st
}

// PendingImages returns the devices whose firmware transfer was cut off by a
// restart of the cloud, with the image that each was getting.
func (n *Node) PendingImages() map[store.DeviceID]store.ImageID {
	pending := make(map[store.DeviceID]store.ImageID)
	for _, d := range n.index.all() {
		d.mu.Lock()
		if id, ok := d.app.FlashPending(); ok {
			pending[d.id] = id
		}
		d.mu.Unlock()
	}
	return pending
}

// PendingImage returns the image that a device was getting when its transfer was
// cut off.
func (n *Node) PendingImage(id store.DeviceID) (store.ImageID, bool) {
	d := n.index.device(id)
	if d == nil {
		return store.ImageID{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.app.FlashPending()
}

// Holds reports whether this node has a session of the device.
func (n *Node) Holds(id store.DeviceID) bool {
	d := n.index.device(id)
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current != nil
}

// StoredStatus returns what the store knows of a device that this node does not
// hold.
func (n *Node) StoredStatus(ctx context.Context, id store.DeviceID) (Status, error) {
	parts := make([][]byte, len(movingParts))
	for i, part := range movingParts {
		state, err := n.c.Store.App(ctx, id, part)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return Status{Device: id, Heard: -1}, err
		}
		parts[i] = state.Value
	}
	d := n.newDevice(id)
	d.restoreApp(parts)
	return d.status(), nil
}

// Pass gives an event that another node has stored to the devices of the account
// that want it, and are here.
func (n *Node) Pass(owner store.AccountID, e app.Event, publisher store.DeviceID) {
	if publisher != (store.DeviceID{}) && (pdc.Requested(e.Name) != pdc.NothingRequested || reserved(e.Name)) {
		return // between that device and its node
	}
	n.deliver(owner, e, publisher)
	n.c.Wake()
}

// HalfOpen returns the number of handshakes under way.
func (n *Node) HalfOpen() int { return n.half.len() }
