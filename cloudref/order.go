package cloudref

import (
	"context"
	"sync"
	"time"
)

// An order keeps the answers of webhooks behind the events that led to them. A call is
// in the queue as soon as it is stored, and may be made and answered before the
// readers of streams have been told of the event.
type order struct {
	mu      sync.Mutex
	waiting map[string]untold // by the id of a call
	calls   map[uint64]string // the call of a device's event, by its serial number
}

// An untold event is stored, or about to be, and no reader knows of it.
type untold struct {
	told   chan struct{} // closed when they do
	serial uint64        // of a device's event, else 0
	since  time.Time
}

const (
	// untoldMax is from how many on those are forgotten that nobody will ever be told
	// of, as they were not stored; untoldAge is how old these are.
	untoldMax = 1024
	untoldAge = 30 * time.Second
	// untoldPatience bounds how long an answer waits.
	untoldPatience = 5 * time.Second
)

func (x *order) init() { x.waiting, x.calls = make(map[string]untold), make(map[uint64]string) }

// begin says that a call is about to be stored with its event.
func (x *order) begin(call string, serial uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.waiting) >= untoldMax {
		for id, u := range x.waiting {
			if time.Since(u.since) > untoldAge {
				x.endLocked(id)
			}
		}
	}
	x.waiting[call] = untold{make(chan struct{}), serial, time.Now()}
	if serial != 0 {
		x.calls[serial] = call
	}
}

// end says that readers know of the event of a call.
func (x *order) end(call string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.endLocked(call)
}

// endOf is end for an event of a device.
func (x *order) endOf(serial uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if call, known := x.calls[serial]; known {
		x.endLocked(call)
	}
}

func (x *order) endLocked(call string) {
	u, known := x.waiting[call]
	if !known {
		return
	}
	close(u.told)
	delete(x.waiting, call)
	delete(x.calls, u.serial)
}

// wait returns when readers know of the event of a call. Of events of an earlier life
// and of other nodes nothing is known: then at once.
func (x *order) wait(ctx context.Context, call string) {
	x.mu.Lock()
	u, known := x.waiting[call]
	x.mu.Unlock()
	if !known {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, untoldPatience)
	defer cancel()
	select {
	case <-u.told:
	case <-ctx.Done():
	}
}
