package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// updateVitals answers POST /v1/diagnostics/:id/update and its twin below a product.
// The answer comes before the device's.
func (s *Server) updateVitals(q *request) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	if !s.cloud.Status(d.ID).Online {
		return nil, refuse(http.StatusNotFound, "The device is not online: it cannot be asked.")
	}
	s.cloud.AskVitals(d.ID)
	return accepted{object{"ok": true}}, nil
}

func vitalsObject(d *store.Device, v store.Vitals) object {
	return object{"updated_at": timestamp(v.At), "deviceID": d.ID.String(), "payload": v.Payload}
}

// vitals returns what a device reported since it is the caller's, the oldest first.
// Below a product it is all of it.
func (s *Server) vitals(q *request, d *store.Device) ([]store.Vitals, error) {
	all, err := s.store.Vitals(q.Context(), d.ID)
	if q.PathValue("product") != "" {
		return all, err
	}
	return slices.DeleteFunc(all, func(v store.Vitals) bool { return v.At.Before(d.Claimed) }), err
}

// lastVitals answers GET /v1/diagnostics/:id/last.
func (s *Server) lastVitals(q *request) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	list, err := s.vitals(q, d)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, refuse(http.StatusNotFound, "The device has not reported its vitals yet.")
	}
	return object{"diagnostics": vitalsObject(d, list[len(list)-1])}, nil
}

// listVitals answers GET /v1/diagnostics/:id: what was reported between start_date
// and end_date, newest first.
func (s *Server) listVitals(q *request) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	from, err1 := dateOf(q.query("start_date"), time.Time{})
	to, err2 := dateOf(q.query("end_date"), s.c.Now())
	if err1 != nil || err2 != nil {
		return nil, refuse(http.StatusBadRequest, "start_date and end_date are times such as 2026-01-02T03:04:05Z.")
	}
	all, err := s.vitals(q, d)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, v := range slices.Backward(all) {
		if !v.At.Before(from) && !v.At.After(to) {
			list = append(list, vitalsObject(d, v))
		}
	}
	return object{"diagnostics": list}, nil
}

func dateOf(text string, fallback time.Time) (time.Time, error) {
	if text == "" {
		return fallback, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse(time.DateOnly, text)
	}
	return t, err
}

// vitalsMetadata answers GET /v1/diagnostics/:id/metadata: what the values mean.
func (s *Server) vitalsMetadata(q *request) (any, error) {
	if _, err := s.device(q); err != nil {
		return nil, err
	}
	metric := func(title, units string) object { return object{"title": title, "units": units} }
	return object{"diagnostics_metadata": object{
		"device": object{
			"network": object{"signal": object{
				"strength": metric("Signal Strength", "%"), "quality": metric("Signal Quality", "%"),
			}},
			"power":  object{"battery": object{"charge": metric("State of Charge", "%")}},
			"system": object{"uptime": metric("Uptime", "seconds"), "memory": object{"used": metric("Used RAM", "bytes"), "total": metric("Total RAM", "bytes")}},
		},
		"service": object{"coap": object{"round_trip": metric("Round-trip Time", "milliseconds")}},
	}}, nil
}
