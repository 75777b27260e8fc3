package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/muster/muster/cloudref/store"
)

var errCustomer = refuse(http.StatusNotFound, "Customer not found")

// errCustomerGrant is the answer when a client asks for a customer who is not its
// product's.
var errCustomerGrant = &failure{http.StatusBadRequest, object{
	"error": "invalid_scope", "error_description": "Customer not found",
}}

// addCustomer answers POST /v1/products/:product/customers. The caller is the
// product's owner, by token, or a client of the product, by its secret. The answer
// is a token of the new customer.
func (s *Server) addCustomer(q *request) (any, error) {
	p, client, err := s.shop(q)
	if err != nil {
		return nil, err
	}
	email, password := q.body.text("email"), q.body.text("password")
	switch {
	case !validUsername(email):
		return nil, refuse(http.StatusBadRequest, "email must be an email address")
	case password == "" && !q.body.flag("no_password"), len(password) > passwordMax:
		return nil, refuse(http.StatusBadRequest, "password is required, or no_password")
	}
	a := &store.Account{Username: email, Customer: p.ID, Created: s.c.Now().UTC()}
	if _, err := rand.Read(a.ID[:]); err != nil {
		return nil, fmt.Errorf("api: making a customer: %w", err)
	}
	if password != "" {
		if err := s.SetPassword(q.Context(), a.ID, password); err != nil {
			return nil, err
		}
	}
	err = s.store.PutAccount(q.Context(), a)
	if errors.Is(err, store.ErrNameTaken) {
		return nil, refuse(http.StatusConflict, "There is a customer with that email address.")
	}
	if err != nil {
		return nil, err
	}
	token, err := s.grantAccount(q, client, a.ID)
	if err != nil {
		return nil, err
	}
	return created{token}, nil
}

// shop returns the product of the path for its owner or for one of its clients.
func (s *Server) shop(q *request) (*store.Product, grantee, error) {
	if q.bearer() != "" || q.inBody != "" {
		if err := s.authenticate(q, firstOf(q.bearer(), q.inBody)); err != nil {
			return nil, grantee{}, err
		}
		p, err := s.product(q)
		return p, grantee{id: operatorClient}, err
	}
	if _, _, basic := q.BasicAuth(); !basic && !q.body.has("client_id") {
		return nil, grantee{}, errTokenAbsent
	}
	client, err := s.grantClient(q)
	if err != nil {
		return nil, client, err
	}
	p, err := s.anyProduct(q.PathValue("product"))
	if err != nil || client.product == 0 || client.product != p.ID {
		return nil, client, errProduct
	}
	return p, client, nil
}

func firstOf(list ...string) string {
	for _, text := range list {
		if text != "" {
			return text
		}
	}
	return ""
}

func customerObject(a store.Account, devices []string) object {
	return object{"id": a.ID.String(), "username": a.Username, "full_name": "", "devices": devices}
}

// listCustomers answers GET /v1/products/:product/customers.
func (s *Server) listCustomers(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	customers := s.store.Customers(p.ID)
	page, size := pageOf(q)
	total := len(customers)
	list, ids := []object{}, []store.DeviceID{}
	for _, a := range customers[min(total, (page-1)*size):min(total, page*size)] {
		own := []string{}
		for _, id := range s.store.DevicesOf(a.ID) {
			if s.store.Member(id).Product == p.ID {
				own, ids = append(own, id.String()), append(ids, id)
			}
		}
		list = append(list, customerObject(a, own))
	}
	devices, err := s.readDevices(q.Context(), ids)
	if err != nil {
		return nil, err
	}
	objects := []object{}
	for _, d := range devices {
		objects = append(objects, s.deviceObject(d))
	}
	return object{
		"customers": list, "devices": objects,
		"meta": object{"total_pages": (total + size - 1) / size, "total_records": total, "page": page, "per_page": size},
	}, nil
}

// customersOwning lists the customers of a product that own some devices.
func (s *Server) customersOwning(p store.ProductID, devices []*store.Device) []object {
	list, seen := []object{}, map[store.AccountID][]string{}
	for _, d := range devices {
		seen[d.Owner] = append(seen[d.Owner], d.ID.String())
	}
	for a, ids := range seen {
		if account, known := s.store.Account(a); known && account.Customer == p {
			list = append(list, customerObject(account, ids))
		}
	}
	slices.SortFunc(list, func(a, b object) int {
		return strings.Compare(fmt.Sprint(a["username"]), fmt.Sprint(b["username"]))
	})
	return list
}

// customer returns the customer of the path, who must be the product's.
func (s *Server) customer(q *request) (store.Account, error) {
	p, err := s.product(q)
	if err != nil {
		return store.Account{}, err
	}
	a, known := s.store.CustomerByName(p.ID, q.PathValue("customer"))
	if !known {
		return a, errCustomer
	}
	return a, nil
}

// changeCustomer answers PUT /v1/products/:product/customers/:email.
func (s *Server) changeCustomer(q *request) (any, error) {
	a, err := s.customer(q)
	if err != nil {
		return nil, err
	}
	password := q.body.text("password")
	if password == "" || len(password) > passwordMax {
		return nil, refuse(http.StatusBadRequest, "password is required")
	}
	return object{"ok": true}, s.SetPassword(q.Context(), a.ID, password)
}

// dropCustomer answers DELETE /v1/products/:product/customers/:email. The
// customer's devices are nobody's afterwards.
func (s *Server) dropCustomer(q *request) (any, error) {
	a, err := s.customer(q)
	if err != nil {
		return nil, err
	}
	if err := s.freeDevicesOf(q, a.ID); err != nil {
		return nil, err
	}
	return noContent{}, s.store.RemoveAccount(q.Context(), a.ID)
}

// customerClaimCode answers POST /v1/products/:product/device_claims, for the
// product's owner and for its customers.
func (s *Server) customerClaimCode(q *request) (any, error) {
	p, err := s.anyProduct(q.PathValue("product"))
	if err != nil || p.Owner != q.account && !s.isCustomer(p.ID, q.account) || q.token.Product != 0 && q.token.Product != p.ID {
		return nil, errProduct
	}
	return s.claimCode(q)
}
