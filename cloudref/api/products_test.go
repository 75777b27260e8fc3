package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
)

const noProduct = `{"ok":false,"error":"Permission denied"}`

// product makes a product of Alice, with her kitchen and a group.
func (b *bench) product() string {
	b.t.Helper()
	b.json("POST", "/v1/user/products", `{"product":{"name":"Coffee Maker","platform_id":13,"settings":{}}}`).decode()
	b.json("POST", "/v1/products/1000/groups", `{"name":"beta"}`).decode()
	b.json("POST", "/v1/products/coffee-maker-v100/devices", `{"id":"`+kitchen+`"}`).decode()
	return "/v1/products/1000"
}

func TestProducts(t *testing.T) {
	b := newBench(t, nil)
	b.json("GET", "/v1/user/products", "").want(200, `{"products":[]}`)
	p := b.product()
	o := b.json("GET", "/v1/products/coffee-maker-v100", "").decode()["product"].(map[string]any)
	for name, want := range map[string]any{
		"id": 1000.0, "platform_id": 13.0, "name": "Coffee Maker", "slug": "coffee-maker-v100", "user": "alice@example.com", "device_count": 1.0,
	} {
		if o[name] != want {
			t.Errorf("%s is %v, want %v", name, o[name], want)
		}
	}
	b.json("PUT", p, `{"product":{"name":"Tea Maker","settings":{"quarantine":false}}}`).decode()
	// Another of the same name has a slug of its own, and a number may be wished for.
	o = b.json("POST", "/v1/products", `{"name":"Coffee Maker","platform_id":"13","id":2000}`).decode()["product"].(map[string]any)
	if o["id"] != 2000.0 || o["slug"] != "coffee-maker-v101" {
		t.Errorf("got %v", o)
	}
	b.json("POST", "/v1/products", `{"name":"Third","platform_id":13,"id":2000}`).want(409, `{"ok":false,"error":"There is a product with the id 2000."}`)
	b.json("POST", "/v1/products", `{"name":"Third"}`).want(400, `{"ok":false,"error":"platform_id is the number of a platform, such as 13 for a Boron."}`)
	b.json("POST", "/v1/products", `{"platform_id":13}`).want(400, `{"ok":false,"error":"A product needs a name of at most 128 bytes."}`)
	if list := b.json("GET", "/v1/products", "").decode()["products"].([]any); len(list) != 2 {
		t.Errorf("got %v", list)
	}
}

// Everything below a product is closed to others, and they cannot tell a product
// from none.
func TestProductsArePrivate(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	for _, route := range productRoutes {
		method, path, _ := strings.Cut(route, " ")
		if path == p+"/customers" && method == "POST" {
			continue // has ways of its own to say who one is
		}
		b.do(method, path, b.bob, "application/json", `{}`).want(404, noProduct)
		b.do(method, strings.Replace(path, "1000", "1001", 1), b.bob, "application/json", `{}`).want(404, noProduct)
	}
	b.do("GET", "/v1/products", b.bob, "", "").want(200, `{"products":[]}`)
}

// productRoutes are those below product 1000.
var productRoutes = []string{
	"GET /v1/products/1000", "PUT /v1/products/1000",
	"GET /v1/products/1000/devices", "POST /v1/products/1000/devices", "PUT /v1/products/1000/devices",
	"GET /v1/products/1000/devices/" + kitchen, "PUT /v1/products/1000/devices/" + kitchen, "DELETE /v1/products/1000/devices/" + kitchen,
	"DELETE /v1/products/1000/devices/" + kitchen + "/owner", "GET /v1/products/1000/devices/" + kitchen + "/temp",
	"GET /v1/products/1000/devices/" + kitchen + "/events", "GET /v1/products/1000/devices/" + kitchen + "/events/x",
	"PUT /v1/products/1000/devices/" + kitchen + "/ping", "POST /v1/products/1000/devices/" + kitchen + "/brew",
	"POST /v1/products/1000/device_claims", "GET /v1/products/1000/events", "GET /v1/products/1000/events/x",
	"GET /v1/products/1000/groups", "POST /v1/products/1000/groups", "GET /v1/products/1000/groups/beta",
	"PUT /v1/products/1000/groups/beta", "DELETE /v1/products/1000/groups/beta",
	"GET /v1/products/1000/firmware", "POST /v1/products/1000/firmware", "PUT /v1/products/1000/firmware/release",
	"GET /v1/products/1000/firmware/1", "PUT /v1/products/1000/firmware/1", "DELETE /v1/products/1000/firmware/1",
	"GET /v1/products/1000/firmware/1/binary", "GET /v1/products/1000/customers", "POST /v1/products/1000/customers",
	"PUT /v1/products/1000/customers/x", "DELETE /v1/products/1000/customers/x",
	"GET /v1/products/1000/clients", "POST /v1/products/1000/clients", "PUT /v1/products/1000/clients/x", "DELETE /v1/products/1000/clients/x",
	"GET /v1/products/1000/nothing", "PATCH /v1/products/1000/devices",
}

