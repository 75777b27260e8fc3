package loadtest

import (
	"container/heap"
	"sync/atomic"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workload"
)

// late is how late something may be begun before it counts as too late.
const late = 100 * time.Millisecond

// A feed is what one shard is to do: it implements fleet.Feed. All of it belongs to
// the shard's goroutine.
type feed struct {
	plan *plan
	book *book
	halt *atomic.Bool
	from clock.Instant // what was due before is not late but never was ours

	works []*work
	first *work // that is due next
	due   clock.Instant
	// timers are what devices bring upon themselves: they sleep a while
	// after they woke, and publish what they kept as soon as they are online.
	timers timers
	// boots and onlines count those of each device of the shard: what it draws next.
	boots, onlines []uint32
	sleeps         []workload.Source // by group
	onOnline       [][]*work         // by group: what devices publish when they come online

	task   task // the one in hand
	run    fleet.Action
	kept   map[int][]task // events of devices that are offline, by device
	buffer []byte
}

// A task is one thing to do to a device.
type task struct {
	workload.Turn
	work *work
	do   func(f *feed, now clock.Instant, d *device.Device, out *device.Out)
	when clock.Instant // of timers: when it is done; At is when it was due
}

// A work is a stream and what is done in its turns.
type work struct {
	stream *workload.Stream
	source workload.Source
	group  *scenario.Group
	// publish and full are what some works are about.
	publish *scenario.Publish
	full    float64
	rebind  bool
	reset   bool
	do      func(f *feed, now clock.Instant, d *device.Device, out *device.Out)
}

// dice returns the dice of the task in hand.
func (f *feed) dice() workload.Dice {
	return f.task.work.source.Roll(uint64(f.plan.part.First+f.task.Device), 1<<40+uint64(f.task.N))
}

func newFeed(p *plan, b *book, halt *atomic.Bool, from clock.Instant) *feed {
	f := &feed{
		plan: p, book: b, halt: halt, from: from, due: clock.Never, kept: make(map[int][]task),
		boots: make([]uint32, len(b.devs)), onlines: make([]uint32, len(b.devs)),
		onOnline: make([][]*work, len(p.groups)),
	}
	for g := range p.groups {
		f.sleeps = append(f.sleeps, workload.From(p.seed, p.scenario.Groups[g].Name+"/sleep"))
	}
	f.run = func(now clock.Instant, d *device.Device, out *device.Out) {
		if f.task.do != nil {
			f.task.do(f, now, d, out)
		}
	}
	b.feed = f
	return f
}

// add adds a work, before the feed is used.
func (f *feed) add(w *work) {
	if w.stream.Len() > 0 {
		f.works = append(f.works, w)
		f.look()
	}
}

// look finds out which work is due next.
func (f *feed) look() {
	f.due = clock.Never
	for _, w := range f.works {
		if due := w.stream.Due(); due < f.due {
			f.first, f.due = w, due
		}
	}
}

// Due implements fleet.Feed.
func (f *feed) Due() clock.Instant {
	if f.halt.Load() {
		return clock.Never
	}
	return min(f.due, f.timers.due())
}

// Take implements fleet.Feed.
func (f *feed) Take(now clock.Instant) fleet.Task {
	if f.timers.due() <= f.due {
		f.task = f.timers.pop()
	} else {
		w := f.first
		t := w.stream.Next()
		f.task = task{Turn: t, work: w, do: w.do, when: t.At}
		f.look()
	}
	f.noteLag(now)
	t := fleet.Task{Device: f.task.Device, Do: f.run}
	if w := f.task.work; w != nil {
		t.Rebind, t.Reset = w.rebind, w.reset
	}
	return t
}

// noteLag notes how late the task in hand is begun.
func (f *feed) noteLag(now clock.Instant) {
	lag := now.Sub(f.task.when)
	if f.task.when < f.from || lag <= 0 {
		return
	}
	b := f.book
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lag = max(b.lag, lag)
	if lag > late {
		b.tally(f.task.Device, f.task.At).counts[cLate]++
	}
}

// A timers is a heap of tasks by time, those of one time in order of devices.
type timers []task

func (t timers) due() clock.Instant {
	if len(t) == 0 {
		return clock.Never
	}
	return t[0].when
}

func (t *timers) push(one task) { heap.Push((*byTime)(t), one) }

func (t *timers) pop() task { return heap.Pop((*byTime)(t)).(task) }

// byTime implements heap.Interface.
type byTime []task

func (h byTime) Len() int { return len(h) }
func (h byTime) Less(i, j int) bool {
	return h[i].when < h[j].when || h[i].when == h[j].when && h[i].Device < h[j].Device
}
func (h byTime) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(x any)   { *h = append(*h, x.(task)) }
func (h *byTime) Pop() any {
	last := len(*h) - 1
	one := (*h)[last]
	(*h)[last] = task{}
	*h = (*h)[:last]
	return one
}
