package serial

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// maxHeard is how much an Ear keeps, in bytes; what came first goes first.
const maxHeard = 1 << 20

// An Ear hears the bytes of a console as they come, prompts without a line end
// included. What it hears is not redacted. One goroutine uses it.
type Ear struct {
	s *Session

	mu   sync.Mutex
	b    []byte
	err  error
	more chan struct{}
}

// Hear begins to hear. Close the Ear when done.
func (s *Session) Hear() *Ear {
	e := &Ear{s: s, more: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ears[e] = struct{}{}
	if s.port == nil {
		e.err = ErrGone
	}
	return e
}

// Close ends it.
func (e *Ear) Close() {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	delete(e.s.ears, e)
}

func (e *Ear) add(b []byte) {
	e.mu.Lock()
	e.b = append(e.b, b...)
	if over := len(e.b) - maxHeard; over > 0 {
		e.b = append(e.b[:0], e.b[over:]...)
	}
	e.mu.Unlock()
	e.wake()
}

func (e *Ear) end(err error) {
	e.mu.Lock()
	e.err = err
	e.mu.Unlock()
	e.wake()
}

func (e *Ear) wake() {
	select {
	case e.more <- struct{}{}:
	default:
	}
}

// Until waits for one of the texts and returns which came first and everything
// up to its end. The error says what came instead.
func (e *Ear) Until(ctx context.Context, texts ...string) (which int, got string, err error) {
	for {
		e.mu.Lock()
		best, end := -1, 0
		for i, t := range texts {
			if at := bytes.Index(e.b, []byte(t)); at >= 0 && (best < 0 || at+len(t) < end) {
				best, end = i, at+len(t)
			}
		}
		if best >= 0 {
			got = string(e.b[:end])
			e.b = append(e.b[:0], e.b[end:]...)
			e.mu.Unlock()
			return best, got, nil
		}
		got, err = string(e.b), e.err
		e.mu.Unlock()
		if err != nil {
			return -1, got, err
		}
		select {
		case <-e.more:
		case <-ctx.Done():
			if got == "" {
				return -1, got, fmt.Errorf("%w (%w)", ErrQuiet, ctx.Err())
			}
			return -1, got, fmt.Errorf("waiting for %q: %w", texts, ctx.Err())
		}
	}
}

// Quiet waits for a first byte, and then until nothing came for the time; it
// returns everything.
func (e *Ear) Quiet(ctx context.Context, quiet time.Duration) (string, error) {
	var calm <-chan time.Time
	for {
		e.mu.Lock()
		n, err := len(e.b), e.err
		e.mu.Unlock()
		if err != nil && n == 0 {
			return "", err
		}
		if n > 0 && err != nil {
			return e.take(), nil
		}
		if n > 0 {
			calm = time.After(quiet)
		}
		select {
		case <-e.more:
		case <-calm:
			return e.take(), nil
		case <-ctx.Done():
			if n == 0 {
				return "", fmt.Errorf("%w (%w)", ErrQuiet, ctx.Err())
			}
			return e.take(), nil
		}
	}
}

func (e *Ear) take() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	got := string(e.b)
	e.b = e.b[:0]
	return got
}
