package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
)

// The same store by both names.
func TestWebhooks(t *testing.T) {
	b := newBench(t, nil)
	a := b.json("POST", "/v1/webhooks", `{"event":"temp","url":"https://example.com/x","mydevices":true,"deviceid":"`+strings.ToUpper(kitchen)+`",
		"json":{"v":"{{{PARTICLE_EVENT_VALUE}}}"},"headers":{"X-Key":"k"},"auth":{"username":"u","password":"p"},"query":{"n":5}}`)
	if a.status != http.StatusCreated {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	o := a.decode()
	id := o["id"].(string)
	for name, want := range map[string]any{
		"ok": true, "event": "temp", "name": nil, "created_at": "2026-01-02T03:04:05.678Z", "integration_type": "Webhook",
		"url": "https://example.com/x", "requestType": "POST", "noDefaults": false, "rejectUnauthorized": true,
		"hookUrl": "http://example.com/v1/webhooks/" + id, "deviceID": kitchen, "disabled": false,
	} {
		if o[name] != want {
			t.Errorf("%s is %v, want %v", name, o[name], want)
		}
	}
	b.cloud.history = hooks.History{Days: []hooks.Day{{Date: "2026-01-02", Succeeded: 1, Failed: 1}}, Last: []hooks.Record{
		{At: epoch, Event: "temp/1", Attempt: 1, Duration: 5 * time.Millisecond, Status: 500, Error: "error status 500 from example.com"},
		{At: epoch, Event: "temp/2", Attempt: 1, Duration: 7 * time.Millisecond, Status: 200},
	}}
	w := b.json("GET", "/v1/webhooks/"+id, "").decode()["webhook"].(map[string]any)
	if w["query"].(map[string]any)["n"] != "5" || w["auth"].(map[string]any)["password"] != "p" || len(w["logs"].([]any)) != 2 ||
		len(w["errors"].([]any)) != 1 || w["counters"].([]any)[0].(map[string]any)["success"] != 1.0 {
		t.Errorf("got %v", w)
	}
	i := b.json("GET", "/v1/integrations/"+id, "").decode()["integration"].(map[string]any)
	if log := i["logs"].([]any)[0].(map[string]any); log["type"] != "ERROR" || log["status"] != 500.0 {
		t.Errorf("got %v", i)
	}

	b.json("PUT", "/v1/integrations/"+id, `{"integration_type":"Webhook","event":"hum","url":"http://example.com/{{t}}","requestType":"get","rejectUnauthorized":false}`).decode()
	i = b.json("GET", "/v1/integrations/"+id, "").decode()["integration"].(map[string]any)
	if i["event"] != "hum" || i["requestType"] != "GET" || i["rejectUnauthorized"] != false || i["json"] != nil || i["deviceID"] != nil {
		t.Errorf("got %v", i)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(b.json("GET", "/v1/webhooks", "").body), &list); err != nil || len(list) != 1 || list[0]["id"] != id {
		t.Errorf("got %v, %v", list, err)
	}
	b.json("POST", "/v1/webhooks/"+id+"/test", `{"data":"x"}`).want(200, `{"pass":true,"data":"hum"}`)

	for _, path := range []string{"/v1/webhooks/" + id, "/v1/integrations/" + id} {
		b.do("GET", path, b.bob, "", "").want(404, `{"ok":false,"error":"Webhook not found"}`)
		b.do("PUT", path, b.bob, "application/json", `{"event":"x","url":"http://x"}`).want(404, `{"ok":false,"error":"Webhook not found"}`)
		b.do("DELETE", path, b.bob, "", "").want(404, `{"ok":false,"error":"Webhook not found"}`)
		b.do("POST", path+"/test", b.bob, "", "").want(404, `{"ok":false,"error":"Webhook not found"}`)
	}
	if a := b.json("DELETE", "/v1/integrations/"+id, ""); a.status != http.StatusNoContent || a.body != "" {
		t.Errorf("got %d %q", a.status, a.body)
	}
	b.json("GET", "/v1/webhooks/"+id, "").want(404, `{"ok":false,"error":"Webhook not found"}`)
	b.json("GET", "/v1/webhooks/nonsense", "").want(404, `{"ok":false,"error":"Webhook not found"}`)
	b.json("GET", "/v1/webhooks", "").want(200, `[]`)
}

func TestWebhookForms(t *testing.T) {
	b := newBench(t, nil)
	b.do("POST", "/v1/webhooks", b.alice, form, "eventName=temp&url=http%3A%2F%2Fexample.com&headers[X-A]=b&form[v]=1").decode()
	h := b.store.HooksOf(aliceID)[0]
	var spec hooks.Spec
	if err := json.Unmarshal(h.Spec, &spec); err != nil || spec.Headers["X-A"] != "b" || spec.Form["v"] != "1" || h.Event != "temp" {
		t.Errorf("got %+v, %v", spec, err)
	}
	for body, want := range map[string]string{
		`{"url":"http://x"}`:                                                     "event is required",
		`{"event":"x"}`:                                                          "url is required",
		`{"event":"x","url":"file:///"}`:                                         "url: it must begin with http:// or https://",
		`{"event":"x","url":"http://x","json":{},"body":"y"}`:                    "give only one of body, json and form",
		`{"event":"x","url":"http://x","headers":"y"}`:                           "headers must be an object",
		`{"event":"x","url":"http://x","deviceID":"y"}`:                          "deviceID has 24 hexadecimal digits",
		`{"event":"x","url":"http://x","integration_type":"AzureIotHub"}`:        "This cloud has integrations of type Webhook only.",
		`{"event":"x","url":"http://x","responseTemplate":"{{#a}}"}`:             "template: {{#a}} has no end",
		`{"event":"` + strings.Repeat("x", 65) + `","url":"http://example.com"}`: "event has at most 64 bytes",
	} {
		b.json("POST", "/v1/integrations", body).want(400, `{"ok":false,"error":"`+want+`"}`)
	}
	bad := b.json("POST", "/v1/webhooks", `{"event":"bad","url":"http://x"}`).decode()["id"].(string)
	b.json("POST", "/v1/webhooks/"+bad+"/test", `{}`).want(200, `{"pass":false,"error":"error status 500 from example.com"}`)
}

// The hooks of a product are the product's, not the account's.
func TestProductWebhooks(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	id := b.json("POST", p+"/integrations", `{"event":"temp","url":"http://x"}`).decode()["id"].(string)
	b.json("GET", "/v1/webhooks", "").want(200, `[]`)
	b.json("GET", "/v1/webhooks/"+id, "").want(404, `{"ok":false,"error":"Webhook not found"}`)
	b.json("GET", p+"/webhooks/"+id, "").decode()
	if hooks := b.store.HooksFor(bobID, 1000, store.DeviceID{}, "temperature"); len(hooks) != 1 {
		t.Errorf("got %v", hooks)
	}
	b.do("GET", p+"/webhooks/"+id, b.bob, "", "").want(404, noProduct)
	if a := b.json("DELETE", p+"/integrations/"+id, ""); a.status != http.StatusNoContent {
		t.Errorf("got %d", a.status)
	}
}
