package api

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
)

const (
	perPage    = 25
	perPageMax = 1000
	// sortedMax is how many devices of a product are sorted and searched; those of
	// a larger one come in the order of their ids, unless they are searched.
	sortedMax = 10_000
	// importMax bounds the devices that are added at once.
	importMax = 10_000
)

// errNotMember is the answer for a device that a product does not list.
func errNotMember(method string) *failure {
	status := http.StatusNotFound
	if method == http.MethodDelete {
		status = http.StatusBadRequest // which the command-line tool's tests need
	}
	return refuse(status, "Device not found for this product")
}

// member returns the product and the device of the path, which must be listed or,
// where waiting is set, in quarantine.
func (s *Server) member(q *request, waiting bool) (*store.Product, *store.Member, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, nil, err
	}
	id, err := store.ParseDeviceID(q.PathValue("device"))
	if err != nil {
		if id, err = s.memberNamed(q, p); err != nil {
			return nil, nil, err
		}
	}
	m := s.store.Member(id)
	if m.Product == p.ID || waiting && m.Waiting == p.ID {
		return p, m, nil
	}
	return nil, nil, errNotMember(q.Method)
}

// memberNamed returns the device of a product that the path names. The documents
// want an id on these routes; help texts of the command-line tool have names.
func (s *Server) memberNamed(q *request, p *store.Product) (store.DeviceID, error) {
	ids := s.store.MembersOf(p.ID)
	if len(ids) > sortedMax {
		return store.DeviceID{}, errNotMember(q.Method)
	}
	devices, err := s.readDevices(q.Context(), ids)
	if err != nil {
		return store.DeviceID{}, err
	}
	for _, d := range devices {
		if d.Name == q.PathValue("device") && s.visible(p, d) {
			return d.ID, nil
		}
	}
	return store.DeviceID{}, errNotMember(q.Method)
}

