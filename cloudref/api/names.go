package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/muster/muster/cloudref/store"
)

// names remembers which device of an account had which name. It is a hint only:
// who uses it looks at the device's record, so that it may be old, and another
// node may rename.
type names struct {
	mu    sync.Mutex
	known map[nameKey]store.DeviceID
}

type nameKey struct {
	owner store.AccountID
	name  string
}

// namesMax bounds the hints; with more, they begin anew.
const namesMax = 1 << 16

func (n *names) init() { n.known = make(map[nameKey]store.DeviceID) }

func (n *names) get(k nameKey) (store.DeviceID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id, ok := n.known[k]
	return id, ok
}

func (n *names) put(k nameKey, id store.DeviceID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= namesMax {
		clear(n.known)
	}
	n.known[k] = id
}

// readWindow is how many device records are read at a time.
const readWindow = 256

// devicesOf reads the records of the devices that an account owns.
func (s *Server) devicesOf(ctx context.Context, a store.AccountID) ([]*store.Device, error) {
	devices, err := s.readDevices(ctx, s.store.DevicesOf(a))
	return slices.DeleteFunc(devices, func(d *store.Device) bool { return d.Owner != a }), err
}

// readDevices reads records, those that exist, in the order of ids.
func (s *Server) readDevices(ctx context.Context, ids []store.DeviceID) ([]*store.Device, error) {
	found := make([]*store.Device, len(ids))
	errs := make([]error, len(ids))
	window := make(chan struct{}, readWindow)
	var all sync.WaitGroup
	for i, id := range ids {
		if err := acquire(ctx, window); err != nil {
			return nil, err
		}
		all.Add(1)
		s.store.ReadDevice(id, func(d *store.Device, err error) {
			found[i], errs[i] = d, err
			release(window)
			all.Done()
		})
	}
	all.Wait()
	var list []*store.Device
	for i, d := range found {
		switch {
		case errors.Is(errs[i], store.ErrNotFound):
			// Removed meanwhile.
		case errs[i] != nil:
			return nil, errs[i]
		default:
			list = append(list, d)
		}
	}
	return list, nil
}

// device returns the caller's device that the path names by id or by name. Below a
// product it is a device of the product, by id.
func (s *Server) device(q *request) (*store.Device, error) {
	if q.PathValue("product") != "" {
		return s.productDevice(q)
	}
	named := q.PathValue("device")
	if id, err := store.ParseDeviceID(named); err == nil {
		d, err := s.store.Device(q.Context(), id)
		switch {
		case err == nil && (d.Owner == q.account || s.c.Faults.OtherDevices):
			return d, nil
		case err == nil && s.c.Faults.TellOthers:
			return nil, refuse(http.StatusForbidden, "That belongs to someone else.")
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
		return nil, unknownDevice(q.Method)
	}
	key := nameKey{q.account, named}
	if id, hinted := s.names.get(key); hinted {
		if d, err := s.store.Device(q.Context(), id); err == nil && d.Owner == q.account && d.Name == named {
			return d, nil
		}
	}
	devices, err := s.devicesOf(q.Context(), q.account)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if d.Name == named {
			s.names.put(key, d.ID)
			return d, nil
		}
	}
	return nil, unknownDevice(q.Method)
}

// unknownDevice is the answer for a device that does not exist or is someone
// else's. The body is as recorded. The statuses are what the end-to-end tests of
// the command-line tool pass with: it takes 404 for a call and 400 for a change.
func unknownDevice(method string) *failure {
	status := http.StatusForbidden
	switch method {
	case http.MethodPost:
		status = http.StatusNotFound
	case http.MethodPut:
		status = http.StatusBadRequest
	}
	return &failure{status, object{
		"error": "Permission Denied",
		"info":  "I didn't recognize that device name or ID, try GET /v1/devices for a list of yours",
	}}
}
