package dtls

import (
	"encoding/binary"
	"fmt"
)

// A ContentType is the first byte of a record (RFC 6347 Section 4.1).
type ContentType uint8

// The content types on the wire.
const (
	TypeChangeCipherSpec ContentType = 20
	TypeAlert            ContentType = 21
	TypeHandshake        ContentType = 22
	TypeApplication      ContentType = 23
	// TypeCID is a record with a connection id; its real type is encrypted
	// (RFC 9146 Section 4).
	TypeCID ContentType = 25
	// TypeProbe is no record but a reachability probe, to be echoed.
	// Device OS: 5.6 and later, from a socket of its own.
	TypeProbe ContentType = 252
	// TypeMovedCID is TypeCID from a device that restored its session.
	// Device OS: 4.0 and later.
	TypeMovedCID ContentType = 253
	// TypeMovedTrailer is TypeApplication from a device that restored its
	// session; behind the record follow the device id and its length, so the
	// record fills its datagram. Device OS: up to 3.0.
	TypeMovedTrailer ContentType = 254
)

// String returns the name of the type.
func (t ContentType) String() string {
	switch t {
	case TypeChangeCipherSpec:
		return "change_cipher_spec"
	case TypeAlert:
		return "alert"
	case TypeHandshake:
		return "handshake"
	case TypeApplication:
		return "application_data"
	case TypeCID:
		return "tls12_cid"
	case TypeProbe:
		return "probe (252)"
	case TypeMovedCID:
		return "moved cid (253)"
	case TypeMovedTrailer:
		return "moved (254)"
	default:
		return fmt.Sprintf("content type %d", uint8(t))
	}
}

// The versions on the wire (RFC 6347 Section 4.1): one's complement.
const (
	version10 = 0xfeff
	version12 = 0xfefd
)

const (
	// headerSize is type 1, version 2, epoch 2, sequence 6, length 2.
	headerSize = 13
	// maxRecord is the largest body of a record (RFC 5246 Section 6.2.3).
	maxRecord = 1<<14 + 2048
	// maxPlaintext is the largest content of a record (RFC 5246 Section 6.2.1).
	maxPlaintext = 1 << 14
	// maxSequence is the largest record sequence.
	maxSequence = 1<<48 - 1
	// epochOne is the epoch of every protected record: there is no
	// renegotiation.
	epochOne = uint64(1) << 48
	// trailerSize is what follows a record of type 254: device id and length.
	trailerSize = DeviceIDSize + 1
)

// A record is one record of a datagram, split but not opened.
type record struct {
	typ     ContentType
	version uint16
	number  uint64 // epoch, 16 bits, and sequence, 48 bits, as they are in nonce and AAD
	cid     []byte
	body    []byte
}

func (r *record) epoch() uint16    { return uint16(r.number >> 48) }
func (r *record) sequence() uint64 { return r.number & maxSequence }

// splitRecord splits the first record off datagram, where records of the types
// 25 and 253 hold a connection id of cidSize bytes. The record aliases datagram.
func splitRecord(datagram []byte, cidSize int) (r record, rest []byte, why DropReason) {
	if len(datagram) < headerSize {
		return r, nil, DropShort
	}
	r.typ = ContentType(datagram[0])
	r.version = binary.BigEndian.Uint16(datagram[1:])
	r.number = binary.BigEndian.Uint64(datagram[3:])
	head := headerSize
	if r.typ == TypeCID || r.typ == TypeMovedCID {
		if head += cidSize; len(datagram) < head {
			return r, nil, DropTruncated
		}
		r.cid = datagram[headerSize-2 : head-2]
	}
	size := int(binary.BigEndian.Uint16(datagram[head-2:]))
	if size > maxRecord {
		return r, nil, DropTooLong
	}
	if size > len(datagram)-head {
		return r, nil, DropTruncated
	}
	r.body = datagram[head : head+size : head+size]
	return r, datagram[head+size:], DropNone
}

// appendHeader appends a record header without connection id.
func appendHeader(b []byte, t ContentType, number uint64, size int) []byte {
	b = append(b, byte(t), version12>>8, version12&0xff)
	b = binary.BigEndian.AppendUint64(b, number)
	return binary.BigEndian.AppendUint16(b, uint16(size))
}

// appendRecord appends a record of epoch 0.
func appendRecord(b []byte, t ContentType, sequence uint64, body []byte) []byte {
	return append(appendHeader(b, t, sequence, len(body)), body...)
}

// StaleSession is the datagram that makes a device of generation A to D drop a
// session which the cloud no longer knows: a handshake record of epoch 1 that
// declares 16 bytes and has 2. It needs no keys. Send it at most once in
// 10 s to a device. It has no effect on generations E and F.
//
// Device OS: a truncated record is a read error, and that discards the session
// (communication/src/dtls_message_channel.cpp).
func StaleSession() []byte {
	return append(appendHeader(nil, TypeHandshake, epochOne, 16), 0, 0)
}
