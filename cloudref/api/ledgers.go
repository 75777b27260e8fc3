package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/cloudref/variant"
	"github.com/muster/muster/protocol/pdc"
)

// ledgersMax bounds the ledgers of an account, and of a product.
const ledgersMax = 200

var (
	errLedger   = refuse(http.StatusNotFound, "Ledger not found")
	errInstance = refuse(http.StatusNotFound, "Ledger instance not found")
)

// ledgerOwner is whose ledgers a route is about.
func (s *Server) ledgerOwner(q *request) (store.LedgerOwner, error) {
	product, err := s.productOrNone(q)
	if err != nil || product != 0 {
		return store.LedgerOwner{Product: product}, err
	}
	return store.LedgerOwner{Account: q.account}, nil
}

// ledger returns the ledger of the path, if it is the caller's.
func (s *Server) ledger(q *request) (*store.Ledger, error) {
	owner, err := s.ledgerOwner(q)
	if err != nil {
		return nil, err
	}
	name := q.PathValue("ledger")
	if !validLedgerName(name) {
		return nil, errLedger
	}
	l, err := s.store.Ledger(store.LedgerKey{Owner: owner, Name: name})
	if err != nil {
		return nil, errLedger
	}
	return l, nil
}

func validLedgerName(name string) bool {
	return name != "" && len(name) <= pdc.LedgerNameMax && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

func ledgerObject(l *store.Ledger) object {
	archived := any(nil)
	if l.Archived {
		archived = timestamp(l.Updated) // the last thing that was done to it
	}
	return object{
		"archived_at": archived,
		"name":        l.Key.Name, "scope": l.Scope, "direction": l.Direction, "description": l.Description,
		"archived": l.Archived, "created_at": timestamp(l.Created), "updated_at": timestamp(l.Updated),
	}
}

// listLedgers answers GET /v1/ledgers and its twin below a product.
func (s *Server) listLedgers(q *request) (any, error) {
	owner, err := s.ledgerOwner(q)
	if err != nil {
		return nil, err
	}
	scope, direction, archived := q.query("scope"), q.query("direction"), q.query("archived") == "true"
	all := slices.DeleteFunc(s.store.LedgersOf(owner), func(l *store.Ledger) bool {
		return l.Archived != archived || scope != "" && l.Scope != scope || direction != "" && l.Direction != direction ||
			!strings.Contains(l.Key.Name, q.query("name"))
	})
	page, size := pageOf(q)
	list := []object{}
	for _, l := range all[min(len(all), (page-1)*size):min(len(all), page*size)] {
		list = append(list, ledgerObject(l))
	}
	return object{"ledgers": list, "meta": metaOf(page, size, len(all))}, nil
}

func metaOf(page, size, total int) object {
	return object{"page": page, "per_page": size, "total_pages": (total + size - 1) / size, "total": total}
}

// addLedger answers POST /v1/ledgers and its twin.
func (s *Server) addLedger(q *request) (any, error) {
	owner, err := s.ledgerOwner(q)
	if err != nil {
		return nil, err
	}
	fields := q.body
	if q.body.has("ledger") {
		fields = q.body.object("ledger")
	}
	now := s.c.Now().UTC()
	l := &store.Ledger{
		Key:   store.LedgerKey{Owner: owner, Name: fields.text("name")},
		Scope: capital(fields.text("scope")), Direction: capital(fields.text("direction")),
		Description: fields.text("description"), Created: now, Updated: now,
	}
	if err := checkLedger(l); err != nil {
		return nil, err
	}
	if len(s.store.LedgersOf(owner)) >= ledgersMax {
		return nil, refuse(http.StatusBadRequest, "There are at most %d ledgers.", ledgersMax)
	}
	err = s.store.CreateLedger(q.Context(), l)
	if errors.Is(err, store.ErrConflict) {
		return nil, refuse(http.StatusConflict, "There is a ledger of the name %s.", l.Key.Name)
	}
	if err != nil {
		return nil, err
	}
	s.cloud.LedgerDefined(l)
	return created{object{"ledger": ledgerObject(l)}}, nil
}

// capital makes device, DEVICE and Device one word.
func capital(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + strings.ToLower(word[1:])
}

func checkLedger(l *store.Ledger) error {
	scopes := []string{"Owner", "Device"}
	if l.Key.Owner.Product != 0 {
		scopes = []string{"Product", "Device"}
	}
	switch {
	case !validLedgerName(l.Key.Name):
		return refuse(http.StatusBadRequest, "The name of a ledger has lower-case letters, digits and hyphens, at most %d of them.", pdc.LedgerNameMax)
	case !slices.Contains(scopes, l.Scope):
		return refuse(http.StatusBadRequest, "The scope of a ledger is %s here.", strings.Join(scopes, " or "))
	case l.Direction != "Upstream" && l.Direction != "Downstream":
		return refuse(http.StatusBadRequest, "The direction of a ledger is Upstream (from devices) or Downstream.")
	case l.Direction == "Upstream" && l.Scope != "Device":
		return refuse(http.StatusBadRequest, "Only a ledger of scope Device can be Upstream.")
	case len(l.Description) > descriptionMax:
		return refuse(http.StatusBadRequest, "The description of a ledger has at most %d bytes.", descriptionMax)
	}
	return nil
}

func (s *Server) getLedger(q *request) (any, error) {
	l, err := s.ledger(q)
	if err != nil {
		return nil, err
	}
	return object{"ledger": ledgerObject(l)}, nil
}

// changeLedger answers PUT /v1/ledgers/:name: the description, and whether it is
// archived. Devices hold on to scope and direction, so these stay.
func (s *Server) changeLedger(q *request) (any, error) {
	l, err := s.ledger(q)
	if err != nil {
		return nil, err
	}
	fields := q.body
	if q.body.has("ledger") {
		fields = q.body.object("ledger")
	}
	l, err = s.updateLedger(q, l.Key, func(l *store.Ledger) error {
		for name, have := range map[string]string{"scope": l.Scope, "direction": l.Direction, "name": l.Key.Name} {
			if fields.has(name) && !strings.EqualFold(fields.text(name), have) {
				return refuse(http.StatusBadRequest, "The %s of a ledger cannot change: make another ledger.", name)
			}
		}
		if fields.has("description") {
			l.Description = fields.text("description")
		}
		if fields.has("archived") {
			l.Archived = fields.flag("archived")
		}
		return checkLedger(l)
	})
	if err != nil {
		return nil, err
	}
	return object{"ledger": ledgerObject(l)}, nil
}

func (s *Server) updateLedger(q *request, k store.LedgerKey, change func(*store.Ledger) error) (*store.Ledger, error) {
	archived := false
	l, err := s.store.UpdateLedger(q.Context(), k, func(l *store.Ledger) error {
		l.Key = k
		archived = l.Archived
		l.Updated = s.c.Now().UTC()
		return change(l)
	})
	if err == nil && l.Archived != archived {
		s.cloud.LedgerDefined(l)
	}
	return l, err
}

// dropLedger answers DELETE /v1/ledgers/:name: the ledger is archived. What it holds
// stays.
func (s *Server) dropLedger(q *request) (any, error) {
	l, err := s.ledger(q)
	if err != nil {
		return nil, err
	}
	_, err = s.updateLedger(q, l.Key, func(l *store.Ledger) error { l.Archived = true; return nil })
	return noContent{}, err
}

// scope returns the ledger of the path and the scope of the instance: a device of
// the caller's, the product or the caller.
func (s *Server) scope(q *request) (*store.Ledger, string, error) {
	l, err := s.ledger(q)
	if err != nil {
		return nil, "", err
	}
	scope := q.PathValue("scope")
	switch l.Scope {
	case "Owner":
		if scope != q.account.String() {
			return nil, "", errInstance
		}
	case "Product":
		if scope != l.Key.Owner.Product.String() {
			return nil, "", errInstance
		}
	default:
		id, err := store.ParseDeviceID(scope)
		if err != nil || !s.holds(q, l, id) {
			return nil, "", errInstance
		}
		scope = id.String()
	}
	return l, scope, nil
}

// holds reports whether a ledger may hold something for a device.
func (s *Server) holds(q *request, l *store.Ledger, id store.DeviceID) bool {
	if p := l.Key.Owner.Product; p != 0 {
		return s.store.Member(id).Product == p
	}
	identity, known := s.store.Identity(id)
	return known && identity.Owner == q.account
}

func (s *Server) instanceObject(l *store.Ledger, i *store.LedgerInstance) object {
	return versionObject(l, i.Scope, i.LedgerVersion, i.Created)
}

func versionObject(l *store.Ledger, scope string, v store.LedgerVersion, made time.Time) object {
	return object{
		"name": l.Key.Name, "scope": object{"type": l.Scope, "value": scope, "name": scope}, "size_bytes": len(v.Data),
		"data": v.Data, "updated_at": timestamp(v.Updated), "created_at": timestamp(made),
	}
}

// listInstances answers GET /v1/ledgers/:name/instances.
func (s *Server) listInstances(q *request) (any, error) {
	l, err := s.ledger(q)
	if err != nil {
		return nil, err
	}
	all, err := s.store.LedgerInstances(q.Context(), l.Key)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *store.LedgerInstance) int { return strings.Compare(a.Scope, b.Scope) })
	page, size := pageOf(q)
	list := []object{}
	for _, i := range all[min(len(all), (page-1)*size):min(len(all), page*size)] {
		list = append(list, s.instanceObject(l, i))
	}
	return object{"instances": list, "meta": metaOf(page, size, len(all))}, nil
}

