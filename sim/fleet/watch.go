package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
)

// watchers are those who wait for something to happen in a fleet. While there
// are none, an event costs one load.
type watchers struct {
	n   atomic.Int32
	mu  sync.RWMutex
	set map[watcher]struct{}
}

// A watcher hears of events on the goroutines of the shards.
type watcher interface {
	note(index int, at clock.Instant, e *device.Event)
}

func (w *watchers) note(index int, at clock.Instant, e *device.Event) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	for one := range w.set {
		one.note(index, at, e)
	}
}

func (w *watchers) add(one watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.set == nil {
		w.set = make(map[watcher]struct{})
	}
	w.set[one] = struct{}{}
	w.n.Store(int32(len(w.set)))
}

func (w *watchers) remove(one watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.set, one)
	w.n.Store(int32(len(w.set)))
}

// A Sighting is an event that a [Watch] was waiting for. Its Data is its own.
type Sighting struct {
	Index int
	At    clock.Instant
	Event device.Event
}

// A Watch waits for one event.
type Watch struct {
	from  *watchers
	match func(index int, e *device.Event) bool
	once  sync.Once
	seen  Sighting
	done  chan struct{}
}

// watch begins to wait for the first event that fits.
func (w *watchers) watch(match func(index int, e *device.Event) bool) *Watch {
	one := &Watch{from: w, match: match, done: make(chan struct{})}
	w.add(one)
	return one
}

func (w *Watch) note(index int, at clock.Instant, e *device.Event) {
	if !w.match(index, e) {
		return
	}
	w.once.Do(func() {
		w.seen = Sighting{Index: index, At: at, Event: *e}
		w.seen.Event.Data = slices.Clone(e.Data)
		close(w.done)
	})
}

// Done is closed when the event has come.
func (w *Watch) Done() <-chan struct{} { return w.done }

// Stop ends the watch.
func (w *Watch) Stop() { w.from.remove(w) }

// Wait returns the event as soon as it has come, and ends the watch.
func (w *Watch) Wait(ctx context.Context) (Sighting, error) {
	defer w.Stop()
	select {
	case <-w.done:
		return w.seen, nil
	case <-ctx.Done():
		return Sighting{}, fmt.Errorf("fleet: waiting for an event: %w", ctx.Err())
	}
}

// A gathering waits until each of a number of devices has come online, or gone
// offline.
type gathering struct {
	online bool
	done   chan struct{}

	mu      sync.Mutex
	missing map[int]struct{}
}

// gather begins to wait. Devices that are there already count.
func gather(w *watchers, t *table, online bool, indices []int) *gathering {
	g := &gathering{online: online, done: make(chan struct{}), missing: make(map[int]struct{}, len(indices))}
	for _, i := range indices {
		t.get(i) // panics for what is none
		g.missing[i] = struct{}{}
	}
	w.add(g)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, i := range indices {
		if t.get(i).online.Load() == online {
			delete(g.missing, i)
		}
	}
	if len(g.missing) == 0 {
		close(g.done)
		g.missing = nil
	}
	return g
}

func (g *gathering) note(index int, _ clock.Instant, e *device.Event) {
	if e.Kind != device.Online && e.Kind != device.Offline {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.missing == nil || (e.Kind == device.Online) != g.online {
		return
	}
	if delete(g.missing, index); len(g.missing) == 0 {
		g.missing = nil
		close(g.done)
	}
}

// left returns how many are missing and one of them.
func (g *gathering) left() (n, first int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first = -1
	for i := range g.missing {
		if first < 0 || i < first {
			first = i
		}
	}
	return len(g.missing), first
}

// wait waits for all.
func (g *gathering) wait(ctx context.Context, w *watchers) error {
	defer w.remove(g)
	select {
	case <-g.done:
		return nil
	case <-ctx.Done():
	}
	n, first := g.left()
	if n == 0 {
		return nil
	}
	state := "offline"
	if g.online {
		state = "online"
	}
	return fmt.Errorf("fleet: waiting for devices to be %s: %d are not, device %d for one: %w", state, n, first, ctx.Err())
}
