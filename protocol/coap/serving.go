package coap

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// ServingLifetime is how long a board keeps a describe after the last access.
//
// Device OS: communication/src/description.cpp.
const ServingLifetime = 90 * time.Second

// A Serving hands out a response body in blocks (RFC 7959 Section 2.4, Block2).
// The zero value serves nothing.
//
// Device OS: it lives until 90 s after the last access, or until the last block
// was asked for as often as the first.
type Serving struct {
	body        []byte
	etag        []byte
	szx         uint8
	first, last int
	due         clock.Instant
}

// NewServing returns a Serving of body, which it aliases. ETag is 1 to 8 bytes;
// a board counts up from 1.
func NewServing(now clock.Instant, body, etag []byte, szx uint8) Serving {
	return Serving{body: body, etag: etag, szx: szx, due: now.Add(ServingLifetime)}
}

// Active reports whether there is something to serve.
func (s *Serving) Active() bool { return s.etag != nil }

// Cut reports whether the body needs blocks.
func (s *Serving) Cut() bool { return len(s.body) > Block{SZX: s.szx}.Size() }

// ETag returns the ETag that goes with every block.
func (s *Serving) ETag() []byte { return s.etag }

// Block returns block num and its Block2 value. It reports false when nothing
// is served or there is no such block.
func (s *Serving) Block(now clock.Instant, num uint32) (payload []byte, b Block, ok bool) {
	s.Advance(now)
	payload, b = blockOf(s.body, num, s.szx)
	if !s.Active() || len(payload) == 0 && num > 0 {
		return nil, b, false
	}
	s.due = now.Add(ServingLifetime)
	if num == 0 {
		s.first++
	}
	if !b.More {
		if s.last++; s.last >= s.first {
			*s = Serving{}
		}
	}
	return payload, b, true
}

// Deadline returns when the body expires.
func (s *Serving) Deadline() clock.Instant {
	if !s.Active() {
		return clock.Never
	}
	return s.due
}

// Advance drops a body that has expired.
func (s *Serving) Advance(now clock.Instant) {
	if !now.Before(s.Deadline()) {
		*s = Serving{}
	}
}
