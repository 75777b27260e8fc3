package dtls

import (
	"encoding/binary"
	"math"
)

// A Session is an established association: what the two sides keep between
// records. It holds no pointer and about 200 bytes. It is not safe for
// concurrent use.
//
// A device's Session may be moving: it was restored, and its records carry a
// [Mark] until the first application record of the cloud is processed.
//
// A cloud's Session remembers its Finished until the first application record
// of the device, and repeats the last flight whenever the device repeats its own
// (RFC 6347 Section 4.2.4), so no half-open state outlives the handshake.
type Session struct {
	sendNext  uint64 // sequence of the next record
	sendLimit uint64 // first sequence that is not reserved
	received  window

	readKey, writeKey   [keySize]byte
	readSalt, writeSalt [saltSize]byte
	readCID, writeCID   CID // in records to us, and from us
	deviceID            [DeviceIDSize]byte

	hello          uint64           // front of client_random, in a cloud since the handshake
	finished       [verifySize]byte // of our last flight
	finishedNumber uint16           // its message_seq
	plainNext      uint32           // next sequence of epoch 0
	finalPending   bool             // the peer may not have our last flight

	forgeries uint32
	faults    RecordFaults
	profile   Profile
	gen       Generation
	sends     Mark // how a moving device marks
	server    bool
	moving    bool
	over      bool
}

// maxForgeries is the number of records that may fail authentication before a
// session ends: a tag has 64 bits, and RFC 6655 Section 6.1 leaves the number to
// the application.
const maxForgeries = 1 << 20

// Server reports whether s is the cloud's side.
func (s *Session) Server() bool { return s.server }

// Generation returns the generation of the device, [GenF] on the cloud's side.
func (s *Session) Generation() Generation { return s.gen }

// ReadCID returns the connection id in the records to s: what a cloud's driver
// finds s by. It is empty when there is none.
func (s *Session) ReadCID() CID { return s.readCID }

// WriteCID returns the connection id in the records from s.
func (s *Session) WriteCID() CID { return s.writeCID }

// DeviceID returns the id for the trailer of marked records, or the id that a
// trailer must have.
func (s *Session) DeviceID() [DeviceIDSize]byte { return s.deviceID }

// SetDeviceID sets it: a cloud learns it from the key that was proven.
func (s *Session) SetDeviceID(id [DeviceIDSize]byte) { s.deviceID = id }

// SetFaults replaces the faults of the record layer.
func (s *Session) SetFaults(f RecordFaults) { s.faults = f }

// Over reports whether s has ended by an alert, a truncated record or forgeries.
func (s *Session) Over() bool { return s.over }

// Forgeries returns the number of records that failed authentication.
func (s *Session) Forgeries() int { return int(s.forgeries) }

// Move marks the following records of a device as those of a moved session,
// until the first application record of the cloud is processed. A device does
// this whenever it restores a session.
func (s *Session) Move() { s.moving = true }

// Moving reports whether the following records are marked.
func (s *Session) Moving() bool {
	return (s.moving || s.faults&FaultKeepMark != 0) && s.faults&FaultNoMark == 0 && !s.server
}

// CloseGap says that the replay window may lag behind by n sequences: within them
// each record that is newer than all others closes the window behind it, as what
// lies below was perhaps seen. A cloud does this when it restores a session. A
// record that the network delivers late just then is dropped, and its message comes
// again in a new one.
func (s *Session) CloseGap(n int) { s.received.gap = uint16(min(n, math.MaxUint16)) }

// SendSequence returns the sequence of the next record.
func (s *Session) SendSequence() uint64 { return s.sendNext }

// ReserveUntil allows s to send records with sequences below limit. A new
// Session is not limited; the first call limits it. Who stores sessions stores
// the State with the higher limit first and calls ReserveUntil then, so that a
// crash can never make the sequence go back. Limits below the present one are
// ignored, once there is one.
func (s *Session) ReserveUntil(limit uint64) {
	if s.sendLimit == 0 {
		s.sendLimit = max(limit, s.sendNext, 1)
	}
	s.sendLimit = max(limit, s.sendLimit)
}

// Remaining returns the number of records that may still be sent under the
// reservation, or until the sequence is exhausted.
func (s *Session) Remaining() uint64 {
	limit := uint64(maxSequence + 1)
	if s.sendLimit != 0 {
		limit = min(limit, s.sendLimit)
	}
	return limit - s.sendNext
}

// take returns the number of the next record to send.
func (s *Session) take() (number uint64, err error) {
	if s.sendNext > maxSequence {
		return 0, ErrSequence
	}
	if s.sendLimit != 0 && s.sendNext >= s.sendLimit {
		return 0, ErrReservation
	}
	number = epochOne | s.sendNext
	if s.faults&FaultReuseSequence == 0 {
		s.sendNext++
	}
	return number, nil
}

// Size returns the number of bytes of the datagram that Seal makes for n bytes
// of application data.
func (s *Session) Size(n int) int {
	switch cid := s.outCID(); {
	case cid != nil:
		return headerSize + len(cid) + overhead + innerSize(n, s.padded())
	case s.Moving() && s.sends == Mark254:
		return headerSize + overhead + n + trailerSize
	default:
		return headerSize + overhead + n
	}
}

