package dtls

import (
	"encoding/binary"
	"errors"
)

// A State is what remains of a [Session] when it is stored: 170 bytes or so in
// the encoding of Append. It holds the keys themselves, so a restore computes
// nothing. It must be kept secret.
type State struct {
	Server   bool
	Profile  Profile
	Gen      Generation
	Mark     Mark
	DeviceID [DeviceIDSize]byte

	ReadKey, WriteKey   [16]byte
	ReadSalt, WriteSalt [4]byte
	ReadCID, WriteCID   CID

	// SendNext is the sequence of the next record, below 2^48 or equal.
	SendNext uint64
	// SendLimit is the end of the reservation, 0 when there is none. A restored
	// session goes on there, because what lies below may have been used.
	SendLimit uint64
	// WindowTop and Window are the replay window: the highest sequence seen,
	// and bit i for the sequence i below it.
	//
	// Device OS: only generation F stores them; before, a restored session
	// takes any sequence again.
	WindowTop, Window uint64
}

// Export returns what has to be stored of s. A cloud that reserves sequences
// raises SendLimit in the copy before it stores it.
func (s *Session) Export() State {
	return State{
		Server: s.server, Profile: s.profile, Gen: s.gen, Mark: s.sends, DeviceID: s.deviceID,
		ReadKey: s.readKey, WriteKey: s.writeKey, ReadSalt: s.readSalt, WriteSalt: s.writeSalt,
		ReadCID: s.readCID, WriteCID: s.writeCID,
		SendNext: s.sendNext, SendLimit: s.sendLimit,
		WindowTop: s.received.top, Window: s.received.seen,
	}
}

// Import returns the session of a State. With a SendLimit it has nothing
// reserved yet: store a higher limit, then call [Session.ReserveUntil]. A device
// calls [Session.Move] besides.
func Import(st State) *Session {
	s := new(Session)
	s.Restore(&st)
	return s
}

// Restore is Import into s, for sessions that live in a slab.
func (s *Session) Restore(st *State) {
	*s = Session{
		server: st.Server, profile: st.Profile, gen: st.Gen.resolve(), sends: st.Mark.resolve(st.Gen), deviceID: st.DeviceID,
		readKey: st.ReadKey, writeKey: st.WriteKey, readSalt: st.ReadSalt, writeSalt: st.WriteSalt,
		readCID: st.ReadCID, writeCID: st.WriteCID,
		sendNext: max(st.SendNext, st.SendLimit), sendLimit: st.SendLimit,
		received: window{top: st.WindowTop, seen: st.Window},
	}
}

// stateVersion is the first byte of the encoding.
const stateVersion = 1

const stateFixed = 1 + 4 + DeviceIDSize + 2*(keySize+saltSize) + 4*8

// ErrState reports bytes that are not an encoded State of this version.
var ErrState = errors.New("dtls: not a stored session")

// Append appends the encoding of st to b: version, role, profile, generation,
// mark, device id, keys, salts, four integers of 8 bytes, and two connection
// ids, each behind its length.
func (st *State) Append(b []byte) []byte {
	b = append(b, stateVersion, flag(st.Server), byte(st.Profile), byte(st.Gen), byte(st.Mark))
	b = append(b, st.DeviceID[:]...)
	b = append(append(b, st.ReadKey[:]...), st.WriteKey[:]...)
	b = append(append(b, st.ReadSalt[:]...), st.WriteSalt[:]...)
	for _, n := range []uint64{st.SendNext, st.SendLimit, st.WindowTop, st.Window} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(append(b, st.ReadCID.n), st.ReadCID.Bytes()...)
	return append(append(b, st.WriteCID.n), st.WriteCID.Bytes()...)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// ParseState decodes what Append encoded. The error is ErrState.
func ParseState(b []byte) (st State, err error) {
	if len(b) < stateFixed || b[0] != stateVersion || b[1] > 1 {
		return State{}, ErrState
	}
	st.Server, st.Profile, st.Gen, st.Mark = b[1] == 1, Profile(b[2]), Generation(b[3]), Mark(b[4])
	if st.Profile > Standard || st.Gen > GenF || st.Mark > Mark253 {
		return State{}, ErrState
	}
	rest := b[5:]
	for _, field := range [][]byte{st.DeviceID[:], st.ReadKey[:], st.WriteKey[:], st.ReadSalt[:], st.WriteSalt[:]} {
		rest = rest[copy(field, rest):]
	}
	for _, n := range []*uint64{&st.SendNext, &st.SendLimit, &st.WindowTop, &st.Window} {
		*n, rest = binary.BigEndian.Uint64(rest), rest[8:]
	}
	for _, cid := range []*CID{&st.ReadCID, &st.WriteCID} {
		if len(rest) == 0 || rest[0] > MaxCIDSize || len(rest) <= int(rest[0]) {
			return State{}, ErrState
		}
		*cid, rest = NewCID(rest[1:1+rest[0]]), rest[1+rest[0]:]
	}
	if len(rest) > 0 || st.SendNext > maxSequence+1 || st.SendLimit > maxSequence+1 || st.WindowTop > maxSequence {
		return State{}, ErrState
	}
	return st, nil
}
