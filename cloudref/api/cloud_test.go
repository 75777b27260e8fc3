package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/seed"
)

// do sends a request with the token of the account and decodes the answer.
func (x *site) do(method, path, kind, content string) map[string]any {
	x.t.Helper()
	var o map[string]any
	if raw := x.send(method, path, kind, content); json.Unmarshal(raw, &o) != nil {
		x.t.Fatalf("%s %s: %s", method, path, raw)
	}
	return o
}

// send is do for an answer that is no object.
func (x *site) send(method, path, kind, content string) []byte {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, x.url+path, strings.NewReader(content))
	if err != nil {
		x.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+x.token)
	r.Header.Set("Content-Type", kind)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		x.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	x.status = answer.StatusCode
	return raw
}

// An event as it stands on a stream.
type event struct {
	name, data, core string
}

// events opens a stream and returns its events.
func (x *site) events(path string) <-chan event {
	x.t.Helper()
	r, err := http.NewRequestWithContext(x.t.Context(), http.MethodGet, x.url+path+"?access_token="+x.token, http.NoBody)
	if err != nil {
		x.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		x.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		x.t.Fatalf("%s: status %d", path, answer.StatusCode)
	}
	x.t.Cleanup(func() { _ = answer.Body.Close() })
	c := make(chan event, 64)
	go func() {
		defer close(c)
		lines := bufio.NewScanner(answer.Body)
		var e event
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				e.name = name
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var o struct{ Data, CoreID string }
				_ = json.Unmarshal([]byte(data), &o)
				e.data, e.core = o.Data, o.CoreID
				c <- e
			}
		}
	}()
	return c
}

// wantEvent waits for an event, and passes over others.
func (x *site) wantEvent(c <-chan event, want event) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), patience)
	defer cancel()
	for {
		select {
		case e, open := <-c:
			if !open {
				x.t.Fatalf("the stream ended before %v", want)
			}
			if e == want {
				return
			}
			x.t.Logf("passed over %v", e)
		case <-ctx.Done():
			x.t.Fatalf("no %v", want)
		}
	}
}

const jsonType = "application/json"

// The API in front of a cloud on real sockets, with a device at the other end.
func TestFromTheAPIToADevice(t *testing.T) {
	x := newSite(t)
	stream := x.events("/v1/devices/events")
	p := x.puppet(1, "kitchen", x.account)
	id := p.id.String()
	x.wantEvent(stream, event{"spark/status", "online", id})

	o := x.do("GET", "/v1/devices/kitchen", jsonType, "")
	if o["connected"] != true || o["platform_id"] != 13.0 || o["system_firmware_version"] != "6.2.0" || o["imei"] != "353500000000001" {
		t.Errorf("got %v", o)
	}
	if got := x.do("POST", "/v1/devices/kitchen/brew", jsonType, `{"args":"strong"}`)["return_value"]; got != 6.0 {
		t.Errorf("brew returned %v, want 6", got)
	}
	if got := x.do("GET", "/v1/devices/kitchen/temp", jsonType, "")["result"]; got != 93.5 {
		t.Errorf("temp is %v, want 93.5", got)
	}
	if got := x.do("GET", "/v1/devices/kitchen/state", jsonType, "")["result"]; got != "idle" {
		t.Errorf("state is %v, want idle", got)
	}
	if got := x.do("GET", "/v1/devices/kitchen/absent", jsonType, "")["error"]; got != "Unknown Variable: absent" {
		t.Errorf("got %v", got)
	}
	if got := x.do("PUT", "/v1/devices/kitchen", jsonType, `{"signal":"1"}`)["signaling"]; got != true || !p.wait(p.lit) {
		t.Errorf("signaling is %v", got)
	}
	if got := x.do("PUT", "/v1/devices/kitchen/ping", jsonType, "")["online"]; got != true {
		t.Errorf("online is %v", got)
	}

	p.publish("temperature", "21.5")
	x.wantEvent(stream, event{"temperature", "21.5", id})
	x.do("POST", "/v1/devices/events", jsonType, `{"name":"orders/1","data":"espresso","private":true}`)
	x.wantEvent(stream, event{"orders/1", "espresso", "api"})
	if e := <-p.heard; e.Name != "orders/1" || string(e.Data) != "espresso" {
		t.Errorf("the device heard %+v", e)
	}
}

// flashForm is the form that flashes an image.
func flashForm(t *testing.T, image []byte) (kind, content string) {
	t.Helper()
	w := &bytes.Buffer{}
	m := multipart.NewWriter(w)
	part, err := m.CreateFormFile("file", "firmware.bin")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(image)
	_ = m.Close()
	return m.FormDataContentType(), w.String()
}

