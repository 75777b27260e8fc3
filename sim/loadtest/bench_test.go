package loadtest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
)

// BenchmarkEvent is what the generator adds to an event and its acknowledgement: the
// turn, the data, two packets and the end, as written in the book. Compare it with
// BenchmarkMessage of package fleet, which is the event itself.
func BenchmarkEvent(b *testing.B) {
	const n = 100_000
	s := simple(n)
	s.Phases[1].Duration = 1000 * time.Hour
	o := &Options{Scenario: s, Part: Part{0, n}, Seed: 3}
	p := newPlan(o, time.Now(), 0)
	p.base = 0
	book := newBook(p, 1, 0, n)
	book.overhead = [2]uint64{28, 40}
	f := newFeed(p, book, &atomic.Bool{}, 0)
	f.behave(Arrivals(s), Loads(s), 1, 0)
	for i := range n {
		book.devs[i].at = isOn | isOnline
	}
	f.works = f.works[1:] // without the arrivals
	f.look()
	now := clock.Instant(0)
	b.ReportAllocs()
	for b.Loop() {
		now = max(now, f.Due())
		task := f.Take(now)
		f.count(cArrivals)
		book.mu.Lock()
		tag := book.takeOff(task.Device, f.task.At, now, book.phaseAt(f.task.At))
		book.mu.Unlock()
		_ = f.data(f.task.work.publish, now)
		book.meter(task.Device, now, true, 80)
		f.count(cPublishes)
		book.meter(task.Device, now, false, 40)
		book.observe(task.Device, now.Add(time.Millisecond), &device.Event{Kind: device.Published, Tag: tag})
	}
}