func (s *Server) getInstance(q *request) (any, error) {
	l, i, err := s.instance(q)
	if err != nil {
		return nil, err
	}
	return object{"instance": s.instanceObject(l, i)}, nil
}

func (s *Server) instance(q *request) (*store.Ledger, *store.LedgerInstance, error) {
	l, scope, err := s.scope(q)
	if err != nil {
		return nil, nil, err
	}
	i, err := s.store.LedgerInstance(q.Context(), l.Key, scope)
	if errors.Is(err, store.ErrNotFound) {
		err = errInstance
	}
	return l, i, err
}

// setInstance answers PUT /v1/ledgers/:name/instances/:scopeValue. With set_mode
// Merge fields are added to those that are there; without it they take their place.
func (s *Server) setInstance(q *request) (any, error) {
	l, scope, err := s.scope(q)
	if err != nil {
		return nil, err
	}
	fields := q.body.object("instance")
	data, isObject := fields["data"].(map[string]any)
	mode := firstOf(q.query("set_mode"), q.body.text("set_mode"), "Replace")
	merge := strings.EqualFold(mode, "Merge")
	switch {
	case l.Direction == "Upstream":
		return nil, refuse(http.StatusBadRequest, "This ledger is written by devices.")
	case l.Archived:
		return nil, refuse(http.StatusBadRequest, "This ledger is archived.")
	case !isObject:
		return nil, refuse(http.StatusBadRequest, "Give an object in instance.data.")
	case !merge && !strings.EqualFold(mode, "Replace"):
		return nil, refuse(http.StatusBadRequest, "set_mode is Replace or Merge.")
	}
	i, err := s.store.SetLedgerData(q.Context(), l.Key, scope, s.c.Now(), func(old json.RawMessage) (json.RawMessage, error) {
		value := encode(data)
		if merge && old != nil {
			if value, err = merged(old, data); err != nil {
				return nil, err
			}
		}
		return value, checkData(value)
	})
	if errors.Is(err, store.ErrTooLarge) {
		err = errTooMuch
	}
	if err != nil {
		return nil, err
	}
	s.cloud.LedgerChanged(l, scope, i.Updated)
	return object{"instance": s.instanceObject(l, i)}, nil
}

