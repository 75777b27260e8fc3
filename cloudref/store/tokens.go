package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const tokenVersion = 1

// tokenGrace is how long a token that expired is kept, so that whoever still
// uses it is told that it expired rather than that there is no such token.
const tokenGrace = 30 * 24 * time.Hour

// TokensMax bounds the tokens of one account, those to refresh others included. It
// is far above what people's programs leave behind that log in at every run: a token
// goes when it is revoked, and soon after it expired.
const TokensMax = 20_000

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

// AddTokens makes tokens of one account, all that are given. The error is
// [ErrTooMany] if the account would have more than [TokensMax] that did not expire.
func (s *Store) AddTokens(ctx context.Context, now time.Time, tokens ...*Token) error {
	account := tokens[0].Account
	release, err := s.tokens.hold(account, len(tokens), TokensMax)
	if errors.Is(err, ErrTooMany) {
		if err = s.removeExpired(ctx, account, now); err == nil {
			release, err = s.tokens.hold(account, len(tokens), TokensMax)
		}
	}
	if err != nil {
		return fmt.Errorf("token of account %s: %w", account, err)
	}
	defer release()
	for _, t := range tokens {
		if err := s.PutToken(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// removeExpired forgets the tokens of an account that expired, unless that was
// lately found to free nothing: who is refused may try often, and it reads them all.
func (s *Store) removeExpired(ctx context.Context, a AccountID, now time.Time) error {
	s.mu.Lock()
	last, tried := s.sweptTokens[a]
	if tried && now.Sub(last) < tokenSweep && now.After(last) {
		s.mu.Unlock()
		return nil
	}
	if len(s.sweptTokens) >= sweptMax {
		clear(s.sweptTokens)
	}
	s.sweptTokens[a] = now
	s.mu.Unlock()
	tokens, err := s.Tokens(ctx, a)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.Expired(now) {
			if err := s.RemoveToken(ctx, t.Hash); err != nil {
				return err
			}
		}
	}
	return nil
}

// tokenSweep is how often the tokens of a full account are looked through, and
// sweptMax how many such accounts are remembered.
const (
	tokenSweep = time.Minute
	sweptMax   = 1 << 12
)

// PutToken creates or replaces a token. On success it sets t.Revision.
func (s *Store) PutToken(ctx context.Context, t *Token) error {
	value, err := json.Marshal(tokenRecord{Version: tokenVersion, Owner: t.Account.String(), Token: *t})
	if err == nil {
		t.Revision, err = s.put(ctx, write{bucket: bucketTokens, key: t.Hash.String(), value: value})
	}
	if err != nil {
		return fmt.Errorf("token of account %s: %w", t.Account, err)
	}
	s.tokens.note(t.Hash, t.Account, t.Revision)
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
	r, err := s.put(ctx, write{bucket: bucketTokens, key: h.String(), delete: true})
	if err != nil {
		return fmt.Errorf("removing a token: %w", err)
	}
	s.tokens.drop(h, r)
	return nil
}

// Tokens returns the tokens of an account, oldest first.
func (s *Store) Tokens(ctx context.Context, a AccountID) ([]*Token, error) {
	hashes := s.tokens.of(a)
	keys := make([]string, 0, len(hashes))
	for _, h := range hashes {
		keys = append(keys, h.String())
	}
	var all []*Token
	err := s.readAll(ctx, bucketTokens, keys, func(e entry) error {
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

// loadTokens finds out whose the tokens are, and removes those that expired long ago.
func (s *Store) loadTokens(ctx context.Context) error {
	now := s.backend.now()
	err := s.backend.scan(ctx, bucketTokens, ">", func(e entry) error {
		t, err := parseToken(e)
		switch {
		case err != nil:
			s.count(func(r *Report) { r.Unreadable++ })
		case t.Expired(now.Add(-tokenGrace)):
			s.count(func(r *Report) { r.ExpiredToken++ })
			s.backend.write(write{bucket: bucketTokens, key: e.key, delete: true}, func(Revision, error) {})
		default:
			s.tokens.note(t.Hash, t.Account, t.Revision)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.watch(ctx, bucketTokens, s.learnToken)
}

// learnToken takes in a token as somebody wrote it.
func (s *Store) learnToken(e entry, deleted bool) {
	if deleted {
		if hash, err := ParseImageID(e.key); err == nil {
			s.tokens.drop(TokenHash(hash), e.revision)
		}
		return
	}
	if t, err := parseToken(e); err == nil {
		s.tokens.note(t.Hash, t.Account, t.Revision)
	}
}
