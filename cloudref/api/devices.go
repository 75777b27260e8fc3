package api

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// seen reports whether a device ever said Hello.
func seen(st endpoint.Status) bool { return st.Dialect != (pdc.Dialect{}) }

// heard returns when the device last made a handshake and was last heard.
func (s *Server) heard(d *store.Device, st endpoint.Status) (handshake, last time.Time) {
	handshake, last = d.LastHandshake, d.LastHeard
	if st.Heard >= 0 {
		last = s.cloud.Time(st.Heard)
	}
	if handshake.IsZero() {
		handshake = last
	}
	return handshake, last
}

// deviceObject is a device as the API tells it, in lists and in detail.
func (s *Server) deviceObject(d *store.Device) object {
	st := s.cloud.Status(d.ID)
	platform := s.platformOf(d, st)
	handshake, last := s.heard(d, st)
	o := object{
		"id": d.ID.String(), "name": orNull(d.Name), "owner": orNull(s.usernameOf(d.Owner)),
		"platform_id": platform,
		// Outside a product the two are equal. The command-line tool takes a
		// device whose ids differ for one of a product.
		"product_id": platform,
		"online":     st.Online,
		// Deprecated, and what the command-line tool decides by.
		"connected":  st.Online,
		"last_heard": timestamp(last), "last_handshake_at": timestamp(handshake),
		"last_ip_address": orNull(address(d, st)), "last_app": nil,
		"status": "normal", "cellular": platform.Cellular(), "notes": orNull(d.Notes), "serial_number": orNull(d.Serial),
		"iccid": nil, "last_iccid": nil, "imei": nil, "mobile_secret": nil,
		"system_firmware_version": nil,
		"current_build_target":    nil, "default_build_target": nil, "pinned_build_target": nil,
		"functions": nil, "variables": nil,
		"firmware_updates_enabled": true, "firmware_updates_forced": st.Updates.Forced,
		"development": d.Flags&store.Development != 0,
		"quarantined": d.Flags&store.Quarantined != 0, "denied": d.Flags&store.Denied != 0,
	}
	if st.SafeMode {
		o["status"] = "safe_mode"
	}
	if seen(st) {
		o["firmware_updates_enabled"] = st.Updates.Enabled
	}
	if st.Dialect.System != 0 {
		release := strings.TrimRight(pdc.Release(st.Dialect.System), "+-")
		o["system_firmware_version"], o["current_build_target"] = release, release
		o["default_build_target"] = release
	}
	s.addDescribe(o, st)
	named, version := s.firmwareOf(d, st)
	s.addProductFields(o, s.store.Member(d.ID), named, version)
	return o
}

// addDescribe adds what the device said of itself, if it did so ever.
func (s *Server) addDescribe(o object, st endpoint.Status) {
	if st.Describe == nil {
		return
	}
	functions := st.Describe.Application.Functions
	if functions == nil {
		functions = []string{}
	}
	variables := object{}
	for _, v := range st.Describe.Application.Variables {
		variables[v.Name] = v.Type.String()
	}
	o["functions"], o["variables"] = functions, variables
	o["imei"] = orNull(st.Describe.System.IMEI)
	o["iccid"], o["last_iccid"] = orNull(st.Describe.System.ICCID), orNull(st.Describe.System.ICCID)
}

// address is the address of a device without its port.
func address(d *store.Device, st endpoint.Status) string {
	text := cmp.Or(st.Peer, d.LastAddress)
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().Unmap().String()
	}
	return text
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// listDevices answers GET /v1/devices: the last to connect first.
func (s *Server) listDevices(q *request) (any, error) {
	devices, err := s.devicesOf(q.Context(), q.account)
	if err != nil {
		return nil, err
	}
	when := make(map[store.DeviceID]time.Time, len(devices))
	for _, d := range devices {
		when[d.ID], _ = s.heard(d, s.cloud.Status(d.ID))
	}
	slices.SortStableFunc(devices, func(a, b *store.Device) int {
		return cmp.Or(when[b.ID].Compare(when[a.ID]), slices.Compare(a.ID[:], b.ID[:]))
	})
	list := make([]object, 0, len(devices))
	for _, d := range devices {
		list = append(list, s.deviceObject(d))
	}
	return list, nil
}

// getDevice answers GET /v1/devices/:id.
func (s *Server) getDevice(q *request) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	return s.deviceObject(d), nil
}

// belowDevice answers GET below a device: its events, or a variable.
func (s *Server) belowDevice(q *request) (any, error) {
	rest := q.PathValue("rest")
	if rest == "events" || strings.HasPrefix(rest, "events/") {
		return s.streamDevice(q, strings.TrimPrefix(strings.TrimPrefix(rest, "events"), "/"))
	}
	if rest == "" || strings.Contains(rest, "/") {
		return nil, noRoute(q)
	}
	return s.readVariable(q, rest)
}

// update changes the record of a device, again if someone else did meanwhile.
func (s *Server) update(q *request, id store.DeviceID, change func(*store.Device) error) (*store.Device, error) {
	const tries = 5
	for try := 1; ; try++ {
		d, err := s.store.Device(q.Context(), id)
		if err != nil {
			return nil, err
		}
		if err := change(d); err != nil {
			return nil, err
		}
		err = s.store.Do(q.Context(), store.PutDevice(d).If(d.Revision))
		if err == nil || !errors.Is(err, store.ErrConflict) || try == tries {
			return d, err
		}
	}
}

