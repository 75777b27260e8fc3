package store

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// The plain text of a session record, before it is sealed:
//
//	0   1   version: 1, or 2 where there is a node
//	1   8   connection id
//	9   32  fingerprint of the device key
//	41  8   Reserved, big-endian
//	49  8   Top
//	57  8   Window
//	65  8   node, of version 2
//	73  …   Record; of version 1 at 65
//
// A progress record, which is not sealed as nothing in it is secret:
//
//	0   1   version: 1, or 2 where there is an address
//	1   8   connection id
//	9   8   Reserved
//	17  8   Top
//	25  8   Window
//	33  …   of version 2: address of the device, of 4 or 16 bytes, and its port, big-endian
const (
	sessionVersion  = 2
	sessionHeadLen  = 73
	sessionHeadLen1 = 65
	progressVersion = 2
	progressLen     = 33
)

func (s *Session) append(b []byte) []byte {
	version := byte(1)
	if s.Node != (NodeID{}) {
		version = sessionVersion
	}
	b = append(b, version)
	b = append(b, s.CID[:]...)
	b = append(b, s.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, s.Reserved)
	b = binary.BigEndian.AppendUint64(b, s.Top)
	b = binary.BigEndian.AppendUint64(b, s.Window)
	if version == sessionVersion {
		b = append(b, s.Node[:]...)
	}
	return append(b, s.Record...)
}

// parseSession decodes the plain text b. The result aliases it.
func parseSession(id DeviceID, b []byte) (*Session, error) {
	first := len(b) >= sessionHeadLen1 && b[0] == 1
	if !first {
		if err := checkVersion("session", b, sessionVersion, sessionHeadLen); err != nil {
			return nil, err
		}
	}
	s := &Session{
		Device:   id,
		CID:      CID(b[1:9]),
		Key:      Fingerprint(b[9:41]),
		Reserved: binary.BigEndian.Uint64(b[41:]),
		Top:      binary.BigEndian.Uint64(b[49:]),
		Window:   binary.BigEndian.Uint64(b[57:]),
	}
	if first {
		s.Record = b[sessionHeadLen1:]
	} else {
		s.Node, s.Record = NodeID(b[sessionHeadLen1:]), b[sessionHeadLen:]
		if s.Node == (NodeID{}) {
			return nil, fmt.Errorf("store: session record: malformed")
		}
	}
	return s, nil
}

func (p *Progress) append(b []byte) []byte {
	version := byte(1)
	if p.Peer.IsValid() {
		version = progressVersion
	}
	b = append(b, version)
	b = append(b, p.CID[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Reserved)
	b = binary.BigEndian.AppendUint64(b, p.Top)
	b = binary.BigEndian.AppendUint64(b, p.Window)
	if version == progressVersion {
		b = append(b, p.Peer.Addr().Unmap().AsSlice()...)
		b = binary.BigEndian.AppendUint16(b, p.Peer.Port())
	}
	return b
}

func parseProgress(id DeviceID, b []byte) (Progress, error) {
	first := len(b) == progressLen && b[0] == 1
	if !first {
		if err := checkVersion("progress", b, progressVersion, progressLen); err != nil {
			return Progress{}, err
		}
	}
	p := Progress{
		Device:   id,
		CID:      CID(b[1:9]),
		Reserved: binary.BigEndian.Uint64(b[9:]),
		Top:      binary.BigEndian.Uint64(b[17:]),
		Window:   binary.BigEndian.Uint64(b[25:]),
	}
	if first {
		return p, nil
	}
	rest := b[progressLen:]
	addr, ok := netip.AddrFromSlice(rest[:max(0, len(rest)-2)])
	if !ok {
		return Progress{}, fmt.Errorf("store: progress record of %d bytes", len(b))
	}
	p.Peer = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(rest[len(rest)-2:]))
	return p, nil
}

// merge brings s up to p, if p is of the same session. Nothing goes back,
// whichever of the two was written last.
func (s *Session) merge(p Progress) {
	if p.CID != s.CID {
		return
	}
	s.Reserved = max(s.Reserved, p.Reserved)
	if p.Top >= s.Top {
		s.Peer = p.Peer // of that record, or of a newer one
	}
	switch {
	case p.Top > s.Top:
		s.Top, s.Window = p.Top, p.Window
	case p.Top == s.Top:
		s.Window |= p.Window
	}
}

// seal encodes s as it is stored. A nil sealer, of a store in memory, stores it
// as it is.
func (s *Session) seal(by *sealer) []byte {
	plain := s.append(make([]byte, 0, sessionHeadLen+len(s.Record)))
	if by == nil {
		return plain
	}
	return by.seal(s.Device[:], plain)
}

// openSession decodes an entry of the bucket of sessions, in place.
func openSession(id DeviceID, e entry, by *sealer) (*Session, error) {
	plain := e.value
	if by != nil {
		var err error
		if plain, err = by.open(id[:], plain); err != nil {
			return nil, err
		}
	}
	s, err := parseSession(id, plain)
	if err != nil {
		return nil, err
	}
	s.Revision = e.revision
	return s, nil
}
