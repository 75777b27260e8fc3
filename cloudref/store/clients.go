package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const clientVersion = 1

// ClientsMax bounds the OAuth clients of one account, those of its products included.
const ClientsMax = 1000

// A Client is an OAuth client: a program that gets tokens for an account.
type Client struct {
	ID      string    `json:"-"` // of letters, digits and hyphens
	Account AccountID `json:"-"` // whose it is
	Name    string    `json:"name"`
	Type    string    `json:"type"` // "installed" or "web"
	// SecretHash is the hash of the client's secret, which is not stored.
	SecretHash  TokenHash `json:"-"`
	RedirectURI string    `json:"redirect_uri,omitempty"`
	Scope       string    `json:"scope,omitempty"`
	// Product is the product whose client it is, zero for none.
	Product ProductID `json:"product,omitempty"`
	Created time.Time `json:"created"`

	Revision Revision `json:"-"`
}

type clientRecord struct {
	Version int    `json:"v"`
	Owner   string `json:"account"`
	Secret  string `json:"secret_hash"`
	Client
}

// AddClient makes an OAuth client. The error is [ErrTooMany] if its account has
// [ClientsMax].
func (s *Store) AddClient(ctx context.Context, c *Client) error {
	release, err := s.clients.hold(c.Account, 1, ClientsMax)
	if err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	defer release()
	return s.PutClient(ctx, c)
}

// PutClient creates or replaces an OAuth client. On success it sets c.Revision.
func (s *Store) PutClient(ctx context.Context, c *Client) error {
	r := clientRecord{Version: clientVersion, Owner: c.Account.String(), Secret: c.SecretHash.String(), Client: *c}
	value, err := json.Marshal(r)
	if err == nil {
		c.Revision, err = s.put(ctx, write{bucket: bucketClients, key: c.ID, value: value})
	}
	if err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	s.clients.note(c.ID, c.Account, c.Revision)
	return nil
}

// Client returns an OAuth client. The error is [ErrNotFound] if there is none.
func (s *Store) Client(ctx context.Context, id string) (*Client, error) {
	if !validKey(id) {
		return nil, fmt.Errorf("client: %w", ErrNotFound)
	}
	e, err := s.get(ctx, bucketClients, id)
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	return parseClient(e)
}

// validKey reports whether a name that came from outside can be the key of a
// record as it is.
func validKey(key string) bool {
	for _, c := range []byte(key) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return key != "" && len(key) <= 64
}

// RemoveClient forgets an OAuth client. Its tokens stay good.
func (s *Store) RemoveClient(ctx context.Context, id string) error {
	r, err := s.put(ctx, write{bucket: bucketClients, key: id, delete: true})
	if err != nil {
		return fmt.Errorf("removing client %s: %w", id, err)
	}
	s.clients.drop(id, r)
	return nil
}

// Clients returns the OAuth clients of an account, oldest first.
func (s *Store) Clients(ctx context.Context, a AccountID) ([]*Client, error) {
	var all []*Client
	err := s.readAll(ctx, bucketClients, s.clients.of(a), func(e entry) error {
		if c, err := parseClient(e); err == nil && c.Account == a {
			all = append(all, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("clients of account %s: %w", a, err)
	}
	slices.SortStableFunc(all, func(x, y *Client) int { return x.Created.Compare(y.Created) })
	return all, nil
}

// loadClients finds out whose the clients are.
func (s *Store) loadClients(ctx context.Context) error {
	learn := func(e entry, deleted bool) {
		if deleted {
			s.clients.drop(e.key, e.revision)
			return
		}
		c, err := parseClient(e)
		if err != nil {
			s.count(func(r *Report) { r.Unreadable++ })
			return
		}
		s.clients.note(c.ID, c.Account, c.Revision)
	}
	err := s.backend.scan(ctx, bucketClients, ">", func(e entry) error {
		learn(e, false)
		return nil
	})
	if err != nil {
		return err
	}
	return s.watch(ctx, bucketClients, learn)
}

func parseClient(e entry) (*Client, error) {
	var r clientRecord
	if err := json.Unmarshal(e.value, &r); err != nil {
		return nil, fmt.Errorf("store: client record: %w", err)
	}
	if r.Version > clientVersion {
		return nil, fmt.Errorf("store: client record of version %d: %w", r.Version, ErrNewer)
	}
	c := r.Client
	c.ID, c.Revision = e.key, e.revision
	var err error
	if c.Account, err = ParseAccountID(r.Owner); err != nil {
		return nil, fmt.Errorf("store: client record: %w", err)
	}
	hash, err := ParseImageID(r.Secret) // 64 hexadecimal digits too
	if err != nil {
		return nil, fmt.Errorf("store: client record: %w", err)
	}
	c.SecretHash = TokenHash(hash)
	return &c, nil
}
