package api

import (
	"context"
	"sync"

	"github.com/muster/muster/cloudref/store"
)

// A shares hands out the places of a bounded kind of work, of which no account has more
// than its share: one that takes all it can get keeps nobody else out.
type shares struct {
	places chan struct{} // one entry for each place that is taken
	share  int

	mu    sync.Mutex
	taken map[store.AccountID]*share
}

// A share is what one account has of the places.
type share struct {
	places chan struct{}
	users  int // who has or wants one
}

func newShares(places, each int) *shares {
	return &shares{places: make(chan struct{}, places), share: max(1, min(each, places)), taken: make(map[store.AccountID]*share)}
}

func (x *shares) of(a store.AccountID) *share {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.taken[a]
	if s == nil {
		s = &share{places: make(chan struct{}, x.share)}
		x.taken[a] = s
	}
	s.users++
	return s
}

func (x *shares) leave(a store.AccountID, s *share) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(x.taken, a)
	}
}

// acquire takes a place for an account, or fails when ctx ends first. done gives it
// back.
func (x *shares) acquire(ctx context.Context, a store.AccountID) (done func(), err error) {
	s := x.of(a)
	// One's own share first: who waits for that holds nothing of anybody's.
	if err := acquire(ctx, s.places); err != nil {
		x.leave(a, s)
		return nil, err
	}
	if err := acquire(ctx, x.places); err != nil {
		release(s.places)
		x.leave(a, s)
		return nil, err
	}
	return x.giveBack(a, s), nil
}

// try is acquire without waiting.
func (x *shares) try(a store.AccountID) (done func(), ok bool) {
	s := x.of(a)
	select {
	case s.places <- struct{}{}:
	default:
		x.leave(a, s)
		return nil, false
	}
	select {
	case x.places <- struct{}{}:
	default:
		release(s.places)
		x.leave(a, s)
		return nil, false
	}
	return x.giveBack(a, s), true
}

func (x *shares) giveBack(a store.AccountID, s *share) func() {
	return func() {
		release(x.places)
		release(s.places)
		x.leave(a, s)
	}
}
