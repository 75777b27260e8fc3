package dtls

import (
	"encoding/binary"
	"fmt"
)

// A handshakeType is the first byte of a handshake message (RFC 5246 Section 7.4).
type handshakeType uint8

const (
	typeHelloRequest       handshakeType = 0
	typeClientHello        handshakeType = 1
	typeServerHello        handshakeType = 2
	typeHelloVerifyRequest handshakeType = 3
	typeCertificate        handshakeType = 11
	typeServerKeyExchange  handshakeType = 12
	typeCertificateRequest handshakeType = 13
	typeServerHelloDone    handshakeType = 14
	typeCertificateVerify  handshakeType = 15
	typeClientKeyExchange  handshakeType = 16
	typeFinished           handshakeType = 20
)

func (t handshakeType) String() string {
	switch t {
	case typeHelloRequest:
		return "HelloRequest"
	case typeClientHello:
		return "ClientHello"
	case typeServerHello:
		return "ServerHello"
	case typeHelloVerifyRequest:
		return "HelloVerifyRequest"
	case typeCertificate:
		return "Certificate"
	case typeServerKeyExchange:
		return "ServerKeyExchange"
	case typeCertificateRequest:
		return "CertificateRequest"
	case typeServerHelloDone:
		return "ServerHelloDone"
	case typeCertificateVerify:
		return "CertificateVerify"
	case typeClientKeyExchange:
		return "ClientKeyExchange"
	case typeFinished:
		return "Finished"
	default:
		return fmt.Sprintf("handshake type %d", uint8(t))
	}
}

// fragmentHeaderSize is type 1, length 3, message_seq 2, fragment_offset 3,
// fragment_length 3 (RFC 6347 Section 4.2.2).
const fragmentHeaderSize = 12

// A fragment is a piece of a handshake message, perhaps all of it.
type fragment struct {
	typ    handshakeType
	length int    // of the message
	seq    uint16 // message_seq
	offset int    // of body in the message
	body   []byte
}

// whole reports whether the fragment is a complete message.
func (f *fragment) whole() bool { return len(f.body) == f.length }

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

func appendUint24(b []byte, n int) []byte { return append(b, byte(n>>16), byte(n>>8), byte(n)) }

// splitFragment splits the first fragment off the body of a handshake record,
// which may hold several (RFC 6347 Section 4.2.3). The fragment aliases b.
func splitFragment(b []byte) (f fragment, rest []byte, why DropReason) {
	if len(b) < fragmentHeaderSize {
		return f, nil, DropFragment
	}
	f.typ, f.length, f.seq, f.offset = handshakeType(b[0]), uint24(b[1:]), binary.BigEndian.Uint16(b[4:]), uint24(b[6:])
	size := uint24(b[9:])
	b = b[fragmentHeaderSize:]
	if size > len(b) || f.offset > f.length || size > f.length-f.offset || size == 0 && f.length > 0 {
		return f, nil, DropFragment
	}
	f.body = b[:size:size]
	return f, b[size:], DropNone
}

// appendFragment appends a fragment with its header.
func appendFragment(b []byte, f *fragment) []byte {
	b = append(b, byte(f.typ))
	b = appendUint24(b, f.length)
	b = binary.BigEndian.AppendUint16(b, f.seq)
	b = appendUint24(b, f.offset)
	b = appendUint24(b, len(f.body))
	return append(b, f.body...)
}

// appendMessage appends a whole message, in the form in which the transcript
// holds it however it was sent (RFC 6347 Section 4.2.6).
func appendMessage(b []byte, t handshakeType, seq uint16, body []byte) []byte {
	return appendFragment(b, &fragment{typ: t, length: len(body), seq: seq, body: body})
}
