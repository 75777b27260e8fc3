package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestUsers(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		_, err := x.User(x.ctx, alice)
		x.want(ErrNotFound, err)
		u := &User{Account: alice, PasswordHash: "$argon2id$…", FirstName: "Alice"}
		x.want(nil, x.PutUser(x.ctx, u))
		x.restart()
		got, err := x.User(x.ctx, alice)
		x.want(nil, err)
		if *got != *u {
			x.Errorf("got %+v, want %+v", got, u)
		}
	})
}

func TestTokens(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		now := time.Now()
		first := &Token{Hash: HashToken("first"), Account: alice, Kind: AccessToken, Client: "particle", Created: now, Hint: "irst"}
		stale := &Token{Hash: HashToken("stale"), Account: alice, Kind: RefreshToken, Expires: now.Add(-time.Minute)}
		other := &Token{Hash: HashToken("other"), Account: bob, Kind: AccessToken}
		for _, token := range []*Token{first, stale, other} {
			x.want(nil, x.PutToken(x.ctx, token))
		}
		x.restart()
		got, err := x.Token(x.ctx, HashToken("first"))
		x.want(nil, err)
		if got.Account != alice || got.Client != "particle" || got.Hash != first.Hash || got.Expired(now.Add(time.Hour)) {
			x.Errorf("got %+v, want %+v", got, first)
		}
		if got, err := x.Token(x.ctx, HashToken("stale")); err != nil || !got.Expired(now) {
			x.Errorf("got %+v, %v; want an expired token", got, err)
		}
		list, err := x.Tokens(x.ctx, alice)
		x.want(nil, err)
		if len(list) != 2 || list[0].Hash != first.Hash {
			x.Errorf("alice has %d tokens, want 2", len(list))
		}
		x.want(nil, x.RemoveToken(x.ctx, first.Hash))
		x.want(nil, x.RemoveToken(x.ctx, first.Hash))
		_, err = x.Token(x.ctx, first.Hash)
		x.want(ErrNotFound, err)
	})
}

// Tokens that expired long ago go when the store opens.
func TestOldTokensAreSwept(t *testing.T) {
	x := openTest(t, Config{Dir: t.TempDir()})
	old := &Token{Hash: HashToken("old"), Account: alice, Expires: time.Now().Add(-2 * tokenGrace)}
	x.want(nil, x.PutToken(x.ctx, old))
	x.restart()
	if got := x.Report().ExpiredToken; got != 1 {
		t.Errorf("%d tokens were swept, want 1", got)
	}
	_, err := x.Token(x.ctx, old.Hash)
	x.want(ErrNotFound, err)
}

// No secret lies in what is stored.
func TestTokensAreHashed(t *testing.T) {
	s := NewMemory()
	const secret = "c0ffee0000000000000000000000000000000000"
	if err := s.PutToken(t.Context(), &Token{Hash: HashToken(secret), Account: alice}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutClient(t.Context(), &Client{ID: "mine-1", Account: alice, SecretHash: HashToken(secret)}); err != nil {
		t.Fatal(err)
	}
	for _, b := range s.backend.(*memory).buckets {
		for key, e := range b.entries {
			if strings.Contains(key+string(e.value), secret) {
				t.Errorf("%s holds the secret", key)
			}
		}
	}
}

func TestClients(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		c := &Client{ID: "brewer-1234", Account: alice, Name: "brewer", Type: "installed", SecretHash: HashToken("secret")}
		x.want(nil, x.PutClient(x.ctx, c))
		x.restart()
		got, err := x.Client(x.ctx, c.ID)
		x.want(nil, err)
		if got.Account != alice || got.Name != "brewer" || got.SecretHash != c.SecretHash {
			x.Errorf("got %+v, want %+v", got, c)
		}
		for _, id := range []string{"nobody", "", ">", "brewer-1234.x", "*"} {
			_, err = x.Client(x.ctx, id)
			x.want(ErrNotFound, err)
		}
		list, err := x.Clients(x.ctx, bob)
		x.want(nil, err)
		if len(list) != 0 {
			x.Errorf("bob has %d clients, want none", len(list))
		}
		x.want(nil, x.RemoveClient(x.ctx, c.ID))
		_, err = x.Client(x.ctx, c.ID)
		x.want(ErrNotFound, err)
	})
}

// An account has at most so many tokens; those that expired make room. Others have
// room all the time.
func TestTheTokensOfAnAccountAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of tokens, one after another")
	}
	s := NewMemory()
	defer s.Close()
	x := &storeTest{T: t, Store: s, ctx: t.Context()}
	now := time.Now()
	token := func(a AccountID, n int, life time.Duration) *Token {
		return &Token{Hash: HashToken(fmt.Sprint(a, n)), Account: a, Kind: AccessToken, Created: now, Expires: now.Add(life)}
	}
	for n := range TokensMax {
		x.want(nil, x.AddTokens(x.ctx, now, token(alice, n, time.Duration(n%2)*time.Hour)))
	}
	x.want(ErrTooMany, x.AddTokens(x.ctx, now, token(alice, TokensMax, time.Hour)))
	x.want(nil, x.AddTokens(x.ctx, now, token(bob, 0, time.Hour), token(bob, 1, time.Hour)))
	later := now.Add(2 * tokenSweep)
	x.want(nil, x.AddTokens(x.ctx, later, token(alice, TokensMax, time.Hour)))
	list, err := x.Tokens(x.ctx, alice)
	x.want(nil, err)
	if len(list) != TokensMax/2+1 {
		t.Errorf("%d tokens are left, want %d", len(list), TokensMax/2+1)
	}
	for _, token := range list {
		if token.Expired(later) {
			t.Fatal("a token that expired is left")
		}
	}
}

// Of writes at once not one more succeeds than there is room for.
func TestTheClientsOfAnAccountAreBounded(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		var refused atomic.Int32
		var done sync.WaitGroup
		for worker := range 4 {
			done.Go(func() {
				for n := range ClientsMax/4 + 1 {
					err := x.AddClient(x.ctx, &Client{ID: fmt.Sprintf("c-%d-%d", worker, n), Account: alice})
					switch {
					case errors.Is(err, ErrTooMany):
						refused.Add(1)
					case err != nil:
						t.Error(err)
					}
				}
			})
		}
		done.Wait()
		x.restart()
		list, err := x.Clients(x.ctx, alice)
		x.want(nil, err)
		// A write under way holds its place until it is noted: for a moment twice.
		if len(list) > ClientsMax || len(list) < ClientsMax-8 || int(refused.Load())+len(list) != ClientsMax+4 {
			t.Errorf("%d clients and %d refused, want %d and 4", len(list), refused.Load(), ClientsMax)
		}
		x.want(nil, x.AddClient(x.ctx, &Client{ID: "bobs", Account: bob}))
		x.want(nil, x.RemoveClient(x.ctx, list[0].ID))
		x.want(nil, x.AddClient(x.ctx, &Client{ID: "one-more", Account: alice}))
	})
}
