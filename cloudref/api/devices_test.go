package api

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

func TestDeviceDetail(t *testing.T) {
	b := newBench(t, nil)
	for _, path := range []string{kitchen, strings.ToUpper(kitchen), "kitchen"} {
		b.json("GET", "/v1/devices/"+path, "").want(200, `{"id":"e00fce680000000000000001","name":"kitchen","owner":"alice@example.com",
			"platform_id":13,"product_id":13,"online":true,"connected":true,
			"last_heard":"2026-01-02T03:04:05.678Z","last_handshake_at":"2026-01-02T02:04:05.678Z",
			"last_ip_address":"127.1.0.1","last_app":null,"status":"normal","cellular":true,"notes":null,"serial_number":null,
			"iccid":null,"last_iccid":null,"imei":null,"mobile_secret":null,"system_firmware_version":"6.2.0",
			"current_build_target":"6.2.0","default_build_target":"6.2.0","pinned_build_target":null,
			"functions":["brew"],"variables":{"temp":"double","beans":"string"},
			"firmware_updates_enabled":true,"firmware_updates_forced":false,
			"development":false,"quarantined":false,"denied":false}`)
	}
	b.json("GET", "/v1/devices/cellar%20one", "").want(200, `{"id":"e00fce680000000000000002","name":"cellar one","owner":"alice@example.com",
		"platform_id":6,"product_id":6,"online":false,"connected":false,"last_heard":null,"last_handshake_at":null,
		"last_ip_address":null,"last_app":null,"status":"normal","cellular":false,"notes":null,"serial_number":null,
		"iccid":null,"last_iccid":null,"imei":null,"mobile_secret":null,"system_firmware_version":null,
		"current_build_target":null,"default_build_target":null,"pinned_build_target":null,"functions":null,"variables":null,
		"firmware_updates_enabled":true,"firmware_updates_forced":false,"development":false,"quarantined":false,"denied":false}`)
}

