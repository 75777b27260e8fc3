package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// A thing is something that a path names: one of the caller's, one of somebody else's,
// and one that does not exist.
type thing struct{ mine, theirs, nobodys string }

// victim gives Bob something of everything, and Alice what she needs to come near it.
// It returns what the parts of paths may be.
func (b *bench) victim() map[string][]thing {
	b.t.Helper()
	b.product()
	bob := func(method, path, content string) map[string]any {
		b.t.Helper()
		a := b.do(method, path, b.bob, "application/json", content)
		if a.status == http.StatusNoContent {
			return nil
		}
		return a.decode()
	}
	bob("POST", "/v1/products", `{"name":"Bobs Kettle","platform_id":13,"id":2000}`)
	const p = "/v1/products/2000"
	bob("POST", p+"/devices", `{"id":"`+bobs+`"}`)
	b.cloud.hello(bobs, 2000, 7)
	bob("POST", p+"/groups", `{"name":"theirs"}`)
	file := upload("file", "kettle.bin", productBinary(7, 2000), "version", "7")
	b.do("POST", p+"/firmware", b.bob, file.kind, file.content).decode()
	bob("POST", p+"/customers", `{"email":"theirs@example.com","password":"sesame"}`)
	for _, below := range []string{"", p} {
		root := "/v1" + strings.TrimPrefix(below, "/v1") // of the account, and of the product
		bob("POST", root+"/ledgers", `{"name":"theirs","scope":"Device","direction":"Downstream"}`)
		bob("PUT", root+"/ledgers/theirs/instances/"+bobs, `{"instance":{"data":{"secret":1}}}`)
	}
	b.now = epoch.Add(time.Minute) // versions of ledgers are named by their time
	for _, root := range []string{"/v1", "/v1/products/1000"} {
		b.json("POST", root+"/ledgers", `{"name":"mine","scope":"Device","direction":"Downstream"}`).decode()
		b.json("PUT", root+"/ledgers/mine/instances/"+kitchen, `{"instance":{"data":{"own":1}}}`).decode()
	}
	id := func(o map[string]any, field string) string {
		if inner, is := o[field].(map[string]any); is {
			o = inner
		}
		text, _ := o["id"].(string)
		return text
	}
	hook := `{"event":"x","url":"http://example.org/secret"}`
	client := `{"name":"app","type":"web"}`
	b.must(b.store.AddVitals(b.t.Context(), deviceID(bobs), store.Vitals{At: epoch, Payload: json.RawMessage(`{"secret":1}`)}))
	return map[string][]thing{
		"device":    {{kitchen, bobs, absent}, {"kitchen", "bobs", "none"}},
		"product":   {{"1000", "2000", "3000"}, {"coffee-maker-v100", "bobs-kettle-v100", "none-v100"}},
		"group":     {{"beta", "theirs", "none"}},
		"customer":  {{"", "theirs@example.com", "none@example.com"}},
		"ledger":    {{"mine", "theirs", "none"}},
		"scope":     {{kitchen, bobs, absent}, {aliceID.String(), bobID.String(), "c00000000000000000000000"}},
		"version":   {{"", "7", "9"}, {"", fmt.Sprint(epoch.UnixMilli()), "1"}},
		"hook":      {{"", id(bob("POST", "/v1/integrations", hook), ""), absent}, {"", id(bob("POST", p+"/integrations", hook), ""), absent}},
		"client":    {{"", id(bob("POST", "/v1/clients", client), "client"), "none"}, {"", id(bob("POST", p+"/clients", client), "client"), "none"}},
		"function":  {{mine: "brew"}},
		"rest...":   {{mine: "temp"}, {mine: "events"}, {mine: "events/x"}, {mine: "none"}, {mine: "a/b"}},
		"prefix...": {{mine: "x"}},
	}
}

// A probe is a path with something of somebody else's in it, and its twin with what
// does not exist.
type probe struct{ theirs, nobodys string }

// probes fills in a pattern in every way in which at least one part is somebody else's.
func probes(pattern string, things map[string][]thing) []probe {
	all := []probe{{}}
	for _, part := range strings.Split(strings.TrimPrefix(pattern, "/"), "/") {
		name, is := strings.CutPrefix(part, "{")
		var next []probe
		for _, x := range all {
			if !is {
				next = append(next, probe{x.theirs + "/" + part, x.nobodys + "/" + part})
				continue
			}
			list, known := things[strings.TrimSuffix(name, "}")]
			if !known {
				panic("what is " + part + " of " + pattern + "? Add it to what victim returns")
			}
			for _, t := range list {
				if t.mine != "" {
					next = append(next, probe{x.theirs + "/" + t.mine, x.nobodys + "/" + t.mine})
				}
				if t.theirs != "" {
					next = append(next, probe{x.theirs + "/" + t.theirs, x.nobodys + "/" + t.nobodys})
				}
			}
		}
		all = next
	}
	return slices.DeleteFunc(all, func(x probe) bool { return x.theirs == x.nobodys })
}

