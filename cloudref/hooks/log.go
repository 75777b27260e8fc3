package hooks

import (
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// logMax is how many calls of a hook are remembered.
const logMax = 10

// A Record is what became of an attempt to make a call. It has no data: that is the
// users'.
type Record struct {
	At       time.Time
	Event    string
	Attempt  int
	Duration time.Duration
	Status   int    // of HTTP; 0: no answer
	Error    string // "" for success
}

// A History is what this process knows of the calls of a hook, since it started.
type History struct {
	Last              []Record // newest first
	Succeeded, Failed int
}

// histories keeps what became of calls, for people to see.
type histories struct {
	mu    sync.Mutex
	hooks map[store.DeviceID]*History
}

func (x *histories) note(id store.DeviceID, r Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hooks == nil {
		x.hooks = make(map[store.DeviceID]*History)
	}
	h := x.hooks[id]
	if h == nil {
		h = new(History)
		x.hooks[id] = h
	}
	h.Last = append([]Record{r}, h.Last[:min(len(h.Last), logMax-1)]...)
	if r.Error == "" {
		h.Succeeded++
	} else {
		h.Failed++
	}
}

func (x *histories) of(id store.DeviceID) History {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h := x.hooks[id]; h != nil {
		return *h
	}
	return History{}
}

func (x *histories) forget(id store.DeviceID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.hooks, id)
}