var errTooMuch = refuse(http.StatusBadRequest, "The data is too large: devices take %d bytes of CBOR.", pdc.LedgerDataMax)

// checkData refuses what no device could be sent.
func checkData(value json.RawMessage) error {
	b, err := variant.ToCBOR(value)
	switch {
	case err != nil:
		return refuse(http.StatusBadRequest, "The data cannot be sent to devices: %v", err)
	case len(b) > pdc.LedgerDataMax:
		return errTooMuch
	}
	return nil
}

func merged(old json.RawMessage, more map[string]any) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(old))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return nil, fmt.Errorf("api: ledger data in the store: %w", err)
	}
	for name, value := range more {
		fields[name] = value
	}
	return encode(fields), nil
}

func (s *Server) dropInstance(q *request) (any, error) {
	l, i, err := s.instance(q)
	if err != nil {
		return nil, err
	}
	if err := s.store.RemoveLedgerData(q.Context(), l.Key, i.Scope); err != nil {
		return nil, err
	}
	s.cloud.LedgerChanged(l, i.Scope, s.c.Now())
	return noContent{}, nil
}

// listVersions answers GET …/instances/:scopeValue/versions, newest first.
func (s *Server) listVersions(q *request) (any, error) {
	l, i, err := s.instance(q)
	if err != nil {
		return nil, err
	}
	before, after := q.query("replaced_before"), q.query("replaced_after")
	list, replaced := []object{}, time.Time{} // that in force is replaced by nothing
	for _, v := range append([]store.LedgerVersion{i.LedgerVersion}, i.Versions...) {
		o := versionObject(l, i.Scope, v, i.Created)
		o["version"] = versionName(v)
		if !replaced.IsZero() {
			o["replaced_at"] = timestamp(replaced)
		}
		within, err := replacedWithin(replaced, before, after)
		if err != nil {
			return nil, err
		}
		if within {
			list = append(list, o)
		}
		replaced = v.Updated
	}
	return object{"versions": list, "meta": object{"has_more": false}}, nil
}

// replacedWithin reports whether a version was replaced before and after some times,
// each empty for whenever. What is in force, with a zero time, fits only without both.
func replacedWithin(replaced time.Time, before, after string) (bool, error) {
	for i, text := range []string{before, after} {
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return false, refuse(http.StatusBadRequest, "replaced_before and replaced_after are times such as 2026-01-02T03:04:05Z.")
		}
		if replaced.IsZero() || i == 0 && !replaced.Before(t) || i == 1 && !replaced.After(t) {
			return false, nil
		}
	}
	return true, nil
}

// getVersion answers GET …/instances/:scopeValue/versions/:version.
func (s *Server) getVersion(q *request) (any, error) {
	l, i, err := s.instance(q)
	if err != nil {
		return nil, err
	}
	for _, v := range append([]store.LedgerVersion{i.LedgerVersion}, i.Versions...) {
		if versionName(v) == q.PathValue("version") {
			o := versionObject(l, i.Scope, v, i.Created)
			o["version"] = versionName(v)
			return object{"version": o}, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "Ledger version not found")
}

// versionName is when a version began, in milliseconds: no two have the same.
func versionName(v store.LedgerVersion) string { return fmt.Sprint(v.Updated.UnixMilli()) }