// strangersBodies are what is sent along, so that a route has what it wants.
var strangersBodies = []string{
	`{}`,
	`{"name":"stolen","notes":"stolen"}`,
	`{"arg":"stolen"}`,
	`{"signal":"1"}`,
	`{"firmware_updates_forced":true}`,
	`{"development":true,"groups":["beta"],"desired_firmware_version":null}`,
	`{"quarantined":false}`,
	`{"denied":true}`,
	`{"id":"` + kitchen + `","deny":true}`,
	`{"action":"groups","devices":["` + kitchen + `"],"metadata":{"add":["beta"]}}`,
	`{"event":"x","url":"http://example.org/","disabled":true}`,
	`{"name":"stolen","type":"web","scope":"stolen"}`,
	`{"email":"new@example.com","password":"stolen"}`,
	`{"instance":{"data":{"stolen":true}}}`,
	`{"ledger":{"name":"stolen","scope":"Device","direction":"Downstream","description":"stolen","archived":true}}`,
	`{"version":7,"product_default":true,"title":"stolen"}`,
	`{"product":{"name":"stolen","settings":{"quarantine":false}}}`,
}

// What a route answers about something of somebody else's is what it answers about
// something that does not exist, whoever asks, and nothing comes of it.
func TestWhatIsOthersLooksLikeNothing(t *testing.T) {
	b := newBench(t, nil)
	things := b.victim()
	client := b.json("POST", "/v1/products/1000/clients", `{"name":"shop","type":"installed"}`).decode()["client"].(map[string]any)
	credentials := fmt.Sprintf("client_id=%s&client_secret=%s", client["id"], client["secret"])
	callers := map[string]string{
		"an account":  b.alice,
		"a client":    b.do("POST", "/oauth/token", "", form, "grant_type=client_credentials&"+credentials).decode()["access_token"].(string),
		"a customer":  b.json("POST", "/v1/products/1000/customers", `{"email":"carol@example.com","password":"x"}`).decode()["access_token"].(string),
		"one of Bobs": b.do("POST", "/v1/products/2000/customers", b.bob, "application/json", `{"email":"dave@example.com","password":"x"}`).decode()["access_token"].(string),
	}
	// What Bob's customer is told of the product whose customer he is.
	theirOwn := "POST /v1/products/{product}/device_claims"
	before, said := b.everything(b.bob), len(b.cloud.said)
	tried := 0
	for _, r := range b.server.routes() {
		method, pattern, _ := strings.Cut(r.pattern, " ")
		if !strings.Contains(pattern, "{") || strings.Contains(pattern, "{token}") || strings.HasPrefix(pattern, "/v1/provisioning/") ||
			strings.HasPrefix(pattern, "/v1/devices/events") || strings.HasPrefix(pattern, "/v1/events") {
			continue // a token is its own proof; who has which key is told apart by the API; and one's own events
		}
		for _, x := range probes(pattern, things) {
			for who, token := range callers {
				if who == "one of Bobs" && r.pattern == theirOwn {
					continue
				}
				bodies := strangersBodies
				switch {
				case method == http.MethodGet:
					bodies = []string{""}
				case testing.Short():
					bodies = bodies[:1]
				}
				for _, body := range bodies {
					theirs := b.do(method, x.theirs, token, "application/json", body)
					nobodys := b.do(method, x.nobodys, token, "application/json", body)
					tried++
					if theirs.status != nobodys.status || alike(theirs.body, things) != alike(nobodys.body, things) || theirs.status < 400 {
						t.Errorf("%s asks %s %s %s: %d %s; about %s: %d %s", who, method, x.theirs, body, theirs.status, theirs.body, x.nobodys, nobodys.status, nobodys.body)
					}
				}
			}
		}
	}
	t.Logf("tried %d times", tried)
	if after := b.everything(b.bob); after != before {
		t.Errorf("something came of it: before\n%s\nafter\n%s", before, after)
	}
	for _, what := range b.cloud.said[said:] {
		t.Errorf("a device heard %s", what)
	}
}

// alike makes of the names of what is others' and of what does not exist one word.
func alike(text string, things map[string][]thing) string {
	for _, list := range things {
		for _, x := range list {
			for _, name := range []string{x.theirs, x.nobodys} {
				if len(name) > 3 {
					text = strings.ReplaceAll(text, name, "X")
				}
			}
		}
	}
	return text
}

