package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"
)

// A Member is what products know of a device: which one it is in, or wants to be
// in.
type Member struct {
	Device DeviceID `json:"-"`
	// Product is the product that lists the device, zero for none.
	Product ProductID `json:"product,omitempty"`
	// Waiting is the product that the device's firmware names although it does not
	// list the device: there the device is quarantined.
	Waiting ProductID `json:"waiting,omitempty"`
	// Denied are products that do not want the device.
	Denied []ProductID `json:"denied,omitempty"`

	Groups      []string  `json:"groups,omitempty"`
	Development bool      `json:"development,omitempty"` // gets no firmware by itself
	Desired     *uint16   `json:"desired,omitempty"`     // the version that it is locked to
	Joined      time.Time `json:"joined,omitzero"`
}

// Leave takes the device out of its product.
func (m *Member) Leave() { *m = Member{Device: m.Device, Waiting: m.Waiting, Denied: m.Denied} }

// members is the table of members, with the devices of each product.
type members struct {
	table[DeviceID, Member]
	listed  map[ProductID]map[DeviceID]struct{}
	waiting map[ProductID]map[DeviceID]struct{}
}

func (m *members) init(s *Store) {
	m.listed = make(map[ProductID]map[DeviceID]struct{})
	m.waiting = make(map[ProductID]map[DeviceID]struct{})
	m.table = table[DeviceID, Member]{
		s: s, bucket: bucketMembers, what: "member", version: 1,
		key: DeviceID.String, parse: ParseDeviceID,
		changed: func(id DeviceID, before, after *Member) {
			if before != nil {
				drop(m.listed, before.Product, id)
				drop(m.waiting, before.Waiting, id)
			}
			if after != nil {
				after.Device = id
				add(m.listed, after.Product, id)
				add(m.waiting, after.Waiting, id)
			}
		},
	}
}

func add(sets map[ProductID]map[DeviceID]struct{}, p ProductID, id DeviceID) {
	if p == 0 {
		return
	}
	if sets[p] == nil {
		sets[p] = make(map[DeviceID]struct{})
	}
	sets[p][id] = struct{}{}
}

func drop(sets map[ProductID]map[DeviceID]struct{}, p ProductID, id DeviceID) {
	delete(sets[p], id)
	if len(sets[p]) == 0 {
		delete(sets, p)
	}
}

// Member returns what products know of a device: the zero Member, but for the id,
// of one that no product knows. It answers from memory; what it returns must not
// be changed.
func (s *Store) Member(id DeviceID) *Member {
	if m, err := s.members.get(id); err == nil {
		return m
	}
	return &Member{Device: id}
}

// UpdateMember changes what products know of a device, which may be nothing so
// far, and returns what it became.
func (s *Store) UpdateMember(ctx context.Context, id DeviceID, change func(*Member) error) (*Member, error) {
	return s.members.upsert(ctx, id, func(m *Member) error {
		m.Device = id
		return change(m)
	})
}

// Admits reports whether a product may take in a device of an account because its
// firmware names the product: one of the product's owner or customers, one of nobody,
// and one of anybody if the number is one that the cloud gave to the product. It
// answers from memory.
func (s *Store) Admits(p *Product, owner AccountID) bool {
	return !p.Chosen || s.related(p, owner)
}

// related reports whether an account is the owner or a customer of a product, or
// nobody.
func (s *Store) related(p *Product, owner AccountID) bool {
	if owner == (AccountID{}) || owner == p.Owner {
		return true
	}
	a, known := s.Account(owner)
	return known && a.Customer == p.ID
}

// ProductOf returns the product that may see and change a device whose firmware
// names the product named: the one that lists it, if that is the owner's own, or
// its customer's, or nobody's, or named by the firmware and one that admits the
// device. It takes more than to list an id, or to choose a number, to get at the device
// of somebody else. It answers from memory.
func (s *Store) ProductOf(id DeviceID, named uint16) ProductID {
	m, err := s.members.get(id)
	if err != nil || m.Product == 0 {
		return 0
	}
	identity, _ := s.Identity(id)
	p, err := s.Product(m.Product)
	switch {
	case err != nil:
		return 0
	case s.related(p, identity.Owner), ProductID(named) == m.Product && s.Admits(p, identity.Owner):
		return m.Product
	}
	return 0
}

// MembersOf returns the devices that a product lists, in the order of their ids.
// It answers from memory.
func (s *Store) MembersOf(p ProductID) []DeviceID { return s.members.of(s.members.listed, p) }

// QuarantinedOf returns the devices that name a product that does not list them,
// in the order of their ids. It answers from memory.
func (s *Store) QuarantinedOf(p ProductID) []DeviceID { return s.members.of(s.members.waiting, p) }

func (m *members) of(sets map[ProductID]map[DeviceID]struct{}, p ProductID) []DeviceID {
	m.mu.RLock()
	ids := make([]DeviceID, 0, len(sets[p]))
	for id := range sets[p] {
		ids = append(ids, id)
	}
	m.mu.RUnlock()
	slices.SortFunc(ids, func(a, b DeviceID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

func isConflict(err error) bool { return errors.Is(err, ErrConflict) }