func keysOf(o map[string]any) []string {
	var keys []string
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// The end-to-end tests of the command-line tool want these fields.
func TestProductDeviceFields(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	inList := strings.Split("denied development firmware_product_id groups id last_handshake_at last_ip_address name online owner platform_id product_id quarantined serial_number system_firmware_version targeted_firmware_release_version", " ")
	inDetail := append(strings.Split("cellular connected current_build_target default_build_target firmware_updates_enabled firmware_updates_forced last_heard mobile_secret", " "), inList...)
	list := b.json("GET", p+"/devices", "").decode()
	for _, key := range inList {
		if _, there := list["devices"].([]any)[0].(map[string]any)[key]; !there {
			t.Errorf("the list lacks %s", key)
		}
	}
	o := b.json("GET", p+"/devices/"+strings.ToUpper(kitchen), "").decode()
	for _, key := range inDetail {
		if _, there := o[key]; !there {
			t.Errorf("the detail lacks %s: %v", key, keysOf(o))
		}
	}
	if o["product_id"] != 1000.0 || o["platform_id"] != 13.0 {
		t.Errorf("got %v", o)
	}
	if o := b.json("GET", "/v1/devices/kitchen", "").decode(); o["product_id"] != 1000.0 {
		t.Errorf("on its owner's route the device is of product %v", o["product_id"])
	}
	if meta := list["meta"].(map[string]any); meta["total_pages"] != 1.0 {
		t.Errorf("got %v", meta)
	}
}

func TestAddingDevicesToAProduct(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	file := upload("file", "devices.txt", []byte(strings.ToUpper(kitchen)+"\r\n"+cellar+"\n\n"+bobs+"\n"+absent+"\nNOT-an-id\n"+nobodys))
	b.do("POST", p+"/devices", b.alice, file.kind, file.content).want(200, `{"updated":3,
		"updatedDeviceIds":["`+kitchen+`","`+cellar+`","`+nobodys+`"],"existingDeviceIds":["`+kitchen+`"],"nonmemberDeviceIds":[],
		"invalidDeviceIds":["`+bobs+`","`+absent+`","NOT-an-id"]}`)
	b.json("POST", p+"/devices", `{}`).want(400, `{"ok":false,"error":"Give a device in id, or a text file with one id a line in the part \"file\"."}`)

	b.json("DELETE", p+"/devices/"+bobs, "").want(400, `{"ok":false,"error":"Device not found for this product"}`)
	b.json("GET", p+"/devices/"+bobs, "").want(404, `{"ok":false,"error":"Device not found for this product"}`)
	b.json("POST", p+"/devices/"+bobs+"/brew", "{}").want(404, `{"ok":false,"error":"Device not found for this product"}`)
	b.json("GET", p+"/devices/bobs", "").want(404, `{"ok":false,"error":"Device not found for this product"}`)
	if o := b.json("GET", p+"/devices/kitchen", "").decode(); o["id"] != kitchen {
		t.Errorf("got %v", o)
	}
	if a := b.json("DELETE", p+"/devices/"+cellar, "{}"); a.status != http.StatusNoContent || a.body != "" {
		t.Errorf("got %d %q", a.status, a.body)
	}
	// A product of somebody else cannot take a device out of this one.
	b.do("POST", "/v1/products", b.bob, "application/json", `{"name":"Bob's","platform_id":13}`).decode()
	a := b.do("POST", "/v1/products/1001/devices", b.bob, "application/json", `{"id":"`+nobodys+`"}`).decode()
	if a["updated"] != 0.0 {
		t.Errorf("got %v", a)
	}
}

// Lists of devices come from makers, with what is printed on boards and SIMs.
func TestAddingDevicesByOtherNumbers(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	b.cloud.modems = map[store.DeviceID]pdc.SystemDescribe{
		deviceID(kitchen): {IMEI: "353090788515869", ICCID: "89340765090788515869"},
		deviceID(bobs):    {IMEI: "353090788515870"},
	}
	_, err := b.server.update(&request{Request: httptest.NewRequest("GET", "/", http.NoBody)}, deviceID(cellar), func(d *store.Device) error {
		d.Serial = "P046AF450020GPW"
		return nil
	})
	b.must(err)
	file := upload("file", "devices.txt", []byte("353090788515869\n89340765090788515869\np046af450020gpw\n353090788515870\n"))
	b.do("POST", p+"/devices", b.alice, file.kind, file.content).want(200, `{"updated":2,
		"updatedDeviceIds":["`+kitchen+`","`+cellar+`"],"existingDeviceIds":["`+kitchen+`"],"nonmemberDeviceIds":[],
		"invalidDeviceIds":["353090788515870"]}`)
}

// A device that nobody owned when a product listed it is out of the product's sight
// when a stranger owns it, unless its firmware names the product.
func TestListingADeviceIsNotOwningIt(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	b.json("POST", p+"/devices", `{"id":"`+nobodys+`"}`).decode()
	b.json("GET", p+"/devices/"+nobodys, "").decode()
	b.do("POST", "/v1/devices", b.bob, "application/json", `{"id":"`+nobodys+`"}`).decode()
	b.json("GET", p+"/devices/"+nobodys, "").want(404, `{"ok":false,"error":"Device not found for this product"}`)
	b.json("POST", p+"/devices/"+nobodys+"/brew", "{}").want(404, `{"ok":false,"error":"Device not found for this product"}`)
	b.json("DELETE", p+"/devices/"+nobodys+"/owner", "").want(400, `{"ok":false,"error":"Device not found for this product"}`)
	if d, err := b.store.Device(t.Context(), deviceID(nobodys)); err != nil || d.Owner != bobID {
		t.Errorf("%v: the device is of %v", err, d.Owner)
	}
	if list := b.json("GET", p+"/devices", "").decode()["devices"].([]any); len(list) != 1 {
		t.Errorf("got %v", list)
	}
	b.cloud.online[deviceID(nobodys)] = true
	b.cloud.hellos = map[store.DeviceID]pdc.Hello{deviceID(nobodys): {ProductID: 1000, ProductVersion: 3}}
	if o := b.json("GET", p+"/devices/"+nobodys, "").decode(); o["firmware_version"] != 3.0 || o["owner"] != "bob@example.com" {
		t.Errorf("got %v", o)
	}
}

func TestListingDevices(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	b.json("POST", p+"/devices", `{"ids":["`+cellar+`","`+nobodys+`"]}`).decode()
	b.json("PUT", p+"/devices/"+cellar, `{"groups":["beta"]}`).decode()
	for query, want := range map[string]string{
		"":                                       kitchen + "," + cellar + "," + nobodys, // the one that is connected first
		"?deviceName=CELL":                       cellar,
		"?groups=beta":                           cellar,
		"?groups=beta,gamma&deviceName=kit":      "",
		"?deviceId=" + strings.ToUpper(nobodys):  nobodys,
		"?per_page=2&page=2":                     nobodys,
		"?perPage=1&page=2":                      cellar,
		"?page=0&per_page=-1":                    kitchen + "," + cellar + "," + nobodys,
		"?sortAttr=deviceId&sortDir=desc":        nobodys + "," + cellar + "," + kitchen,
		"?sortAttr=deviceName&sortDir=asc":       nobodys + "," + cellar + "," + kitchen,
		"?quarantined=true":                      "",
		"?page=99999999999999999999&per_page=25": kitchen + "," + cellar + "," + nobodys,
	} {
		var ids []string
		for _, d := range b.json("GET", p+"/devices"+query, "").decode()["devices"].([]any) {
			ids = append(ids, d.(map[string]any)["id"].(string))
		}
		if got := strings.Join(ids, ","); got != want {
			t.Errorf("%q lists %s, want %s", query, got, want)
		}
	}
}

func TestProductDeviceChanges(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	b.firmware(p, 4)
	d := p + "/devices/" + kitchen
	const at = `,"id":"` + kitchen + `","updated_at":"2026-01-02T03:04:05.678Z"}`
	b.json("PUT", d, `{"development":true}`).want(200, `{"development":true`+at)
	b.json("PUT", d, `{"groups":["beta"]}`).want(200, `{"groups":["beta"]`+at)
	b.do("PUT", d, b.alice, form, "groups[]=beta").want(200, `{"groups":["beta"]`+at)
	b.json("PUT", d, `{"groups":["nope"]}`).want(400, `{"ok":false,"error":"The product has no group \"nope\"."}`)
	b.json("PUT", d, `{"name":"espresso","notes":"by the window"}`).want(200, `{"name":"espresso","notes":"by the window"`+at)
	b.json("PUT", d, `{"desired_firmware_version":4}`).want(200, `{"desired_firmware_version":4`+at)
	b.json("PUT", d, `{"desired_firmware_version":5}`).want(400, `{"ok":false,"error":"The product has no firmware of version 5."}`)
	o := b.json("GET", d, "").decode()
	if o["development"] != true || o["desired_firmware_version"] != 4.0 || o["name"] != "espresso" || o["targeted_firmware_release_version"] != 4.0 {
		t.Errorf("got %v", o)
	}
	b.json("PUT", d, `{"desired_firmware_version":null}`).want(200, `{"desired_firmware_version":null`+at)
	b.json("PUT", p+"/devices", `{"action":"groups","devices":["`+kitchen+`","`+bobs+`"],"metadata":{"add":["beta"],"remove":[]}}`).want(200,
		`{"ok":true,"updated":1,"updatedDeviceIds":["`+kitchen+`"]}`)
	if got := b.json("POST", d+"/brew", `{"args":"x"}`).decode()["return_value"]; got != -42.0 {
		t.Errorf("got %v", got)
	}
	if got := b.json("GET", d+"/temp", "").decode()["result"]; got != 21.5 {
		t.Errorf("got %v", got)
	}
	b.json("PUT", d+"/ping", "").want(200, `{"online":true,"ok":true}`)
	binary := upload("file", "app.bin", testBinary(pdc.Boron, 2000))
	b.do("PUT", d, b.alice, binary.kind, binary.content).want(200, `{"id":"`+kitchen+`","status":"Update started"}`)
}

func TestQuarantine(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	waits := func(id string) {
		if _, err := b.store.UpdateMember(t.Context(), deviceID(id), func(m *store.Member) error { m.Waiting = 1000; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	waits(bobs)
	list := b.json("GET", p+"/devices?quarantined=true", "").decode()["devices"].([]any)
	if o := list[0].(map[string]any); o["id"] != bobs || o["quarantined"] != true || o["product_id"] != 1000.0 {
		t.Errorf("got %v", o)
	}
	b.json("POST", p+"/devices/"+bobs+"/brew", "{}").want(404, `{"ok":false,"error":"Device not found for this product"}`)
	b.json("PUT", p+"/devices/"+bobs, `{"quarantined":false}`).want(200, `{"quarantined":false,"id":"`+bobs+`","updated_at":"2026-01-02T03:04:05.678Z"}`)
	if m := b.store.Member(deviceID(bobs)); m.Product != 1000 || m.Waiting != 0 {
		t.Errorf("got %+v", m)
	}
	waits(cellar)
	b.json("DELETE", p+"/devices/"+cellar, `{"deny":true}`)
	if m := b.store.Member(deviceID(cellar)); m.Product != 0 || m.Waiting != 0 || !slices.Equal(m.Denied, []store.ProductID{1000}) {
		t.Errorf("got %+v", m)
	}
	// Whoever's it is: it asked for it.
	waits(bobs)
	if o := b.json("POST", p+"/devices", `{"id":"`+bobs+`"}`).decode(); o["updated"] != 1.0 {
		t.Errorf("got %v", o)
	}
}

func TestGroups(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	b.firmware(p, 1)
	b.json("PUT", p+"/firmware/release", `{"version":1,"groups":["beta"],"product_default":false}`).decode()
	b.json("PUT", p+"/devices/"+kitchen, `{"groups":["beta"]}`).decode()
	b.json("POST", p+"/groups", `{"name":"beta"}`).want(409, `{"ok":false,"error":"There is a group of the name beta."}`)
	b.json("POST", p+"/groups", `{"name":"Not good"}`).want(400, `{"ok":false,"error":"The name of a group has lower-case letters, digits, - and _, at most 64 of them."}`)
	if a := b.json("POST", p+"/groups", `{"name":"gamma","color":"#ff0000"}`); a.status != http.StatusCreated {
		t.Errorf("got %d %s", a.status, a.body)
	}
	b.json("PUT", p+"/groups/beta", `{"name":"delta","description":"the brave"}`).decode()
	g := b.json("GET", p+"/groups/delta", "").decode()["group"].(map[string]any)
	if g["device_count"] != 1.0 || g["fw_version"] != 1.0 || g["description"] != "the brave" {
		t.Errorf("got %v", g)
	}
	if a := b.json("DELETE", p+"/groups/delta", ""); a.status != http.StatusNoContent {
		t.Errorf("got %d %s", a.status, a.body)
	}
	b.json("GET", p+"/groups/delta", "").want(404, `{"ok":false,"error":"Group not found"}`)
	if got := b.json("GET", p+"/devices/"+kitchen, "").decode()["groups"]; len(got.([]any)) != 0 {
		t.Errorf("the device is still in %v", got)
	}
	if list := b.json("GET", p+"/groups", "").decode()["groups"].([]any); len(list) != 1 {
		t.Errorf("got %v", list)
	}
}

// productBinary is firmware of a product.
func productBinary(version uint16, id uint32) []byte { return testBinaryOf(2000, id, version) }

// testBinaryOf is firmware of so many bytes of a product.
func testBinaryOf(size int, id uint32, version uint16) []byte {
	m := module.Module{Prefix: module.Prefix{Start: 0xd4000, Version: 7, Platform: pdc.Boron, Function: pdc.ModuleUserPart, Index: 1}}
	m.Product = &module.Product{ID: id, Version: version}
	m.Fill(size, strings.NewReader(strings.Repeat("firmware", size/8+1000)))
	return m.Append(nil)
}

// firmware uploads a version as the documentation says.
func (b *bench) firmware(p string, version uint16) map[string]any {
	b.t.Helper()
	file := upload("binary", "/home/alice/coffee.bin", productBinary(version, 1000), "version", store.ProductID(version).String(), "title", "Better")
	a := b.do("POST", p+"/firmware", b.alice, file.kind, file.content)
	if a.status != http.StatusCreated {
		b.t.Fatalf("got %d %s", a.status, a.body)
	}
	return a.decode()
}

func TestFirmware(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	o := b.firmware(p, 2)
	if o["version"] != 2.0 || o["name"] != "coffee.bin" || o["title"] != "Better" || o["product_default"] != false || len(o["_id"].(string)) != 24 {
		t.Errorf("got %v", o)
	}
	again := upload("file", "firmware.bin", productBinary(2, 1000), "version", "2")
	b.do("POST", p+"/firmware", b.alice, again.kind, again.content).want(409, `{"ok":false,"error":"The product has firmware of version 2 already."}`)
	other := upload("file", "firmware.bin", productBinary(2, 1000), "version", "3")
	b.do("POST", p+"/firmware", b.alice, other.kind, other.content).want(400, `{"ok":false,"error":"The binary has version 2, not 3."}`)
	plain := upload("file", "firmware.bin", testBinary(pdc.Boron, 1000), "version", "3")
	b.do("POST", p+"/firmware", b.alice, plain.kind, plain.content).want(400, `{"ok":false,"error":"The binary names no product: compile it with PRODUCT_VERSION(3)."}`)
	foreign := upload("file", "firmware.bin", testBinary(pdc.Photon, 1000), "version", "3")
	b.do("POST", p+"/firmware", b.alice, foreign.kind, foreign.content).want(400, `{"ok":false,"error":"The binary is for platform 6, the product is made on 13."}`)
	b.json("POST", p+"/firmware", `{"version":9}`).want(400, `{"ok":false,"error":"Upload one firmware binary in the part \"binary\"."}`)
	b.firmware(p, 10)

	b.json("PUT", p+"/firmware/10", `{"title":"Best"}`).decode()
	if o := b.json("GET", p+"/firmware/10", "").decode(); o["title"] != "Best" {
		t.Errorf("got %v", o)
	}
	if a := b.json("GET", p+"/firmware/10/binary", ""); a.body != string(productBinary(10, 1000)) || a.header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d bytes of %v", len(a.body), a.header)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(b.json("GET", p+"/firmware", "").body), &list); err != nil || len(list) != 2 || list[1]["version"] != 10.0 {
		t.Errorf("got %v, %v", list, err)
	}

	b.json("PUT", p+"/firmware/release", `{"version":2,"product_default":true}`).decode()
	b.json("DELETE", p+"/firmware/2", "").want(409, `{"ok":false,"error":"Version 2 is released: release another one first."}`)
	b.json("PUT", p+"/firmware/release", `{"version":10,"product_default":true,"intelligent":true}`).decode()
	if !slices.Contains(b.cloud.offered, deviceID(kitchen)) {
		t.Error("an intelligent release does not go out at once")
	}
	if a := b.json("DELETE", p+"/firmware/2", ""); a.status != http.StatusNoContent {
		t.Errorf("got %d %s", a.status, a.body)
	}
	b.json("GET", p+"/firmware/2", "").want(404, `{"ok":false,"error":"Firmware not found"}`)
	b.json("PUT", p+"/firmware/release", `{"version":3,"product_default":true}`).want(404, `{"ok":false,"error":"Firmware not found"}`)
	b.json("PUT", p+"/firmware/release", `{"version":10}`).want(400, `{"ok":false,"error":"Release to all with product_default, or to groups."}`)
}

// The real service wants a device that runs a version before it is released.
func TestProvenReleases(t *testing.T) {
	b := newBench(t, func(c *Config) { c.ProvenReleases = true })
	p := b.product()
	b.firmware(p, 2)
	const release = `{"version":2,"product_default":true}`
	b.json("PUT", p+"/firmware/release", release).want(400, `{"ok":false,"error":"No device of the product runs version 2 yet: flash one first."}`)
	b.cloud.hellos = map[store.DeviceID]pdc.Hello{deviceID(kitchen): {ProductID: 1000, ProductVersion: 2}}
	if o := b.json("PUT", p+"/firmware/release", release).decode(); o["device_count"] != 1.0 {
		t.Errorf("got %v", o)
	}
}

func TestProductStream(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	url := b.serve()
	r := open(t, url+p+"/events/temp", b.alice)
	r.want(":ok", "")
	b.cloud.announce(Event{Name: "temp", Owner: bobID, Device: deviceID(bobs), TTL: 60, Published: epoch})
	b.cloud.announce(Event{Name: "temp/1", Data: []byte("21"), Owner: bobID, Product: 1000, Version: 4, Device: deviceID(kitchen), TTL: 60, Published: epoch})
	r.want("event: temp/1", `data: {"data":"21","ttl":60,"published_at":"2026-01-02T03:04:05.678Z","coreid":"`+kitchen+`","userid":"`+
		bobID.String()+`","version":4,"public":false,"productID":1000}`, "")
	b.json("POST", p+"/events", `{"name":"temp/2","as_device_id":"`+kitchen+`"}`).want(200, `{"ok":true}`)
	r.want("event: temp/2", `data: {"data":null,"ttl":60,"published_at":"2026-01-02T03:04:05.678Z","coreid":"`+kitchen+`","userid":"`+
		aliceID.String()+`","version":0,"public":false,"productID":1000}`, "")
	b.json("POST", p+"/events", `{"name":"temp/2","as_device_id":"`+bobs+`"}`).want(404, `{"ok":false,"error":"Device not found for this product"}`)
}

func TestCustomers(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	client := b.json("POST", p+"/clients", `{"name":"shop","type":"installed"}`).decode()["client"].(map[string]any)
	id, secret := client["id"].(string), client["secret"].(string)
	credentials := "client_id=" + id + "&client_secret=" + secret
	if list := b.json("GET", "/v1/clients", "").decode()["clients"].([]any); len(list) != 0 {
		t.Errorf("the client of a product is one of the account: %v", list)
	}

	// With the owner's token, with the client's secret in the body, and by Basic.
	a := b.json("POST", p+"/customers", `{"email":"carol@example.com","password":"open sesame"}`)
	if a.status != http.StatusCreated || len(a.decode()["access_token"].(string)) != 40 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	carol := a.decode()["access_token"].(string)
	b.do("POST", p+"/customers", "", form, credentials+"&email=dave@example.com&no_password=true").decode()
	b.json("POST", p+"/customers", `{"email":"carol@example.com","password":"x"}`).want(409, `{"ok":false,"error":"There is a customer with that email address."}`)
	b.json("POST", p+"/customers", `{"email":"erin@example.com"}`).want(400, `{"ok":false,"error":"password is required, or no_password"}`)
	b.do("POST", p+"/customers", "", form, "email=x@example.com").want(400, noToken)
	b.do("POST", p+"/customers", "", form, "client_id="+id+"&client_secret=wrong&email=x@example.com").want(400, badClient)
	b.do("POST", p+"/customers", "", form, "client_id=particle&client_secret=particle&email=x@example.com").want(404, noProduct)

	// Customers log in through a client of their product, and only there.
	login := "grant_type=password&username=carol@example.com&password=open+sesame&"
	b.do("POST", "/oauth/token", "", form, login+credentials).decode()
	b.do("POST", "/oauth/token", "", form, login+"client_id=particle&client_secret=particle").want(400, badGrant)
	b.do("POST", "/oauth/token", "", form, "grant_type=client_credentials&scope=customer=dave@example.com&"+credentials).decode()
	b.do("POST", "/oauth/token", "", form, "grant_type=client_credentials&scope=customer=nobody@example.com&"+credentials).want(400,
		`{"error":"invalid_scope","error_description":"Customer not found"}`)

	// What the client itself gets is good for its product only.
	own := b.do("POST", "/oauth/token", "", form, "grant_type=client_credentials&"+credentials).decode()["access_token"].(string)
	b.do("GET", p+"/customers", own, "", "").decode()
	b.do("GET", "/v1/devices", own, "", "").want(403,
		`{"error":"Permission Denied","error_description":"These client credentials are good for one product only."}`)
	b.json("POST", "/v1/products", `{"name":"Other","platform_id":13}`).decode()
	b.do("GET", "/v1/products/1001", own, "", "").want(404, noProduct)

	// A customer claims a device; the product sees it, and can take it back.
	b.json("POST", p+"/devices", `{"id":"`+nobodys+`"}`).decode()
	b.do("POST", p+"/device_claims", carol, "application/json", `{}`).decode()
	b.do("POST", p+"/device_claims", b.bob, "application/json", `{}`).want(404, noProduct)
	b.do("POST", "/v1/devices", carol, "application/json", `{"id":"`+nobodys+`"}`).decode()
	list := b.json("GET", p+"/customers", "").decode()
	if c := list["customers"].([]any); len(c) != 2 || c[0].(map[string]any)["username"] != "carol@example.com" || len(c[0].(map[string]any)["devices"].([]any)) != 1 {
		t.Errorf("got %v", list)
	}
	if o := b.json("GET", p+"/devices/"+nobodys, "").decode(); o["owner"] != "carol@example.com" {
		t.Errorf("got %v", o)
	}
	if a := b.json("DELETE", p+"/devices/"+nobodys+"/owner", ""); a.status != http.StatusNoContent {
		t.Errorf("got %d", a.status)
	}

	b.json("PUT", p+"/customers/carol@example.com", `{"password":"closed"}`).want(200, `{"ok":true}`)
	b.do("POST", "/oauth/token", "", form, login+credentials).want(400, badGrant)
	if a := b.json("DELETE", p+"/customers/carol@example.com", ""); a.status != http.StatusNoContent {
		t.Errorf("got %d", a.status)
	}
	b.do("GET", "/v1/devices", carol, "", "").want(401, badToken)
	b.json("DELETE", p+"/customers/carol@example.com", "").want(404, `{"ok":false,"error":"Customer not found"}`)
}
