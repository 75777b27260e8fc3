package target

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/live"
	"github.com/muster/muster/transport/vnet"
)

// A venue is the time of a stage, and its network: virtual, or that of the wall and of
// sockets. A check is written once and played on either. It lets time pass in three
// ways: because time itself matters (Run), because what is under way must come (Settle),
// or because something must happen that the check can name (Within, Await).
type venue interface {
	// Now returns the present time.
	Now() clock.Instant
	// Run lets d pass. On sockets a check ends that has no time for it, see [Waiting].
	Run(d time.Duration)
	// Settle lets what is under way come: in virtual time in d, on sockets until
	// something came and nothing more does, or until nothing did for several times as long
	// as the target takes to answer. What a good target does must not depend on it: Patient
	// waits for that.
	Settle(d time.Duration)
	// Calm lets what the target does by itself come to an end: in virtual time in
	// d, on sockets until nothing more came for half a second at the least.
	Calm(d time.Duration)
	// Within lets d pass in virtual time; on sockets as much of it as done wants, and
	// several times as long as the target takes to answer at the least. It returns what
	// done says then.
	Within(d time.Duration, done func() bool) bool
	// Await lets at most d pass, on sockets perhaps more as in Within, and no more when
	// done reports true.
	Await(d time.Duration, done func() bool) bool
	// Patient returns what done says; on sockets it first waits for done to report true, for
	// as long as a busy target may take. It is for what a good target does: what a bad one
	// does not do costs that time.
	Patient(done func() bool) bool
	// Affords reports whether the check has so much time.
	Affords(d time.Duration) bool
	// Takes returns an error, and ends the check, if it has not so much time: a check that
	// waits for long says so before it begins.
	Takes(d time.Duration) error
	// Many is how often a check does what it does n times in virtual time: not as often
	// to somebody else's cloud.
	Many(n int) int
	// at runs f at an instant, while time passes.
	at(at clock.Instant, f func())
	// attach puts the device's side on the network, at one address or, if wide, at many.
	attach(h transport.Host, wide bool) place
}

// A place is where a puppet is in its venue.
type place interface {
	Do(f func(now clock.Instant, out *transport.Out))
	SetOnline(online bool)
}

// A virtualVenue is a virtual network.
type virtualVenue struct{ net *vnet.Network }

func (s *virtualVenue) Now() clock.Instant            { return s.net.Now() }
func (s *virtualVenue) Run(d time.Duration)           { s.net.Run(s.net.Now().Add(d)) }
func (s *virtualVenue) Settle(d time.Duration)        { s.Run(d) }
func (s *virtualVenue) Calm(d time.Duration)          { s.Run(d) }
func (s *virtualVenue) Affords(time.Duration) bool    { return true }
func (s *virtualVenue) Takes(time.Duration) error     { return nil }
func (s *virtualVenue) Many(n int) int                { return n }
func (s *virtualVenue) at(at clock.Instant, f func()) { s.net.At(at, f) }

func (s *virtualVenue) attach(h transport.Host, wide bool) place {
	if wide {
		return s.net.AttachPrefix(h, netip.PrefixFrom(virtualDevice, 24).Masked())
	}
	node := s.net.Attach(h, virtualDevice)
	node.SetAccess(&latency)
	return node
}

func (s *virtualVenue) Within(d time.Duration, done func() bool) bool {
	s.Run(d)
	return done()
}

func (s *virtualVenue) Await(d time.Duration, done func() bool) bool {
	return s.net.RunUntil(done, s.net.Now().Add(d))
}

func (s *virtualVenue) Patient(done func() bool) bool { return done() }

// How long a script waits on sockets. What a target takes to answer is measured when its
// devices connect; it counts paceMin at the least, as machines are busy at times, and
// paceMax at the most, as runs must end.
const (
	paceMin = 25 * time.Millisecond
	paceMax = 2 * time.Second
	// answerPaces is how long an answer may take, quietPaces how long it must have been
	// quiet behind one.
	answerPaces = 5
	quietPaces  = 3
	// silence is how long to wait for what will not come, if that is more than the answers.
	silence = 300 * time.Millisecond
	// calmTime is how long a target may go on by itself, calmQuiet how long it must have
	// been quiet then, if that is more than the paces.
	calmTime  = 5 * time.Second
	calmQuiet = 500 * time.Millisecond
	// busyTime is how long a target may take that is busy, if that is more than so many paces.
	busyTime  = 4 * time.Second
	busyPaces = 10
	// manyMost is how often a script does what it does thousands of times in virtual time.
	manyMost = 64
)

