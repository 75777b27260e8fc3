package dtls

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// A CID is a connection id of up to MaxCIDSize bytes. It is comparable, so it
// can be the key of a map.
type CID struct {
	n uint8
	b [MaxCIDSize]byte
}

// NewCID returns the connection id b. It panics when b is longer than
// MaxCIDSize.
func NewCID(b []byte) (c CID) {
	if len(b) > MaxCIDSize {
		panic(fmt.Sprintf("dtls: a connection id of %d bytes", len(b)))
	}
	c.n = uint8(copy(c.b[:], b))
	return c
}

// Len returns the length in bytes.
func (c *CID) Len() int { return int(c.n) }

// Bytes returns the bytes of c. The result aliases c.
func (c *CID) Bytes() []byte { return c.b[:c.n] }

// String returns c in hexadecimal digits.
func (c CID) String() string { return hex.EncodeToString(c.b[:c.n]) }

// padding is the multiple to which Device OS fills the inner plaintext.
const padding = 16

// innerSize returns the size of the inner plaintext for n bytes of content.
func innerSize(n int, padded bool) int {
	if n++; padded { // the real type follows the content
		n = (n + padding - 1) / padding * padding
	}
	return n
}

// appendInner appends the inner plaintext of RFC 9146 Section 4.
func appendInner(b []byte, t ContentType, content []byte, padded bool) []byte {
	size := innerSize(len(content), padded)
	b = append(append(b, content...), byte(t))
	return append(b, zeros[:size-len(content)-1]...)
}

var zeros [padding]byte

// splitInner strips the zeros and the real type off an inner plaintext.
func splitInner(b []byte) (t ContentType, content []byte, ok bool) {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0 {
			return ContentType(b[i]), b[:i], true
		}
	}
	return 0, nil, false
}

// setAAD sets the additional data of a record without connection id
// (RFC 5246 Section 6.2.3.3, RFC 6347 Section 4.1.2.1).
func (c *ccm) setAAD(t ContentType, version uint16, number uint64, size int) {
	b := binary.BigEndian.AppendUint64(c.aad[:0], number)
	b = append(b, byte(t), byte(version>>8), byte(version))
	c.aadSize = len(binary.BigEndian.AppendUint16(b, uint16(size)))
}

// setAADDraft sets the additional data of a record with connection id as
// draft-ietf-tls-dtls-connection-id-05 Section 5.3 defines it.
//
// Device OS: the id comes before its length, and the type is 25 even when 253
// is on the wire. RFC 9146 changed both.
func (c *ccm) setAADDraft(t ContentType, version uint16, number uint64, cid []byte, size int) {
	b := binary.BigEndian.AppendUint64(c.aad[:0], number)
	b = append(b, byte(t), byte(version>>8), byte(version))
	b = append(append(b, cid...), byte(len(cid)))
	c.aadSize = len(binary.BigEndian.AppendUint16(b, uint16(size)))
}

// setAADRFC9146 sets the additional data of RFC 9146 Section 5.3.
func (c *ccm) setAADRFC9146(version uint16, number uint64, cid []byte, size int) {
	b := append(c.aad[:0], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, byte(TypeCID), byte(len(cid)), byte(TypeCID))
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint64(b, number)
	b = append(b, cid...)
	c.aadSize = len(binary.BigEndian.AppendUint16(b, uint16(size)))
}
