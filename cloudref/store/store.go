package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Store is the durable state of a cloud. Make one with [Open] or [NewMemory].
// It is safe for concurrent use.
type Store struct {
	backend  backend
	sealer   *sealer // nil in memory
	dir      *directory
	onRevoke func(DeviceID)
	onChange func(DeviceID)

	onCallDropped func(hook DeviceID, why error)
	shares        callShares

	products products
	members  members
	hooks    hooks
	ledgers  table[LedgerKey, Ledger]
	tokens   owned[TokenHash]
	clients  owned[string]
	stops    []func() // end what follows the changes of others

	mu       sync.Mutex // guards what follows
	report   Report
	accounts map[AccountID]*Account
	names    map[username]AccountID // of accounts, and of those being written

	sweptTokens map[AccountID]time.Time // when those of a full account were looked through
}

// NewMemory returns an empty store that forgets everything when it is dropped.
// Every call completes, and calls back, before it returns.
func NewMemory() *Store {
	s, err := newStore(context.Background(), newMemory(), nil)
	if err != nil {
		panic(fmt.Sprintf("store: an empty store does not load: %v", err))
	}
	return s
}

func newStore(ctx context.Context, b backend, sealer *sealer) (*Store, error) {
	s := &Store{
		backend:  b,
		sealer:   sealer,
		dir:      newDirectory(),
		onRevoke: func(DeviceID) {},
		onChange: func(DeviceID) {},
		accounts: map[AccountID]*Account{},
		names:    map[username]AccountID{},
		tokens:   newOwned[TokenHash](),
		clients:  newOwned[string](),

		sweptTokens: map[AccountID]time.Time{},

		onCallDropped: func(DeviceID, error) {},
	}
	s.shares.init(s.accountOfHook)
	s.products.init(s)
	s.members.init(s)
	s.hooks.init(s)
	s.ledgers = ledgerTable(s)
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// OnRevoke sets the function that is called after a device durably lost a key,
// was denied or was removed: its live sessions must end. It must not block.
// Call it before the store is used.
func (s *Store) OnRevoke(f func(DeviceID)) { s.onRevoke = f }

// Report returns what the store found when it opened and since.
func (s *Store) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// Close waits for the writes under way and closes the store.
func (s *Store) Close() error {
	for _, stop := range s.stops {
		stop()
	}
	return s.backend.close()
}

// Write does all ops and then calls done, with nil if all of them are durable
// and otherwise with an [OpError] for the first that failed; the others may have
// been done or not.
//
// Two writes of the same record take effect in the order of the calls. Write
// does not wait for the disk. done may be called before Write returns, and on
// any goroutine; it must be quick, and must not call methods that wait (all
// those that take a context). Until then ops belongs to the store.
func (s *Store) Write(ops []Op, done func(error)) {
	if len(ops) == 0 {
		done(nil)
		return
	}
	b := &batch{ops: ops, done: done}
	b.left.Store(int32(len(ops)))
	for i := range ops {
		s.start(&ops[i], func(r Revision, err error) { b.finish(i, r, err) })
	}
}

// A batch is a call to Write that is not complete.
type batch struct {
	ops  []Op
	done func(error)
	left atomic.Int32

	mu     sync.Mutex
	failed *OpError
}

func (b *batch) finish(i int, r Revision, err error) {
	if err != nil {
		b.mu.Lock()
		if b.failed == nil {
			b.failed = &OpError{Index: i, Err: err}
		}
		b.mu.Unlock()
	} else {
		b.ops[i].Revision = r
	}
	if b.left.Add(-1) > 0 {
		return
	}
	b.mu.Lock()
	failed := b.failed
	b.mu.Unlock()
	if failed != nil {
		b.done(failed)
		return
	}
	b.done(nil)
}

// Do does all ops and waits until they are durable.
func (s *Store) Do(ctx context.Context, ops ...Op) error {
	done := make(chan error, 1)
	s.Write(ops, func(err error) { done <- err })
	select {
	case err := <-done:
		// For one op its number says nothing.
		if op := (*OpError)(nil); len(ops) == 1 && errors.As(err, &op) {
			return op.Err
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) start(op *Op, done func(Revision, error)) {
	switch op.kind {
	case opPutDevice:
		s.putDevice(op, done)
	case opPutSession:
		s.putSession(op, done)
	case opDropSession:
		w := op.write(bucketSessions, op.id.String(), nil)
		w.delete = true
		s.backend.write(w, func(r Revision, err error) {
			if err == nil {
				s.dir.dropSession(op.id)
			}
			done(r, err)
		})
	case opReserve:
		value := op.reserve.append(make([]byte, 0, progressLen))
		s.backend.write(op.write(bucketProgress, op.id.String(), value), done)
	case opPutApp:
		s.putApp(op, done)
	case opDropApp:
		w := op.write(bucketApps, appKey(op.id, op.part), nil)
		w.delete = true
		s.backend.write(w, done)
	case opAppend:
		if len(op.event.Body) > MaxEventBody {
			done(0, fmt.Errorf("event of %d bytes: %w", len(op.event.Body), ErrTooLarge))
			return
		}
		s.backend.appendEvent(op.event, op.once, done)
	case opCall:
		s.putCall(op, done)
	default:
		panic(fmt.Sprintf("store: op of kind %d", op.kind))
	}
}

// write returns the plain write that op asks for.
func (op *Op) write(b bucket, key string, value []byte) write {
	return write{bucket: b, key: key, value: value, cas: op.cas, expect: op.expect, by: op.by}
}

// get reads one record and waits for it.
func (s *Store) get(ctx context.Context, b bucket, key string) (entry, error) {
	type result struct {
		entry entry
		err   error
	}
	got := make(chan result, 1)
	s.backend.read(b, key, func(e entry, err error) { got <- result{e, err} })
	select {
	case r := <-got:
		return r.entry, r.err
	case <-ctx.Done():
		return entry{}, ctx.Err()
	}
}

// put makes one write and waits for it.
func (s *Store) put(ctx context.Context, w write) (Revision, error) {
	type result struct {
		revision Revision
		err      error
	}
	got := make(chan result, 1)
	s.backend.write(w, func(r Revision, err error) { got <- result{r, err} })
	select {
	case r := <-got:
		return r.revision, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
