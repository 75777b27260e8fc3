package target

import (
	"sync"
	"time"
)

// A tape is the stream of all events of an account, opened once for a run: checks that play
// side by side would open one each, and again and again, which no cloud has to bear.
type tape struct {
	open      sync.Once
	opened    chan struct{} // closed when the stream is, or could not be, opened
	mu        sync.Mutex
	err       error // of the stream, when it has ended
	listeners map[DeviceID]func(StreamEvent)
}

// tapeOf returns the tape of an account. It opens while the caller waits for opened.
func (e *Env) tapeOf(account int) *tape {
	t := &e.tapes[account]
	t.open.Do(func() {
		t.opened, t.listeners = make(chan struct{}), make(map[DeviceID]func(StreamEvent))
		go t.run(e, account)
	})
	return t
}

// tapeRetry is how long a cloud is left alone that refuses a stream, tapeTries how often it
// is asked. tapeRefused is when a refusal has come.
const (
	tapeRetry   = 2 * time.Second
	tapeTries   = 3
	tapeRefused = 200 * time.Millisecond
)

// run keeps the stream open until the run is over.
func (t *tape) run(e *Env, account int) {
	var once sync.Once
	opened := func() { once.Do(func() { close(t.opened) }) }
	defer opened()
	for try := range tapeTries {
		if try > 0 {
			time.Sleep(tapeRetry)
		}
		stream := e.service.subscribe(account, "")
		good := time.AfterFunc(tapeRefused, opened)
		for ev := range stream.C {
			opened()
			t.mu.Lock()
			hear := t.listeners[DeviceID(ev.Device)]
			t.mu.Unlock()
			if hear != nil {
				hear(ev)
			}
		}
		good.Stop()
		t.mu.Lock()
		t.err = stream.Err()
		over := t.err == nil
		t.mu.Unlock()
		if over {
			return // with the run
		}
	}
}

// failure returns why the stream is closed, nil if it is not.
func (t *tape) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// listen has hear called for the events of a device, until forget is.
func (t *tape) listen(id DeviceID, hear func(StreamEvent)) (forget func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners[id] = hear
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.listeners, id)
	}
}
