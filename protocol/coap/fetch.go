package coap

import (
	"bytes"

	"github.com/muster/muster/protocol/clock"
)

// A FetchStep says what to do after a response to a [Fetch].
type FetchStep uint8

// The steps.
const (
	// FetchNext: request the block that Next returns.
	FetchNext FetchStep = 1 + iota
	// FetchDone: Body is complete.
	FetchDone
	// FetchFailed: give up; the Fetch is empty again.
	FetchFailed
	// FetchHangs: only with Strict. A board would neither fail nor go on.
	FetchHangs
)

// String returns the name of s.
func (s FetchStep) String() string {
	return [...]string{"invalid", "next", "done", "failed", "hangs"}[s]
}

// fetchRestartsMax bounds how often a body may change under a Fetch.
const fetchRestartsMax = 4

// A Fetch collects a response body that arrives in blocks (RFC 7959 Section
// 2.4, Block2). The owner matches responses to its requests by token and gives
// the Fetch those of its own. The zero value is ready for a first response.
type Fetch struct {
	// Strict is how the new channel of a board fetches: an ETag is mandatory,
	// the size is 1024, and a body that changes is a failure. Otherwise a
	// changed ETag starts the transfer over.
	//
	// Device OS: communication/src/coap_channel_new.cpp.
	Strict bool

	started  bool
	restarts uint8
	szx      uint8
	next     uint32
	etag     []byte
	body     []byte
	due      clock.Instant
}

// Add takes the response to the request for the block that Next named (or to
// the first request). Its code is the owner's to judge: m is a success.
func (f *Fetch) Add(now clock.Instant, m Message, limits Limits) FetchStep {
	f.Advance(now)
	v, ok := m.Option(Block2)
	if !ok {
		if f.started || len(m.Payload) > limits.BytesMax {
			return f.end(FetchFailed)
		}
		f.body = append(f.body[:0], m.Payload...)
		return FetchDone
	}
	b, ok := ParseBlock(v)
	etag, tagged := m.Option(ETag)
	switch {
	case !ok:
		return f.end(FetchFailed)
	case !f.started && f.Strict && b.Num == 0 && tagged && (b.SZX != SZXMax || len(etag) > 8):
		return f.end(FetchHangs)
	case f.Strict && (!tagged || len(etag) > 8):
		return f.end(FetchFailed)
	case !f.started:
		f.szx, f.etag, f.started = b.SZX, bytes.Clone(etag), true
	case !bytes.Equal(etag, f.etag):
		return f.changed(now, limits)
	}
	return f.take(now, m.Payload, b, limits)
}

func (f *Fetch) take(now clock.Instant, payload []byte, b Block, limits Limits) FetchStep {
	switch {
	case b.Num != f.next, b.SZX != f.szx, b.More && len(payload) != b.Size(), len(payload) > b.Size():
		return f.end(FetchFailed)
	case len(f.body)+len(payload) > limits.BytesMax:
		return f.end(FetchFailed)
	}
	f.body = append(f.body, payload...)
	f.next++
	f.due = now.Add(limits.Lifetime)
	if b.More {
		return FetchNext
	}
	return FetchDone
}

// changed starts over with block 0, because the body has changed.
func (f *Fetch) changed(now clock.Instant, limits Limits) FetchStep {
	if f.Strict || f.restarts >= fetchRestartsMax {
		return f.end(FetchFailed)
	}
	*f = Fetch{restarts: f.restarts + 1, szx: f.szx, body: f.body[:0], due: now.Add(limits.Lifetime)}
	return FetchNext
}

func (f *Fetch) end(s FetchStep) FetchStep {
	*f = Fetch{Strict: f.Strict}
	return s
}

// Next returns the block to request, in the size that the peer has chosen.
func (f *Fetch) Next() Block { return Block{Num: f.next, SZX: f.szx} }

// ETag returns the ETag of the body so far, nil when it has none. The new
// channel repeats it in each request.
func (f *Fetch) ETag() []byte { return f.etag }

// Body returns what has been collected; it is complete after FetchDone.
func (f *Fetch) Body() []byte { return f.body }

// Deadline returns when a partial body expires.
func (f *Fetch) Deadline() clock.Instant {
	if !f.started && f.restarts == 0 {
		return clock.Never
	}
	return f.due
}

// Advance drops a partial body that has expired.
func (f *Fetch) Advance(now clock.Instant) {
	if !now.Before(f.Deadline()) {
		f.end(FetchFailed)
	}
}
