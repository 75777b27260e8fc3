package target

import (
	"slices"
	"sync"
	"time"
)

// A Usage notes what one check, on one generation of devices, asked of the target
// that it does not have. It is safe for concurrent use.
type Usage struct {
	// Stop, if not nil, ends the check: what it still does proves nothing.
	Stop func()
	// Deadline is when the time of the check is over, Done is closed then, or when it was
	// stopped. Zero values: never.
	Deadline time.Time
	Done     <-chan struct{}

	mu      sync.Mutex
	missing []*Missing
	over    bool
	ends    []func()
}

// Missing returns what was asked for in vain.
func (u *Usage) Missing() []*Missing {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.missing)
}

func (u *Usage) note(m *Missing) error {
	if u == nil {
		return m
	}
	u.mu.Lock()
	known := slices.ContainsFunc(u.missing, func(o *Missing) bool { return *o == *m })
	if !known {
		u.missing = append(u.missing, m)
	}
	u.mu.Unlock()
	if u.Stop != nil {
		u.Stop()
	}
	return m
}

// ended reports whether the check has ended, or was stopped.
func (u *Usage) ended() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.over
}

// affords reports whether the check has so much time left.
func (u *Usage) affords(d time.Duration) bool {
	return u == nil || u.Deadline.IsZero() || time.Until(u.Deadline) > d
}

// done is closed when the time of the check is over; nil if it never is.
func (u *Usage) done() <-chan struct{} {
	if u == nil {
		return nil
	}
	return u.Done
}

// atEnd has f run when the check has ended, at once if it has.
func (u *Usage) atEnd(f func()) {
	if u == nil {
		return
	}
	u.mu.Lock()
	over := u.over
	if !over {
		u.ends = append(u.ends, f)
	}
	u.mu.Unlock()
	if over {
		f()
	}
}

// End gives back what the check used, which has ended or was given up.
func (u *Usage) End() {
	u.mu.Lock()
	ends := u.ends
	u.over, u.ends = true, nil
	u.mu.Unlock()
	for _, f := range slices.Backward(ends) {
		f()
	}
}
