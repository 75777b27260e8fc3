package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Hook calls somebody's server when an event comes. Its record is encrypted
// where it is stored: hooks have passwords.
type Hook struct {
	ID      DeviceID  `json:"-"`       // 24 hexadecimal digits, as that of a device
	Account AccountID `json:"account"` // who made it
	// Product is the product whose events it is for; zero: those of the account.
	Product ProductID `json:"product,omitempty"`
	// Event begins the names of the events that it is for.
	Event string `json:"event"`
	// Device is the only device whose events it is for; zero: all.
	Device   DeviceID `json:"device,omitzero"`
	Disabled bool     `json:"disabled,omitempty"`
	// Spec is everything else: opaque here.
	Spec    json.RawMessage `json:"spec"`
	Created time.Time       `json:"created"`
}

// Wants reports whether the hook is for an event of the account with that name
// from that device, which is in that product (zero for none).
func (h *Hook) Wants(a AccountID, p ProductID, device DeviceID, name string) bool {
	if h.Product != 0 && h.Product != p || h.Product == 0 && h.Account != a {
		return false
	}
	return !h.Disabled && strings.HasPrefix(name, h.Event) && (h.Device == DeviceID{} || h.Device == device)
}

// hooks is the table of webhooks, by whose events they are for.
type hooks struct {
	table[DeviceID, Hook]
	ofAccount map[AccountID][]*Hook
	ofProduct map[ProductID][]*Hook
}

func (h *hooks) init(s *Store) {
	h.ofAccount, h.ofProduct = make(map[AccountID][]*Hook), make(map[ProductID][]*Hook)
	h.table = table[DeviceID, Hook]{
		s: s, bucket: bucketHooks, what: "webhook", version: 1, sealed: true,
		key: DeviceID.String, parse: ParseDeviceID,
		changed: func(id DeviceID, before, after *Hook) {
			if before != nil {
				h.index(before, without)
			}
			if after != nil {
				after.ID = id
				h.index(after, func(list []*Hook, x *Hook) []*Hook { return append(slices.Clone(list), x) })
			}
		},
	}
}

func without(list []*Hook, x *Hook) []*Hook {
	return slices.DeleteFunc(slices.Clone(list), func(o *Hook) bool { return o.ID == x.ID })
}

func (h *hooks) index(x *Hook, change func([]*Hook, *Hook) []*Hook) {
	if x.Product != 0 {
		h.ofProduct[x.Product] = change(h.ofProduct[x.Product], x)
		return
	}
	h.ofAccount[x.Account] = change(h.ofAccount[x.Account], x)
}

// CreateHook makes a webhook.
func (s *Store) CreateHook(ctx context.Context, h *Hook) error { return s.hooks.create(ctx, h.ID, h) }

// Hook returns a webhook. It answers from memory; what it returns must not be
// changed.
func (s *Store) Hook(id DeviceID) (*Hook, error) { return s.hooks.get(id) }

// UpdateHook changes a webhook and returns what it became.
func (s *Store) UpdateHook(ctx context.Context, id DeviceID, change func(*Hook) error) (*Hook, error) {
	return s.hooks.update(ctx, id, change)
}

// RemoveHook forgets a webhook. Calls of it that wait are not made.
func (s *Store) RemoveHook(ctx context.Context, id DeviceID) error {
	if err := s.hooks.remove(ctx, id); err != nil {
		return err
	}
	if _, err := s.put(ctx, write{bucket: bucketHookLogs, key: id.String(), delete: true}); err != nil {
		return fmt.Errorf("removing the log of webhook %s: %w", id, err)
	}
	return nil
}

// HooksOf returns the webhooks of an account that are for no product, and
// HooksOfProduct those of a product, oldest first. They answer from memory.
func (s *Store) HooksOf(a AccountID) []*Hook {
	s.hooks.mu.RLock()
	defer s.hooks.mu.RUnlock()
	return sorted(s.hooks.ofAccount[a])
}

// HooksOfProduct is [Store.HooksOf] for a product.
func (s *Store) HooksOfProduct(p ProductID) []*Hook {
	s.hooks.mu.RLock()
	defer s.hooks.mu.RUnlock()
	return sorted(s.hooks.ofProduct[p])
}

func sorted(list []*Hook) []*Hook {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *Hook) int {
		if n := a.Created.Compare(b.Created); n != 0 {
			return n
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	return list
}

// HooksFor returns the webhooks that are for an event: see [Hook.Wants]. It
// answers from memory, and is quick where there are none.
func (s *Store) HooksFor(a AccountID, p ProductID, device DeviceID, name string) []*Hook {
	s.hooks.mu.RLock()
	defer s.hooks.mu.RUnlock()
	var wanted []*Hook
	for _, list := range [...][]*Hook{s.hooks.ofAccount[a], s.hooks.ofProduct[p]} {
		for _, h := range list {
			if h.Wants(a, p, device, name) {
				wanted = append(wanted, h)
			}
		}
	}
	return wanted
}
