package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
)

const (
	// versionsMax bounds the versions of a product's firmware.
	versionsMax = 1000
	titleMax    = 256 // bytes
)

var errFirmware = refuse(http.StatusNotFound, "Firmware not found")

func (s *Server) firmwareObject(p *store.Product, f *store.Firmware) object {
	return object{
		"_id": firmwareID(p, f), "version": f.Version, "title": f.Title, "description": f.Description, "name": f.File,
		"size": f.Size, "product_default": f.Default, "immediate": f.Intelligent, "mandatory": f.Mandatory,
		"groups": orEmpty(f.Groups), "uploaded_on": timestamp(f.Uploaded), "uploaded_at": timestamp(f.Uploaded), "updated_at": timestamp(f.Updated),
		"product_id": p.ID, "current": f.Default, "device_count": s.running(p, f.Version),
		"uploaded_by": object{"id": f.UploadedBy.String(), "username": s.usernameOf(f.UploadedBy), "is_programmatic": false},
	}
}

// firmwareID names a version as the service does, with 24 hexadecimal digits.
func firmwareID(p *store.Product, f *store.Firmware) string {
	return fmt.Sprintf("%08x%04x%04x%s", uint32(f.Uploaded.Unix()), uint16(p.ID), f.Version, f.Image.String()[:8])
}

// running counts the devices of a product that run a version. What is not in
// memory, because the device was not seen since the cloud started, does not count.
func (s *Server) running(p *store.Product, version uint16) int {
	n := 0
	for _, id := range s.store.MembersOf(p.ID) {
		hello := s.cloud.Status(id).Hello
		if hello.ProductID == uint16(p.ID) && hello.ProductVersion == version {
			n++
		}
	}
	return n
}

// listFirmware answers GET /v1/products/:product/firmware.
func (s *Server) listFirmware(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for i := range p.Firmware {
		list = append(list, s.firmwareObject(p, &p.Firmware[i]))
	}
	return list, nil
}

