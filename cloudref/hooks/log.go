package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
)

const (
	// logMax is how many attempts of a hook are remembered, daysMax for how many days
	// they are counted.
	logMax  = 10
	daysMax = 30
	// notePatience bounds one write of what became of attempts.
	notePatience = 5 * time.Second
)

// A Record is what became of an attempt to make a call. It has no data: that is the
// users'.
type Record struct {
	At       time.Time     `json:"at"`
	Event    string        `json:"event"`
	Attempt  int           `json:"attempt"`
	Duration time.Duration `json:"duration"`         // in nanoseconds
	Status   int           `json:"status,omitempty"` // of HTTP; 0: no answer
	Error    string        `json:"error,omitempty"`  // "" for success
}

// A Day counts the attempts of one day.
type Day struct {
	Date      string `json:"date"` // 2026-01-02, of UTC
	Succeeded int    `json:"succeeded"`
	Failed    int    `json:"failed"`
}

// A History is what became of the calls of a hook.
type History struct {
	Last []Record `json:"last"` // newest first, at most 10
	Days []Day    `json:"days"` // newest first, at most 30 that had any
}

func (h *History) add(r Record) {
	h.Last = append([]Record{r}, h.Last[:min(len(h.Last), logMax-1)]...)
	date := r.At.UTC().Format(time.DateOnly)
	if len(h.Days) == 0 || h.Days[0].Date < date {
		h.Days = append([]Day{{Date: date}}, h.Days[:min(len(h.Days), daysMax-1)]...)
	}
	// What several nodes note comes in no order: a late one counts for today.
	if r.Error == "" {
		h.Days[0].Succeeded++
	} else {
		h.Days[0].Failed++
	}
}

// histories keeps what became of calls, for people to see. It is written behind: an
// attempt does not wait for its note, and a process that is killed loses the last.
type histories struct {
	store *store.Store
	log   func(string)

	mu      sync.Mutex
	pending map[store.DeviceID][]Record // oldest first
	writing chan struct{}               // closed when nothing is pending any more; nil: nothing is
}

func (x *histories) note(id store.DeviceID, r Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pending == nil {
		x.pending = make(map[store.DeviceID][]Record)
	}
	x.pending[id] = append(x.pending[id], r)
	if x.writing == nil {
		x.writing = make(chan struct{})
		go x.write()
	}
}

// write stores what is to be noted, until nothing is.
func (x *histories) write() {
	for {
		x.mu.Lock()
		var id store.DeviceID
		var records []Record
		for id, records = range x.pending {
			break
		}
		if records == nil {
			close(x.writing)
			x.writing = nil
			x.mu.Unlock()
			return
		}
		delete(x.pending, id)
		x.mu.Unlock()
		if err := x.append(id, records); err != nil && !errors.Is(err, store.ErrNotFound) {
			x.log(fmt.Sprintf("webhook %s: what became of %d calls is not noted: %v", id, len(records), err))
		}
	}
}

func (x *histories) append(id store.DeviceID, records []Record) error {
	ctx, cancel := context.WithTimeout(context.Background(), notePatience)
	defer cancel()
	return x.store.UpdateHookLog(ctx, id, func(old json.RawMessage) (json.RawMessage, error) {
		h := parseHistory(old)
		for _, r := range records {
			h.add(r)
		}
		return json.Marshal(h)
	})
}

// parseHistory reads a history; one that cannot be read begins anew.
func parseHistory(raw json.RawMessage) (h History) {
	if raw == nil || json.Unmarshal(raw, &h) != nil {
		return History{}
	}
	return h
}

// of returns the history of a hook, with what is not stored yet.
func (x *histories) of(ctx context.Context, id store.DeviceID) (History, error) {
	x.mu.Lock()
	pending := x.pending[id]
	x.mu.Unlock()
	raw, err := x.store.HookLog(ctx, id)
	if err != nil {
		return History{}, err
	}
	h := parseHistory(raw)
	for _, r := range pending {
		h.add(r)
	}
	return h, nil
}

// wait returns when everything that was noted is stored, or could not be.
func (x *histories) wait() {
	x.mu.Lock()
	writing := x.writing
	x.mu.Unlock()
	if writing != nil {
		<-writing
	}
}
