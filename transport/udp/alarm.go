package udp

import (
	"sync"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// An alarm ends the wait of a reading goroutine: it is the read deadline of the
// socket on which that goroutine parks.
//
// The reader is either working or parked. While it works, a wakeAt only leaves
// a note, which makes the next attempt to park fail: between asking the handler
// for its deadline and parking, no nearer deadline is lost.
type alarm struct {
	clock *transport.Clock
	set   func(time.Time) error // SetReadDeadline

	mu     sync.Mutex
	parked bool
	poked  bool
	at     clock.Instant // what set was last told
}

func newAlarm(c *transport.Clock, set func(time.Time) error) *alarm {
	return &alarm{clock: c, set: set, at: clock.Never}
}

// park notes that the reader is about to wait until the given time. It returns
// false when the reader must not wait, because wakeAt was called meanwhile.
func (a *alarm) park(until clock.Instant) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.poked {
		a.poked = false
		return false
	}
	a.parked = true
	a.move(until)
	return true
}

// unpark notes that the reader works again.
func (a *alarm) unpark() {
	a.mu.Lock()
	a.parked = false
	a.mu.Unlock()
}

// wakeAt makes the reader look at its handler's deadline no later than at t.
func (a *alarm) wakeAt(t clock.Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.parked {
		a.poked = true
	} else if t < a.at {
		a.move(t)
	}
}

// move changes the deadline. An error means that the socket is closed, which
// the reader finds out by itself.
func (a *alarm) move(t clock.Instant) {
	if t == a.at {
		return
	}
	a.at = t
	_ = a.set(a.clock.Time(t))
}
