package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	if id, ok := s.names[a.name()]; ok && id != a.ID {
		s.mu.Unlock()
		return fmt.Errorf("account %s: %w", a.ID, ErrNameTaken)
	}
	s.names[a.name()] = a.ID
	s.mu.Unlock()

	value, err := json.Marshal(accountRecord{Version: accountVersion, Account: *a})
	if err == nil {
		a.Revision, err = s.put(ctx, write{bucket: bucketAccounts, key: a.ID.String(), value: value})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.accounts[a.ID]
	if err != nil {
		if old == nil || old.name() != a.name() {
			delete(s.names, a.name())
		}
		return fmt.Errorf("account %s: %w", a.ID, err)
	}
	if old != nil && old.name() != a.name() {
		delete(s.names, old.name())
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
func (s *Store) AccountByName(name string) (Account, bool) { return s.accountNamed(username{0, name}) }

// CustomerByName returns the customer of a product with the given user name. It
// answers from memory.
func (s *Store) CustomerByName(p ProductID, name string) (Account, bool) {
	return s.accountNamed(username{p, name})
}

// Customers returns the customers of a product, in the order of their user names.
// It looks at all accounts, in memory.
func (s *Store) Customers(p ProductID) []Account {
	var all []Account
	for _, a := range s.Accounts() {
		if a.Customer == p {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b Account) int { return strings.Compare(a.Username, b.Username) })
	return all
}

// RemoveAccount forgets an account, its password and its tokens. What it owned is
// nobody's afterwards only if the caller sees to that first.
func (s *Store) RemoveAccount(ctx context.Context, id AccountID) error {
	// The account first: without it neither password nor token is good.
	if _, err := s.put(ctx, write{bucket: bucketAccounts, key: id.String(), delete: true}); err != nil {
		return fmt.Errorf("removing account %s: %w", id, err)
	}
	s.mu.Lock()
	if a := s.accounts[id]; a != nil {
		delete(s.names, a.name())
		delete(s.accounts, id)
	}
	s.mu.Unlock()
	if _, err := s.put(ctx, write{bucket: bucketUsers, key: id.String(), delete: true}); err != nil {
		return fmt.Errorf("removing the password of account %s: %w", id, err)
	}
	tokens, err := s.Tokens(ctx, id)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if err := s.RemoveToken(ctx, t.Hash); err != nil {
			return err
		}
	}
	return nil
}

// A username is unique among the customers of one product, and among those who
// are nobody's customers.
type username struct {
	product ProductID
	name    string
}

func (a *Account) name() username { return username{a.Customer, a.Username} }

func (s *Store) accountNamed(name username) (Account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[s.names[name]]; a != nil && a.name() == name {
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
