package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/muster/muster/cloudref/store"
)

// errProduct is the answer for a product that does not exist and for one that is
// someone else's: its existence is nobody's business. The text is what the
// end-to-end tests of the command-line tool look for.
var errProduct = refuse(http.StatusNotFound, "Permission denied")

// Limits of what people write, in bytes.
const (
	productNameMax = 128
	descriptionMax = 2048
)

// productsMax bounds the products of an account: numbers are few.
const productsMax = 10_000

// product returns the caller's product that the path names by number or by slug.
func (s *Server) product(q *request) (*store.Product, error) {
	p, err := s.anyProduct(q.PathValue("product"))
	if err != nil || p.Owner != q.account && !s.c.Faults.OtherThings || q.token.Product != 0 && q.token.Product != p.ID {
		return nil, errProduct
	}
	return p, nil
}

// anyProduct returns a product, whoever owns it.
func (s *Server) anyProduct(named string) (*store.Product, error) {
	if id, err := store.ParseProductID(named); err == nil {
		return s.store.Product(id)
	}
	return s.store.ProductBySlug(named)
}

func (s *Server) productObject(p *store.Product) object {
	groups := []string{}
	for _, g := range p.Groups {
		groups = append(groups, g.Name)
	}
	return object{
		"id": p.ID, "platform_id": p.Platform, "name": p.Name, "slug": p.Slug, "description": p.Description,
		"user": s.usernameOf(p.Owner), "organization": nil, "type": "Consumer", "hardware_version": "v1.0.0",
		"config_id": nil, "subscription_id": nil, "mb_limit": nil, "requires_activation_codes": false,
		"groups": groups, "device_count": len(s.store.MembersOf(p.ID)),
		"settings": object{
			"known_application": object{"opt_in": false},
			"location":          object{"opt_in": false},
			"quarantine":        p.Quarantine,
		},
		"created_at": timestamp(p.Created),
	}
}

// listProducts answers GET /v1/products and /v1/user/products.
func (s *Server) listProducts(q *request) (any, error) {
	list := []object{}
	for _, p := range s.store.ProductsOf(q.account) {
		list = append(list, s.productObject(p))
	}
	return object{"products": list}, nil
}

// getProduct answers GET /v1/products/:product.
func (s *Server) getProduct(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	return object{"product": s.productObject(p)}, nil
}

// addProduct answers POST /v1/user/products and /v1/products.
func (s *Server) addProduct(q *request) (any, error) {
	fields := q.body
	if q.body.has("product") {
		fields = q.body.object("product")
	}
	p := &store.Product{Owner: q.account, Quarantine: true, Created: s.c.Now().UTC()}
	if err := describeProduct(p, fields); err != nil {
		return nil, err
	}
	platform, err := strconv.ParseUint(fields.text("platform_id"), 10, 16)
	if err != nil || platform >= uint64(store.FirstProduct) {
		return nil, refuse(http.StatusBadRequest, "platform_id is the number of a platform, such as 13 for a Boron.")
	}
	p.Platform = uint16(platform)
	if len(s.store.ProductsOf(q.account)) >= productsMax {
		return nil, refuse(http.StatusBadRequest, "There are at most %d products of one account.", productsMax)
	}
	// The number is not known before it is stored, and the slug begins the name;
	// the service's slugs end with a version.
	for n := 1; ; n++ {
		p.Slug = slugOf(p.Name) + "-v" + strconv.Itoa(100+n-1)
		if _, err := s.store.ProductBySlug(p.Slug); errors.Is(err, store.ErrNotFound) {
			break
		}
	}
	if id := fields.text("id"); id != "" { // ours: firmware has its product's number in it
		if p.ID, err = store.ParseProductID(id); err != nil || p.ID < store.FirstProduct {
			return nil, refuse(http.StatusBadRequest, "The id of a product is a number from %d to 65535.", store.FirstProduct)
		}
		p.Chosen = true
	}
	err = s.store.CreateProduct(q.Context(), p)
	if errors.Is(err, store.ErrConflict) {
		return nil, refuse(http.StatusConflict, "There is a product with the id %d.", p.ID)
	}
	if err != nil {
		return nil, err
	}
	return object{"ok": true, "product": s.productObject(p)}, nil
}

// changeProduct answers PUT /v1/products/:product.
func (s *Server) changeProduct(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	fields := q.body
	if q.body.has("product") {
		fields = q.body.object("product")
	}
	p, err = s.store.UpdateProduct(q.Context(), p.ID, func(p *store.Product) error { return describeProduct(p, fields) })
	if err != nil {
		return nil, err
	}
	return object{"ok": true, "product": s.productObject(p)}, nil
}

// describeProduct takes what the caller says of a product.
func describeProduct(p *store.Product, fields body) error {
	if fields.has("name") {
		p.Name = strings.TrimSpace(fields.text("name"))
	}
	if fields.has("description") {
		p.Description = fields.text("description")
	}
	if settings := fields.object("settings"); settings.has("quarantine") {
		p.Quarantine = settings.flag("quarantine")
	}
	switch {
	case p.Name == "" || len(p.Name) > productNameMax:
		return refuse(http.StatusBadRequest, "A product needs a name of at most %d bytes.", productNameMax)
	case len(p.Description) > descriptionMax:
		return refuse(http.StatusBadRequest, "The description of a product has at most %d bytes.", descriptionMax)
	}
	return nil
}

// slugOf is a name as it stands in a URL.
func slugOf(name string) string {
	slug := strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), "-")
	if slug == "" || slug[0] >= '0' && slug[0] <= '9' {
		slug = "product-" + slug
	}
	return strings.TrimSuffix(slug, "-")
}
