package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/store"
)

const (
	// tokenBytes is the length of a token before it is written in hexadecimal.
	tokenBytes = 20
	// refreshExtra is how much longer a refresh token lives than the access
	// token that it came with.
	refreshExtra = 14 * 24 * time.Hour
	// hintSize is how many characters of a token its owner can see later.
	hintSize = 4
)

var (
	errGrant = &failure{http.StatusBadRequest, object{
		"error": "invalid_grant", "error_description": "User credentials are invalid",
	}}
	errRefresh = &failure{http.StatusBadRequest, object{
		"error": "invalid_grant", "error_description": "Invalid refresh token",
	}}
	errGrantType = &failure{http.StatusBadRequest, object{
		"error": "unsupported_grant_type", "error_description": "Invalid or missing grant_type parameter",
	}}
	errCredentialsAbsent = &failure{http.StatusBadRequest, object{
		"error": "invalid_request", "error_description": `Missing parameters. "username" and "password" are required`,
	}}
	// Not with the words "access token": the command-line tool would ask people to
	// log in, which is what they do.
	errTokensFull = &failure{http.StatusBadRequest, object{
		"error": "invalid_request", "error_description": fmt.Sprintf(
			"This account has %d tokens that did not expire, as many as there may be. Revoke some: "+
				"\"particle logout\" revokes its own, DELETE /v1/access_tokens all. Who has none left asks the operator of this cloud for one.",
			store.TokensMax),
	}}
	errLifetime = &failure{http.StatusBadRequest, object{
		"error": "invalid_request", "error_description": "expires_in must be a number of seconds and expires_at a time in the future",
	}}
)

// grant answers POST /oauth/token. A bad Bearer is ignored here: the
// command-line tool sends "Bearer null".
func (s *Server) grant(q *request) (any, error) {
	client, err := s.grantClient(q)
	if err != nil {
		return nil, err
	}
	switch q.body.text("grant_type") {
	case "password":
		return s.grantPassword(q, client)
	case "refresh_token":
		return s.grantRefresh(q, client)
	case "client_credentials":
		return s.grantClientItself(q, client)
	default:
		return nil, errGrantType
	}
}

// grantClientItself gives a client a token: for its own account, which is good for
// the client's product only if it has one, or for a customer of that product.
func (s *Server) grantClientItself(q *request, client grantee) (any, error) {
	if email, customer := strings.CutPrefix(q.body.text("scope"), "customer="); customer {
		a, known := s.store.CustomerByName(client.product, email)
		if client.product == 0 || !known {
			return nil, errCustomerGrant
		}
		return s.grantAccount(q, client, a.ID)
	}
	if client.account == (store.AccountID{}) {
		return nil, errClient // a public client has no account of its own
	}
	return s.grantTokens(q, client.id, client.account, client.product)
}

func (s *Server) grantPassword(q *request, client grantee) (any, error) {
	name, password := q.body.text("username"), q.body.text("password")
	if name == "" || password == "" {
		return nil, errCredentialsAbsent
	}
	account, why, err := s.login(q.Context(), client.product, name, password)
	switch {
	case err != nil:
		return nil, err
	case why != loggedIn:
		return nil, errGrant
	}
	return s.grantAccount(q, client, account)
}

func (s *Server) grantRefresh(q *request, client grantee) (any, error) {
	hash := store.HashToken(q.body.text("refresh_token"))
	old, err := s.store.Token(q.Context(), hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, errRefresh
	case err != nil:
		return nil, err
	case old.Kind != store.RefreshToken, old.Client != client.id, old.Expired(s.c.Now()):
		return nil, errRefresh
	}
	answer, err := s.grantTokens(q, client.id, old.Account, old.Product)
	if err != nil {
		return nil, err
	}
	// Last: if the cloud dies before this, both are good.
	return answer, s.store.RemoveToken(q.Context(), hash)
}

// grantAccount makes a pair of tokens that are good for all of an account.
func (s *Server) grantAccount(q *request, client grantee, account store.AccountID) (any, error) {
	return s.grantTokens(q, client.id, account, 0)
}

// grantTokens makes a pair of tokens, good for one product only if it is not zero.
func (s *Server) grantTokens(q *request, client string, account store.AccountID, product store.ProductID) (any, error) {
	life, err := s.lifetime(q)
	if err != nil {
		return nil, err
	}
	refreshLife := life
	if life != 0 {
		refreshLife += refreshExtra
	}
	token := store.Token{Account: account, Client: client, Kind: store.AccessToken, Product: product}
	access, accessToken := s.newToken(token, life)
	token.Kind = store.RefreshToken
	refresh, refreshToken := s.newToken(token, refreshLife)
	err = s.store.AddTokens(q.Context(), s.c.Now(), accessToken, refreshToken)
	if errors.Is(err, store.ErrTooMany) {
		return nil, errTokensFull
	}
	if err != nil {
		return nil, err
	}
	q.w.Header().Set("Cache-Control", "no-store")
	return object{
		"access_token": access, "token_type": "bearer",
		"expires_in": int64(life / time.Second), "refresh_token": refresh,
	}, nil
}

