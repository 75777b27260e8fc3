package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/muster/muster/cloudref/store"
)

// groupMax bounds the name of a group, and groupsMax the groups of a product.
const (
	groupMax  = 64
	groupsMax = 256
)

var errGroup = refuse(http.StatusNotFound, "Group not found")

func validGroup(name string) bool {
	return name != "" && len(name) <= groupMax && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

func (s *Server) groupObject(p *store.Product, g *store.Group) object {
	devices := 0
	for _, id := range s.store.MembersOf(p.ID) {
		if slices.Contains(s.store.Member(id).Groups, g.Name) {
			devices++
		}
	}
	o := object{
		"name": g.Name, "description": g.Description, "color": orNull(g.Color), "device_count": devices,
		"created_at": timestamp(g.Created), "fw_version": nil,
	}
	for i := range p.Firmware {
		if slices.Contains(p.Firmware[i].Groups, g.Name) {
			o["fw_version"] = p.Firmware[i].Version
		}
	}
	return o
}

func groupNamed(p *store.Product, name string) *store.Group {
	for i := range p.Groups {
		if p.Groups[i].Name == name {
			return &p.Groups[i]
		}
	}
	return nil
}

func (s *Server) listGroups(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for i := range p.Groups {
		if strings.Contains(p.Groups[i].Name, q.query("name")) {
			list = append(list, s.groupObject(p, &p.Groups[i]))
		}
	}
	return object{"groups": list}, nil
}

func (s *Server) getGroup(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	g := groupNamed(p, q.PathValue("group"))
	if g == nil {
		return nil, errGroup
	}
	return object{"group": s.groupObject(p, g)}, nil
}

func (s *Server) addGroup(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	g := store.Group{Name: q.body.text("name"), Description: q.body.text("description"), Color: q.body.text("color"), Created: s.c.Now().UTC()}
	if !validGroup(g.Name) {
		return nil, refuse(http.StatusBadRequest, "The name of a group has lower-case letters, digits, - and _, at most %d of them.", groupMax)
	}
	p, err = s.store.UpdateProduct(q.Context(), p.ID, func(p *store.Product) error {
		switch {
		case groupNamed(p, g.Name) != nil:
			return refuse(http.StatusConflict, "There is a group of the name %s.", g.Name)
		case len(p.Groups) >= groupsMax:
			return refuse(http.StatusBadRequest, "A product has at most %d groups.", groupsMax)
		}
		p.Groups = append(p.Groups, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return created{object{"ok": true, "group": s.groupObject(p, &g)}}, nil
}

// changeGroup answers PUT …/groups/:group. Devices and firmware follow a new name.
func (s *Server) changeGroup(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	old, name := q.PathValue("group"), q.PathValue("group")
	if q.body.has("name") {
		name = q.body.text("name")
	}
	if !validGroup(name) {
		return nil, refuse(http.StatusBadRequest, "The name of a group has lower-case letters, digits, - and _, at most %d of them.", groupMax)
	}
	p, err = s.store.UpdateProduct(q.Context(), p.ID, func(p *store.Product) error {
		g := groupNamed(p, old)
		switch {
		case g == nil:
			return errGroup
		case name != old && groupNamed(p, name) != nil:
			return refuse(http.StatusConflict, "There is a group of the name %s.", name)
		}
		g.Name = name
		if q.body.has("description") {
			g.Description = q.body.text("description")
		}
		if q.body.has("color") {
			g.Color = q.body.text("color")
		}
		renameIn(p, old, name)
		return nil
	})
	if err == nil {
		err = s.regroup(q, p.ID, func(groups []string) []string { return renamed(groups, old, name) })
	}
	if err != nil {
		return nil, err
	}
	return object{"ok": true, "group": s.groupObject(p, groupNamed(p, name))}, nil
}

// dropGroup answers DELETE …/groups/:group. Devices leave it.
func (s *Server) dropGroup(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	name := q.PathValue("group")
	// The devices first: whatever happens meanwhile, it can be asked again.
	if groupNamed(p, name) == nil {
		return nil, errGroup
	}
	if err := s.regroup(q, p.ID, func(groups []string) []string { return renamed(groups, name, "") }); err != nil {
		return nil, err
	}
	_, err = s.store.UpdateProduct(q.Context(), p.ID, func(p *store.Product) error {
		p.Groups = slices.DeleteFunc(p.Groups, func(g store.Group) bool { return g.Name == name })
		renameIn(p, name, "")
		return nil
	})
	return noContent{}, err
}

// renameIn makes releases follow the new name of a group, "" for none.
func renameIn(p *store.Product, old, name string) {
	for i := range p.Firmware {
		p.Firmware[i].Groups = renamed(p.Firmware[i].Groups, old, name)
	}
}

func renamed(groups []string, old, name string) []string {
	list := []string{}
	for _, g := range groups {
		switch {
		case g != old:
			list = append(list, g)
		case name != "":
			list = append(list, name)
		}
	}
	return list
}

// regroup changes the groups of a product's devices.
func (s *Server) regroup(q *request, p store.ProductID, change func([]string) []string) error {
	for _, id := range s.store.MembersOf(p) {
		if groups := s.store.Member(id).Groups; slices.Equal(change(groups), groups) {
			continue
		}
		_, err := s.store.UpdateMember(q.Context(), id, func(m *store.Member) error {
			m.Groups = change(m.Groups)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
