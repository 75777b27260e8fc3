// Package clock holds the one notion of time that every machine shares: an
// [Instant], counted from the beginning of a run and always given by the
// caller.
//
// What this package is not: a clock. Nothing here reads one. A driver on real
// sockets derives Instants from the monotonic clock, a virtual network from its
// heap of deadlines.
package clock

import (
	"math"
	"time"
)

// An Instant is a point in a run, in nanoseconds since the run began.
// Negative Instants lie before the run and are valid (a restored session may
// have been used before this process started).
type Instant int64

// Never is later than every event: the deadline of a machine that waits for
// input only.
const Never Instant = math.MaxInt64

// Add returns the Instant d after t. It saturates at [Never], and Never plus
// anything stays Never.
func (t Instant) Add(d time.Duration) Instant {
	if t == Never {
		return Never
	}
	sum := t + Instant(d)
	if d > 0 && sum < t {
		return Never
	}
	return sum
}

// Sub returns the time from u to t.
func (t Instant) Sub(u Instant) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u.
func (t Instant) Before(u Instant) bool { return t < u }

// String prints the Instant as a duration since the run began, "never" for
// [Never].
func (t Instant) String() string {
	if t == Never {
		return "never"
	}
	return time.Duration(t).String()
}
