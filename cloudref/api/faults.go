package api

import (
	"cmp"
	"slices"

	"github.com/muster/muster/cloudref/store"
)

// knows reports whether a token was given out. It is for the faults only.
func (s *Server) knows(q *request, token string) bool {
	_, err := s.store.Token(q.Context(), store.HashToken(token))
	return token == "" || err == nil
}

// pretend takes whoever asks for the first account. It is for the faults only.
func (s *Server) pretend(q *request) error {
	all := s.store.Accounts()
	if len(all) == 0 {
		return errTokenUnknown
	}
	first := slices.MinFunc(all, func(a, b store.Account) int { return cmp.Compare(a.Username, b.Username) })
	q.token, q.account = &store.Token{Account: first.ID, Kind: store.AccessToken}, first.ID
	return nil
}