// addFirmware answers POST /v1/products/:product/firmware. The file is in the part
// binary, says the documentation, or in file, as the JavaScript library sends it.
func (s *Server) addFirmware(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	if len(q.files) != 1 {
		return nil, refuse(http.StatusBadRequest, "Upload one firmware binary in the part \"binary\".")
	}
	f, err := s.describeFirmware(q, p)
	if err != nil {
		return nil, err
	}
	if f.Image, err = s.store.PutImage(q.Context(), q.files[0].data); err != nil {
		return nil, err
	}
	p, err = s.store.UpdateProduct(q.Context(), p.ID, func(p *store.Product) error {
		switch {
		case p.Version(f.Version) != nil:
			return refuse(http.StatusConflict, "The product has firmware of version %d already.", f.Version)
		case len(p.Firmware) >= versionsMax:
			return refuse(http.StatusBadRequest, "A product has at most %d versions of firmware.", versionsMax)
		}
		p.Firmware = append(p.Firmware, f)
		slices.SortFunc(p.Firmware, func(a, b store.Firmware) int { return cmp.Compare(a.Version, b.Version) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.announce(q, p, "particle/firmware/create", &f)
	return created{s.firmwareObject(p, &f)}, nil
}

// describeFirmware takes what the caller says of a new version, and checks that it
// is what the binary says.
func (s *Server) describeFirmware(q *request, p *store.Product) (store.Firmware, error) {
	upload := q.files[0]
	now := s.c.Now().UTC()
	f := store.Firmware{
		Title: q.body.text("title"), Description: q.body.text("description"), Mandatory: q.body.flag("mandatory"),
		File: upload.base(), Size: len(upload.data), UploadedBy: q.account, Uploaded: now, Updated: now,
	}
	version, err := strconv.ParseUint(q.body.text("version"), 10, 16)
	switch {
	case err != nil || version == 0 || version == 0xffff:
		return f, refuse(http.StatusBadRequest, "version is a number from 1 to 65534.")
	case len(f.Title) > titleMax || len(f.Description) > descriptionMax:
		return f, refuse(http.StatusBadRequest, "title has at most %d bytes, description %d.", titleMax, descriptionMax)
	}
	f.Version = uint16(version)
	if f.Title == "" {
		f.Title = fmt.Sprintf("Version %d", f.Version)
	}
	if _, err := app.ParseImage(upload.data); err != nil {
		return f, flashFailed(err)
	}
	modules, err := module.ParseAll(upload.data)
	if err != nil {
		return f, flashFailed(err)
	}
	for i := range modules {
		m := &modules[i]
		if m.Platform != pdc.Platform(p.Platform) {
			return f, refuse(http.StatusBadRequest, "The binary is for platform %d, the product is made on %d.", m.Platform, p.Platform)
		}
		product, says := m.ProductOf()
		switch {
		case m.Function != pdc.ModuleUserPart:
		case !says:
			return f, refuse(http.StatusBadRequest, "The binary names no product: compile it with PRODUCT_VERSION(%d).", f.Version)
		case product.Version != f.Version:
			return f, refuse(http.StatusBadRequest, "The binary has version %d, not %d.", product.Version, f.Version)
		}
	}
	return f, nil
}

// version returns the product and the version of the path.
func (s *Server) version(q *request) (*store.Product, *store.Firmware, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, nil, err
	}
	n, err := strconv.ParseUint(q.PathValue("version"), 10, 16)
	f := p.Version(uint16(n))
	if err != nil || f == nil {
		return nil, nil, errFirmware
	}
	return p, f, nil
}

func (s *Server) getFirmware(q *request) (any, error) {
	p, f, err := s.version(q)
	if err != nil {
		return nil, err
	}
	return s.firmwareObject(p, f), nil
}

func (s *Server) getBinary(q *request) (any, error) {
	_, f, err := s.version(q)
	if err != nil {
		return nil, err
	}
	data, err := s.store.Image(q.Context(), f.Image)
	return octets{f.File, data}, err
}

func (s *Server) changeFirmware(q *request) (any, error) {
	p, f, err := s.version(q)
	if err != nil {
		return nil, err
	}
	title, description := q.body.text("title"), q.body.text("description")
	if len(title) > titleMax || len(description) > descriptionMax {
		return nil, refuse(http.StatusBadRequest, "title has at most %d bytes, description %d.", titleMax, descriptionMax)
	}
	p, err = s.updateFirmware(q, p.ID, f.Version, func(_ *store.Product, f *store.Firmware) error {
		if q.body.has("title") {
			f.Title = title
		}
		if q.body.has("description") {
			f.Description = description
		}
		if q.body.has("mandatory") {
			f.Mandatory = q.body.flag("mandatory")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.firmwareObject(p, p.Version(f.Version)), nil
}

func (s *Server) updateFirmware(q *request, id store.ProductID, version uint16, change func(*store.Product, *store.Firmware) error) (*store.Product, error) {
	return s.store.UpdateProduct(q.Context(), id, func(p *store.Product) error {
		f := p.Version(version)
		if f == nil {
			return errFirmware
		}
		f.Updated = s.c.Now().UTC()
		return change(p, f)
	})
}

func (s *Server) dropFirmware(q *request) (any, error) {
	p, f, err := s.version(q)
	if err != nil {
		return nil, err
	}
	_, err = s.store.UpdateProduct(q.Context(), p.ID, func(p *store.Product) error {
		f := p.Version(f.Version)
		switch {
		case f == nil:
			return errFirmware
		case f.Released():
			return refuse(http.StatusConflict, "Version %d is released: release another one first.", f.Version)
		}
		version := f.Version
		p.Firmware = slices.DeleteFunc(p.Firmware, func(f store.Firmware) bool { return f.Version == version })
		return nil
	})
	return noContent{}, err
}

// release answers PUT /v1/products/:product/firmware/release: from now on devices
// get this version, all of them or those of some groups.
func (s *Server) release(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(q.body.text("version"), 10, 16)
	groups := q.body.list("groups")
	all := q.body.flag("product_default")
	switch {
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "version is a number.")
	case !all && len(groups) == 0 && !q.body.has("product_default"):
		return nil, refuse(http.StatusBadRequest, "Release to all with product_default, or to groups.")
	case s.c.ProvenReleases && s.running(p, uint16(n)) == 0:
		return nil, refuse(http.StatusBadRequest, "No device of the product runs version %d yet: flash one first.", n)
	}
	if err := checkGroups(p, groups); err != nil {
		return nil, err
	}
	p, err = s.updateFirmware(q, p.ID, uint16(n), func(p *store.Product, f *store.Firmware) error {
		for i := range p.Firmware {
			// A group gets one version, and so does everybody.
			o := &p.Firmware[i]
			o.Groups = slices.DeleteFunc(o.Groups, func(g string) bool { return slices.Contains(groups, g) })
			o.Default = o.Default && !all
		}
		f.Default = all
		f.Groups = append(f.Groups, groups...)
		f.Intelligent = q.body.flag("intelligent") || q.body.flag("immediate")
		return nil
	})
	if err != nil {
		return nil, err
	}
	f := p.Version(uint16(n))
	s.announce(q, p, "particle/firmware/release", f)
	if f.Intelligent {
		for _, id := range s.store.MembersOf(p.ID) {
			s.cloud.OfferFirmware(id)
		}
	}
	return s.firmwareObject(p, f), nil
}

// announce tells readers of the product's stream what became of a version. That
// itself is done; a reader who misses the word finds it in the list.
func (s *Server) announce(q *request, p *store.Product, name string, f *store.Firmware) {
	e := app.Event{Name: name, TTL: pdc.DefaultTTL, Private: true, Data: encode(object{
		"version": f.Version, "title": f.Title, "description": f.Description, "product_default": f.Default, "groups": orEmpty(f.Groups),
	})}
	err := s.cloud.Publish(q.Context(), Publication{Owner: p.Owner, Product: p.ID, Event: e})
	if err != nil && !errors.Is(err, q.Context().Err()) {
		s.c.Log(fmt.Sprintf("%s: %s was not told: %v", q.Pattern, name, err))
	}
}
