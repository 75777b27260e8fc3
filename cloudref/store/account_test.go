package store

import (
	"strings"
	"testing"
	"time"
)

func TestAccounts(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		a := &Account{ID: alice, Username: "alice@example.com"}
		x.want(nil, x.PutAccount(x.ctx, a))
		x.want(ErrNameTaken, x.PutAccount(x.ctx, &Account{ID: bob, Username: a.Username}))
		x.want(nil, x.PutAccount(x.ctx, &Account{ID: bob, Username: "bob@example.com"}))
		a.Username = "alice@example.org"
		x.want(nil, x.PutAccount(x.ctx, a))
		x.want(nil, x.PutAccount(x.ctx, &Account{ID: AccountID{9}, Username: "alice@example.com"}))
		x.restart()
		if got, ok := x.AccountByName("alice@example.org"); !ok || got.ID != alice {
			x.Errorf("got %v, %v", got, ok)
		}
		if got, ok := x.AccountByName("alice@example.com"); !ok || got.ID != (AccountID{9}) {
			x.Errorf("got %v, %v", got, ok)
		}
		if _, ok := x.AccountByName("nobody"); ok {
			x.Error("nobody has an account")
		}
		if got, ok := x.Account(bob); !ok || got.Username != "bob@example.com" {
			x.Errorf("got %v, %v", got, ok)
		}
		if n := len(x.Accounts()); n != 3 {
			x.Errorf("got %d accounts, want 3", n)
		}
	})
}

func (x *storeTest) claim(code string, n int, now time.Time) (AccountID, error) {
	type result struct {
		account AccountID
		err     error
	}
	got := make(chan result, 1)
	x.Claim(code, deviceID(n), now, func(a AccountID, err error) { got <- result{a, err} })
	r := <-got
	return r.account, r.err
}

func TestClaim(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		now := time.Now()
		x.want(nil, x.Do(x.ctx, PutDevice(device(1)), PutDevice(device(2))))
		code, err := NewClaimCode(strings.NewReader(strings.Repeat("seed", 12)))
		x.want(nil, err)
		if len(code) != 63 {
			x.Fatalf("got a code of %d characters, want 63", len(code))
		}
		x.want(nil, x.PutClaimCode(x.ctx, code, alice, now.Add(time.Hour)))
		x.want(ErrConflict, x.PutClaimCode(x.ctx, code, bob, now.Add(time.Hour)))

		_, err = x.claim(code, 1, now.Add(2*time.Hour))
		x.want(ErrCodeExpired, err)
		_, err = x.claim(strings.Repeat("x", 63), 1, now)
		x.want(ErrCodeUnknown, err)
		_, err = x.claim(code, 3, now)
		x.want(ErrUnknownDevice, err)

		a, err := x.claim(code, 1, now)
		x.want(nil, err)
		if got, _ := x.Identity(deviceID(1)); a != alice || got.Owner != alice {
			x.Errorf("device 1 belongs to %v, the call said %v, want alice", got.Owner, a)
		}
		x.restart()
		_, err = x.claim(code, 2, now)
		x.want(ErrCodeUsed, err)
		// The device did not hear the answer and asks again.
		a, err = x.claim(code, 1, now)
		x.want(nil, err)
		if a != alice {
			x.Errorf("got %v, want alice", a)
		}
		d, err := x.Device(x.ctx, deviceID(1))
		x.want(nil, err)
		if d.Claimed.Unix() != now.Unix() {
			x.Errorf("claimed at %v, want %v", d.Claimed, now)
		}
	})
}
