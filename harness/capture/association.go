package capture

import (
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/trace"
)

// An association is one handshake and the session that followed from it, or a
// session that was given with its keys, or one TCP connection.
type association struct {
	id     uint32
	device trace.DeviceID

	clientRandom, serverRandom [32]byte
	answered                   bool // serverRandom is known
	cid, serverCID             dtls.CID
	opener                     *dtls.Opener
	waiters                    []*flow // that hold packets until there are keys

	// at is where the device was when it last proved itself.
	at         *flow
	connection uint32
	newest     uint64 // number of the device's newest authentic record
	marked     bool   // the device's last application record was marked as moved
	// moved counts down the device's messages after it came from another address:
	// one of the first tells whether it resumes.
	moved int

	said  trace.Conversation
	sides [2]side
}

// movedMessages is how many messages of a device after a change of address may
// be the one that begins a resume, since the network reorders.
const movedMessages = 4

// A side is what one direction of an association remembers of its records.
type side struct {
	seen []seenRecord // by number modulo recordsSeen
}

// recordsSeen is how many record numbers are remembered, that of RFC 6347's
// window.
const recordsSeen = 64

type seenRecord struct {
	number uint64
	hash   uint64
}

// see notes a record and reports whether one with its number was seen before, and
// whether that one had other bytes.
func (s *side) see(number uint64, raw []byte) (repeated, reused bool) {
	h := hashOf(raw)
	if s.seen == nil {
		s.seen = make([]seenRecord, recordsSeen)
	}
	slot := &s.seen[number%recordsSeen]
	if slot.hash != 0 && slot.number == number {
		return true, slot.hash != h
	}
	*slot = seenRecord{number, h}
	return false, false
}

// hashOf is FNV-1a, never 0.
func hashOf(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h | 1
}

// newAssociation makes and remembers an association.
func (d *Decoder) newAssociation() *association {
	d.associations++
	a := &association{id: d.associations, connection: 1}
	d.known.put(a.id, a)
	return a
}

// forget takes an association out of the indexes.
func (d *Decoder) forget(a *association) {
	if d.byRandom[a.clientRandom] == a {
		delete(d.byRandom, a.clientRandom)
	}
	if d.byCID[a.cid] == a {
		delete(d.byCID, a.cid)
	}
	d.disown(a)
}

// own makes a a session of a device.
func (d *Decoder) own(a *association, id trace.DeviceID) {
	if id == (trace.DeviceID{}) || a.device == id {
		return
	}
	d.disown(a)
	a.device = id
	all := append([]*association{a}, d.byDevice[id]...)
	d.byDevice[id] = all[:min(len(all), maxCandidates)]
}

func (d *Decoder) disown(a *association) {
	all := d.byDevice[a.device]
	for i, other := range all {
		if other == a {
			d.byDevice[a.device] = append(all[:i:i], all[i+1:]...)
		}
	}
	if len(d.byDevice[a.device]) == 0 {
		delete(d.byDevice, a.device)
	}
}

// wait makes f wait for the keys of a.
func (a *association) wait(f *flow) {
	for _, w := range a.waiters {
		if w == f {
			return
		}
	}
	a.waiters = append(a.waiters, f)
}