// everything is all that an account can list.
func (b *bench) everything(token string) string {
	b.t.Helper()
	var all strings.Builder
	for _, path := range []string{
		"/v1/devices", "/v1/products", "/v1/integrations", "/v1/clients", "/v1/ledgers", "/v1/ledgers/theirs/instances",
		"/v1/products/2000/devices", "/v1/products/2000/groups", "/v1/products/2000/firmware", "/v1/products/2000/customers", "/v1/products/2000/clients",
		"/v1/products/2000/ledgers", "/v1/products/2000/ledgers/theirs/instances", "/v1/products/2000/integrations", "/v1/diagnostics/" + bobs,
	} {
		a := b.do("GET", path, token, "", "")
		if a.status != http.StatusOK {
			b.t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		fmt.Fprintln(&all, path, a.body)
	}
	return all.String()
}

// Who claims a device that somebody gave up learns nothing of what was before.
func TestClaimedDevicesTellNothingOfBefore(t *testing.T) {
	b := newBench(t, nil)
	b.json("PUT", "/v1/devices/"+kitchen, `{"name":"bedroom","notes":"the key is under the mat"}`).decode()
	b.must(b.store.AddVitals(t.Context(), deviceID(kitchen), store.Vitals{At: b.now, Payload: json.RawMessage(`{"secret":1}`)}))
	last := "/v1/diagnostics/" + kitchen + "/last"
	b.do("GET", last, b.alice, "", "").decode()
	b.now = b.now.Add(time.Minute)
	b.json("DELETE", "/v1/devices/"+kitchen, "").decode()
	b.do("POST", "/v1/devices", b.bob, "application/json", `{"id":"`+kitchen+`"}`).decode()
	for _, path := range []string{"/v1/devices/" + kitchen, "/v1/devices", last, "/v1/diagnostics/" + kitchen} {
		a := b.do("GET", path, b.bob, "", "")
		for _, word := range []string{"bedroom", "under the", `"secret":1`} {
			if strings.Contains(a.body, word) {
				t.Errorf("%s: %s", path, a.body)
			}
		}
	}
	b.must(b.store.AddVitals(t.Context(), deviceID(kitchen), store.Vitals{At: b.now, Payload: json.RawMessage(`{"own":1}`)}))
	if a := b.do("GET", last, b.bob, "", ""); !strings.Contains(a.body, "own") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Who chooses the number of a product gets no devices of strangers whose firmware names
// it, whether they wait for it already or not.
func TestAChosenNumberIsNoConsent(t *testing.T) {
	b := newBench(t, nil)
	b.json("POST", "/v1/products", `{"name":"Trap","platform_id":13,"id":12345,"settings":{"quarantine":false}}`).decode()
	b.cloud.hello(bobs, 12345, 1)
	_, err := b.store.UpdateMember(t.Context(), deviceID(bobs), func(m *store.Member) error { m.Waiting = 12345; return nil })
	b.must(err)
	if o := b.json("POST", "/v1/products/12345/devices", `{"id":"`+bobs+`"}`).decode(); o["updated"] != 0.0 {
		t.Errorf("it is added: %v", o)
	}
	for _, path := range []string{"", "/temp", "/events"} {
		b.json("GET", "/v1/products/12345/devices/"+bobs+path, "").want(404, `{"ok":false,"error":"Device not found for this product"}`)
	}
	if o := b.json("GET", "/v1/products/12345/devices?quarantined=true", "").decode(); len(o["devices"].([]any)) != 0 {
		t.Errorf("it is listed: %v", o)
	}
	b.json("PUT", "/v1/products/12345/devices/"+bobs, `{"quarantined":false}`).want(404, `{"ok":false,"error":"Device not found for this product"}`)
	// Its own devices it gets as ever.
	b.cloud.hello(kitchen, 12345, 1)
	_, err = b.store.UpdateMember(t.Context(), deviceID(kitchen), func(m *store.Member) error { m.Waiting = 12345; return nil })
	b.must(err)
	b.json("PUT", "/v1/products/12345/devices/"+kitchen, `{"quarantined":false}`).decode()
	b.json("GET", "/v1/products/12345/devices/"+kitchen, "").decode()
}

// Nothing that an account lists has a word of another's.
func TestListsAreOnesOwn(t *testing.T) {
	b := newBench(t, nil)
	things := b.victim()
	for _, r := range b.server.routes() {
		method, pattern, _ := strings.Cut(r.pattern, " ")
		if method != http.MethodGet || strings.Contains(pattern, "events") {
			continue
		}
		path := strings.NewReplacer("{product}", "1000", "{device}", kitchen, "{group}", "beta", "{rest...}", "temp").Replace(pattern)
		if strings.Contains(path, "{") {
			continue
		}
		body := b.do(method, path, b.alice, "", "").body
		for _, list := range things {
			for _, x := range list {
				if len(x.theirs) > 1 && strings.Contains(body, x.theirs) {
					t.Errorf("%s tells %s: %s", path, x.theirs, body)
				}
			}
		}
		if strings.Contains(body, bobID.String()) || strings.Contains(body, "bob@") {
			t.Errorf("%s tells of Bob: %s", path, body)
		}
	}
}
