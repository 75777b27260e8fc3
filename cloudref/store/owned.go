package store

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrTooMany means that an account has as many records of a kind as one may have.
var ErrTooMany = errors.New("store: the account has as many as it may have")

// An owned is an index over a kind of record that is not held in memory: which
// records each account has. Other nodes' writes reach it a moment later.
type owned[K comparable] struct {
	mu   sync.RWMutex
	rows map[K]ownedRow
	keys map[AccountID][]K // oldest first
	held map[AccountID]int // records that writes under way make
}

// An ownedRow is whose a record is, as of a revision of it.
type ownedRow struct {
	account  AccountID
	revision Revision
}

func newOwned[K comparable]() owned[K] {
	return owned[K]{rows: map[K]ownedRow{}, keys: map[AccountID][]K{}, held: map[AccountID]int{}}
}

// note takes in that a record of the account was written.
func (o *owned[K]) note(k K, a AccountID, r Revision) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, is := o.rows[k]
	if is && known.revision >= r {
		return
	}
	o.rows[k] = ownedRow{a, r}
	if is && known.account == a {
		return
	}
	if is {
		o.take(k, known.account)
	}
	o.keys[a] = append(o.keys[a], k)
}

// drop takes in that a record was removed at that revision.
func (o *owned[K]) drop(k K, r Revision) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, is := o.rows[k]; is && known.revision < r {
		delete(o.rows, k)
		o.take(k, known.account)
	}
}

func (o *owned[K]) take(k K, a AccountID) {
	list := o.keys[a]
	if i := slices.Index(list, k); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(o.keys, a)
		return
	}
	o.keys[a] = list
}

// of returns the records of an account.
func (o *owned[K]) of(a AccountID) []K {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.Clone(o.keys[a])
}

// hold makes room for n more records of an account, of at most most, until release
// is called: after the write, so that no two writes get the last place.
func (o *owned[K]) hold(a AccountID, n, most int) (release func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.keys[a])+o.held[a]+n > most {
		return nil, ErrTooMany
	}
	o.held[a] += n
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.held[a] -= n; o.held[a] <= 0 {
			delete(o.held, a)
		}
	}, nil
}

// readsAtOnce bounds the reads that are under way for one list.
const readsAtOnce = 256

// readAll reads records of a bucket, many at once, and yields those that there are in
// the order of keys.
func (s *Store) readAll(ctx context.Context, b bucket, keys []string, yield func(entry) error) error {
	type result struct {
		entry entry
		err   error
	}
	for chunk := range slices.Chunk(keys, readsAtOnce) {
		results := make([]chan result, len(chunk))
		for i, key := range chunk {
			got := make(chan result, 1)
			results[i] = got
			s.backend.read(b, key, func(e entry, err error) { got <- result{e, err} })
		}
		for _, got := range results {
			select {
			case r := <-got:
				if errors.Is(r.err, ErrNotFound) {
					continue
				}
				if r.err != nil {
					return r.err
				}
				if err := yield(r.entry); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
