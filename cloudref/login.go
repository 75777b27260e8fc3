package cloudref

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/store"
)

// The files with the password and the token of the first user, readable by their
// owner only. Each place where a state can be has its own: a run in memory leaves
// the login of the data directory alone.
const (
	fileLogin       = "login.txt"
	fileLoginMemory = "login-memory.txt"
	fileLoginNATS   = "login-nats.txt"
)

func (o *Options) loginFile() string {
	switch {
	case o.Memory:
		return filepath.Join(o.Dir, fileLoginMemory)
	case o.NATS != "":
		return filepath.Join(o.Dir, fileLoginNATS)
	default:
		return filepath.Join(o.Dir, fileLogin)
	}
}

// makeLogin gives an account without a password one, and a token that does not
// expire, which it returns, and writes both into a file. An account with a password
// stays as it is.
func (c *Cloud) makeLogin(ctx context.Context, rest *api.Server, account store.AccountID) (token string, err error) {
	u, err := c.store.User(ctx, account)
	if err == nil && u.PasswordHash != "" {
		return "", nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	if first, err := c.firstLogin(ctx); err != nil || !first {
		return "", err
	}
	token, err = rest.IssueToken(ctx, account, 0)
	if err != nil {
		return "", err
	}
	a, _ := c.store.Account(account)
	password := rand.Text()
	text := fmt.Sprintf("user: %s\npassword: %s\ntoken: %s\n", a.Username, password, token)
	if err := writeSecret(c.o.loginFile(), []byte(text)); err != nil {
		return "", fmt.Errorf("cloud: writing the login of the first user: %w", err)
	}
	// The password last: a cloud that dies before this makes a new login.
	if err := rest.SetPassword(ctx, account, password); err != nil {
		return "", err
	}
	return token, nil
}