// addProductFields completes the object of a device with what its product knows.
func (s *Server) addProductFields(o object, m *store.Member, named, version uint16) {
	id := m.Product
	if id == 0 {
		id = m.Waiting
	}
	p, err := s.store.Product(id)
	if err != nil {
		return
	}
	o["product_id"] = p.ID
	o["groups"], o["development"] = orEmpty(m.Groups), m.Development
	o["quarantined"], o["denied"] = m.Product == 0, slices.Contains(m.Denied, p.ID)
	o["firmware_product_id"], o["firmware_version"] = nil, nil
	if named != 0 {
		o["firmware_product_id"], o["firmware_version"] = named, version
	}
	o["desired_firmware_version"], o["targeted_firmware_release_version"] = nil, nil
	if m.Desired != nil {
		o["desired_firmware_version"] = *m.Desired
	}
	if target := p.Target(m); target != nil && m.Product != 0 {
		o["targeted_firmware_release_version"] = target.Version
	}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// listProductDevices answers GET /v1/products/:product/devices.
func (s *Server) listProductDevices(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	quarantined := q.query("quarantined") == "true"
	ids := s.store.MembersOf(p.ID)
	if quarantined {
		ids = s.store.QuarantinedOf(p.ID)
	}
	ids = s.filterMembers(q, ids)
	page, size := pageOf(q)
	var devices []*store.Device
	total := len(ids)
	if text := q.query("deviceName") + q.query("serialNumber"); text != "" || total <= sortedMax {
		if devices, err = s.readDevices(q.Context(), ids); err != nil {
			return nil, err
		}
		devices = slices.DeleteFunc(searched(q, devices), func(d *store.Device) bool { return !s.visible(p, d) })
		s.sortDevices(q, devices)
		total = len(devices)
		devices = devices[min(total, (page-1)*size):min(total, page*size)]
	} else if devices, err = s.readDevices(q.Context(), ids[min(total, (page-1)*size):min(total, page*size)]); err != nil {
		return nil, err
	}
	list := []object{}
	for _, d := range devices {
		list = append(list, s.deviceObject(d))
	}
	return object{
		"devices": list, "customers": s.customersOwning(p.ID, devices),
		"meta": object{"total_records": total, "total_pages": (total + size - 1) / size, "page": page, "per_page": size},
	}, nil
}

// pageOf returns the page that is asked for, from 1, and the size of pages.
func pageOf(q *request) (page, size int) {
	page, err := strconv.Atoi(q.query("page"))
	if err != nil || page < 1 || page > 1<<30/perPageMax {
		page = 1
	}
	names := [...]string{"per_page", "perPage"} // documents, JavaScript library
	for _, name := range names {
		if n, err := strconv.Atoi(q.query(name)); err == nil && n >= 1 {
			return page, min(n, perPageMax)
		}
	}
	return page, perPage
}

// filterMembers keeps the devices with the id and of the groups that are asked for.
func (s *Server) filterMembers(q *request, ids []store.DeviceID) []store.DeviceID {
	wanted, groups := strings.ToLower(q.query("deviceId")), strings.Split(q.query("groups"), ",")
	return slices.DeleteFunc(ids, func(id store.DeviceID) bool {
		if wanted != "" && !strings.Contains(id.String(), wanted) {
			return true
		}
		return groups[0] != "" && !slices.ContainsFunc(s.store.Member(id).Groups, func(g string) bool { return slices.Contains(groups, g) })
	})
}

// searched keeps the devices with the name and the serial number that are asked
// for, or parts of them.
func searched(q *request, devices []*store.Device) []*store.Device {
	name, serial := strings.ToLower(q.query("deviceName")), strings.ToLower(q.query("serialNumber"))
	return slices.DeleteFunc(devices, func(d *store.Device) bool {
		return !strings.Contains(strings.ToLower(d.Name), name) || !strings.Contains(strings.ToLower(d.Serial), serial)
	})
}

// sortDevices sorts as is asked for: without a wish, the last to connect first.
func (s *Server) sortDevices(q *request, devices []*store.Device) {
	when := make(map[store.DeviceID]time.Time, len(devices))
	version := make(map[store.DeviceID]uint16, len(devices))
	for _, d := range devices {
		st := s.cloud.Status(d.ID)
		when[d.ID], _ = s.heard(d, st)
		_, version[d.ID] = s.firmwareOf(d, st)
	}
	by := q.query("sortAttr")
	slices.SortStableFunc(devices, func(a, b *store.Device) int {
		order := 0
		switch by {
		case "deviceId":
		case "deviceName":
			order = strings.Compare(a.Name, b.Name)
		case "firmwareVersion":
			order = cmp.Compare(version[a.ID], version[b.ID])
		case "lastConnection":
			order = when[a.ID].Compare(when[b.ID])
		default:
			order = when[b.ID].Compare(when[a.ID])
		}
		order = cmp.Or(order, slices.Compare(a.ID[:], b.ID[:]))
		if q.query("sortDir") == "desc" {
			return -order
		}
		return order
	})
}

// addProductDevices answers POST /v1/products/:product/devices: one device in id,
// several in ids, or a file with one a line: ids, or the IMEIs and ICCIDs that
// devices said, or serial numbers.
func (s *Server) addProductDevices(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	lines := importLines(q)
	switch {
	case len(lines) == 0:
		return nil, refuse(http.StatusBadRequest, "Give a device in id, or a text file with one id a line in the part \"file\".")
	case len(lines) > importMax:
		return nil, refuse(http.StatusBadRequest, "At most %d devices can be added at once.", importMax)
	}
	updated, existing, invalid := []string{}, []string{}, []string{}
	var others map[string]store.DeviceID // read when the first line is no id
	taken := map[store.DeviceID]bool{}   // a device may be in the list by several numbers
	for _, line := range lines {
		id, err := store.ParseDeviceID(line)
		if err != nil {
			if others == nil {
				if others, err = s.otherNumbers(q, p); err != nil {
					return nil, err
				}
			}
			var known bool
			if id, known = others[strings.ToLower(line)]; !known {
				invalid = append(invalid, line)
				continue
			}
		}
		if taken[id] {
			continue
		}
		taken[id] = true
		before := s.store.Member(id).Product
		joined, err := s.join(q, p, id)
		switch {
		case err != nil:
			return nil, err
		case !joined:
			invalid = append(invalid, line)
		default:
			updated = append(updated, id.String())
			if before == p.ID {
				existing = append(existing, id.String())
			} else {
				s.cloud.OfferFirmware(id)
			}
		}
	}
	return object{
		"updated": len(updated), "updatedDeviceIds": updated, "existingDeviceIds": existing,
		// The service lists here what belongs to someone else. That a device exists
		// is nobody's business, so that such ids are invalid ones here.
		"nonmemberDeviceIds": []string{}, "invalidDeviceIds": invalid,
	}, nil
}

// otherNumbers returns which devices of the caller, and which that wait for the
// product, have which serial number, IMEI and ICCID. What others own is not looked
// at: that a number exists is nobody's business.
func (s *Server) otherNumbers(q *request, p *store.Product) (map[string]store.DeviceID, error) {
	numbers := map[string]store.DeviceID{}
	ids := append(s.store.QuarantinedOf(p.ID), s.store.MembersOf(p.ID)...)
	ids = append(ids, s.store.DevicesOf(q.account)...)
	if len(ids) > sortedMax {
		return nil, refuse(http.StatusBadRequest, "With more than %d devices, give ids: looking for serial numbers, IMEIs and ICCIDs takes too long.", sortedMax)
	}
	devices, err := s.readDevices(q.Context(), ids)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		said := []string{d.Serial}
		if st := s.cloud.Status(d.ID); st.Describe != nil {
			said = append(said, st.Describe.System.IMEI, st.Describe.System.ICCID)
		}
		for _, number := range said {
			if number != "" {
				numbers[strings.ToLower(number)] = d.ID
			}
		}
	}
	return numbers, nil
}