// A liveVenue is sockets.
type liveVenue struct {
	net  *live.Network
	use  *Usage
	pace time.Duration
	at0  live.Place // of the device
	// waited is what the script let pass, and had to.
	waited time.Duration
}

func (s *liveVenue) Now() clock.Instant            { return s.net.Now() }
func (s *liveVenue) Many(n int) int                { return min(n, manyMost) }
func (s *liveVenue) at(at clock.Instant, f func()) { s.net.At(at, f) }

func (s *liveVenue) attach(h transport.Host, _ bool) place { return s.net.Attach(h, s.at0) }

// Run lets d pass, if the check has so much time.
func (s *liveVenue) Run(d time.Duration) {
	if s.waited += d; !s.Affords(d) {
		s.exhausted()
		return
	}
	s.until(func() bool { return false }, d)
}

// Affords reports whether the check has so much time.
func (s *liveVenue) Affords(d time.Duration) bool { return !s.net.Over() && s.use.affords(d) }

// Takes implements venue.
func (s *liveVenue) Takes(d time.Duration) error {
	if s.Affords(d) {
		return nil
	}
	s.waited += d
	s.exhausted()
	return errExhausted
}

// errExhausted ends a check whose time is not enough.
var errExhausted = errors.New("target: there is no time for that")

// exhausted notes that the check has no more time.
func (s *liveVenue) exhausted() {
	if len(s.use.Missing()) > 0 {
		return // which ended it
	}
	why := "the target answers too slowly for the time of one check: give more --patience"
	if s.waited > time.Second {
		why = fmt.Sprintf("it takes %v of waiting at the least, besides what the target takes to answer: give more --patience", s.waited.Round(time.Second))
	}
	_ = s.use.note(&Missing{Capability: Waiting, Why: why})
}

// until lets time pass.
func (s *liveVenue) until(done func() bool, d time.Duration) bool {
	ok := s.net.RunUntil(done, s.net.Now().Add(max(0, d)))
	if !ok && s.net.Over() {
		s.exhausted()
	}
	return ok
}

// stretched is how long a script waits for what takes d in virtual time.
func (s *liveVenue) stretched(d time.Duration) time.Duration { return max(d, answerPaces*s.pace) }

// Settle implements venue.
func (s *liveVenue) Settle(d time.Duration) {
	began, limit := s.net.Now(), s.stretched(min(d, silence))
	s.until(func() bool { return s.net.Arrived() >= began }, limit)
	for s.net.Arrived() >= began && !s.net.Over() {
		quiet := s.net.Arrived().Add(quietPaces * s.pace)
		if s.net.Now() >= quiet || s.net.Now().Sub(began) > limit+time.Second {
			return // it is quiet, or never will be
		}
		s.until(func() bool { return s.net.Arrived().Add(quietPaces*s.pace) > quiet }, quiet.Sub(s.net.Now()))
	}
}

// Calm implements venue.
func (s *liveVenue) Calm(time.Duration) {
	began, quiet := s.net.Now(), max(calmQuiet, quietPaces*s.pace)
	for last := began; !s.net.Over(); last = s.net.Arrived() {
		more := func() bool { return s.net.Arrived() > last }
		if left := last.Add(quiet).Sub(s.net.Now()); left <= 0 || !s.until(more, left) || s.net.Now().Sub(began) > calmTime+answerPaces*s.pace {
			return // it is quiet, or never will be
		}
	}
}

// Patient implements venue.
func (s *liveVenue) Patient(done func() bool) bool {
	return s.until(done, max(busyTime, busyPaces*s.pace))
}

// Within implements venue.
func (s *liveVenue) Within(d time.Duration, done func() bool) bool {
	return s.until(done, s.stretched(d))
}

// Await implements venue.
func (s *liveVenue) Await(d time.Duration, done func() bool) bool { return s.Within(d, done) }
