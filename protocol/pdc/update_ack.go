package pdc

import "github.com/muster/muster/protocol/coap"

// An UpdateAck tells which chunks the device has (PDC-6.6).
type UpdateAck struct {
	// Count is the number of chunks received without a gap, from the first.
	Count uint32
	// Selective tells which ones it has behind the gap; nil for none.
	Selective SelectiveAck
}

// A SelectiveAck is a bitmap of 32-bit little-endian words: bit b of word w
// stands for chunk Count + 1 + 32*w + b. It has no trailing zero words, so bit
// 0 of word 0, the first missing chunk, is never set.
type SelectiveAck []byte

// selectiveMax is the longest bitmap in bytes: 256 chunks.
const selectiveMax = 32

// ParseUpdateAck reads an UpdateAck.
func ParseUpdateAck(m coap.Message) (UpdateAck, error) {
	if err := checkRequest(KindUpdateAck, m); err != nil {
		return UpdateAck{}, err
	}
	count, ok := m.Uint(coap.ChunkIndex)
	if !ok {
		return UpdateAck{}, fault(KindUpdateAck, "PDC-6.6", "no Chunk-Index")
	}
	b := m.Payload
	switch {
	case len(b)%4 != 0 || len(b) > selectiveMax:
		return UpdateAck{}, faultf(KindUpdateAck, "PDC-6.6", "bitmap of %d bytes", len(b))
	case len(b) > 0 && b[0]&1 != 0:
		return UpdateAck{}, fault(KindUpdateAck, "N-39", "bit 0 of the bitmap is set")
	}
	return UpdateAck{Count: count, Selective: SelectiveAck(b)}, nil
}

// Message returns the message of a device.
func (a UpdateAck) Message(Dialect) coap.Message {
	m := request(coap.NonConfirmable, coap.POST, "A", nil, coap.Uint(coap.ChunkIndex, a.Count))
	m.Payload = a.Selective
	return m
}

// Has reports whether a says that chunk index, from 1, was received.
func (a UpdateAck) Has(index uint32) bool {
	if index == 0 {
		return false
	}
	if index <= a.Count {
		return true
	}
	return a.Selective.bit(index - a.Count - 1)
}

// bit returns bit i; the words are little-endian, so that it is bit i%8 of
// byte i/8.
func (s SelectiveAck) bit(i uint32) bool {
	at := int(i / 8)
	return at < len(s) && s[at]&(1<<(i%8)) != 0
}

// NewUpdateAck returns the ack for a device that has received the chunks of
// which received reports true, out of count chunks. It asks about the chunks
// from 1 up to the first gap and 256 behind.
func NewUpdateAck(count uint32, received func(index uint32) bool) UpdateAck {
	var a UpdateAck
	for a.Count < count && received(a.Count+1) {
		a.Count++
	}
	a.Selective = SelectiveAfter(a.Count, count, received)
	return a
}

// SelectiveAfter returns the bitmap for a device that has the first done of
// count chunks without a gap, and those behind of which received reports true;
// nil when there are none.
func SelectiveAfter(done, count uint32, received func(index uint32) bool) SelectiveAck {
	var bits [selectiveMax]byte
	words := 0
	for i := range uint32(8 * selectiveMax) {
		index := done + 1 + i
		if index > count {
			break
		}
		if i > 0 && received(index) {
			bits[i/8] |= 1 << (i % 8)
			words = int(i/32) + 1
		}
	}
	if words == 0 {
		return nil
	}
	return append(SelectiveAck(nil), bits[:4*words]...)
}