// lifetimeMax keeps a lifetime within what a time.Duration holds: 100 years.
const lifetimeMax = 100 * 365 * 24 * time.Hour

// lifetime is how long a token is wanted for; zero is for ever.
func (s *Server) lifetime(q *request) (time.Duration, error) {
	if at := q.body.text("expires_at"); at != "" {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t, err = time.Parse(time.DateOnly, at)
		}
		life := t.Sub(s.c.Now()).Truncate(time.Second)
		if err != nil || life < time.Second {
			return 0, errLifetime
		}
		return min(life, lifetimeMax), nil
	}
	in := q.body.text("expires_in")
	if in == "" {
		return s.c.TokenLife, nil
	}
	seconds, err := strconv.ParseInt(in, 10, 64)
	if err != nil || seconds < 0 {
		return 0, errLifetime
	}
	return min(time.Duration(min(seconds, int64(lifetimeMax/time.Second)))*time.Second, lifetimeMax), nil
}

// IssueToken makes an access token of an account, good for life (zero: for
// ever). It is for the operator of the cloud, who gets one from full accounts too.
func (s *Server) IssueToken(ctx context.Context, account store.AccountID, life time.Duration) (string, error) {
	token, t := s.newToken(store.Token{Account: account, Client: operatorClient, Kind: store.AccessToken}, life)
	return token, s.store.PutToken(ctx, t)
}

// newToken returns a new token, and t as it is to be stored for it.
func (s *Server) newToken(t store.Token, life time.Duration) (string, *store.Token) {
	token := randomHex(tokenBytes)
	now := s.c.Now().UTC()
	t.Hash, t.Created, t.Hint = store.HashToken(token), now, token[len(token)-hintSize:]
	if life != 0 {
		t.Expires = now.Add(life)
	}
	if s.c.Faults.PlainTokens {
		t.Hint = token
	}
	return token, &t
}

func (s *Server) currentToken(q *request) (any, error) {
	return object{
		"expires_at": timestamp(q.token.Expires),
		// The documents say client, the types of the JavaScript client client_id.
		"client": q.token.Client, "client_id": q.token.Client,
		"scopes": []string{}, "orgs": []string{},
	}, nil
}

func (s *Server) dropCurrentToken(q *request) (any, error) {
	if s.c.Faults.KeepRevoked {
		return object{"ok": true}, nil
	}
	return object{"ok": true}, s.store.RemoveToken(q.Context(), q.token.Hash)
}

// dropToken revokes a token for whoever knows it: the command-line tool sends
// nothing else.
func (s *Server) dropToken(q *request) (any, error) {
	return object{"ok": true}, s.store.RemoveToken(q.Context(), store.HashToken(q.PathValue("token")))
}

// listTokens tells the tokens of an account by their ends: the cloud itself does
// not know more of them.
func (s *Server) listTokens(q *request) (any, error) {
	name, password, ok := q.BasicAuth()
	if !ok {
		return nil, errTokenAbsent
	}
	account, why, err := s.login(q.Context(), 0, name, password)
	switch {
	case err != nil:
		return nil, err
	case why == unknownUser:
		return nil, refuseList(http.StatusBadRequest, "Unknown user")
	case why == wrongPassword:
		return nil, refuseList(http.StatusUnauthorized, "Bad password")
	}
	tokens, err := s.store.Tokens(q.Context(), account)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, t := range tokens {
		if t.Kind == store.AccessToken && !t.Expired(s.c.Now()) {
			list = append(list, object{
				"token":      strings.Repeat("*", 2*tokenBytes-hintSize) + t.Hint,
				"expires_at": timestamp(t.Expires), "client": t.Client,
			})
		}
	}
	return list, nil
}

// dropTokens revokes every token of the account, the one of this request last:
// if the cloud dies meanwhile, it can be asked again.
func (s *Server) dropTokens(q *request) (any, error) {
	tokens, err := s.store.Tokens(q.Context(), q.account)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(tokens, func(a, b *store.Token) int {
		return boolOrder(a.Hash == q.token.Hash) - boolOrder(b.Hash == q.token.Hash)
	})
	for _, t := range tokens {
		if err := s.store.RemoveToken(q.Context(), t.Hash); err != nil {
			return nil, err
		}
	}
	return object{"ok": true}, nil
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}
