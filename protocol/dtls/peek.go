package dtls

import "encoding/binary"

// A Header is what a cloud sees of a datagram before any key is involved.
// Nothing in it is authenticated.
type Header struct {
	Type     ContentType
	Version  uint16
	Epoch    uint16
	Sequence uint64
	// CID of a record of type 25 or 253.
	CID CID
	// DeviceID in the trailer of a datagram of type 254.
	DeviceID [DeviceIDSize]byte
	// ClientHello says that the record is of type 22 and epoch 0 and begins
	// with a ClientHello: a matter for the [Gate], or for the half-open
	// handshake of this address when it is repeated.
	ClientHello bool
	// Size of the record with its header, without the trailer.
	Size int
}

// PeekHeader returns the header of the first record of a datagram from a
// device, for a cloud that looks for its owner:
//
//	22, epoch 0          ClientHello: gate; else the half-open handshake of this address
//	20, 21, epoch 0      the half-open handshake of this address
//	25, 253              the session, or half-open handshake, with this CID
//	254                  the session of this device id
//	20 to 23, epoch 1    the session, or half-open handshake, of this address
//	252                  [IsProbe]: echo
//
// A datagram that begins in epoch 0 may go on in epoch 1, as the last flight of
// a device does: see [PeekProtected]. Errors are *DropError.
func PeekHeader(datagram []byte) (Header, error) { return peek(datagram, CIDSize) }

// PeekHeaderCID is PeekHeader for connection ids of n bytes, at most MaxCIDSize.
func PeekHeaderCID(datagram []byte, n int) (Header, error) { return peek(datagram, n) }

// PeekProtected returns the header of the first record of a datagram that is
// not of epoch 0. When a device repeats its last flight because the answer was
// lost, that record is its Finished, and the session it names repeats the answer
// ([Session.Receive] takes the whole datagram).
func PeekProtected(datagram []byte) (Header, error) {
	for {
		h, err := peek(datagram, CIDSize)
		if err != nil || h.Epoch != 0 {
			return h, err
		}
		datagram = datagram[h.Size:]
	}
}

func peek(datagram []byte, cidSize int) (h Header, err error) {
	if len(datagram) >= headerSize && ContentType(datagram[0]) == TypeMovedTrailer {
		rec, id, ok := splitTrailer(datagram)
		if !ok {
			return h, drop(DropTrailer)
		}
		h.DeviceID, datagram = id, rec
	}
	r, _, why := splitRecord(datagram, cidSize)
	if why != DropNone {
		return h, drop(why)
	}
	h.Type, h.Version, h.Epoch, h.Sequence = r.typ, r.version, r.epoch(), r.sequence()
	h.CID = NewCID(r.cid)
	h.Size = headerSize + len(r.cid) + len(r.body)
	switch r.typ {
	case TypeChangeCipherSpec, TypeAlert, TypeApplication, TypeCID, TypeMovedCID, TypeMovedTrailer, TypeProbe:
	case TypeHandshake:
		h.ClientHello = h.Epoch == 0 && len(r.body) > 0 && r.body[0] == byte(typeClientHello)
	default:
		return h, drop(DropType)
	}
	// DTLS 1.0 is for the first flights only, by peers other than Device OS.
	if h.Version != version12 && (h.Version != version10 || h.Epoch != 0) {
		return h, drop(DropVersion)
	}
	return h, nil
}

// maxProbe is the largest datagram that is echoed: header and 512 bytes.
const maxProbe = headerSize + 512

// IsProbe reports whether datagram is a reachability probe, which a cloud
// echoes unchanged to its source, at a bounded rate.
//
// Device OS: sent by 5.6 to 5.9 and 6.0 to 6.2, where the epoch holds the
// network interface under a high bit.
func IsProbe(datagram []byte) bool {
	n := len(datagram)
	return n > headerSize && n <= maxProbe && ContentType(datagram[0]) == TypeProbe &&
		binary.BigEndian.Uint16(datagram[1:]) == version12 && datagram[3]&0x80 != 0 &&
		int(binary.BigEndian.Uint16(datagram[11:])) == n-headerSize
}
