package store

// mayHold reports whether the device may have a session proven by the key f.
func (d *directory) mayHold(id DeviceID, f Fingerprint) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, ok := d.byID[id]
	switch {
	case !ok:
		return ErrUnknownDevice
	case !d.rows[at].has(f.id()):
		return ErrRevoked
	}
	return nil
}

// losesSession reports whether h takes from the device the key of its session.
// Where the session was never loaded, any key may be it.
func (d *directory) losesSession(h head) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, ok := d.byID[h.id]
	if !ok || !d.rows[at].losesKey(h) {
		return false
	}
	proof := d.rows[at].proof
	return proof != h.keys[0].id() && proof != h.keys[1].id()
}

// setSession makes c the session of the device, which replaces any other. It
// returns false if the device or the key is gone.
func (d *directory) setSession(id DeviceID, c CID, f Fingerprint) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.byID[id]
	if !ok || !d.rows[at].has(f.id()) {
		return false
	}
	d.clearSession(at)
	d.rows[at].cid, d.rows[at].proof = c, f.id()
	d.byCID[c.index()] = at
	return true
}

func (d *directory) dropSession(id DeviceID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.byID[id]; ok {
		d.clearSession(at)
	}
}

func (d *directory) clearSession(at uint32) {
	r := &d.rows[at]
	if r.cid == (CID{}) {
		return
	}
	if d.byCID[r.cid.index()] == at {
		delete(d.byCID, r.cid.index())
	}
	r.cid, r.proof = CID{}, keyID{}
}
