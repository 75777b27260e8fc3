package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

const accountVersion = 1

type accountRecord struct {
	Version int `json:"v"`
	Account
}

// PutAccount creates or replaces an account. It fails with [ErrNameTaken] if
// another has the user name. On success it sets a.Revision.
func (s *Store) PutAccount(ctx context.Context, a *Account) error {
	s.mu.Lock()
	if id, ok := s.names[a.Username]; ok && id != a.ID {
		s.mu.Unlock()
		return fmt.Errorf("account %s: %w", a.ID, ErrNameTaken)
	}
	s.names[a.Username] = a.ID
	s.mu.Unlock()

	value, err := json.Marshal(accountRecord{Version: accountVersion, Account: *a})
	if err == nil {
		a.Revision, err = s.put(ctx, write{bucket: bucketAccounts, key: a.ID.String(), value: value})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.accounts[a.ID]
	if err != nil {
		if old == nil || old.Username != a.Username {
			delete(s.names, a.Username)
		}
		return fmt.Errorf("account %s: %w", a.ID, err)
	}
	if old != nil && old.Username != a.Username {
		delete(s.names, old.Username)
	}
	stored := *a
	s.accounts[a.ID] = &stored
	return nil
}

// Account returns an account. It answers from memory.
func (s *Store) Account(id AccountID) (Account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[id]; a != nil {
		return *a, true
	}
	return Account{}, false
}

// AccountByName returns the account with the given user name. It answers from
// memory.
func (s *Store) AccountByName(name string) (Account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[s.names[name]]; a != nil && a.Username == name {
		return *a, true
	}
	return Account{}, false
}

// Accounts returns all accounts in the order of their ids. It answers from
// memory.
func (s *Store) Accounts() []Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Account, 0, len(s.accounts))
	for _, a := range s.accounts {
		all = append(all, *a)
	}
	slices.SortFunc(all, func(a, b Account) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return all
}

func parseAccount(e entry) (*Account, error) {
	id, err := ParseAccountID(e.key)
	if err != nil {
		return nil, err
	}
	var r accountRecord
	if err := json.Unmarshal(e.value, &r); err != nil {
		return nil, fmt.Errorf("store: account record: %w", err)
	}
	if r.Version > accountVersion {
		return nil, fmt.Errorf("store: account record of version %d: %w", r.Version, ErrNewer)
	}
	a := r.Account
	a.ID, a.Revision = id, e.revision
	return &a, nil
}
