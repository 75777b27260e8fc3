package coap

import (
	"bytes"

	"github.com/muster/muster/protocol/clock"
)

// Progress says what a block was to an [Assembler].
type Progress uint8

// What a block can be.
const (
	// Partial: taken; more must follow. Device OS: the answer to a block of a
	// describe may be any ACK, that to one of the new channel must be 2.31.
	Partial Progress = 1 + iota

	// Complete: this was the last block, or a body that was not cut.
	Complete

	// Repeated: the block before was the same one.
	Repeated

	// Gap: not the next block, or one of another or an expired transfer. It was
	// ignored.
	Gap

	// TooLarge: the body exceeds the limit. The transfer was dropped.
	TooLarge

	// BadBlock: the option is malformed, its size exponent has changed, or a
	// block that is not the last is not full. The transfer was dropped.
	BadBlock
)

// String returns the name of p.
func (p Progress) String() string {
	return [...]string{"invalid", "partial", "complete", "repeated", "gap", "too large", "bad block"}[p]
}

// An Assembler puts together a request body that arrives in blocks (RFC 7959
// Section 2.5, Block1), one at a time. The zero value is ready.
//
//	idle --block 0--> collecting --last block--> idle    Complete
//	                   |  ^--next block--|               Partial
//	                   |--block 0--> collecting anew
//	                   |--lifetime--> idle
type Assembler struct {
	body []byte
	key  []byte
	next uint32
	szx  uint8
	due  clock.Instant
}

// Add takes the next request of a transfer. Key tells transfers apart: the
// flags of a describe, the Request-Tag of the new channel (RFC 9175 Section 3).
// With Complete it returns the whole body, which is the caller's when it was
// sent in blocks and aliases m otherwise.
//
// Device OS: block 0 always starts over, and each block is a request with a
// token of its own, so the token does not matter.
func (a *Assembler) Add(now clock.Instant, m Message, key []byte, limits Limits) ([]byte, Progress) {
	a.Advance(now)
	if !m.Has(Block1) {
		*a = Assembler{}
		if len(m.Payload) > limits.BytesMax {
			return nil, TooLarge
		}
		return m.Payload, Complete
	}
	b, ok := m.Block(Block1)
	switch {
	case !ok:
		return a.drop(BadBlock)
	case b.Num == 0:
		*a = Assembler{key: bytes.Clone(key), szx: b.SZX}
	case len(a.body) == 0 || !bytes.Equal(key, a.key):
		return nil, Gap
	case b.Num+1 == a.next:
		return nil, Repeated
	case b.Num != a.next:
		return nil, Gap
	}
	return a.take(now, m.Payload, b, limits)
}

func (a *Assembler) take(now clock.Instant, payload []byte, b Block, limits Limits) ([]byte, Progress) {
	switch {
	case b.SZX != a.szx, b.More && len(payload) != b.Size(), len(payload) > b.Size():
		return a.drop(BadBlock)
	case len(a.body)+len(payload) > limits.BytesMax:
		return a.drop(TooLarge)
	}
	a.body = append(a.body, payload...)
	a.next = b.Num + 1
	a.due = now.Add(limits.Lifetime)
	if b.More {
		return nil, Partial
	}
	body := a.body
	*a = Assembler{}
	return body, Complete
}

func (a *Assembler) drop(why Progress) ([]byte, Progress) {
	*a = Assembler{}
	return nil, why
}

// Deadline returns when a partial body expires.
func (a *Assembler) Deadline() clock.Instant {
	if len(a.body) == 0 {
		return clock.Never
	}
	return a.due
}

// Advance drops a partial body that has expired.
func (a *Assembler) Advance(now clock.Instant) {
	if !now.Before(a.Deadline()) {
		*a = Assembler{}
	}
}
