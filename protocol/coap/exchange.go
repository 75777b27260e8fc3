package coap

import (
	"math/rand/v2"

	"github.com/muster/muster/protocol/clock"
)

// An Exchange is the reliability layer of one peer of one session (RFC 7252
// Section 4): it numbers what is sent, retransmits Confirmable messages until
// they are acknowledged, and recognizes duplicates of what is received.
//
// A Confirmable message that was sent (RFC 7252 Section 4.2):
//
//	idle --Send--> waiting --ACK--> idle                  Acknowledged
//	                |  |----RST---> idle                  WasReset
//	                |--deadline, tries left--> waiting, timeout doubled
//	                |--deadline, none left---> idle       TimedOut
//
// A Confirmable message that was received:
//
//	unknown --CON--> in progress --Reply--> answered --lifetime--> unknown
//	                  | ^    CON: dropped    | ^      CON: reply repeated
//	                  --                     --
//
// An Exchange is copied by value only before its first use. It allocates only
// while something is waiting or remembered.
type Exchange struct {
	params  *Params
	rng     *rand.Rand
	faults  *Faults
	waiting []waiting
	seen    []seen
	replies []reply
	lastID  uint16
	deaf    bool
	conUsed [idParts]ticks
}

// NewExchange returns an idle Exchange whose first message will have the ID
// after lastID. It draws the random factors of its timeouts from rng, which may
// be shared by Exchanges that one goroutine drives; it may be nil if p.Reliable.
// Faults may be nil.
func NewExchange(p *Params, lastID uint16, rng *rand.Rand, f *Faults) Exchange {
	if f == nil {
		f = &noFaults
	}
	return Exchange{params: p, rng: rng, faults: f, lastID: lastID}
}

var noFaults Faults

// LastID returns the ID that was used last, from which a restored session
// continues.
func (x *Exchange) LastID() uint16 { return x.lastID }

// Waiting returns the number of Confirmable messages that are not acknowledged.
func (x *Exchange) Waiting() int { return len(x.waiting) }

// SetDeaf makes the Exchange throw away, without an answer, an event or a memory
// of it, everything but ACK and RST, or ends that.
//
// Device OS: so while it waits for the ACK of Hello, and up to 1.5 in the middle
// of a legacy update.
func (x *Exchange) SetDeaf(deaf bool) { x.deaf = deaf }

// Clear forgets what is waiting and what was received, without any event. The
// IDs go on counting.
//
// Device OS: when a link is lost the Confirmable messages of the old connection
// are forgotten, not repeated.
func (x *Exchange) Clear() { x.waiting, x.seen, x.replies = nil, nil, nil }

// ForgetSent forgets the Confirmable messages that wait for an acknowledgement,
// without any event. What was received stays remembered, so that nothing is
// done twice.
//
// Device OS: a device that has resumed its session forgot what the cloud asked
// on the connection before, and would answer late or never.
func (x *Exchange) ForgetSent() { x.waiting = nil }

// Deadline returns when Advance is due, [clock.Never] when nothing waits.
func (x *Exchange) Deadline() clock.Instant {
	due := clock.Never
	for i := range x.waiting {
		due = min(due, x.waiting[i].due)
	}
	return due
}

// Strict reports whether messages that cannot be parsed are dropped, see
// Params.HeaderOnly.
func (x *Exchange) Strict() bool { return !x.params.HeaderOnly }