func (s *Session) padded() bool { return s.profile == DeviceOS && s.faults&FaultNoPadding == 0 }

// outCID returns the connection id to send with, nil for none.
func (s *Session) outCID() []byte {
	if s.server && s.faults&FaultCIDDown != 0 && s.readCID.Len() > 0 {
		return s.readCID.Bytes()
	}
	if s.writeCID.Len() == 0 {
		return nil
	}
	return s.writeCID.Bytes()
}

// Seal appends to dst one record, ready to be a datagram, that protects
// plaintext (at most 16384 bytes) as content of type t. The error is
// ErrReservation or ErrSequence. plaintext and dst must not overlap.
func (s *Session) Seal(dst []byte, t ContentType, plaintext []byte) ([]byte, error) {
	return s.SealWith(nil, dst, t, plaintext)
}

// SealWith is Seal with a cache of ciphers. It does not allocate when dst has
// room and the cache holds the key.
func (s *Session) SealWith(c *Ciphers, dst []byte, t ContentType, plaintext []byte) ([]byte, error) {
	if len(plaintext) > maxPlaintext {
		panic("dtls: plaintext too long")
	}
	number, err := s.take()
	if err != nil {
		return dst, err
	}
	work := c.get(&s.writeKey)
	if cid := s.outCID(); cid != nil {
		return s.sealCID(work, dst, number, t, cid, plaintext), nil
	}
	return s.sealPlain(work, dst, number, t, plaintext), nil
}

// appendNonce appends the explicit nonce and sets the whole in c.
//
// Device OS: epoch and sequence, as RFC 6655 Section 3 suggests.
func (s *Session) appendNonce(dst []byte, c *ccm, number uint64) []byte {
	explicit := number
	if s.faults&FaultRandomNonce != 0 {
		explicit ^= 0xa5a5_0000_0000_0000 // still unique, which is all that matters
	}
	copy(c.nonce[:], s.writeSalt[:])
	binary.BigEndian.PutUint64(c.nonce[saltSize:], explicit)
	return append(dst, c.nonce[saltSize:]...)
}

// sealCID seals a record with a connection id. Whatever its content, a moving
// device of Device OS 4.0 or later marks it.
func (s *Session) sealCID(c *ccm, dst []byte, number uint64, t ContentType, cid, plaintext []byte) []byte {
	wire, authentic := TypeCID, TypeCID
	if s.Moving() && s.sends == Mark253 {
		wire = TypeMovedCID
	}
	if s.faults&FaultTypeInAAD != 0 {
		authentic = wire
	}
	size := innerSize(len(plaintext), s.padded())
	dst = append(dst, byte(wire), version12>>8, version12&0xff)
	dst = append(binary.BigEndian.AppendUint64(dst, number), cid...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(size+overhead))
	dst = s.appendNonce(dst, c, number)
	start := len(dst)
	dst = appendInner(dst, t, plaintext, s.padded())
	s.setAADWithCID(c, authentic, version12, number, cid, size)
	return c.seal(dst, start)
}

// setAADWithCID sets the additional data of the profile.
func (s *Session) setAADWithCID(c *ccm, t ContentType, version uint16, number uint64, cid []byte, size int) {
	if (s.profile == Standard) != (s.faults&FaultRFC9146AAD != 0) {
		c.setAADRFC9146(version, number, cid, size)
	} else {
		c.setAADDraft(t, version, number, cid, size)
	}
}

// sealPlain seals a record without connection id. A moving device of Device OS
// 3.0 or earlier marks application data, and nothing else.
func (s *Session) sealPlain(c *ccm, dst []byte, number uint64, t ContentType, plaintext []byte) []byte {
	wire, authentic := t, t
	moved := t == TypeApplication && s.Moving() && s.sends == Mark254
	if moved {
		wire = TypeMovedTrailer
	}
	if s.faults&FaultTypeInAAD != 0 {
		authentic = wire
	}
	dst = appendHeader(dst, wire, number, len(plaintext)+overhead)
	dst = s.appendNonce(dst, c, number)
	start := len(dst)
	dst = append(dst, plaintext...)
	c.setAAD(authentic, version12, number, len(plaintext))
	dst = c.seal(dst, start)
	if moved {
		dst = appendTrailer(dst, &s.deviceID)
	}
	return dst
}

// SealAlert appends one record with an alert, to dst.
func (s *Session) SealAlert(dst []byte, level AlertLevel, d AlertDescription) ([]byte, error) {
	return s.Seal(dst, TypeAlert, []byte{byte(level), byte(d)})
}

// SameHello reports whether datagram begins with the ClientHello that led to
// this session: a late copy, which a cloud drops instead of beginning another
// handshake. It is false for restored sessions.
func (s *Session) SameHello(datagram []byte) bool {
	h, _, why := peekHello(datagram)
	return why == DropNone && s.hello != 0 && s.hello == helloTag(&h.random)
}

// helloTag is what a Session remembers of client_random.
func helloTag(random *[randomSize]byte) uint64 { return binary.BigEndian.Uint64(random[:]) }

// Close appends a close_notify to dst and ends s. The peer discards its half of
// the session: a cloud that only restarts must not do this.
func (s *Session) Close(dst []byte) ([]byte, error) {
	dst, err := s.SealAlert(dst, AlertWarning, CloseNotify)
	s.over = true
	return dst, err
}
