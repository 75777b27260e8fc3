package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

const tokenVersion = 1

// tokenGrace is how long a token that expired is kept, so that whoever still
// uses it is told that it expired rather than that there is no such token.
const tokenGrace = 30 * 24 * time.Hour

// A TokenHash is the SHA-256 of a token. Tokens are random and long, so that
// nothing slower is needed; who reads the disk cannot use them.
type TokenHash [sha256.Size]byte

// HashToken returns the hash under which a token is stored.
func HashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

// String returns the hash as 64 hexadecimal digits.
func (h TokenHash) String() string { return hex.EncodeToString(h[:]) }

// A TokenKind says what a token is good for.
type TokenKind string

// The kinds of token.
const (
	AccessToken  TokenKind = "access"
	RefreshToken TokenKind = "refresh"
)

// A Token is a bearer token of an account. The token itself is not stored.
type Token struct {
	Hash    TokenHash `json:"-"`
	Account AccountID `json:"-"`
	Kind    TokenKind `json:"kind"`
	Client  string    `json:"client"` // the OAuth client that asked for it
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	// Product bounds the token to the routes of one product; zero: it is good for
	// all of the account.
	Product ProductID `json:"product,omitempty"`
	// Hint is the end of the token, so that people can tell theirs apart.
	Hint string `json:"hint,omitempty"`

	Revision Revision `json:"-"`
}

// Expired reports whether the token is past its time.
func (t *Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && now.After(t.Expires) }

type tokenRecord struct {
	Version int    `json:"v"`
	Owner   string `json:"account"`
	Token
}

// PutToken creates or replaces a token. On success it sets t.Revision.
func (s *Store) PutToken(ctx context.Context, t *Token) error {
	value, err := json.Marshal(tokenRecord{Version: tokenVersion, Owner: t.Account.String(), Token: *t})
	if err == nil {
		t.Revision, err = s.put(ctx, write{bucket: bucketTokens, key: t.Hash.String(), value: value})
	}
	if err != nil {
		return fmt.Errorf("token of account %s: %w", t.Account, err)
	}
	return nil
}

// Token returns the token with the given hash, expired or not. The error is
// [ErrNotFound] if there is none.
func (s *Store) Token(ctx context.Context, h TokenHash) (*Token, error) {
	e, err := s.get(ctx, bucketTokens, h.String())
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return parseToken(e)
}

// RemoveToken forgets a token. There may be none.
func (s *Store) RemoveToken(ctx context.Context, h TokenHash) error {
	if _, err := s.put(ctx, write{bucket: bucketTokens, key: h.String(), delete: true}); err != nil {
		return fmt.Errorf("removing a token: %w", err)
	}
	return nil
}

// Tokens returns the tokens of an account, oldest first. It reads those of all
// accounts.
func (s *Store) Tokens(ctx context.Context, a AccountID) ([]*Token, error) {
	var all []*Token
	err := s.backend.scan(ctx, bucketTokens, ">", func(e entry) error {
		if t, err := parseToken(e); err == nil && t.Account == a {
			all = append(all, t)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tokens of account %s: %w", a, err)
	}
	return all, nil
}

func parseToken(e entry) (*Token, error) {
	var r tokenRecord
	if err := json.Unmarshal(e.value, &r); err != nil {
		return nil, fmt.Errorf("store: token record: %w", err)
	}
	if r.Version > tokenVersion {
		return nil, fmt.Errorf("store: token record of version %d: %w", r.Version, ErrNewer)
	}
	t := r.Token
	t.Revision = e.revision
	var err error
	if t.Account, err = ParseAccountID(r.Owner); err != nil {
		return nil, fmt.Errorf("store: token record: %w", err)
	}
	hash, err := ParseImageID(e.key) // 64 hexadecimal digits too
	if err != nil {
		return nil, fmt.Errorf("store: token record: %w", err)
	}
	t.Hash = TokenHash(hash)
	return &t, nil
}

// loadTokens removes tokens that expired long ago.
func (s *Store) loadTokens(ctx context.Context) error {
	now := s.backend.now()
	return s.backend.scan(ctx, bucketTokens, ">", func(e entry) error {
		t, err := parseToken(e)
		switch {
		case err != nil:
			s.count(func(r *Report) { r.Unreadable++ })
		case t.Expired(now.Add(-tokenGrace)):
			s.count(func(r *Report) { r.ExpiredToken++ })
			s.backend.write(write{bucket: bucketTokens, key: e.key, delete: true}, func(Revision, error) {})
		}
		return nil
	})
}
