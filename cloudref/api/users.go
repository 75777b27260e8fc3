package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/muster/muster/cloudref/store"
)

// usernameMax bounds a user name, in bytes: the longest e-mail address.
const usernameMax = 254

// A loginResult says what became of a login.
type loginResult uint8

const (
	loggedIn loginResult = iota
	unknownUser
	wrongPassword
)

// login checks the user name and the password of a customer of a product, zero for
// those who are nobody's customers. It takes as long for a name that does not exist
// as for one that does.
func (s *Server) login(ctx context.Context, product store.ProductID, name, password string) (store.AccountID, loginResult, error) {
	if len(password) > passwordMax {
		return store.AccountID{}, wrongPassword, nil
	}
	a, known := s.store.CustomerByName(product, name)
	if !known && product == 0 {
		a, known = s.accountOf(name)
	}
	hash := ""
	if known {
		u, err := s.store.User(ctx, a.ID)
		switch {
		case err == nil:
			hash = u.PasswordHash
		case !errors.Is(err, store.ErrNotFound):
			return store.AccountID{}, 0, err
		}
	}
	ok, err := s.checkPassword(ctx, hash, password)
	switch {
	case err != nil:
		return store.AccountID{}, 0, err
	case !known:
		return store.AccountID{}, unknownUser, nil
	case !ok:
		return store.AccountID{}, wrongPassword, nil
	}
	return a.ID, loggedIn, nil
}

// accountOf finds an account by user name. People write their addresses with
// capitals or without.
func (s *Server) accountOf(name string) (store.Account, bool) {
	if a, known := s.store.AccountByName(name); known {
		return a, true
	}
	return s.store.AccountByName(strings.ToLower(name))
}

// CreateUser makes an account that can log in with a password. The error is
// store.ErrNameTaken if there is one of that name.
func (s *Server) CreateUser(ctx context.Context, name, password string) (store.AccountID, error) {
	return s.createUser(ctx, name, password, nil)
}

func (s *Server) createUser(ctx context.Context, name, password string, info body) (store.AccountID, error) {
	if _, taken := s.accountOf(name); taken {
		return store.AccountID{}, store.ErrNameTaken
	}
	a := &store.Account{Username: strings.ToLower(name), Created: s.c.Now().UTC()}
	if _, err := rand.Read(a.ID[:]); err != nil {
		return a.ID, fmt.Errorf("api: making an account: %w", err)
	}
	hash, err := s.hashPassword(ctx, password)
	if err != nil {
		return a.ID, err
	}
	u := &store.User{
		Account: a.ID, PasswordHash: hash,
		FirstName: info.text("first_name"), LastName: info.text("last_name"),
		Company: info.text("company_name"), Business: info.flag("business_account"),
	}
	// The password first: an account without one could never log in, and its
	// name would be taken.
	if err := s.store.PutUser(ctx, u); err != nil {
		return a.ID, err
	}
	return a.ID, s.store.PutAccount(ctx, a)
}

// SetPassword gives an account a password. It is for the operator of the cloud.
func (s *Server) SetPassword(ctx context.Context, account store.AccountID, password string) error {
	u, err := s.store.User(ctx, account)
	if errors.Is(err, store.ErrNotFound) {
		u, err = &store.User{Account: account}, nil
	}
	if err != nil {
		return err
	}
	if u.PasswordHash, err = s.hashPassword(ctx, password); err != nil {
		return err
	}
	return s.store.PutUser(ctx, u)
}

func validUsername(name string) bool {
	return name != "" && len(name) <= usernameMax && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' })
}

// signUp answers POST /v1/users.
func (s *Server) signUp(q *request) (any, error) {
	name, password := q.body.text("username"), q.body.text("password")
	switch {
	case s.c.NoSignUp:
		return nil, refuseList(http.StatusForbidden, "This cloud makes no accounts by itself. Ask its operator.")
	case !validUsername(name):
		return nil, refuseList(http.StatusBadRequest, "username must be an email address")
	case password == "" || len(password) > passwordMax:
		return nil, refuseList(http.StatusBadRequest, "password is required")
	}
	_, err := s.createUser(q.Context(), name, password, q.body.object("account_info"))
	if errors.Is(err, store.ErrNameTaken) {
		return nil, refuseList(http.StatusBadRequest, "username must be unique")
	}
	if err != nil {
		return nil, err
	}
	return object{"ok": true}, nil
}

// user answers GET /v1/user.
func (s *Server) user(q *request) (any, error) {
	u, err := s.userOf(q)
	if err != nil {
		return nil, err
	}
	devices, err := s.devicesOf(q.Context(), q.account)
	if err != nil {
		return nil, err
	}
	cellular := 0
	for _, d := range devices {
		if s.platformOf(d, s.cloud.Status(d.ID)).Cellular() {
			cellular++
		}
	}
	return object{
		"username": s.usernameOf(q.account), "subscription_ids": []string{},
		"account_info": personObject(u),
		"mfa":          object{"enabled": false}, "scim_provisioned": false, "tos": 1, "memberships": []object{}, "no_password": u.PasswordHash == "",
		"wifi_device_count": len(devices) - cellular, "cellular_device_count": cellular,
	}, nil
}

func (s *Server) usernameOf(a store.AccountID) string {
	account, _ := s.store.Account(a)
	return account.Username
}