func TestFlashFromTheAPI(t *testing.T) {
	x := newSite(t)
	p := x.puppet(1, "kitchen", x.account)
	stream := x.events("/v1/devices/kitchen/events/spark")
	image := binary(20_000)
	kind, form := flashForm(t, image)
	if o := x.do("PUT", "/v1/devices/"+p.id.String(), kind, form); o["status"] != "Update started" {
		t.Fatalf("got %v", o)
	}
	// In the order in which the real service tells it, and nothing twice.
	for _, want := range []event{
		{"spark/flash/status", "started ", p.id.String()},
		{"spark/flash/status", "success ", p.id.String()},
		{"spark/status", "online", p.id.String()},
	} {
		for {
			select {
			case e := <-stream:
				if e.name == "spark/flash/status" && e != want {
					t.Fatalf("got %v, want %v", e, want)
				}
				if e != want {
					continue
				}
			case <-time.After(patience):
				t.Fatalf("no %v", want)
			}
			break
		}
	}
	p.wait(p.online)
	if got := p.flashed(); !bytes.Equal(got, image) {
		t.Errorf("%d bytes arrived, %d were sent", len(got), len(image))
	}
	foreign := bytes.Clone(image)
	foreign[100] ^= 1
	kind, form = flashForm(t, foreign)
	if o := x.do("PUT", "/v1/devices/kitchen", kind, form); x.status != http.StatusBadRequest {
		t.Errorf("a damaged image: %v", o)
	}
}

// Two accounts on one cloud: neither hears nor reaches the other's devices, before
// and after a device changes hands.
func TestAccountsAreApart(t *testing.T) {
	x := newSite(t)
	bob, err := x.rest.CreateUser(t.Context(), "bob@example.com", "another")
	if err != nil {
		t.Fatal(err)
	}
	token, err := x.rest.IssueToken(t.Context(), bob, 0)
	if err != nil {
		t.Fatal(err)
	}
	y := &site{t: t, cloud: x.cloud, rest: x.rest, url: x.url, account: bob, token: token}
	p := x.puppet(1, "kitchen", x.account)
	alices, bobs := x.events("/v1/devices/events"), y.events("/v1/devices/events")
	for _, path := range []string{"/v1/devices/" + p.id.String() + "/brew", "/v1/devices/kitchen/brew"} {
		if o := y.do("POST", path, jsonType, `{}`); y.status != http.StatusNotFound || o["error"] != "Permission Denied" {
			t.Errorf("%s: %v", path, o)
		}
	}
	p.publish("secret", "1")
	x.wantEvent(alices, event{"secret", "1", p.id.String()})
	y.do("POST", "/v1/devices/events", jsonType, `{"name":"orders/bob"}`)
	if e := <-bobs; e != (event{"orders/bob", "", "api"}) {
		t.Errorf("bob heard %v first", e)
	}

	x.do("DELETE", "/v1/devices/kitchen", jsonType, `{}`)
	if o := y.do("POST", "/v1/devices", jsonType, `{"id":"`+p.id.String()+`"}`); o["ok"] != true {
		t.Fatalf("claiming: %v", o)
	}
	p.publish("secret", "2")
	y.wantEvent(bobs, event{"secret", "2", p.id.String()})
	x.do("POST", "/v1/devices/events", jsonType, `{"name":"orders/alice"}`)
	x.wantEvent(alices, event{"orders/alice", "", "api"})
	y.do("POST", "/v1/devices/events", jsonType, `{"name":"orders/bob2"}`)
	if e := <-p.heard; e.Name != "orders/bob2" {
		t.Errorf("the device of bob heard %s", e.Name)
	}
}

// What was acknowledged is there after a restart: users, tokens and devices.
func TestNothingIsForgotten(t *testing.T) {
	dir := t.TempDir()
	x := start(t, dir)
	o := x.do("POST", "/v1/users", jsonType, `{"username":"`+username+`","password":"`+password+`"}`)
	if o["ok"] != true {
		t.Fatalf("got %v", o)
	}
	const login = "grant_type=password&client_id=particle&client_secret=particle&username=" + username + "&password=correct+horse"
	const form = "application/x-www-form-urlencoded"
	token := x.do("POST", "/oauth/token", form, login)["access_token"].(string)
	x.token = token
	key, err := x509.MarshalPKIXPublicKey(&seed.P256(seed.Bytes(9, "device")).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	const id = "e00fce680000000000000009"
	fields := url.Values{"algorithm": {"ecc"}, "publicKey": {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key}))}}
	if o := x.send("POST", "/v1/provisioning/"+id, form, fields.Encode()); string(o) != `"Success!"` {
		t.Fatalf("got %s", o)
	}
	x.do("PUT", "/v1/devices/"+id, jsonType, `{"name":"kitchen"}`)
	x.stop()

	x = start(t, dir)
	defer x.stop()
	x.token = token
	if o := x.do("GET", "/v1/devices/kitchen", jsonType, ""); o["id"] != id || o["owner"] != username {
		t.Errorf("got %v", o)
	}
	if o := x.do("POST", "/oauth/token", form, login); o["token_type"] != "bearer" {
		t.Errorf("got %v", o)
	}
}
