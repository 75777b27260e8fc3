package dtls

// Open decrypts a single record in place and notes it in the replay window. The
// record must fill its slice; one of type 254 includes its trailer, which must
// name the session's device id. It returns the real content type (254 becomes
// 23) and the plaintext, which aliases record. newest tells that no earlier
// record had a higher sequence: only then may the address of the peer follow
// (RFC 9146 Section 6). Errors are *DropError; after one, record is unchanged.
func (s *Session) Open(record []byte) (t ContentType, plaintext []byte, newest bool, err error) {
	return s.OpenWith(nil, record)
}

// OpenWith is Open with a cache of ciphers. It does not allocate when the cache
// holds the key.
func (s *Session) OpenWith(c *Ciphers, rec []byte) (t ContentType, plaintext []byte, newest bool, err error) {
	if len(rec) > 0 && ContentType(rec[0]) == TypeMovedTrailer {
		if rec, err = s.untrail(rec); err != nil {
			return 0, nil, false, err
		}
	}
	r, rest, why := splitRecord(rec, s.readCID.Len())
	if why == DropNone && len(rest) > 0 {
		why = DropTruncated
	}
	if why == DropNone {
		t, plaintext, newest, why = s.open(c, &r)
	}
	if why != DropNone {
		return 0, nil, false, drop(why)
	}
	return t, plaintext, newest, nil
}

// untrail splits the trailer off a datagram of type 254.
func (s *Session) untrail(datagram []byte) ([]byte, error) {
	rec, id, ok := splitTrailer(datagram)
	if !ok || id != s.deviceID || !s.server {
		return nil, drop(DropTrailer)
	}
	return rec, nil
}

// open checks and decrypts a record and takes note of it.
func (s *Session) open(c *Ciphers, r *record) (t ContentType, plaintext []byte, newest bool, why DropReason) {
	if why = s.check(r); why != DropNone {
		return 0, nil, false, why
	}
	work := c.get(&s.readKey)
	copy(work.nonce[:], s.readSalt[:])
	// The bytes on the wire, never the sequence: peers may choose any nonce.
	copy(work.nonce[saltSize:], r.body)
	sealed := r.body[explicitSize:]
	s.setOpenAAD(work, r, len(sealed)-tagSize)
	plaintext, ok := work.open(sealed, s.faults&FaultAcceptBadTag != 0)
	if !ok {
		s.forgeries++
		return 0, nil, false, DropTag
	}
	newest = s.received.mark(r.sequence())
	switch t = r.typ; t {
	case TypeMovedTrailer:
		t = TypeApplication
	case TypeCID, TypeMovedCID:
		if t, plaintext, ok = splitInner(plaintext); !ok {
			return 0, nil, false, DropInner
		}
	default: // says itself what is in it
	}
	if t == TypeApplication {
		s.moving, s.finalPending = false, false
	}
	return t, plaintext, newest, DropNone
}

// check judges everything about a record that needs no key.
func (s *Session) check(r *record) DropReason {
	if !s.takes(r.typ) {
		return DropType
	}
	if r.version != version12 && !(r.version == version10 && s.anyVersion()) {
		return DropVersion
	}
	if r.epoch() != 1 {
		return DropEpoch
	}
	if (r.typ == TypeCID || r.typ == TypeMovedCID) && string(r.cid) != string(s.readCID.Bytes()) {
		return DropCID
	}
	if len(r.body) < overhead {
		return DropTooShort
	}
	if len(r.body) > overhead+maxPlaintext+padding || s.faults&FaultSmallRecords != 0 && len(r.body) > overhead+512 {
		return DropTooLong
	}
	width := uint64(windowSize)
	if s.faults&FaultNarrowWindow != 0 {
		width /= 2
	}
	if !s.received.fresh(r.sequence(), width) && s.faults&FaultAcceptReplay == 0 {
		return DropReplay
	}
	return DropNone
}

// takes reports whether a record of type t can be meant for s. With a
// connection id all records have one, without it none has (RFC 9146 Section 3).
func (s *Session) takes(t ContentType) bool {
	switch t {
	case TypeHandshake, TypeAlert, TypeApplication:
		return s.readCID.Len() == 0
	case TypeCID:
		return s.readCID.Len() > 0
	case TypeMovedCID:
		return s.readCID.Len() > 0 && s.server && s.profile == DeviceOS
	case TypeMovedTrailer:
		// By source reading, a device has either a connection id or a trailer.
		return s.readCID.Len() == 0 && s.server && s.profile == DeviceOS
	default:
		return false
	}
}

// anyVersion reports whether s takes feff in the header of epoch 1.
//
// Device OS: up to generation D the header is not compared with the negotiated
// version; from E on the tag fails, because the header is authenticated.
func (s *Session) anyVersion() bool {
	return !s.server && s.profile == DeviceOS && s.gen <= GenD
}

// setOpenAAD sets the additional data of r.
func (s *Session) setOpenAAD(c *ccm, r *record, size int) {
	t := r.typ
	trust := s.faults&FaultTypeInAAD != 0
	switch {
	case t == TypeMovedCID && !trust:
		t = TypeCID
	case t == TypeMovedTrailer && !trust:
		t = TypeApplication
	}
	if len(r.cid) > 0 {
		s.setAADWithCID(c, t, version12, r.number, r.cid, size)
	} else {
		c.setAAD(t, version12, r.number, size)
	}
}
