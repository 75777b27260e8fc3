package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// A table is a kind of record that is needed at every event or request, and so
// is held in memory as well as in the store: products, members of products,
// webhooks, ledgers. Values that it gives out are shared: they must not be
// changed but by update.
type table[K comparable, V any] struct {
	s       *Store
	bucket  bucket
	what    string // in errors, "product"
	version int
	sealed  bool // encrypted where it is stored
	key     func(K) string
	parse   func(key string) (K, error)
	// changed keeps indexes; before or after is nil where there is no such record.
	// It is called with mu held.
	changed func(k K, before, after *V)

	mu   sync.RWMutex
	rows map[K]tableRow[V]
}

// A tableRow is a record and its revision. The row of a record that was removed stays,
// so that late news of how it was before do not bring it back.
type tableRow[V any] struct {
	value    *V // nil: removed
	revision Revision
}

// A document is a record of a table as it is stored.
type document[V any] struct {
	Version int `json:"v"`
	Record  V   `json:"record"`
}

// updateTries bounds how often a change is repeated because someone else changed
// the record at the same time.
const updateTries = 16

func (t *table[K, V]) load(ctx context.Context) error {
	t.rows = make(map[K]tableRow[V])
	err := t.s.backend.scan(ctx, t.bucket, ">", func(e entry) error {
		t.apply(e, false)
		return nil
	})
	if err != nil {
		return err
	}
	stop, err := t.s.backend.watch(ctx, t.bucket, t.apply)
	t.s.stops = append(t.s.stops, stop)
	return err
}

// apply takes in a record as the store has it.
func (t *table[K, V]) apply(e entry, deleted bool) {
	k, err := t.parse(e.key)
	var v *V
	if err == nil && !deleted {
		v, err = t.decode(e)
	}
	if err != nil {
		t.s.count(func(r *Report) { r.Unreadable++ })
		return
	}
	t.put(k, v, e.revision)
}

func (t *table[K, V]) put(k K, v *V, r Revision) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.rows[k]
	if r <= before.revision {
		return // older than what is known
	}
	t.rows[k] = tableRow[V]{v, r}
	if t.changed != nil {
		t.changed(k, before.value, v)
	}
}

func (t *table[K, V]) decode(e entry) (*V, error) {
	value := e.value
	if t.sealed && t.s.sealer != nil {
		var err error
		if value, err = t.s.sealer.open(t.place(e.key), append([]byte(nil), value...)); err != nil {
			return nil, err
		}
	}
	var d document[V]
	if err := json.Unmarshal(value, &d); err != nil {
		return nil, fmt.Errorf("store: %s record: %w", t.what, err)
	}
	if d.Version > t.version {
		return nil, fmt.Errorf("store: %s record of version %d: %w", t.what, d.Version, ErrNewer)
	}
	return &d.Record, nil
}

func (t *table[K, V]) encode(k K, v *V) ([]byte, error) {
	value, err := json.Marshal(document[V]{t.version, *v})
	if err != nil {
		return nil, err
	}
	if len(value) > MaxDocument {
		return nil, fmt.Errorf("%d bytes: %w", len(value), ErrTooLarge)
	}
	if t.sealed && t.s.sealer != nil {
		value = t.s.sealer.seal(t.place(t.key(k)), value)
	}
	return value, nil
}

// place names a record to the sealer, so that none can be put in place of
// another.
func (t *table[K, V]) place(key string) []byte { return []byte(t.bucket.String() + "." + key) }

// get answers from memory.
func (t *table[K, V]) get(k K) (*V, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if v := t.rows[k].value; v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("%s %v: %w", t.what, k, ErrNotFound)
}

// create makes a record. The error is ErrConflict if there is one already.
func (t *table[K, V]) create(ctx context.Context, k K, v *V) error {
	return t.write(ctx, k, v, 0)
}

func (t *table[K, V]) write(ctx context.Context, k K, v *V, expect Revision) error {
	value, err := t.encode(k, v)
	if err != nil {
		return fmt.Errorf("%s %v: %w", t.what, k, err)
	}
	r, err := t.s.put(ctx, write{bucket: t.bucket, key: t.key(k), value: value, cas: true, expect: expect})
	if err != nil {
		return fmt.Errorf("%s %v: %w", t.what, k, err)
	}
	t.put(k, v, r)
	return nil
}

// update changes a record, again if someone else did meanwhile, and returns what
// it became. An error of change is returned as it is, and nothing changes.
func (t *table[K, V]) update(ctx context.Context, k K, change func(*V) error) (*V, error) {
	for try := 1; ; try++ {
		e, err := t.s.get(ctx, t.bucket, t.key(k))
		if err != nil {
			return nil, fmt.Errorf("%s %v: %w", t.what, k, err)
		}
		v, err := t.decode(e)
		if err != nil {
			return nil, err
		}
		if err := change(v); err != nil {
			return nil, err
		}
		err = t.write(ctx, k, v, e.revision)
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, ErrConflict) || try == updateTries {
			return nil, err
		}
	}
}

// upsert is update for a record that may not exist: then it begins as zero.
func (t *table[K, V]) upsert(ctx context.Context, k K, change func(*V) error) (*V, error) {
	for try := 1; ; try++ {
		v, err := t.update(ctx, k, change)
		if !errors.Is(err, ErrNotFound) {
			return v, err
		}
		v = new(V)
		if err := change(v); err != nil {
			return nil, err
		}
		err = t.create(ctx, k, v)
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, ErrConflict) || try == updateTries {
			return nil, err
		}
	}
}

// remove forgets a record. There may be none.
func (t *table[K, V]) remove(ctx context.Context, k K) error {
	r, err := t.s.put(ctx, write{bucket: t.bucket, key: t.key(k), delete: true})
	if err != nil {
		return fmt.Errorf("removing %s %v: %w", t.what, k, err)
	}
	t.put(k, nil, r)
	return nil
}

// list returns the records that which selects, in no order.
func (t *table[K, V]) list(which func(*V) bool) []*V {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all []*V
	for _, r := range t.rows {
		if r.value != nil && which(r.value) {
			all = append(all, r.value)
		}
	}
	return all
}
