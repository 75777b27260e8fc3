package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// A request is one request that was read, and whose it is.
type request struct {
	*http.Request
	w      http.ResponseWriter
	body   body
	files  []file
	after  []func() // done when the request is over
	authed bool     // the route needs a token
	inBody string   // the token that stood in the body, if any

	// token is that of the request, nil on routes that need none; secret is how
	// it was written, account whose it is.
	token   *store.Token
	secret  string
	account store.AccountID
}

// A handler does what a request asks for. See answer for what it may return.
type handler func(q *request) (any, error)

// serving returns the HTTP handler of a route.
func (s *Server) serving(r route) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) { s.serve(w, q, r.handle, r.access == withToken) }
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, h handler, auth bool) {
	q := &request{Request: r, w: w, body: body{}, authed: auth}
	// The deadline of the last answer on this connection is not for this one.
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{})
	defer func() {
		for _, f := range q.after {
			f()
		}
	}()
	result, err := s.handle(q, h)
	_ = control.SetWriteDeadline(time.Now().Add(s.c.WriteTimeout))
	s.answer(q, result, err)
}

// handle authenticates before it reads the body, unless the token is in there.
func (s *Server) handle(q *request, h handler) (any, error) {
	token := q.bearer()
	if q.authed && token != "" {
		if err := s.authenticate(q, token); err != nil {
			return nil, err
		}
	}
	if err := s.read(q); err != nil {
		return nil, err
	}
	q.inBody = q.body.text("access_token")
	delete(q.body, "access_token")
	if q.authed && token == "" {
		if err := s.authenticate(q, q.inBody); err != nil {
			return nil, err
		}
	}
	return h(q)
}

// bearer returns the token in the header or, without one, in the query.
func (q *request) bearer() string {
	scheme, token, ok := strings.Cut(q.Header.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return q.query("access_token")
}

// query returns a parameter of the URL.
func (q *request) query(name string) string { return q.URL.Query().Get(name) }

// Account returns the account whose access token a request carries in its header,
// and false without a good one. It is for other handlers beside this API.
func (s *Server) Account(r *http.Request) (store.AccountID, bool) {
	q := &request{Request: r}
	if s.authenticate(q, q.bearer()) != nil {
		return store.AccountID{}, false
	}
	return q.account, true
}

// authenticate finds out whose token it is.
func (s *Server) authenticate(q *request, token string) error {
	if f := &s.c.Faults; token == "" && f.NobodyIsSomebody || f.AnyToken && !s.knows(q, token) {
		return s.pretend(q)
	}
	if token == "" {
		return errTokenAbsent
	}
	// Only the hash is looked up, so the time it takes tells nothing of tokens
	// that exist.
	t, err := s.store.Token(q.Context(), store.HashToken(token))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errTokenUnknown
	case err != nil:
		return err
	case t.Kind != store.AccessToken:
		return errTokenUnknown
	case t.Expired(s.c.Now()):
		return errTokenExpired
	}
	if _, known := s.store.Account(t.Account); !known {
		return errTokenUnknown
	}
	// What a client of a product is given is good below that product, and to look at
	// or give up the token itself.
	if t.Product != 0 && q.PathValue("product") == "" && q.URL.Path != "/v1/access_tokens/current" {
		return errOtherProduct
	}
	q.token, q.secret, q.account = t, token, t.Account
	return nil
}

// errOtherProduct must not say "access token": the command-line tool would ask to
// log in again.
var errOtherProduct = &failure{http.StatusForbidden, object{
	"error": "Permission Denied", "error_description": "These client credentials are good for one product only.",
}}
