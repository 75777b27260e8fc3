package endpoint

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/transport"
)

// others are the sessions that are stored and that this node does not have, as
// the store tells of them: those of other nodes, living or dead. They are only
// names; a session is read when a record of it arrives.
type others struct {
	mu     sync.Mutex
	rows   map[store.DeviceID]other
	byCID  map[dtls.CID]store.DeviceID
	byPeer map[netip.AddrPort]store.DeviceID // of sessions without connection id

	places   map[*device]*place
	adopting map[store.DeviceID]*adoption
	failed   map[store.DeviceID]clock.Instant // when its last adoption failed
}

// An other is a session that another node has.
type other struct {
	cid      dtls.CID
	peer     netip.AddrPort
	revision store.Revision
	node     store.NodeID // that has it
}

// An adoption is a session on its way here, with what its device sent meanwhile.
type adoption struct {
	id    store.DeviceID
	queue []arrived
	tries int
	// progress is what it has written already of it, zero: nothing.
	progress store.Revision
	// claim is set where a node that is gone had the session, so that no record needs to
	// prove that its device has come here; done is told of the end.
	claim *Claim
	done  []func()
}

// arrived is a datagram that waits for its session.
type arrived struct {
	packet transport.Packet
	marked bool
}

func (x *others) init() {
	x.rows, x.byCID = make(map[store.DeviceID]other), make(map[dtls.CID]store.DeviceID)
	x.byPeer = make(map[netip.AddrPort]store.DeviceID)
	x.places = make(map[*device]*place)
	x.adopting, x.failed = make(map[store.DeviceID]*adoption), make(map[store.DeviceID]clock.Instant)
}

// place returns the place of a device, see [device.place].
func (x *others) place(d *device) *place {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.places[d]
	if p == nil {
		p = new(place)
		x.places[d] = p
	}
	return p
}

// leave forgets the place of a device that is not here any more.
func (x *others) leave(d *device) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.places, d)
}

// set enters a session, unless something newer is known.
func (x *others) set(id store.DeviceID, o other) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rows[id].revision >= o.revision {
		return
	}
	x.removeLocked(id)
	x.rows[id] = o
	if o.cid.Len() > 0 {
		x.byCID[o.cid] = id
	} else if o.peer.IsValid() {
		x.byPeer[o.peer] = id
	}
}

// forget removes a session that is not stored any more, or that is here.
func (x *others) forget(id store.DeviceID, at store.Revision) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rows[id].revision < at {
		x.removeLocked(id)
	}
}

func (x *others) removeLocked(id store.DeviceID) {
	o, known := x.rows[id]
	if !known {
		return
	}
	delete(x.rows, id)
	if x.byCID[o.cid] == id {
		delete(x.byCID, o.cid)
	}
	if x.byPeer[o.peer] == id {
		delete(x.byPeer, o.peer)
	}
}

// find returns the device whose session a header names.
func (x *others) find(h dtls.Header, peer netip.AddrPort) (id store.DeviceID, known bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch h.Type {
	case dtls.TypeCID, dtls.TypeMovedCID:
		id, known = x.byCID[h.CID]
	case dtls.TypeMovedTrailer:
		id = store.DeviceID(h.DeviceID)
		_, known = x.rows[id]
	default:
		id, known = x.byPeer[peer]
	}
	return id, known
}

const (
	// adoptionsMax bounds the sessions that are read at once, adoptionQueue the
	// datagrams that wait for each.
	adoptionsMax  = 1024
	adoptionQueue = 16
	// adoptionPause is how long nothing is read for a device after a record that
	// turned out not to be from it.
	adoptionPause = 1_000_000_000 // a second
	// failedMax bounds the devices that are remembered for that.
	failedMax = 1 << 16
)

// join adds a datagram to the adoption of a device, and reports whether it begins
// one. Where there are too many the datagram is dropped: its device sends again.
func (x *others) join(now clock.Instant, id store.DeviceID, a arrived) (begun *adoption) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if under := x.adopting[id]; under != nil {
		if len(under.queue) < adoptionQueue {
			under.queue = append(under.queue, a)
		}
		return nil
	}
	if at, failed := x.failed[id]; failed && now.Sub(at) < adoptionPause {
		return nil
	}
	if len(x.adopting) >= adoptionsMax {
		return nil
	}
	begun = &adoption{id: id, queue: []arrived{a}}
	x.adopting[id] = begun
	return begun
}

// reclaim begins an adoption without a datagram, or waits for the one that is under
// way. It returns nil if there is nothing to begin.
func (x *others) reclaim(id store.DeviceID, c *Claim, done func()) (begun *adoption) {
	x.mu.Lock()
	defer x.mu.Unlock()
	row, known := x.rows[id]
	under := x.adopting[id]
	switch {
	case under != nil && len(under.done) < adoptionQueue:
		under.done = append(under.done, done)
		return nil
	case under != nil, !known, !c.Gone(row.node), len(x.adopting) >= adoptionsMax:
		done()
		return nil
	}
	begun = &adoption{id: id, claim: c, done: []func(){done}}
	x.adopting[id] = begun
	return begun
}

// waiting returns copies of the datagrams that wait for an adoption.
func (x *others) waiting(a *adoption) (datagrams [][]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, w := range a.queue {
		datagrams = append(datagrams, slices.Clone(w.packet.Data))
	}
	return datagrams
}

// end ends an adoption and returns what has arrived meanwhile.
func (x *others) end(now clock.Instant, a *adoption, failed bool) []arrived {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.adopting, a.id)
	for _, done := range a.done {
		done()
	}
	if failed && a.claim == nil {
		if len(x.failed) >= failedMax {
			clear(x.failed)
		}
		x.failed[a.id] = now
	} else {
		delete(x.failed, a.id)
	}
	return a.queue
}
