package plan

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// Parts cover the fleet, without gap or overlap, and differ by one at most.
func TestSplit(t *testing.T) {
	for _, test := range []struct{ devices, parts, want int }{{10, 3, 3}, {10, 10, 10}, {3, 10, 3}, {1, 1, 1}, {1_000_000, 12, 12}, {7, 0, 1}} {
		list := Split(test.devices, test.parts)
		next, smallest, largest := 0, test.devices, 0
		for i, p := range list {
			if p.Index != i || p.First != next || p.Count < 1 {
				t.Errorf("%+v: part %d is %+v", test, i, p)
			}
			next += p.Count
			smallest, largest = min(smallest, p.Count), max(largest, p.Count)
		}
		if len(list) != test.want || next != test.devices || largest-smallest > 1 {
			t.Errorf("%+v: %d parts of %d devices, %d to %d", test, len(list), next, smallest, largest)
		}
	}
}

// As long as there is room for all devices, parts are found that fit; and workers get
// what their room is worth.
func TestPartsFitWorkers(t *testing.T) {
	for _, test := range []struct {
		devices    int
		capacities []int
		parts      int // 0: they do not fit
	}{
		{1000, []int{1000}, 1},
		{1000, []int{500, 500}, 4},
		{1000, []int{1000, 1000, 1000, 1000, 1000}, 20},
		{1000, []int{900, 100}, 10},
		{1000, []int{999}, 0},
		{1000, []int{500, 499}, 0},
		{3, []int{1, 1, 1}, 3},
	} {
		parts := partsFor(test.devices, test.capacities)
		if len(parts) != test.parts {
			t.Errorf("%+v: %d parts", test, len(parts))
		}
	}
	who, all := spread(Split(900, 9), []int{600, 300}, []int{0, 0})
	first := 0
	for _, w := range who {
		if w == 0 {
			first++
		}
	}
	if !all || first != 6 {
		t.Errorf("one with twice the room has %d parts of 9", first)
	}
}

// The offset of another clock is known to half of the shortest round trip.
func TestClock(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const ahead = 90 * time.Minute
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // what ours has at Instant 0
	var c Clock
	if c.Known() {
		t.Error("known before anything was asked")
	}
	now, best := clock.Instant(0), time.Hour
	for range 40 {
		there, back := time.Duration(r.IntN(int(5*time.Millisecond))), time.Duration(r.IntN(int(20*time.Millisecond)))
		sent := now
		answered := base.Add(time.Duration(now) + there + ahead)
		now = now.Add(there + back)
		c.Add(sent, now, answered)
		theirs, within := c.Theirs(now)
		off := theirs.Sub(base.Add(time.Duration(now) + ahead)).Abs()
		if best = min(best, (there+back)/2); off > within || within > best+time.Millisecond {
			t.Fatalf("off by %v, which should be within %v, half of the best round trip is %v", off, within, best)
		}
		// The other direction agrees.
		if at, _ := c.At(theirs, now); at != now {
			t.Fatalf("%v and back is %v", now, at)
		}
		now = now.Add(time.Second)
		best += time.Duration(drift * float64(time.Second))
		if len(c.seen) == clockKeep { // the best one may be forgotten
			best = 25 * time.Millisecond
		}
	}
	c.Add(5, 4, base) // an answer before the question
	if len(c.seen) > clockKeep {
		t.Errorf("%d exchanges are kept", len(c.seen))
	}
}
