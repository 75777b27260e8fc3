package plan

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// clockKeep is how many exchanges a Clock remembers, and clockAge for how long:
// clocks of machines drift by some 50 µs a second at most, so what is older says
// little.
const (
	clockKeep = 16
	clockAge  = 5 * time.Minute
	drift     = 50e-6
)

// A Clock is what is known of another machine's clock from exchanges with it: sent
// and received by our time, answered by theirs somewhere between.
type Clock struct{ seen []exchange }

type exchange struct {
	at     clock.Instant // the middle, by ours
	theirs time.Time
	within time.Duration // half of the round trip
}

// Add takes an exchange.
func (c *Clock) Add(sent, received clock.Instant, theirs time.Time) {
	if received < sent {
		return
	}
	half := received.Sub(sent) / 2
	c.seen = append(c.seen, exchange{sent.Add(half), theirs, half})
	for len(c.seen) > clockKeep || len(c.seen) > 0 && received.Sub(c.seen[0].at) > clockAge {
		c.seen = c.seen[1:]
	}
}

// Known reports whether there was an exchange.
func (c *Clock) Known() bool { return len(c.seen) > 0 }

// At returns when it is t on the other machine, by our time, and how far that may
// be off: half of the fastest round trip, and what clocks drift apart since then.
func (c *Clock) At(t time.Time, now clock.Instant) (at clock.Instant, within time.Duration) {
	best, within := c.best(now)
	return best.at.Add(t.Sub(best.theirs)), within
}

// Theirs returns what time it is on the other machine.
func (c *Clock) Theirs(now clock.Instant) (t time.Time, within time.Duration) {
	best, within := c.best(now)
	return best.theirs.Add(now.Sub(best.at)), within
}

func (c *Clock) best(now clock.Instant) (best exchange, within time.Duration) {
	for i, e := range c.seen {
		w := e.within + time.Duration(drift*float64(now.Sub(e.at)))
		if i == 0 || w < within {
			best, within = e, w
		}
	}
	return best, within
}
