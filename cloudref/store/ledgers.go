package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LedgerDataMax bounds what one instance of a ledger holds, in bytes of JSON.
const LedgerDataMax = 64 << 10

// ledgerVersionsMax is how many earlier versions of an instance are kept.
const ledgerVersionsMax = 10

// A LedgerOwner is whose a ledger is: an account, or a product.
type LedgerOwner struct {
	Account AccountID
	Product ProductID // not zero: the product's
}

func (o LedgerOwner) String() string {
	if o.Product != 0 {
		return "p" + o.Product.String()
	}
	return "a" + o.Account.String()
}

// A LedgerKey names a ledger.
type LedgerKey struct {
	Owner LedgerOwner
	Name  string // of lower-case letters, digits and hyphens
}

// String returns the key as it stands in the store.
func (k LedgerKey) String() string { return k.Owner.String() + "." + k.Name }

func parseLedgerKey(key string) (k LedgerKey, err error) {
	owner, name, ok := strings.Cut(key, ".")
	if !ok || len(owner) < 2 || name == "" {
		return k, fmt.Errorf("store: %q names no ledger", key)
	}
	k.Name = name
	if owner[0] == 'p' {
		k.Owner.Product, err = ParseProductID(owner[1:])
	} else {
		k.Owner.Account, err = ParseAccountID(owner[1:])
	}
	return k, err
}

// A Ledger is a named JSON object for each device, product or owner, which is kept
// the same in the cloud and on devices.
type Ledger struct {
	Key         LedgerKey `json:"-"`
	Scope       string    `json:"scope"`     // "Device", "Product" or "Owner"
	Direction   string    `json:"direction"` // "Upstream" (from devices) or "Downstream"
	Description string    `json:"description,omitempty"`
	Archived    bool      `json:"archived,omitempty"` // devices no longer see it
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
}

func ledgerTable(s *Store) table[LedgerKey, Ledger] {
	return table[LedgerKey, Ledger]{
		s: s, bucket: bucketLedgers, what: "ledger", version: 1,
		key: LedgerKey.String, parse: parseLedgerKey,
		changed: func(k LedgerKey, _, after *Ledger) {
			if after != nil {
				after.Key = k
			}
		},
	}
}

// CreateLedger makes a ledger. The error is [ErrConflict] if there is one of that
// name.
func (s *Store) CreateLedger(ctx context.Context, l *Ledger) error {
	return s.ledgers.create(ctx, l.Key, l)
}

// Ledger returns a ledger. It answers from memory; what it returns must not be
// changed.
func (s *Store) Ledger(k LedgerKey) (*Ledger, error) { return s.ledgers.get(k) }

// UpdateLedger changes a ledger and returns what it became.
func (s *Store) UpdateLedger(ctx context.Context, k LedgerKey, change func(*Ledger) error) (*Ledger, error) {
	return s.ledgers.update(ctx, k, change)
}

// LedgersOf returns the ledgers of an account or a product, in the order of their
// names. It answers from memory.
func (s *Store) LedgersOf(o LedgerOwner) []*Ledger {
	list := s.ledgers.list(func(l *Ledger) bool { return l.Key.Owner == o })
	slices.SortFunc(list, func(a, b *Ledger) int { return strings.Compare(a.Key.Name, b.Key.Name) })
	return list
}

// A LedgerInstance is what a ledger holds for one device, product or owner.
type LedgerInstance struct {
	Scope string `json:"scope"` // the id of the device, product or owner
	LedgerVersion
	Created  time.Time       `json:"created"`
	Versions []LedgerVersion `json:"versions,omitempty"` // earlier ones, newest first

	Revision Revision `json:"-"`
}

// A LedgerVersion is what an instance held at some time.
type LedgerVersion struct {
	Data    json.RawMessage `json:"data"` // an object
	Updated time.Time       `json:"updated"`
}

const ledgerInstanceVersion = 1

func ledgerDataKey(k LedgerKey, scope string) string { return k.String() + "." + scope }

