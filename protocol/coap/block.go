package coap

import "time"

// SZXMax is the largest size exponent, of blocks of 1024 bytes (RFC 7959
// Section 2.2). The new channel of Device OS knows no other.
const SZXMax = 6

// A Block is the value of a Block1 or Block2 option (RFC 7959 Section 2.2).
type Block struct {
	Num  uint32 // from 0; at most 2^20-1
	More bool
	SZX  uint8 // 0 to 6: the size is 2^(SZX+4) bytes
}

// Size returns the number of bytes in each block but the last.
func (b Block) Size() int { return 1 << (b.SZX + 4) }

// ParseBlock reads the value of a Block option. It reports false for more than
// three bytes and for the reserved size exponent 7.
func ParseBlock(v []byte) (Block, bool) {
	n, ok := ParseUint(v)
	if !ok || len(v) > 3 || n&7 == 7 {
		return Block{}, false
	}
	return Block{Num: n >> 4, More: n&8 != 0, SZX: uint8(n & 7)}, true
}

// Append appends the value of the option, 0 to 3 bytes, to dst.
func (b Block) Append(dst []byte) []byte {
	v := b.Num<<4 | uint32(b.SZX&7)
	if b.More {
		v |= 8
	}
	width := 0
	for v>>(8*width) != 0 {
		width++
	}
	return AppendUintFixed(dst, v, width)
}

// Option returns the option id, which is Block1 or Block2, with the value b.
func (b Block) Option(id OptionID) Option { return Option{ID: id, Value: b.Append(nil)} }

// Block returns the value of the option id, which is Block1 or Block2, and
// whether there is a valid one.
func (m Message) Block(id OptionID) (Block, bool) {
	v, ok := m.Option(id)
	if !ok {
		return Block{}, false
	}
	return ParseBlock(v)
}

// DescribeSZX returns the size exponent with which a device of the given
// transmit limit, in bytes, cuts its describe, and false when the limit is too
// low for any.
//
// Device OS: 1024 or 512 bytes, not negotiable (communication/src/
// description.cpp).
func DescribeSZX(transmitLimit int) (szx uint8, ok bool) {
	switch {
	case transmitLimit >= 1024+16:
		return 6, true
	case transmitLimit >= 512+16:
		return 5, true
	default:
		return 0, false
	}
}

// Limits bound a body that a peer sends in blocks.
type Limits struct {
	BytesMax int           // of the whole body
	Lifetime time.Duration // of a partial body, since its last block
}
