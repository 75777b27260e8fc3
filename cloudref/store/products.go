package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A ProductID is the number of a product. Those of platforms, below
// [FirstProduct], are none.
type ProductID uint16

// FirstProduct is the lowest number that a product gets.
//
// Device OS: a device says its product in 16 bits; without one it says its
// platform, which is below.
const FirstProduct ProductID = 1000

// String returns the number in decimal digits.
func (p ProductID) String() string { return strconv.Itoa(int(p)) }

// ParseProductID reads a number in decimal digits.
func ParseProductID(s string) (ProductID, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("store: %q is not a product id", s)
	}
	return ProductID(n), nil
}

// A Product is a kind of device that somebody makes: its devices, their groups
// and their firmware.
type Product struct {
	ID          ProductID `json:"id"`
	Owner       AccountID `json:"owner"`
	Name        string    `json:"name"`
	Slug        string    `json:"slug"` // unique
	Description string    `json:"description,omitempty"`
	Platform    uint16    `json:"platform"`
	// Quarantine keeps devices that name the product but are not on its list out
	// until somebody approves them. Without it they are added.
	Quarantine bool `json:"quarantine"`
	// Chosen is set where the owner chose the number. That firmware names it says
	// nothing then: whoever knows a number could choose it. See [Store.Admits].
	Chosen   bool       `json:"chosen,omitempty"`
	Groups   []Group    `json:"groups,omitempty"`
	Firmware []Firmware `json:"firmware,omitempty"` // in the order of versions
	Created  time.Time  `json:"created"`
}

// A Group is a named set of a product's devices.
type Group struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Color       string    `json:"color,omitempty"`
	Created     time.Time `json:"created"`
}

// A Firmware is one version of a product's application.
type Firmware struct {
	Version     uint16    `json:"version"`
	Title       string    `json:"title"`
	Description string    `json:"description,omitempty"`
	Mandatory   bool      `json:"mandatory,omitempty"`
	File        string    `json:"file"` // its name when it was uploaded
	Size        int       `json:"size"` // bytes
	Image       ImageID   `json:"image"`
	UploadedBy  AccountID `json:"uploaded_by"`
	Uploaded    time.Time `json:"uploaded"`
	Updated     time.Time `json:"updated"`
	// Default is set for the version that devices get for which nothing else is
	// said; at most one has it. Groups get this version; a group gets one.
	Default bool     `json:"default,omitempty"`
	Groups  []string `json:"groups,omitempty"`
	// Intelligent releases go to devices at once, not when they connect next.
	Intelligent bool `json:"intelligent,omitempty"`
}

// Released reports whether devices get this version.
func (f *Firmware) Released() bool { return f.Default || len(f.Groups) > 0 }

// Version returns one version of the firmware, nil if there is none.
func (p *Product) Version(version uint16) *Firmware {
	for i := range p.Firmware {
		if p.Firmware[i].Version == version {
			return &p.Firmware[i]
		}
	}
	return nil
}

// Target returns the version that a device of the product should run, nil for
// none: the one that it is locked to, else that of its first group that has one,
// else the default.
func (p *Product) Target(m *Member) *Firmware {
	if m.Desired != nil {
		return p.Version(*m.Desired)
	}
	for _, group := range m.Groups {
		for i := range p.Firmware {
			if slices.Contains(p.Firmware[i].Groups, group) {
				return &p.Firmware[i]
			}
		}
	}
	for i := range p.Firmware {
		if p.Firmware[i].Default {
			return &p.Firmware[i]
		}
	}
	return nil
}

// products is the table of products with what finds them by slug.
type products struct {
	table[ProductID, Product]
	slugs map[string]ProductID
}

func (p *products) init(s *Store) {
	p.slugs = make(map[string]ProductID)
	p.table = table[ProductID, Product]{
		s: s, bucket: bucketProducts, what: "product", version: 1,
		key: ProductID.String, parse: ParseProductID,
		changed: func(id ProductID, before, after *Product) {
			if before != nil && p.slugs[before.Slug] == id {
				delete(p.slugs, before.Slug)
			}
			if after != nil {
				p.slugs[after.Slug] = id
			}
		},
	}
}

// CreateProduct makes a product and gives it the lowest number that is free, if
// p.ID is zero. The error is [ErrConflict] if p.ID is taken.
func (s *Store) CreateProduct(ctx context.Context, p *Product) error {
	if p.ID != 0 {
		return s.products.create(ctx, p.ID, p)
	}
	for id := FirstProduct; id != 0; id++ { // until it wraps
		if s.products.everUsed(id) {
			continue
		}
		p.ID = id
		err := s.products.create(ctx, id, p)
		if !isConflict(err) {
			return err
		}
	}
	return fmt.Errorf("product: %w: no number is free", ErrFull)
}

// everUsed reports whether a product has the number, or had it: devices of the
// old one may still name it.
func (p *products) everUsed(id ProductID) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, used := p.rows[id]
	return used
}

// Product returns a product. It answers from memory; what it returns must not be
// changed.
func (s *Store) Product(id ProductID) (*Product, error) { return s.products.get(id) }

// ProductBySlug is Product for a slug.
func (s *Store) ProductBySlug(slug string) (*Product, error) {
	s.products.mu.RLock()
	id := s.products.slugs[slug]
	s.products.mu.RUnlock()
	return s.products.get(id)
}

// ProductsOf returns the products of an account, in the order of their numbers.
func (s *Store) ProductsOf(a AccountID) []*Product {
	list := s.products.list(func(p *Product) bool { return p.Owner == a })
	slices.SortFunc(list, func(x, y *Product) int { return int(x.ID) - int(y.ID) })
	return list
}

// UpdateProduct changes a product and returns what it became.
func (s *Store) UpdateProduct(ctx context.Context, id ProductID, change func(*Product) error) (*Product, error) {
	return s.products.update(ctx, id, change)
}
