package transport

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// A Clock is the real time of a run, read from the system's monotonic clock:
// every engine of a run shares one, so that their Instants compare. It is safe
// for concurrent use.
type Clock struct{ start time.Time }

// NewClock returns a Clock whose run begins now.
func NewClock() *Clock { return &Clock{start: time.Now()} }

// Now returns the time since the run began.
func (c *Clock) Now() clock.Instant { return clock.Instant(time.Since(c.start)) }

// Start returns the wall-clock time at which the run began, for reports and
// packet captures.
func (c *Clock) Start() time.Time { return c.start }

// Time returns t as a time of the system, the zero time for clock.Never: what
// the deadline methods of a socket take.
func (c *Clock) Time(t clock.Instant) time.Time {
	if t == clock.Never {
		return time.Time{}
	}
	return c.start.Add(time.Duration(t))
}

// Until returns how long it is from now to t; not above zero when t is past.
func (c *Clock) Until(t clock.Instant) time.Duration { return t.Sub(c.Now()) }
