package store

import (
	"context"
	"encoding/json"
	"fmt"
)

const userVersion = 1

// A User is what the API knows of the person behind an account: the hash of the
// password, and what they said of themselves. It is stored apart from the
// [Account], which every node holds in memory.
type User struct {
	Account AccountID `json:"-"`

	// PasswordHash is opaque here; the API chooses its form. Empty: nobody can
	// log in with a password.
	PasswordHash string `json:"password_hash,omitempty"`

	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	Company   string `json:"company,omitempty"`
	Business  bool   `json:"business,omitempty"`

	Revision Revision `json:"-"`
}

type userRecord struct {
	Version int `json:"v"`
	User
}

// PutUser creates or replaces the user of an account, which need not exist yet.
// On success it sets u.Revision.
func (s *Store) PutUser(ctx context.Context, u *User) error {
	value, err := json.Marshal(userRecord{Version: userVersion, User: *u})
	if err == nil {
		u.Revision, err = s.put(ctx, write{bucket: bucketUsers, key: u.Account.String(), value: value})
	}
	if err != nil {
		return fmt.Errorf("user %s: %w", u.Account, err)
	}
	return nil
}

// User returns the user of an account. The error is [ErrNotFound] if it has none.
func (s *Store) User(ctx context.Context, a AccountID) (*User, error) {
	e, err := s.get(ctx, bucketUsers, a.String())
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", a, err)
	}
	var r userRecord
	if err := json.Unmarshal(e.value, &r); err != nil {
		return nil, fmt.Errorf("store: record of user %s: %w", a, err)
	}
	if r.Version > userVersion {
		return nil, fmt.Errorf("store: user record of version %d: %w", r.Version, ErrNewer)
	}
	u := r.User
	u.Account, u.Revision = a, e.revision
	return &u, nil
}