// firmwareOf returns the product that the firmware of a device names, and its
// version there: what its last Hello said.
func (s *Server) firmwareOf(d *store.Device, st endpoint.Status) (named, version uint16) {
	if seen(st) {
		return st.Hello.ProductID, st.Hello.ProductVersion
	}
	return d.Product, d.ProductVersion
}

// visible reports whether a product may see and change a device that it lists, or
// that waits to be listed.
func (s *Server) visible(p *store.Product, d *store.Device) bool {
	named, _ := s.firmwareOf(d, s.cloud.Status(d.ID))
	return s.store.ProductOf(d.ID, named) == p.ID || s.store.Member(d.ID).Waiting == p.ID && s.store.Admits(p, d.Owner)
}

// productDevice returns the device of a route below a product.
func (s *Server) productDevice(q *request) (*store.Device, error) {
	// What is in quarantine can be looked at, approved and denied.
	waiting := q.Method == http.MethodGet && q.PathValue("rest") == "" ||
		q.Method == http.MethodPut && (q.body.has("quarantined") || q.body.has("denied"))
	p, m, err := s.member(q, waiting)
	if err != nil {
		return nil, err
	}
	d, err := s.store.Device(q.Context(), m.Device)
	if errors.Is(err, store.ErrNotFound) || err == nil && !s.visible(p, d) {
		return nil, errNotMember(q.Method)
	}
	return d, err
}

// importLines returns what a request wants added, without empty lines.
func importLines(q *request) []string {
	var lines []string
	take := func(text string) {
		if text = strings.Trim(text, " \t\r\n\"'\ufeff"); text != "" {
			lines = append(lines, text)
		}
	}
	take(q.body.text("id"))
	for _, id := range q.body.list("ids") {
		take(id)
	}
	for _, f := range q.files {
		for scanner := bufio.NewScanner(bytes.NewReader(f.data)); scanner.Scan() && len(lines) <= importMax; {
			take(scanner.Text())
		}
	}
	return lines
}

// join adds a device to a product and reports whether that was possible. A device
// that somebody else owns joins only if its firmware names the product: else
// anybody could listen to anybody.
func (s *Server) join(q *request, p *store.Product, id store.DeviceID) (bool, error) {
	identity, known := s.store.Identity(id)
	if !known {
		return false, nil
	}
	mine := identity.Owner == q.account || identity.Owner == store.AccountID{} || s.isCustomer(p.ID, identity.Owner)
	joined := false
	_, err := s.store.UpdateMember(q.Context(), id, func(m *store.Member) error {
		other, err := s.store.Product(m.Product)
		free := err != nil || other.Owner == q.account // of somebody else's product
		joined = m.Product == p.ID || free && (mine || m.Waiting == p.ID && s.store.Admits(p, identity.Owner))
		if !joined || m.Product == p.ID {
			return nil
		}
		m.Leave()
		m.Product, m.Waiting, m.Joined = p.ID, 0, s.c.Now().UTC()
		m.Denied = slices.DeleteFunc(m.Denied, func(o store.ProductID) bool { return o == p.ID })
		return nil
	})
	return joined && err == nil, err
}

func (s *Server) isCustomer(p store.ProductID, a store.AccountID) bool {
	account, known := s.store.Account(a)
	return known && account.Customer == p
}

