package api

import (
	"crypto/subtle"
	"errors"
	"net/http"

	"github.com/muster/muster/cloudref/store"
)

// operatorClient is the client of tokens that the operator made.
const operatorClient = "muster"

// publicClients are the clients that everybody's tools come with, with what they
// call their secret.
var publicClients = map[string]string{
	"particle":     "particle",
	"spark":        "spark", // before 2015
	"Spark":        "Spark", // the library of before particle-api-js
	"particle-api": "particle-api",
	"particle-cli": "particle-cli",
	"CLI2":         "client_secret_here",
	"user":         "client_secret_here", // "token create" of the command-line tool before 3.47
	"spark-cli":    "client_secret_here", // the command-line tool of before particle-cli
}

// errClient: what OAuth answers; no answer of the real service was recorded.
var errClient = &failure{http.StatusBadRequest, object{
	"error": "invalid_client", "error_description": "Client credentials are invalid",
}}

var errNoClient = refuse(http.StatusNotFound, "Client not found")

// What a client says of itself has at most this many bytes.
const (
	clientNameMax = 256
	redirectMax   = 2048
)

var errClientLong = refuse(http.StatusBadRequest,
	"The name of a client has at most %d bytes, its redirect_uri and its scope %d each.", clientNameMax, redirectMax)

// A grantee is who asks for tokens.
type grantee struct {
	id      string
	account store.AccountID // zero for public clients
	product store.ProductID // of clients of products
}

// grantClient finds out which client asks for tokens, from HTTP Basic or from
// fields.
func (s *Server) grantClient(q *request) (grantee, error) {
	id, secret, ok := q.BasicAuth()
	if !ok {
		id, secret = q.body.text("client_id"), q.body.text("client_secret")
	}
	if want, public := publicClients[id]; public {
		if subtle.ConstantTimeCompare([]byte(want), []byte(secret)) != 1 {
			return grantee{}, errClient
		}
		return grantee{id: id}, nil
	}
	c, err := s.store.Client(q.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return grantee{}, errClient
	}
	if err != nil {
		return grantee{}, err
	}
	got := store.HashToken(secret)
	if subtle.ConstantTimeCompare(got[:], c.SecretHash[:]) != 1 {
		return grantee{}, errClient
	}
	return grantee{id: c.ID, account: c.Account, product: c.Product}, nil
}

func clientObject(c *store.Client) object {
	o := object{"id": c.ID, "name": c.Name, "type": c.Type, "redirect_uri": c.RedirectURI, "scope": c.Scope}
	if c.Product != 0 {
		o["product_id"] = c.Product
	}
	return o
}

// productOrNone returns the product of a route that exists below products too, zero
// for its twin above.
func (s *Server) productOrNone(q *request) (store.ProductID, error) {
	if q.PathValue("product") == "" {
		return 0, nil
	}
	p, err := s.product(q)
	if err != nil {
		return 0, err
	}
	return p.ID, nil
}

// listClients answers GET /v1/clients and its twin below a product.
func (s *Server) listClients(q *request) (any, error) {
	product, err := s.productOrNone(q)
	if err != nil {
		return nil, err
	}
	clients, err := s.store.Clients(q.Context(), q.account)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, c := range clients {
		if c.Product == product {
			list = append(list, clientObject(c))
		}
	}
	return object{"ok": true, "clients": list}, nil
}

// addClient makes an OAuth client. Its secret is told here and never again.
func (s *Server) addClient(q *request) (any, error) {
	product, err := s.productOrNone(q)
	if err != nil {
		return nil, err
	}
	secret := randomHex(tokenBytes)
	c := &store.Client{
		ID: randomHex(8), Account: q.account, Product: product, Name: q.body.text("name"), Type: q.body.text("type"),
		RedirectURI: q.body.text("redirect_uri"), Scope: q.body.text("scope"),
		SecretHash: store.HashToken(secret), Created: s.c.Now().UTC(),
	}
	switch {
	case c.Name == "":
		return nil, refuse(http.StatusBadRequest, "A client needs a name.")
	case len(c.Name) > clientNameMax || len(c.RedirectURI) > redirectMax || len(c.Scope) > redirectMax:
		return nil, errClientLong
	case c.Type != "installed" && c.Type != "web":
		return nil, refuse(http.StatusBadRequest, "The type of a client is installed or web.")
	}
	err = s.store.AddClient(q.Context(), c)
	if errors.Is(err, store.ErrTooMany) {
		return nil, refuse(http.StatusBadRequest, "There are at most %d clients of one account: delete one.", store.ClientsMax)
	}
	if err != nil {
		return nil, err
	}
	told := clientObject(c)
	told["secret"] = secret
	return object{"ok": true, "client": told}, nil
}

// ownClient returns the client of the path, if it is the caller's.
func (s *Server) ownClient(q *request) (*store.Client, error) {
	product, err := s.productOrNone(q)
	if err != nil {
		return nil, err
	}
	c, err := s.store.Client(q.Context(), q.PathValue("client"))
	if errors.Is(err, store.ErrNotFound) || err == nil && (c.Account != q.account && !s.c.Faults.OtherThings || c.Product != product) {
		return nil, errNoClient
	}
	return c, err
}

func (s *Server) changeClient(q *request) (any, error) {
	c, err := s.ownClient(q)
	if err != nil {
		return nil, err
	}
	if q.body.has("name") {
		c.Name = q.body.text("name")
	}
	if q.body.has("scope") {
		c.Scope = q.body.text("scope")
	}
	if len(c.Name) > clientNameMax || len(c.Scope) > redirectMax {
		return nil, errClientLong
	}
	if err := s.store.PutClient(q.Context(), c); err != nil {
		return nil, err
	}
	return object{"ok": true, "client": clientObject(c)}, nil
}

func (s *Server) dropClient(q *request) (any, error) {
	c, err := s.ownClient(q)
	if err != nil {
		return nil, err
	}
	return noContent{}, s.store.RemoveClient(q.Context(), c.ID)
}