// The last to connect comes first, and nobody else's come at all.
func TestDeviceList(t *testing.T) {
	b := newBench(t, nil)
	a := b.json("GET", "/v1/devices", "")
	i, j := strings.Index(a.body, kitchen), strings.Index(a.body, cellar)
	if a.status != 200 || !strings.HasPrefix(a.body, "[") || i < 0 || j < i || strings.Contains(a.body, bobs) || strings.Contains(a.body, nobodys) {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// particle-api-js 6 and 7 say of the light that it is off whenever they rename.
func TestRenameWithSignal(t *testing.T) {
	b := newBench(t, nil)
	b.json("PUT", "/v1/devices/"+cellar, `{"name":"attic","signal":"0"}`).want(200,
		`{"id":"e00fce680000000000000002","name":"attic","updated_at":"2026-01-02T03:04:05.678Z"}`)
	b.json("PUT", "/v1/devices/kitchen", `{"notes":"warm","signal":"1","firmware_updates_forced":true}`).want(200,
		`{"id":"e00fce680000000000000001","notes":"warm","updated_at":"2026-01-02T03:04:05.678Z","connected":true,"signaling":true,"firmware_updates_forced":true}`)
}

func TestRename(t *testing.T) {
	b := newBench(t, nil)
	b.json("GET", "/v1/devices/kitchen", "").decode() // the name is remembered
	b.json("PUT", "/v1/devices/kitchen", `{"name":"bath"}`).want(200,
		`{"id":"e00fce680000000000000001","name":"bath","updated_at":"2026-01-02T03:04:05.678Z"}`)
	b.json("GET", "/v1/devices/kitchen", "").want(403, noDevice)
	if o := b.json("GET", "/v1/devices/bath", "").decode(); o["id"] != kitchen {
		t.Errorf("got %v", o["id"])
	}
}

func TestSignalPingAndForce(t *testing.T) {
	b := newBench(t, nil)
	for content, want := range map[string]string{
		`{"signal":"1"}`: "signal on", `{"signal":"0"}`: "signal off", `{"signal":1}`: "signal on", `{"signal":0}`: "signal off",
		`{"signal":true}`: "signal on",
	} {
		o := b.json("PUT", "/v1/devices/kitchen", content).decode()
		if b.cloud.last() != want || o["signaling"] != (want == "signal on") || o["connected"] != true || o["id"] != kitchen {
			t.Errorf("%s: %s, %v", content, b.cloud.last(), o)
		}
	}
	b.json("PUT", "/v1/devices/kitchen", `{"firmware_updates_forced":true}`).want(200,
		`{"id":"e00fce680000000000000001","firmware_updates_forced":true}`)
	b.json("PUT", "/v1/devices/kitchen/ping", "").want(200, `{"online":true,"ok":true}`)
	b.json("PUT", "/v1/devices/"+cellar+"/ping", "").want(200, `{"online":false,"ok":true}`)
}

func TestFunctions(t *testing.T) {
	b := newBench(t, nil)
	for _, test := range []struct{ kind, content, called string }{
		{form, "arg=strong", "brew(strong)"},
		{form, "args=strong", "brew(strong)"},
		{form, "params=strong", "brew(strong)"},
		{"application/json", `{"args":"strong"}`, "brew(strong)"},
		{"application/json", `{"arg":"strong","args":"weak"}`, "brew(strong)"},
		{"application/json", `{"arg":7}`, "brew(7)"},
		{"application/json", `{}`, "brew()"},
		{"", "", "brew()"},
	} {
		b.do("POST", "/v1/devices/kitchen/brew", b.alice, test.kind, test.content).want(200,
			`{"id":"e00fce680000000000000001","name":"kitchen","last_app":"","connected":true,"return_value":-42}`)
		if got := b.cloud.last(); got != test.called {
			t.Errorf("%s: called %s, want %s", test.content, got, test.called)
		}
	}
	for _, path := range []string{"brew?format=raw", "brew"} {
		if a := b.do("POST", "/v1/devices/kitchen/"+path, b.alice, form, "format=raw"); a.body != "-42" || a.status != 200 {
			t.Errorf("raw: %d %q", a.status, a.body)
		}
	}
	documented := newBench(t, func(c *Config) { c.CallOffline = http.StatusRequestTimeout })
	documented.json("POST", "/v1/devices/"+cellar+"/brew", `{}`).want(408, timedOut)
}

func TestVariables(t *testing.T) {
	b := newBench(t, nil)
	for name, want := range map[string]string{"temp": `21.5`, "beans": `"{\"a\":\"<b>\"}"`, "count": `-7`, "hot": `true`} {
		b.json("GET", "/v1/devices/kitchen/"+name, "").want(200, `{"cmd":"VarReturn","name":"`+name+`","result":`+want+`,"error":null,
			"coreInfo":{"name":"kitchen","deviceID":"e00fce680000000000000001","connected":true,"last_handshake_at":"2026-01-02T02:04:05.678Z",
			"last_heard":"2026-01-02T03:04:05.678Z","last_app":"","product_id":13}}`)
	}
	for name, want := range map[string]string{"temp": `21.5`, "beans": `{"a":"<b>"}`, "count": `-7`, "hot": `true`} {
		a := b.json("GET", "/v1/devices/kitchen/"+name+"?format=raw", "")
		if a.body != want || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: got %q (%s), want %q", name, a.body, a.header.Get("Content-Type"), want)
		}
	}
}

func TestClaiming(t *testing.T) {
	b := newBench(t, nil)
	claimed := `{"ok":true,"user_id":"` + aliceID.String() + `","id":"` + nobodys + `","connected":false,"deviceID":"` + nobodys + `","claimed":true}`
	b.json("POST", "/v1/devices", `{"id":"`+strings.ToUpper(nobodys)+`","request_transfer":false}`).want(200, claimed)
	b.do("POST", "/v1/devices", b.alice, form, "id="+nobodys).want(200, claimed) // again
	b.do("POST", "/v1/devices", b.bob, "application/json", `{"id":"`+nobodys+`"}`).want(403, `{"ok":false,"errors":["That belongs to someone else."]}`)
	if o := b.do("POST", "/v1/devices", b.bob, "application/json", `{"id":"`+nobodys+`","request_transfer":true}`).decode(); o["ok"] != true || o["transfer_id"] == "" {
		t.Errorf("got %v", o)
	}
	b.json("DELETE", "/v1/devices/"+nobodys, `{}`).want(200, `{"ok":true}`)
	b.json("GET", "/v1/devices/"+nobodys, "").want(403, noDevice)
	b.do("POST", "/v1/devices", b.bob, "application/json", `{"id":"`+nobodys+`"}`).decode()
	if want := slices.Repeat([]store.DeviceID{deviceID(nobodys)}, 3); !slices.Equal(b.cloud.moved, want) {
		t.Errorf("the cloud heard of %v", b.cloud.moved)
	}

	o := b.json("POST", "/v1/device_claims", `{}`).decode()
	if len(o["claim_code"].(string)) != 63 || len(o["device_ids"].([]any)) != 2 {
		t.Errorf("got %v", o)
	}
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestProvisioning(t *testing.T) {
	b := newBench(t, nil)
	ec, err := x509.MarshalPKIXPublicKey(&seed.P256(seed.Bytes(1, "device")).PublicKey)
	b.must(err)
	rsa := lightssl.AppendDeviceSPKI(nil, &seed.RSA(seed.Bytes(1, "device"), 1024).PublicKey)
	large, err := x509.MarshalPKIXPublicKey(&seed.RSA(seed.Bytes(1, "large"), 2048).PublicKey)
	b.must(err)
	send := func(id, token, key, algorithm string) answered {
		t.Helper()
		w := &bytes.Buffer{}
		m := multipart.NewWriter(w)
		for name, value := range map[string]string{"deviceID": id, "publicKey": key, "filename": "cli", "order": "manual_1", "algorithm": algorithm} {
			b.must(m.WriteField(name, value))
		}
		b.must(m.Close())
		return b.do("POST", "/v1/provisioning/"+id, token, m.FormDataContentType(), w.String())
	}
	send(absent, b.alice, pemOf(ec), "ecc").want(200, `"Success!"`)
	send(absent, b.alice, pemOf(rsa), "rsa").want(200, `"Success!"`)
	d, err := b.store.Device(t.Context(), deviceID(absent))
	b.must(err)
	if d.Owner != aliceID || !bytes.Equal(d.P256, ec) || !bytes.Equal(d.RSA, rsa) || !d.Created.Equal(epoch) {
		t.Errorf("got %+v", d)
	}
	const tcpOnly = "53ff6c066667574807350001" // a new device that has an RSA key alone
	other := lightssl.AppendDeviceSPKI(nil, &seed.RSA(seed.Bytes(2, "device"), 1024).PublicKey)
	send(tcpOnly, b.alice, pemOf(other), "rsa").want(200, `"Success!"`)
	d, err = b.store.Device(t.Context(), deviceID(tcpOnly))
	b.must(err)
	if d.Owner != aliceID || d.P256 != nil || !bytes.Equal(d.RSA, other) {
		t.Errorf("got %+v", d)
	}
	send(absent, b.bob, pemOf(ec), "ecc").want(403, `{"ok":false,"errors":["That belongs to someone else."]}`)
	send(bobs, b.bob, pemOf(ec), "ecc").want(400, `{"ok":false,"error":"Another device has this key. Make a new one."}`)
	const kinds = `{"ok":false,"error":"Devices have keys of P-256 (algorithm ecc) or RSA with 1024 bits (algorithm rsa)."}`
	send(absent, b.alice, pemOf(ec), "rsa").want(400, kinds)
	send(absent, b.alice, pemOf(large), "rsa").want(400, kinds)
	send(absent, b.alice, pemOf([]byte("x")), "rsa").want(400, `{"ok":false,"error":"publicKey is not a public key."}`)
}

func TestProductsThatDoNotExist(t *testing.T) {
	b := newBench(t, nil)
	b.json("GET", "/v1/products", "").want(200, `{"products":[]}`)
	b.json("GET", "/v1/user/products", "").want(200, `{"products":[]}`)
}

// An uploaded is the body of an upload of one file.
type uploaded struct{ kind, content string }

// upload is a file with fields, given as names and values.
func upload(field, name string, data []byte, fields ...string) uploaded {
	w := &bytes.Buffer{}
	m := multipart.NewWriter(w)
	part, err := m.CreateFormFile(field, name)
	if err != nil {
		panic(err)
	}
	_, _ = part.Write(data)
	_ = m.WriteField("latest", "true")
	for i := 0; i < len(fields); i += 2 {
		_ = m.WriteField(fields[i], fields[i+1])
	}
	_ = m.Close()
	return uploaded{m.FormDataContentType(), w.String()}
}

func TestFlash(t *testing.T) {
	image := testBinary(pdc.Boron, 3000)
	b := newBench(t, nil)
	flash := func(device, name string, data []byte) answered {
		t.Helper()
		u := upload("file", name, data)
		return b.do("PUT", "/v1/devices/"+device, b.alice, u.kind, u.content)
	}
	flash(kitchen, "/home/me/firmware.BIN", image).want(200, `{"id":"e00fce680000000000000001","status":"Update started"}`)
	if got := <-b.cloud.flashed; !bytes.Equal(got, image) {
		t.Error("another image arrived")
	}
	b.cloud.stages = []app.FlashStage{app.FlashHeld, app.FlashStarting, app.FlashTransferring, app.FlashFailed}
	flash(kitchen, "firmware.bin", image).want(200,
		`{"id":"e00fce680000000000000001","status":"Update pending: the device does not allow updates now"}`)
	b.cloud.stages = []app.FlashStage{app.FlashStarting, app.FlashFailed}
	flash(kitchen, "firmware.bin", image).want(400, `{"ok":false,"error":"The binary does not fit this device: wrong platform"}`)

	// Parts without a file name, and with one that says nothing, as a browser's.
	for _, head := range []string{`name="file"`, `name="file1"`, `name="file"; filename="blob"`, `name="x"; filename="C:\\my.fw\\firmware"`} {
		b.cloud.stages = []app.FlashStage{app.FlashTransferring, app.FlashDone}
		content := "--b\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + string(image) + "\r\n--b--\r\n"
		b.do("PUT", "/v1/devices/kitchen", b.alice, "multipart/form-data; boundary=b", content).want(200, `{"id":"e00fce680000000000000001","status":"Update started"}`)
		if got := <-b.cloud.flashed; !bytes.Equal(got, image) {
			t.Errorf("%s: another image arrived", head)
		}
	}

	for _, test := range []struct {
		device, name string
		data         []byte
		status       int
		want         string
	}{
		{cellar, "firmware.bin", image, 500, putTimedOut},
		{bobs, "firmware.bin", image, 400, noDevice},
		{kitchen, "app.ino", image, 200, `{"ok":false,"output":"build didn't produce binary","errors":["This cloud has no compiler. Compile first and flash the .bin."]}`},
		{kitchen, "bundle.zip", image, 400, `{"ok":false,"error":"This cloud sends no asset bundles. Flash the .bin in bundle.zip."}`},
	} {
		flash(test.device, test.name, test.data).want(test.status, test.want)
	}
	if a := flash(kitchen, "firmware.bin", []byte("nonsense")); a.status != 400 || !strings.Contains(a.body, `"error":"Not a firmware binary: `) {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// A device that does not take an offered image in time gets none: nobody was told
// that the transfer started.
func TestFlashThatDoesNotStart(t *testing.T) {
	b := newBench(t, func(c *Config) { c.DeviceTimeout = time.Millisecond })
	b.cloud.stages, b.cloud.stuck = []app.FlashStage{app.FlashStarting}, make(chan error, 1)
	u := upload("file", "firmware.bin", testBinary(pdc.Boron, 3000))
	b.do("PUT", "/v1/devices/kitchen", b.alice, u.kind, u.content).want(500, putTimedOut)
	if err := <-b.cloud.stuck; err == nil {
		t.Error("the transfer was not given up")
	}
}