// changeProductDevices answers PUT /v1/products/:product/devices: it changes the
// groups of several devices.
func (s *Server) changeProductDevices(q *request) (any, error) {
	p, err := s.product(q)
	if err != nil {
		return nil, err
	}
	if q.body.text("action") != "groups" {
		return nil, refuse(http.StatusBadRequest, "The only action is \"groups\".")
	}
	metadata := q.body.object("metadata")
	more, less := metadata.list("add"), metadata.list("remove")
	if err := checkGroups(p, more); err != nil {
		return nil, err
	}
	changed := []string{}
	for _, text := range q.body.list("devices") {
		id, err := store.ParseDeviceID(text)
		if err != nil || s.store.Member(id).Product != p.ID {
			continue
		}
		_, err = s.store.UpdateMember(q.Context(), id, func(m *store.Member) error {
			m.Groups = slices.DeleteFunc(append(m.Groups, more...), func(g string) bool { return slices.Contains(less, g) })
			slices.Sort(m.Groups)
			m.Groups = slices.Compact(m.Groups)
			return nil
		})
		if err != nil {
			return nil, err
		}
		changed = append(changed, id.String())
	}
	return object{"ok": true, "updated": len(changed), "updatedDeviceIds": changed}, nil
}

func checkGroups(p *store.Product, names []string) error {
	for _, name := range names {
		if groupNamed(p, name) == nil {
			return refuse(http.StatusBadRequest, "The product has no group %q.", name)
		}
	}
	return nil
}

// dropProductDevice answers DELETE /v1/products/:product/devices/:device.
func (s *Server) dropProductDevice(q *request) (any, error) {
	p, m, err := s.member(q, true)
	if err != nil {
		return nil, err
	}
	_, err = s.store.UpdateMember(q.Context(), m.Device, func(m *store.Member) error {
		if m.Product == p.ID {
			m.Leave()
		}
		if m.Waiting == p.ID {
			m.Waiting = 0
		}
		if (q.body.flag("deny") || q.query("deny") == "true") && !slices.Contains(m.Denied, p.ID) {
			m.Denied = append(m.Denied, p.ID)
		}
		return nil
	})
	return noContent{}, err
}

// dropOwner answers DELETE /v1/products/:product/devices/:device/owner.
func (s *Server) dropOwner(q *request) (any, error) {
	// Not of a device that a stranger owns, and whose firmware does not name the
	// product: such a one is listed, and not the product's.
	d, err := s.productDevice(q)
	if err != nil {
		return nil, err
	}
	if _, err = s.update(q, d.ID, func(d *store.Device) error {
		d.Owner = store.AccountID{}
		return nil
	}); err != nil {
		return nil, err
	}
	s.cloud.OwnerChanged(d.ID)
	return noContent{}, nil
}

// changeMember takes what a product's owner says of a device, and reports which
// fields that were.
func (s *Server) changeMember(q *request, p *store.Product, id store.DeviceID) (object, error) {
	told := object{}
	desired, err := desiredVersion(q, p)
	if err != nil {
		return nil, err
	}
	groups := q.body.list("groups")
	if err := checkGroups(p, groups); err != nil {
		return nil, err
	}
	_, err = s.store.UpdateMember(q.Context(), id, func(m *store.Member) error {
		if q.body.has("development") {
			m.Development = q.body.flag("development")
			told["development"] = m.Development
		}
		if q.body.has("desired_firmware_version") {
			m.Desired = desired
			told["desired_firmware_version"] = desired
		}
		if q.body.has("groups") {
			m.Groups = groups
			told["groups"] = orEmpty(groups)
		}
		if m.Product != p.ID && !(q.body.has("quarantined") && !q.body.flag("quarantined") || q.body.has("denied")) {
			return errNotMember(q.Method) // what waits can be approved or denied, and nothing else
		}
		if q.body.has("quarantined") && !q.body.flag("quarantined") {
			if m.Product != p.ID {
				m.Leave()
				m.Product, m.Joined = p.ID, s.c.Now().UTC()
			}
			m.Waiting = 0
			told["quarantined"] = false
		}
		if q.body.has("denied") {
			m.Denied = slices.DeleteFunc(m.Denied, func(o store.ProductID) bool { return o == p.ID })
			if q.body.flag("denied") {
				m.Denied = append(m.Denied, p.ID)
				m.Leave()
				m.Waiting = 0
			}
			told["denied"] = q.body.flag("denied")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if q.body.flag("flash") || told["development"] == false || told["quarantined"] == false {
		s.cloud.OfferFirmware(id)
	}
	return told, nil
}

// desiredVersion returns the version that a device is to be locked to, nil for
// none.
func desiredVersion(q *request, p *store.Product) (*uint16, error) {
	text := q.body.text("desired_firmware_version")
	if text == "" || text == "null" {
		return nil, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || p.Version(uint16(n)) == nil {
		return nil, refuse(http.StatusBadRequest, "The product has no firmware of version %s.", text)
	}
	version := uint16(n)
	return &version, nil
}
