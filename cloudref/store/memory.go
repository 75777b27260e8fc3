package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// memoryEventsMax bounds the events that a store in memory keeps.
const memoryEventsMax = 1 << 16

// A memory is a backend without a disk. Every call is complete when it returns.
type memory struct {
	mu      sync.Mutex
	closed  bool
	buckets [numBuckets]struct {
		entries map[string]entry
		last    Revision
	}
	events    []Event // the last ones, in order
	sequence  uint64  // of the last event
	followers []*follower
	imgs      map[ImageID][]byte
	calls     memoryCalls
}

type follower struct {
	filter filter
	fn     func(Event)
}

func newMemory() *memory {
	m := &memory{imgs: map[ImageID][]byte{}}
	m.calls.init()
	for b := range m.buckets {
		m.buckets[b].entries = map[string]entry{}
	}
	return m
}

func (m *memory) now() time.Time { return time.Time{} }

func (m *memory) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.followers = true, nil
	return nil
}

func (m *memory) write(w write, done func(Revision, error)) {
	done(m.put(w))
}

func (m *memory) put(w write) (Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	b := &m.buckets[w.bucket]
	if w.cas && b.entries[w.key].revision != w.expect {
		return 0, ErrConflict
	}
	b.last++
	if w.delete {
		delete(b.entries, w.key)
	} else {
		b.entries[w.key] = entry{key: w.key, value: w.value, revision: b.last}
	}
	return b.last, nil
}

func (m *memory) read(b bucket, key string, done func(entry, error)) {
	m.mu.Lock()
	e, ok := m.buckets[b].entries[key]
	closed := m.closed
	m.mu.Unlock()
	switch {
	case closed:
		done(entry{}, ErrClosed)
	case !ok:
		done(entry{}, ErrNotFound)
	default:
		e.value = bytes.Clone(e.value)
		done(e, nil)
	}
}

func (m *memory) latest(b bucket, key string, done func(entry, error)) { m.read(b, key, done) }

func (m *memory) scan(ctx context.Context, b bucket, pattern string, yield func(entry) error) error {
	m.mu.Lock()
	var all []entry
	for key, e := range m.buckets[b].entries {
		if matches(pattern, key) {
			all = append(all, e)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(all, func(x, y entry) int { return int(x.revision) - int(y.revision) })
	for _, e := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		e.value = bytes.Clone(e.value)
		if err := yield(e); err != nil {
			return err
		}
	}
	return nil
}

// matches reports whether key matches pattern as a NATS subject would.
func matches(pattern, key string) bool {
	for pattern != "" && key != "" {
		var p, k string
		p, pattern, _ = strings.Cut(pattern, ".")
		k, key, _ = strings.Cut(key, ".")
		if p == ">" {
			return true
		}
		if p != "*" && p != k {
			return false
		}
	}
	return pattern == "" && key == ""
}

func (f filter) admits(e *Event) bool {
	return (f.account == nil || *f.account == e.Account) && (f.device == nil || *f.device == e.Device)
}

func (m *memory) appendEvent(e Event, _ string, done func(Revision, error)) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		done(0, ErrClosed)
		return
	}
	m.sequence++
	e.Sequence = m.sequence
	e.At = e.At.Truncate(time.Millisecond).UTC()
	e.Body = bytes.Clone(e.Body)
	if len(m.events) == memoryEventsMax {
		m.events = slices.Delete(m.events, 0, memoryEventsMax/2)
	}
	m.events = append(m.events, e)
	followers := slices.Clone(m.followers)
	m.mu.Unlock()
	done(Revision(e.Sequence), nil)
	for _, f := range followers {
		if f.filter.admits(&e) {
			f.fn(e)
		}
	}
}

func (m *memory) follow(f filter, from uint64, fn func(Event)) (func(), error) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	var old []Event
	for _, e := range m.events {
		if from > 0 && e.Sequence >= from && f.admits(&e) {
			old = append(old, e)
		}
	}
	me := &follower{filter: f, fn: fn}
	m.followers = append(m.followers, me)
	m.mu.Unlock()
	for _, e := range old {
		fn(e)
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.followers = slices.DeleteFunc(m.followers, func(f *follower) bool { return f == me })
	}, nil
}

func (m *memory) watch(context.Context, bucket, func(entry, bool)) (func(), error) {
	return func() {}, nil // nobody else writes
}

func (m *memory) appendCall(key string, value []byte, _ string, done func(Revision, error)) {
	done(m.calls.append(key, value))
}

func (m *memory) serveCalls(atOnce int, fn func(Delivery)) (func(), error) {
	return m.calls.serve(atOnce, fn), nil
}

func (m *memory) putImage(_ context.Context, id ImageID, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.imgs[id] = bytes.Clone(data)
	return nil
}

func (m *memory) image(_ context.Context, id ImageID) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.imgs[id]
	if !ok {
		return nil, fmt.Errorf("image %s: %w", id, ErrNotFound)
	}
	return bytes.Clone(data), nil
}

func (m *memory) images(context.Context) ([]Image, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Image
	for id, data := range m.imgs {
		all = append(all, Image{ID: id, Size: int64(len(data))})
	}
	slices.SortFunc(all, func(x, y Image) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	return all, nil
}

func (m *memory) deleteImage(_ context.Context, id ImageID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.imgs[id]; !ok {
		return fmt.Errorf("image %s: %w", id, ErrNotFound)
	}
	delete(m.imgs, id)
	return nil
}

func (m *memory) sweepImages(context.Context) (int, error) { return 0, nil }
