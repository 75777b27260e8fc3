package pdc

import "github.com/muster/muster/protocol/coap"

// A Block is the value of a Block1 or Block2 option (RFC 7959 Section 2.2).
type Block struct {
	Num  uint32 // from 0
	More bool
	SZX  uint8 // size exponent 0 to 6: a block has 16 << SZX bytes
}

// Size returns the block size in bytes.
func (b Block) Size() int { return 16 << b.SZX }

// parseBlock reads option id. It returns nil when there is none, and ok false
// when its value is no block.
func parseBlock(m coap.Message, id coap.OptionID) (b *Block, ok bool) {
	if !m.Has(id) {
		return nil, true
	}
	v, ok := m.Uint(id)
	if !ok || v > 0xffffff || v&7 == 7 {
		return nil, false
	}
	return &Block{Num: v >> 4, More: v&8 != 0, SZX: uint8(v & 7)}, true
}

// option returns b as option id.
func (b Block) option(id coap.OptionID) coap.Option {
	v := b.Num<<4 | uint32(b.SZX)
	if b.More {
		v |= 8
	}
	return minimalUint(id, v)
}