// LedgerInstance returns what a ledger holds for a scope: of letters, digits and
// hyphens. The error is [ErrNotFound] if it holds nothing.
func (s *Store) LedgerInstance(ctx context.Context, k LedgerKey, scope string) (*LedgerInstance, error) {
	if !validKey(scope) {
		return nil, fmt.Errorf("ledger %s: %w", k, ErrNotFound)
	}
	e, err := s.get(ctx, bucketLedgerData, ledgerDataKey(k, scope))
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", k, err)
	}
	return parseLedgerInstance(e)
}

func parseLedgerInstance(e entry) (*LedgerInstance, error) {
	var d document[LedgerInstance]
	if err := json.Unmarshal(e.value, &d); err != nil {
		return nil, fmt.Errorf("store: ledger data: %w", err)
	}
	if d.Version > ledgerInstanceVersion {
		return nil, fmt.Errorf("store: ledger data of version %d: %w", d.Version, ErrNewer)
	}
	d.Record.Revision = e.revision
	return &d.Record, nil
}

// LedgerInstances returns all that a ledger holds, oldest change first.
func (s *Store) LedgerInstances(ctx context.Context, k LedgerKey) ([]*LedgerInstance, error) {
	var all []*LedgerInstance
	err := s.backend.scan(ctx, bucketLedgerData, ledgerDataKey(k, "*"), func(e entry) error {
		i, err := parseLedgerInstance(e)
		if err == nil {
			all = append(all, i)
		}
		return nil
	})
	return all, err
}

// SetLedgerData gives a ledger other data for a scope, and returns what it holds
// then. change gets the data so far, nil for none, and returns the new; its error
// is returned as it is, and nothing changes. Times never go back: updated is moved
// behind the last if need be, by a millisecond, because devices compare.
func (s *Store) SetLedgerData(ctx context.Context, k LedgerKey, scope string, updated time.Time, change func(old json.RawMessage) (json.RawMessage, error)) (*LedgerInstance, error) {
	if !validKey(scope) {
		return nil, fmt.Errorf("ledger %s: %w", k, ErrNotFound)
	}
	for try := 1; ; try++ {
		i, err := s.LedgerInstance(ctx, k, scope)
		if errors.Is(err, ErrNotFound) {
			i, err = &LedgerInstance{Scope: scope, Created: updated}, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := change(i.Data)
		if err != nil {
			return nil, err
		}
		if len(data) > LedgerDataMax {
			return nil, fmt.Errorf("ledger data of %d bytes: %w", len(data), ErrTooLarge)
		}
		i.become(data, updated)
		value, err := json.Marshal(document[LedgerInstance]{ledgerInstanceVersion, *i})
		if err != nil {
			return nil, fmt.Errorf("ledger %s: %w", k, err)
		}
		i.Revision, err = s.put(ctx, write{
			bucket: bucketLedgerData, key: ledgerDataKey(k, scope), value: value, cas: true, expect: i.Revision,
		})
		switch {
		case err == nil:
			return i, nil
		case !isConflict(err) || try == updateTries:
			return nil, fmt.Errorf("ledger %s: %w", k, err)
		}
	}
}

func (i *LedgerInstance) become(data json.RawMessage, updated time.Time) {
	updated = updated.UTC().Truncate(time.Millisecond)
	if i.Data != nil {
		i.Versions = append([]LedgerVersion{i.LedgerVersion}, i.Versions...)
		i.Versions = i.Versions[:min(len(i.Versions), ledgerVersionsMax)]
		if !updated.After(i.Updated) {
			updated = i.Updated.Add(time.Millisecond)
		}
	}
	i.LedgerVersion = LedgerVersion{data, updated}
}

// RemoveLedgerData forgets what a ledger holds for a scope.
func (s *Store) RemoveLedgerData(ctx context.Context, k LedgerKey, scope string) error {
	if !validKey(scope) {
		return nil
	}
	if _, err := s.put(ctx, write{bucket: bucketLedgerData, key: ledgerDataKey(k, scope), delete: true}); err != nil {
		return fmt.Errorf("ledger %s: %w", k, err)
	}
	return nil
}