// nameMax bounds the name of a device, in bytes.
const nameMax = 128

// notesMax bounds the notes on a device, in bytes.
const notesMax = 4096

// changeDevice answers PUT /v1/devices/:id and its twin below a product, whose
// meaning its fields tell.
func (s *Server) changeDevice(q *request) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	switch {
	case len(q.files) > 0:
		return s.flash(q, d)
	case q.body.has("signal") && !q.body.describes():
		return s.signal(q, d)
	case q.body.has("firmware_updates_forced") && !q.body.describes():
		return s.forceUpdates(q, d)
	case q.body.has("app_id"), q.body.has("app"):
		return nil, refuse(http.StatusBadRequest, "This cloud has no apps of its own. Upload a binary in the part \"file\".")
	default:
		return s.describeDevice(q, d)
	}
}

// describes reports whether fields say something of a device that is stored.
func (b body) describes() bool {
	fields := [...]string{"name", "notes", "development", "desired_firmware_version", "groups", "quarantined", "denied"}
	return slices.ContainsFunc(fields[:], b.has)
}

// describeDevice takes what people write about a device, and what a product does.
func (s *Server) describeDevice(q *request, d *store.Device) (any, error) {
	told := object{}
	if q.PathValue("product") != "" {
		p, err := s.product(q)
		if err != nil {
			return nil, err
		}
		if told, err = s.changeMember(q, p, d.ID); err != nil {
			return nil, err
		}
	}
	if q.body.has("name") || q.body.has("notes") {
		if err := s.label(q, d, told); err != nil {
			return nil, err
		}
	}
	if len(told) == 0 {
		return nil, refuse(http.StatusBadRequest, "Nothing to do: give name, notes, signal, firmware_updates_forced or a file.")
	}
	told["id"], told["updated_at"] = d.ID.String(), timestamp(s.c.Now())
	return told, s.alsoCommand(q, d, told)
}

// alsoCommand does what else stands beside a description. That the light is to be off
// does not count: particle-api-js before 8 says so whenever it renames a device, which
// may be offline.
func (s *Server) alsoCommand(q *request, d *store.Device, told object) error {
	ctx, cancel := s.deviceContext(q)
	defer cancel()
	if q.body.flag("signal") {
		if err := s.cloud.Signal(ctx, d.ID, true); err != nil {
			return changeFailed(err)
		}
		told["connected"], told["signaling"] = true, true
	}
	if q.body.has("firmware_updates_forced") {
		on := q.body.flag("firmware_updates_forced")
		if err := s.cloud.ForceUpdates(ctx, d.ID, on); err != nil {
			return changeFailed(err)
		}
		told["firmware_updates_forced"] = on
	}
	return nil
}

// label gives a device another name or other notes.
func (s *Server) label(q *request, d *store.Device, told object) error {
	name, notes := strings.TrimSpace(q.body.text("name")), q.body.text("notes")
	if q.body.has("name") && (name == "" || len(name) > nameMax || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '/' })) {
		return refuse(http.StatusBadRequest, "A device name has 1 to %d characters and no slash.", nameMax)
	}
	if len(notes) > notesMax {
		return refuse(http.StatusBadRequest, "The notes on a device have at most %d bytes.", notesMax)
	}
	d, err := s.update(q, d.ID, func(now *store.Device) error {
		if now.Owner != d.Owner {
			return unknownDevice(q.Method) // it changed hands meanwhile
		}
		if q.body.has("name") {
			now.Name, told["name"] = name, name
		}
		if q.body.has("notes") {
			now.Notes, told["notes"] = notes, notes
		}
		return nil
	})
	return err
}

func (s *Server) signal(q *request, d *store.Device) (any, error) {
	on := q.body.flag("signal")
	ctx, cancel := s.deviceContext(q)
	defer cancel()
	if err := s.cloud.Signal(ctx, d.ID, on); err != nil {
		return nil, changeFailed(err)
	}
	return object{"id": d.ID.String(), "connected": true, "signaling": on}, nil
}

func (s *Server) forceUpdates(q *request, d *store.Device) (any, error) {
	on := q.body.flag("firmware_updates_forced")
	ctx, cancel := s.deviceContext(q)
	defer cancel()
	if err := s.cloud.ForceUpdates(ctx, d.ID, on); err != nil {
		return nil, changeFailed(err)
	}
	return object{"id": d.ID.String(), "firmware_updates_forced": on}, nil
}

// changeFailed is the answer, as recorded, when a device does not answer to a
// PUT.
func changeFailed(err error) error {
	if silent(err) {
		return &failure{http.StatusInternalServerError, object{
			"ok": false, "code": http.StatusInternalServerError, "errors": []string{"Request Timed Out"},
		}}
	}
	return err
}

// pingDevice answers PUT /v1/devices/:id/ping: 200 whether it is there or not.
func (s *Server) pingDevice(q *request) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.deviceContext(q)
	defer cancel()
	err = s.cloud.Ping(ctx, d.ID)
	if err != nil && !silent(err) {
		return nil, err
	}
	return object{"online": err == nil, "ok": true}, nil
}
