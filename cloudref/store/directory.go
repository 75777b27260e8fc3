package store

import (
	"encoding/binary"
	"sync"
)

// A keyID is the first half of a Fingerprint, enough to tell keys apart: to
// find another key with the same takes 2^128 tries.
type keyID [16]byte

func (f Fingerprint) id() keyID { return keyID(f[:16]) }

// A row is what the directory knows of one device: 80 bytes and no pointer, as
// there may be millions.
type row struct {
	at    Revision // of the record that it was made from
	id    DeviceID
	owner uint32 // index into directory.owners; 0: nobody
	flags DeviceFlags
	gone  bool
	keys  [2]keyID // P256, RSA; zero: none
	cid   CID      // of the stored session; zero: none
	proof keyID    // key of the stored session
}

func (r *row) has(k keyID) bool {
	return k != (keyID{}) && (r.keys[0] == k || r.keys[1] == k)
}

// losesKey reports whether the row has a key that is not in h.
func (r *row) losesKey(h head) bool {
	for _, k := range r.keys {
		if k != (keyID{}) && k != h.keys[0].id() && k != h.keys[1].id() {
			return true
		}
	}
	return false
}

// A directory holds the indexes over devices that are not stored: by id, by
// key and by connection id. It also reserves keys for writes under way, so
// that one key never gets two devices.
type directory struct {
	mu     sync.RWMutex
	rows   []row
	free   []uint32 // rows that are gone
	byID   map[DeviceID]uint32
	byKey  map[keyID]uint32
	byCID  map[uint64]uint32
	owners []AccountID
	owner  map[AccountID]uint32

	held map[keyID]hold // keys that writes under way introduce
}

// A hold is a key promised to a device by writes that are not yet durable.
type hold struct {
	id     DeviceID
	writes int
}

func newDirectory() *directory {
	return &directory{
		byID:   map[DeviceID]uint32{},
		byKey:  map[keyID]uint32{},
		byCID:  map[uint64]uint32{},
		owners: []AccountID{{}},
		owner:  map[AccountID]uint32{{}: 0},
		held:   map[keyID]hold{},
	}
}

func (c CID) index() uint64 { return binary.BigEndian.Uint64(c[:]) }

func (d *directory) identity(at uint32) Identity {
	r := &d.rows[at]
	return Identity{Device: r.id, Owner: d.owners[r.owner], Flags: r.flags}
}

func (d *directory) findID(id DeviceID) (Identity, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, ok := d.byID[id]
	if !ok {
		return Identity{}, false
	}
	return d.identity(at), true
}

// at returns the row of a device.
func (d *directory) at(id DeviceID) (uint32, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, ok := d.byID[id]
	return at, ok
}

// size returns the number of rows, at least that of devices.
func (d *directory) size() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.rows)
}

// count returns the number of devices.
func (d *directory) count() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.byID)
}

func (d *directory) findKey(f Fingerprint) (Identity, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, ok := d.byKey[f.id()]
	if !ok {
		return Identity{}, false
	}
	return d.identity(at), true
}

func (d *directory) findCID(c CID) (DeviceID, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, ok := d.byCID[c.index()]
	if !ok {
		return DeviceID{}, false
	}
	return d.rows[at].id, true
}

// ownedBy returns the devices of an account in no particular but a repeatable
// order.
func (d *directory) ownedBy(a AccountID) []DeviceID {
	d.mu.RLock()
	defer d.mu.RUnlock()
	n, ok := d.owner[a]
	if !ok {
		return nil
	}
	var ids []DeviceID
	for i := range d.rows {
		if r := &d.rows[i]; !r.gone && r.owner == n {
			ids = append(ids, r.id)
		}
	}
	return ids
}

// hold reserves the keys in h for the device, or says who has one.
func (d *directory) hold(h head) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range h.keys {
		if f == (Fingerprint{}) {
			continue
		}
		if at, ok := d.byKey[f.id()]; ok && d.rows[at].id != h.id {
			return &KeyError{Key: f, Owner: d.rows[at].id}
		}
		if held, ok := d.held[f.id()]; ok && held.id != h.id {
			return &KeyError{Key: f, Owner: held.id}
		}
	}
	for _, f := range h.keys {
		if f == (Fingerprint{}) {
			continue
		}
		held := d.held[f.id()]
		d.held[f.id()] = hold{id: h.id, writes: held.writes + 1}
	}
	return nil
}

// release ends a hold, and if the write succeeded, with a revision, makes it the
// truth. It reports whether the device lost a key by it, or became denied.
func (d *directory) release(h head, at Revision) (revoked bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range h.keys {
		held, ok := d.held[f.id()]
		if !ok {
			continue
		}
		if held.writes--; held.writes > 0 {
			d.held[f.id()] = held
		} else {
			delete(d.held, f.id())
		}
	}
	if at == 0 {
		return false
	}
	revoked, _ = d.become(h, at)
	return revoked
}

// become makes h the truth, unless something newer is known. It reports whether the
// device lost a key by it or became denied, and whether anything changed.
func (d *directory) become(h head, at Revision) (revoked, changed bool) {
	if row, ok := d.byID[h.id]; ok {
		if d.rows[row].at >= at {
			return false, false
		}
		denied := h.flags&Denied != 0 && d.rows[row].flags&Denied == 0
		revoked = denied || d.rows[row].losesKey(h)
	}
	d.set(h)
	d.rows[d.byID[h.id]].at = at
	return revoked, true
}

// learn takes in a device that another process wrote, see become.
func (d *directory) learn(h head, at Revision) (revoked, changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.become(h, at)
}

// add enters a device that was read from disk. It reports whether a key of it
// was left out because an earlier device has it.
func (d *directory) add(h head, at Revision) (shared bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	shared = d.set(h)
	d.rows[d.byID[h.id]].at = at
	return shared
}

func (d *directory) set(h head) (shared bool) {
	at, ok := d.byID[h.id]
	if !ok {
		at = d.newRow(h.id)
	}
	r := &d.rows[at]
	for _, k := range r.keys {
		if k != (keyID{}) {
			delete(d.byKey, k)
		}
	}
	r.keys = [2]keyID{}
	for i, f := range h.keys {
		if f == (Fingerprint{}) {
			continue
		}
		if other, ok := d.byKey[f.id()]; ok && other != at {
			shared = true
			continue
		}
		r.keys[i] = f.id()
		d.byKey[f.id()] = at
	}
	r.owner, r.flags = d.intern(h.owner), h.flags
	if r.cid != (CID{}) && !r.has(r.proof) {
		d.clearSession(at)
	}
	return shared
}

func (d *directory) newRow(id DeviceID) (at uint32) {
	if n := len(d.free); n > 0 {
		at, d.free = d.free[n-1], d.free[:n-1]
		d.rows[at] = row{id: id}
	} else {
		at = uint32(len(d.rows))
		d.rows = append(d.rows, row{id: id})
	}
	d.byID[id] = at
	return at
}

func (d *directory) intern(a AccountID) uint32 {
	n, ok := d.owner[a]
	if !ok {
		n = uint32(len(d.owners))
		d.owners = append(d.owners, a)
		d.owner[a] = n
	}
	return n
}

// remove forgets a device with its keys and its session.
func (d *directory) remove(id DeviceID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.byID[id]
	if !ok {
		return
	}
	d.clearSession(at)
	for _, k := range d.rows[at].keys {
		if k != (keyID{}) {
			delete(d.byKey, k)
		}
	}
	delete(d.byID, id)
	d.rows[at] = row{gone: true}
	d.free = append(d.free, at)
}
