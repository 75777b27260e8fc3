package store

import (
	"context"
	"fmt"
)

// count changes the report.
func (s *Store) count(change func(*Report)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.report)
}

// load builds the indexes from the primary records and checks them. Sessions
// wait until [Store.Sessions] asks for them.
func (s *Store) load(ctx context.Context) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"accounts", s.loadAccounts},
		{"devices", s.loadDevices},
		{"claim codes", s.loadClaims},
		{"tokens", s.loadTokens},
		{"clients", s.loadClients},
		{"images", s.loadImages},
		{"products", s.products.load},
		{"members of products", s.members.load},
		{"webhooks", s.hooks.load},
		{"webhook calls", s.followCalls},
		{"ledgers", s.ledgers.load},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("store: reading %s: %w", step.what, err)
		}
	}
	return nil
}

func (s *Store) loadAccounts(ctx context.Context) error {
	err := s.backend.scan(ctx, bucketAccounts, ">", func(e entry) error {
		a, err := parseAccount(e)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.report.Unreadable++
			return nil
		}
		s.accounts[a.ID] = a
		s.names[a.name()] = a.ID
		s.report.Accounts = len(s.accounts)
		return nil
	})
	if err != nil {
		return err
	}
	return s.watch(ctx, bucketAccounts, s.learnAccount)
}

func (s *Store) loadDevices(ctx context.Context) error {
	err := s.backend.scan(ctx, bucketDevices, ">", func(e entry) error {
		id, err := ParseDeviceID(e.key)
		var h head
		if err == nil {
			h, err = parseHead(id, e.value)
		}
		if err != nil {
			s.count(func(r *Report) { r.Unreadable++ })
			return nil
		}
		if s.dir.add(h, e.revision) {
			s.count(func(r *Report) { r.SharedKeys++ })
		}
		return nil
	})
	s.count(func(r *Report) { r.Devices = s.dir.size() })
	if err != nil {
		return err
	}
	return s.watch(ctx, bucketDevices, s.learnDevice)
}

// loadClaims removes claim codes that expired. Those that were used are kept
// until then: their device may have to repeat its claim.
func (s *Store) loadClaims(ctx context.Context) error {
	now := s.backend.now()
	return s.backend.scan(ctx, bucketClaims, ">", func(e entry) error {
		c, err := parseClaim(e)
		switch {
		case err != nil:
			s.count(func(r *Report) { r.Unreadable++ })
		case now.After(c.Expires):
			s.count(func(r *Report) { r.ExpiredCode++ })
			s.backend.write(write{bucket: bucketClaims, key: e.key, delete: true},
				func(Revision, error) {})
		}
		return nil
	})
}

func (s *Store) loadImages(ctx context.Context) error {
	n, err := s.backend.sweepImages(ctx)
	s.count(func(r *Report) { r.Unfinished = n })
	return err
}
