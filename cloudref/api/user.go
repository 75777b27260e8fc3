package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/muster/muster/cloudref/store"
)

// Limits of what people say of themselves, in bytes.
const personNameMax = 256

var (
	// Not 401: the command-line tool would ask to log in again.
	errOwnPassword = refuseList(http.StatusForbidden, "The password is not right.")
	errNewPassword = refuseList(http.StatusBadRequest, fmt.Sprintf("A password has 1 to %d bytes.", passwordMax))
	errNothingOwn  = refuseList(http.StatusBadRequest,
		"Nothing to do: give account_info, or current_password with username or password.")
)

// identify answers GET /v1/user/identify.
func (s *Server) identify(q *request) (any, error) {
	answer := object{"id": q.account.String(), "email": s.usernameOf(q.account)}
	if q.query("tracking") == "1" {
		return answer, nil
	}
	u, err := s.userOf(q)
	if err != nil {
		return nil, err
	}
	answer["account_info"] = personObject(u)
	return answer, nil
}

// userOf returns the user of the request, empty for an account without one.
func (s *Server) userOf(q *request) (*store.User, error) {
	u, err := s.store.User(q.Context(), q.account)
	if errors.Is(err, store.ErrNotFound) {
		return &store.User{Account: q.account}, nil
	}
	return u, err
}

func personObject(u *store.User) object {
	return object{
		"first_name": u.FirstName, "last_name": u.LastName,
		"company_name": u.Company, "business_account": u.Business,
	}
}

// changeUser answers PUT /v1/user: account_info, or with current_password another
// username or password, and invalidate_tokens.
func (s *Server) changeUser(q *request) (any, error) {
	name, password := strings.ToLower(q.body.text("username")), q.body.text("password")
	rename, rekey := q.body.has("username"), q.body.has("password")
	switch {
	case !rename && !rekey && !q.body.has("account_info"):
		return nil, errNothingOwn
	case rename && !validUsername(name):
		return nil, refuseList(http.StatusBadRequest, "username must be an email address")
	case rekey && (password == "" || len(password) > passwordMax):
		return nil, errNewPassword
	}
	u, err := s.userOf(q)
	if err != nil {
		return nil, err
	}
	if rename || rekey {
		if err := s.proveOwnPassword(q, u, q.body.text("current_password")); err != nil {
			return nil, err
		}
	}
	if err := describePerson(u, q.body.object("account_info")); err != nil {
		return nil, err
	}
	// The name first: only that can be refused yet.
	if rename {
		if err := s.renameUser(q, name); err != nil {
			return nil, err
		}
	}
	if rekey {
		if u.PasswordHash, err = s.hashPassword(q.Context(), password); err != nil {
			return nil, err
		}
	}
	if rekey || q.body.has("account_info") {
		if err := s.store.PutUser(q.Context(), u); err != nil {
			return nil, err
		}
	}
	if (rename || rekey) && q.body.flag("invalidate_tokens") {
		if _, err := s.dropTokens(q); err != nil {
			return nil, err
		}
	}
	return object{"ok": true, "message": "User account updated"}, nil
}

// proveOwnPassword refuses what only somebody who knows the password may do: a token
// alone, found somewhere, is not enough to take an account over.
func (s *Server) proveOwnPassword(q *request, u *store.User, password string) error {
	ok := false
	if len(password) <= passwordMax {
		var err error
		if ok, err = s.checkPassword(q.Context(), u.PasswordHash, password); err != nil {
			return err
		}
	}
	if !ok {
		return errOwnPassword
	}
	return nil
}

// renameUser gives the account of the request another name.
func (s *Server) renameUser(q *request, name string) error {
	a, known := s.store.Account(q.account)
	if !known {
		return errTokenUnknown
	}
	a.Username = name
	err := s.store.PutAccount(q.Context(), &a)
	if errors.Is(err, store.ErrNameTaken) {
		return refuseList(http.StatusBadRequest, "username must be unique")
	}
	return err
}

// describePerson takes what people say of themselves, as far as they say it.
func describePerson(u *store.User, info body) error {
	for name, field := range map[string]*string{
		"first_name": &u.FirstName, "last_name": &u.LastName, "company_name": &u.Company,
	} {
		if !info.has(name) {
			continue
		}
		text := strings.TrimSpace(info.text(name))
		if len(text) > personNameMax {
			return refuseList(http.StatusBadRequest, fmt.Sprintf("%s has at most %d bytes.", name, personNameMax))
		}
		*field = text
	}
	if info.has("business_account") {
		u.Business = info.flag("business_account")
	}
	return nil
}

// dropUser answers DELETE /v1/user: with the password, the account and what is its
// own is forgotten, and its devices are nobody's.
//
// The account goes last: if the cloud dies meanwhile, it can be asked again.
func (s *Server) dropUser(q *request) (any, error) {
	u, err := s.userOf(q)
	if err != nil {
		return nil, err
	}
	if err := s.proveOwnPassword(q, u, q.body.text("password")); err != nil {
		return nil, err
	}
	if products := s.store.ProductsOf(q.account); len(products) > 0 {
		names := []string{}
		for _, p := range products {
			names = append(names, fmt.Sprintf("%s (%s)", p.Name, p.ID))
		}
		slices.Sort(names)
		return nil, refuseList(http.StatusBadRequest,
			"This account owns products, which would be nobody's: "+strings.Join(names, ", ")+". Change its name and password instead.")
	}
	for _, forget := range []func(*request) error{s.freeDevices, s.dropOwnHooks, s.dropOwnLedgers, s.dropOwnClients} {
		if err := forget(q); err != nil {
			return nil, err
		}
	}
	if err := s.store.RemoveAccount(q.Context(), q.account); err != nil {
		return nil, err
	}
	// What was claimed meanwhile.
	return object{"ok": true}, s.freeDevices(q)
}

// freeDevices makes the devices of the account nobody's.
func (s *Server) freeDevices(q *request) error { return s.freeDevicesOf(q, q.account) }

func (s *Server) freeDevicesOf(q *request, a store.AccountID) error {
	for _, id := range s.store.DevicesOf(a) {
		_, err := s.update(q, id, func(d *store.Device) error {
			if d.Owner == a {
				d.Owner = store.AccountID{}
			}
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		s.cloud.OwnerChanged(id)
	}
	return nil
}

func (s *Server) dropOwnHooks(q *request) error {
	for _, h := range s.store.HooksOf(q.account) {
		if err := s.store.RemoveHook(q.Context(), h.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (s *Server) dropOwnClients(q *request) error {
	clients, err := s.store.Clients(q.Context(), q.account)
	if err != nil {
		return err
	}
	for _, c := range clients {
		if err := s.store.RemoveClient(q.Context(), c.ID); err != nil {
			return err
		}
	}
	return nil
}

// dropOwnLedgers forgets what the ledgers of the account hold, and archives them.
func (s *Server) dropOwnLedgers(q *request) error {
	for _, l := range s.store.LedgersOf(store.LedgerOwner{Account: q.account}) {
		if _, err := s.updateLedger(q, l.Key, func(l *store.Ledger) error { l.Archived = true; return nil }); err != nil {
			return err
		}
		instances, err := s.store.LedgerInstances(q.Context(), l.Key)
		if err != nil {
			return err
		}
		for _, i := range instances {
			if err := s.store.RemoveLedgerData(q.Context(), l.Key, i.Scope); err != nil {
				return err
			}
		}
	}
	return nil
}
