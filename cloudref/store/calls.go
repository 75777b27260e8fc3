package store

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrQueueFull means that as many calls of one webhook wait as are kept.
var ErrQueueFull = errors.New("store: too many calls of this webhook wait")

// CallsMax bounds the calls of one webhook that wait.
const CallsMax = 10_000

// A Call is a webhook call that has to be made.
type Call struct {
	Hook DeviceID
	Body []byte // opaque, at most 256 KiB: the event and whatever else
}

// A call record is version 1 and the body; its hook is in the key.
const callVersion = 1

func (c *Call) append(b []byte) []byte { return append(append(b, callVersion), c.Body...) }

// parseCall returns a call, and the class of its size.
func parseCall(key string, value []byte) (c Call, class int, err error) {
	if err := checkVersion("call", value, callVersion, 1); err != nil {
		return c, 0, err
	}
	c.Hook, class, err = parseCallKey(key)
	c.Body = value[1:]
	return c, class, err
}

// PutCall adds a webhook call to the queue, which survives whatever happens to
// this process. Where there is no room in the queue, for the hook or for its account, the
// call is dropped, and the function given to [Store.OnCallDropped] hears of it: a server
// that is away must not keep devices from publishing.
func PutCall(c Call) Op { return Op{kind: opCall, id: c.Hook, value: c.append(nil)} }

// OnCallDropped sets the function that is told of calls for which there was no
// room, with [ErrQueueFull] or [ErrShareFull]. It must not block. Call it before the
// store is used.
func (s *Store) OnCallDropped(f func(hook DeviceID, why error)) { s.onCallDropped = f }

func (s *Store) putCall(op *Op, done func(Revision, error)) {
	if len(op.value) > MaxEventBody {
		done(0, fmt.Errorf("call of %d bytes: %w", len(op.value), ErrTooLarge))
		return
	}
	class := callClass(len(op.value))
	if err := s.shares.enter(op.id, class); err != nil {
		s.onCallDropped(op.id, err)
		done(0, nil)
		return
	}
	s.backend.appendCall(callKey(op.id, class), op.value, op.once, func(r Revision, err error) {
		if err != nil {
			s.shares.leave(op.id, class)
		}
		if errors.Is(err, ErrQueueFull) {
			s.onCallDropped(op.id, err)
			err = nil
		}
		done(r, err)
	})
}

// A Delivery is a call handed out to be made. Exactly one of Done and Retry ends
// it; if neither does, because the process died, it is handed out again.
type Delivery struct {
	Call
	Number uint64 // names the call while it is in the queue

	class   int // of its size
	done    func()
	retry   func(after time.Duration)
	working func()
}

// Done takes the call out of the queue.
func (d *Delivery) Done() { d.done() }

// Retry has the call handed out again, not before the given time has passed.
func (d *Delivery) Retry(after time.Duration) { d.retry(after) }

// Working says that the call is still being made: without it the call is handed
// to someone else after [CallPatience].
func (d *Delivery) Working() { d.working() }

// CallPatience is how long a call that was handed out may show no sign of life.
const CallPatience = 30 * time.Second

// ServeCalls hands out the calls of the queue, those of all nodes, atOnce of them
// at a time, until stop is called; those under way may then go on. A call may be
// handed out more than once, never less.
func (s *Store) ServeCalls(atOnce int, fn func(Delivery)) (stop func(), err error) {
	stop, err = s.backend.serveCalls(atOnce, func(d Delivery) {
		done := d.done
		d.done = func() {
			done()
			s.shares.leave(d.Hook, d.class)
		}
		fn(d)
	})
	if err != nil {
		return nil, fmt.Errorf("store: serving webhook calls: %w", err)
	}
	return stop, nil
}

// memoryCalls is the queue of a store in memory. Unlike the rest of that store it
// has goroutines and a clock, once somebody serves it.
type memoryCalls struct {
	mu      sync.Mutex
	arrived sync.Cond
	last    uint64
	waiting []Delivery
}

func (q *memoryCalls) init() { q.arrived.L = &q.mu }

func (q *memoryCalls) append(key string, value []byte) (Revision, error) {
	c, class, err := parseCall(key, append([]byte(nil), value...))
	if err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last++
	d := Delivery{Call: c, Number: q.last, class: class, done: func() {}, working: func() {}}
	d.retry = func(after time.Duration) {
		time.AfterFunc(after, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.put(d)
		})
	}
	q.put(d)
	return Revision(q.last), nil
}

func (q *memoryCalls) put(d Delivery) {
	q.waiting = append(q.waiting, d)
	q.arrived.Signal()
}

func (q *memoryCalls) serve(atOnce int, fn func(Delivery)) (stop func()) {
	stopped := false
	for range atOnce {
		go func() {
			for {
				q.mu.Lock()
				for len(q.waiting) == 0 && !stopped {
					q.arrived.Wait()
				}
				if stopped {
					q.mu.Unlock()
					return
				}
				d := q.waiting[0]
				q.waiting = q.waiting[1:]
				q.mu.Unlock()
				fn(d)
			}
		}()
	}
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		stopped = true
		q.arrived.Broadcast()
	}
}
