package endpoint

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// A router knows which devices of an account subscribed to what. Devices with
// the same list of subscriptions share one entry, so that the cost of an event
// is that of the different lists and of those who get it.
type router struct {
	mu       sync.Mutex
	accounts map[store.AccountID]map[*app.Subscriptions]map[*device]struct{}
}

func newRouter() router {
	return router{accounts: make(map[store.AccountID]map[*app.Subscriptions]map[*device]struct{})}
}

// reroute notes what the device subscribes to now, and under which account. An
// unclaimed device is its own account.
func (d *device) reroute() {
	subs, owner := d.app.Subscriptions(), d.n.ownerOf(d.id)
	if subs == d.routed && owner == d.owner {
		return
	}
	d.n.router.remove(d)
	d.routed, d.owner = subs, owner
	d.n.router.add(d)
}

// Reroute notes a new owner of a device at once. Without it the device hears
// nothing of its new account until its own next message; it never hears anything
// of the old one.
func (n *Node) Reroute(id store.DeviceID) {
	if d := n.index.device(id); d != nil {
		n.later(d, func(_ clock.Instant, d *device, _ *work) { d.reroute() })
	}
}

// ownerOf returns the account whose events concern the device. Devices that
// nobody claimed must not hear one another, so each is on its own: its id stands
// for an account, which no account id does by chance.
func (n *Node) ownerOf(id store.DeviceID) store.AccountID {
	identity, known := n.c.Store.Identity(id)
	switch {
	case n.c.Faults.ShareAccounts:
		return store.AccountID{}
	case known && identity.Owner != (store.AccountID{}):
		return identity.Owner
	default:
		return store.AccountID(id)
	}
}

func (r *router) add(d *device) {
	if d.routed == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	lists := r.accounts[d.owner]
	if lists == nil {
		lists = make(map[*app.Subscriptions]map[*device]struct{})
		r.accounts[d.owner] = lists
	}
	if lists[d.routed] == nil {
		lists[d.routed] = make(map[*device]struct{})
	}
	lists[d.routed][d] = struct{}{}
}

func (r *router) remove(d *device) {
	if d.routed == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	lists := r.accounts[d.owner]
	delete(lists[d.routed], d)
	if len(lists[d.routed]) == 0 {
		delete(lists, d.routed)
	}
	if len(lists) == 0 {
		delete(r.accounts, d.owner)
	}
	d.routed = nil
}

// find returns the devices of an account that subscribed to an event, in the
// order of their ids.
func (r *router) find(owner store.AccountID, name string, publisher store.DeviceID, all bool) []*device {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*device
	for subs, devices := range r.accounts[owner] {
		if !all && !subs.Want(name, app.DeviceID(publisher)) {
			continue
		}
		for d := range devices {
			found = append(found, d)
		}
	}
	slices.SortFunc(found, func(a, b *device) int { return slices.Compare(a.id[:], b.id[:]) })
	return found
}

// route takes an event that a device published, and that is stored, to those
// who want it.
func (n *Node) route(d *device, e app.Event) {
	if pdc.Requested(e.Name) != pdc.NothingRequested {
		n.jobs.put(d, func(now clock.Instant, d *device, w *work) { d.answer(now, e, w) })
		return
	}
	if reserved(e.Name) {
		// What a device says of itself to the cloud is nothing for the system
		// handlers of other devices, which all subscribe to these prefixes.
		return
	}
	n.deliver(n.ownerOf(d.id), e, d.id)
}

// reserved reports whether a name belongs to the system.
func reserved(name string) bool {
	return strings.HasPrefix(name, "spark") || strings.HasPrefix(name, "particle")
}

// deliver queues an event for every subscriber of an account.
func (n *Node) deliver(owner store.AccountID, e app.Event, publisher store.DeviceID) {
	for _, d := range n.router.find(owner, e.Name, publisher, n.app.Faults.IgnoreFilters) {
		n.counts.Deliveries.Add(1)
		n.jobs.put(d, func(now clock.Instant, d *device, w *work) {
			d.reroute() // its owner may have changed since
			if d.owner != owner {
				return
			}
			d.app.Deliver(now, e, app.DeviceID(publisher), &w.app)
			d.applied(now, d.current, w)
		})
	}
}

// storedEvent is an event as the store keeps it.
func (n *Node) storedEvent(d *device, e app.Event) store.Event {
	return store.Event{
		Account: n.ownerOf(d.id), Device: d.id, At: n.c.WallClock(max(d.heard, 0)), Body: AppendEvent(nil, e), Node: n.c.Node,
		Product: d.app.LastHello().ProductID, Version: d.app.LastHello().ProductVersion,
	}
}

// eventVersion begins the stored form of an event.
const eventVersion = 1

// AppendEvent appends the stored form of an event to b: version, flags, format,
// lifetime, name and data.
func AppendEvent(b []byte, e app.Event) []byte {
	flags := byte(0)
	if e.Private {
		flags = 1
	}
	b = append(b, eventVersion, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(e.Content))
	b = binary.BigEndian.AppendUint32(b, e.TTL)
	b = append(binary.AppendUvarint(b, uint64(len(e.Name))), e.Name...)
	return append(b, e.Data...)
}

// ParseEvent reads what AppendEvent wrote. Data aliases b.
func ParseEvent(b []byte) (app.Event, error) {
	const fixed = 1 + 1 + 2 + 4
	if len(b) < fixed || b[0] != eventVersion {
		return app.Event{}, fmt.Errorf("endpoint: not a stored event of version %d", eventVersion)
	}
	e := app.Event{
		Private: b[1]&1 != 0, Content: pdc.ContentFormat(binary.BigEndian.Uint16(b[2:])), TTL: binary.BigEndian.Uint32(b[4:]),
	}
	n, size := binary.Uvarint(b[fixed:])
	if size <= 0 || n > uint64(len(b)-fixed-size) {
		return app.Event{}, fmt.Errorf("endpoint: a stored event is cut short")
	}
	rest := b[fixed+size:]
	e.Name, e.Data = string(rest[:n]), rest[n:]
	return e, nil
}
