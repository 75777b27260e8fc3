package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// The largest event that any device hears, in bytes. Older ones take less: to them
// the cloud sends what they take.
const (
	eventNameMax = 64
	eventDataMax = 1024
)

// publish answers POST /v1/devices/events and POST /v1/products/:product/events.
func (s *Server) publish(q *request) (any, error) {
	name := q.body.text("name")
	switch {
	case name == "":
		return nil, refuse(http.StatusBadRequest, "An event needs a name.")
	case len(name) > eventNameMax:
		return nil, refuse(http.StatusBadRequest, "The name of an event has at most %d bytes.", eventNameMax)
	case reservedName(name):
		// Such events drive the system of devices: reset, keys, updates.
		return nil, refuse(http.StatusBadRequest, "Names that begin with spark or particle are reserved.")
	}
	e := app.Event{Name: name, TTL: pdc.DefaultTTL, Private: true}
	if data := q.body.text("data"); data != "" {
		e.Data = []byte(data)
	}
	if len(e.Data) > eventDataMax {
		return nil, refuse(http.StatusBadRequest, "The data of an event has at most %d bytes.", eventDataMax)
	}
	if ttl := q.body.text("ttl"); ttl != "" {
		n, err := strconv.ParseUint(ttl, 10, 24)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "ttl is a number of seconds.")
		}
		e.TTL = uint32(n)
	}
	p, err := s.publication(q)
	if err != nil {
		return nil, err
	}
	p.Event = e
	if err := s.cloud.Publish(q.Context(), p); err != nil {
		return nil, err
	}
	return object{"ok": true}, nil
}

// publication says whose event it is: the caller's or, below a product, that of the
// product and perhaps of one of its devices.
func (s *Server) publication(q *request) (Publication, error) {
	of := Publication{Owner: q.account}
	if q.PathValue("product") == "" {
		return of, nil
	}
	p, err := s.product(q)
	if err != nil {
		return of, err
	}
	of.Product = p.ID
	text := q.body.text("as_device_id")
	if text == "" {
		return of, nil
	}
	id, err := store.ParseDeviceID(text)
	if err != nil || s.store.Member(id).Product != p.ID {
		return of, errNotMember(q.Method)
	}
	of.Device = id
	return of, nil
}

// reservedName reports whether a name belongs to the system, in any case of its
// letters.
func reservedName(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "spark") || strings.HasPrefix(name, "particle")
}
