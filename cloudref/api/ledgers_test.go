package api

import (
	"net/http"
	"strings"
	"testing"
)

func TestLedgers(t *testing.T) {
	b := newBench(t, nil)
	a := b.json("POST", "/v1/ledgers", `{"ledger":{"name":"config","scope":"device","direction":"DOWNSTREAM","description":"what to do"}}`)
	const ledger = `{"name":"config","scope":"Device","direction":"Downstream","description":"what to do","archived":false,"archived_at":null,
		"created_at":"2026-01-02T03:04:05.678Z","updated_at":"2026-01-02T03:04:05.678Z"}`
	a.want(201, `{"ledger":`+ledger+`}`)
	b.json("GET", "/v1/ledgers", "").want(200, `{"ledgers":[`+ledger+`],"meta":{"page":1,"per_page":25,"total_pages":1,"total":1}}`)
	b.json("GET", "/v1/ledgers/config", "").want(200, `{"ledger":`+ledger+`}`)
	for body, want := range map[string]string{
		`{"name":"Bad Name","scope":"Device","direction":"Upstream"}`: "The name of a ledger has lower-case letters, digits and hyphens, at most 32 of them.",
		`{"name":"x","scope":"Product","direction":"Upstream"}`:       "The scope of a ledger is Owner or Device here.",
		`{"name":"x","scope":"Device","direction":"Sideways"}`:        "The direction of a ledger is Upstream (from devices) or Downstream.",
		`{"name":"x","scope":"Owner","direction":"Upstream"}`:         "Only a ledger of scope Device can be Upstream.",
	} {
		b.json("POST", "/v1/ledgers", body).want(400, `{"ok":false,"error":"`+want+`"}`)
	}
	b.json("POST", "/v1/ledgers", `{"name":"config","scope":"Device","direction":"Upstream"}`).want(409, `{"ok":false,"error":"There is a ledger of the name config."}`)
	b.json("PUT", "/v1/ledgers/config", `{"ledger":{"direction":"Upstream"}}`).want(400, `{"ok":false,"error":"The direction of a ledger cannot change: make another ledger."}`)
	if o := b.json("PUT", "/v1/ledgers/config", `{"ledger":{"description":"other"}}`).decode()["ledger"].(map[string]any); o["description"] != "other" {
		t.Errorf("got %v", o)
	}

	// Instances.
	i := "/v1/ledgers/config/instances/" + kitchen
	b.json("GET", i, "").want(404, `{"ok":false,"error":"Ledger instance not found"}`)
	b.json("PUT", i, `{"instance":{"data":{"a":1,"b":{"c":[1.5,"<x>"]}}}}`).want(200, `{"instance":{"name":"config",
		"scope":{"type":"Device","value":"`+kitchen+`","name":"`+kitchen+`"},"size_bytes":29,"data":{"a":1,"b":{"c":[1.5,"<x>"]}},
		"updated_at":"2026-01-02T03:04:05.678Z","created_at":"2026-01-02T03:04:05.678Z"}}`)
	if got := b.cloud.last(); got != "ledger config of "+kitchen {
		t.Errorf("devices hear of %q", got)
	}
	o := b.json("PUT", i+"?set_mode=Merge", `{"instance":{"data":{"a":2,"d":null}}}`).decode()["instance"].(map[string]any)
	if data := o["data"].(map[string]any); data["a"] != 2.0 || data["b"] == nil || len(data) != 3 {
		t.Errorf("got %v", data)
	}
	if list := b.json("GET", "/v1/ledgers/config/instances", "").decode()["instances"].([]any); len(list) != 1 {
		t.Errorf("got %v", list)
	}
	versions := b.json("GET", i+"/versions", "").decode()["versions"].([]any)
	if len(versions) != 2 {
		t.Fatalf("got %v", versions)
	}
	first := versions[1].(map[string]any)
	if o := b.json("GET", i+"/versions/"+first["version"].(string), "").decode()["version"].(map[string]any); o["data"].(map[string]any)["a"] != 1.0 {
		t.Errorf("got %v", o)
	}
	replaced, _ := first["replaced_at"].(string)
	if versions[0].(map[string]any)["replaced_at"] != nil || replaced == "" {
		t.Errorf("got %v", versions)
	}
	for query, want := range map[string]int{
		"":                                     2,
		"?replaced_after=2026-01-01T00:00:00Z": 1, "?replaced_after=" + replaced: 0, "?replaced_after=2027-01-01T00:00:00Z": 0,
		"?replaced_before=2027-01-01T00:00:00Z": 1, "?replaced_before=" + replaced: 0,
	} {
		o := b.json("GET", i+"/versions"+query, "").decode()
		if list := o["versions"].([]any); len(list) != want || o["meta"].(map[string]any)["has_more"] != false {
			t.Errorf("versions%s: %v, want %d", query, o, want)
		}
	}
	b.json("GET", i+"/versions?replaced_after=yesterday", "").
		want(400, `{"ok":false,"error":"replaced_before and replaced_after are times such as 2026-01-02T03:04:05Z."}`)
	for body, want := range map[string]string{
		`{}`:                                "Give an object in instance.data.",
		`{"instance":{"data":[]}}`:          "Give an object in instance.data.",
		`{"instance":{"data":{"a":1e999}}}`: "The data cannot be sent to devices: the number 1e999 is too large",
		`{"instance":{"data":{}},"set_mode":"Add"}`:                        "set_mode is Replace or Merge.",
		`{"instance":{"data":{"a":"` + strings.Repeat("x", 17000) + `"}}}`: "The data is too large: devices take 16384 bytes of CBOR.",
	} {
		b.json("PUT", i, body).want(400, `{"ok":false,"error":"`+want+`"}`)
	}
	for _, scope := range []string{bobs, absent, nobodys, "kitchen", aliceID.String()} {
		b.json("GET", "/v1/ledgers/config/instances/"+scope, "").want(404, `{"ok":false,"error":"Ledger instance not found"}`)
		b.json("PUT", "/v1/ledgers/config/instances/"+scope, `{"instance":{"data":{}}}`).want(404, `{"ok":false,"error":"Ledger instance not found"}`)
	}
	for _, path := range []string{"/v1/ledgers/config", i, i + "/versions", "/v1/ledgers/config/instances"} {
		b.do("GET", path, b.bob, "", "").want(404, `{"ok":false,"error":"Ledger not found"}`)
	}
	if a := b.json("DELETE", i, ""); a.status != http.StatusNoContent {
		t.Errorf("got %d", a.status)
	}
	b.json("DELETE", i, "").want(404, `{"ok":false,"error":"Ledger instance not found"}`)

	// Archived, it is out of sight, and can come back.
	if a := b.json("DELETE", "/v1/ledgers/config", ""); a.status != http.StatusNoContent || b.cloud.last() != "ledger config" {
		t.Errorf("got %d, %q", a.status, b.cloud.last())
	}
	b.json("PUT", i, `{"instance":{"data":{}}}`).want(400, `{"ok":false,"error":"This ledger is archived."}`)
	if l := b.json("GET", "/v1/ledgers/config", "").decode()["ledger"].(map[string]any); l["archived"] != true || l["archived_at"] == nil {
		t.Errorf("got %v", l)
	}
	if list := b.json("GET", "/v1/ledgers", "").decode()["ledgers"].([]any); len(list) != 0 {
		t.Errorf("got %v", list)
	}
	b.json("PUT", "/v1/ledgers/config", `{"archived":false}`).decode()
	b.json("PUT", i, `{"instance":{"data":{}}}`).decode()

	b.json("POST", "/v1/ledgers", `{"name":"up","scope":"Device","direction":"Upstream"}`).decode()
	b.json("PUT", "/v1/ledgers/up/instances/"+kitchen, `{"instance":{"data":{}}}`).want(400, `{"ok":false,"error":"This ledger is written by devices."}`)
}

func TestProductLedgers(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	b.json("POST", p+"/ledgers", `{"name":"fleet","scope":"Product","direction":"Downstream"}`).decode()
	b.json("POST", p+"/ledgers", `{"name":"mine","scope":"Owner","direction":"Downstream"}`).want(400, `{"ok":false,"error":"The scope of a ledger is Product or Device here."}`)
	b.json("PUT", p+"/ledgers/fleet/instances/1000", `{"instance":{"data":{"x":1}}}`).decode()
	b.json("GET", p+"/ledgers/fleet/instances/1001", "").want(404, `{"ok":false,"error":"Ledger instance not found"}`)
	b.json("GET", "/v1/ledgers/fleet", "").want(404, `{"ok":false,"error":"Ledger not found"}`)
	b.do("GET", p+"/ledgers/fleet", b.bob, "", "").want(404, noProduct)
}
