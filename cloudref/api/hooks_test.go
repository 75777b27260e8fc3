package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// From a device's event over a webhook to the device again.
func TestAWebhookAnswersADevice(t *testing.T) {
	x := newSite(t)
	called := make(chan string, 8)
	long := strings.Repeat("answer ", 100) // 700 bytes: two pieces
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		called <- string(b)
		fmt.Fprint(w, long)
	}))
	defer server.Close()
	x.do("POST", "/v1/webhooks", jsonType, `{"event":"temp","url":"`+server.URL+`","responseTopic":"orders/{{PARTICLE_EVENT_NAME}}"}`)
	p := x.puppet(1, "kitchen", x.account)
	other := x.puppet(2, "bath", x.account)
	stranger := x.puppet(3, "bobs", store.AccountID{0xb0})
	id := p.id.String()
	stream := x.events("/v1/devices/events")
	p.publish("temperature", "21.5")
	got, err := url.ParseQuery(<-called)
	if err != nil || got.Get("event") != "temperature" || got.Get("data") != "21.5" || got.Get("coreid") != id || got.Get("published_at") == "" {
		t.Errorf("the server got %v", got)
	}
	x.wantEvent(stream, event{"temperature", "21.5", id})
	x.wantEvent(stream, event{"hook-sent/temperature", "undefined", "particle-internal"})
	x.wantEvent(stream, event{"orders/temperature/0", long[:512], "particle-internal"})
	x.wantEvent(stream, event{"orders/temperature/1", long[512:], "particle-internal"})
	for _, device := range []*puppet{p, other} {
		for n, want := range []string{long[:512], long[512:]} {
			if e := <-device.heard; e.Name != fmt.Sprintf("orders/temperature/%d", n) || string(e.Data) != want {
				t.Errorf("device %s heard %s: %q", device.id, e.Name, e.Data)
			}
		}
	}
	if len(stranger.heard) != 0 {
		t.Error("a device of another account heard the answer")
	}
	// The events of hooks have no hooks, whatever their names.
	x.do("POST", "/v1/devices/events", jsonType, `{"name":"hook-response/temperature/0","data":"x"}`)
	x.do("POST", "/v1/devices/events", jsonType, `{"name":"temp/2","data":"y"}`)
	if got, _ := url.ParseQuery(<-called); got.Get("event") != "temp/2" {
		t.Errorf("the server got %v", got)
	}
}

// However fast a server answers, readers hear of the event first, then of the call,
// then of the answer.
func TestAnswersComeBehindTheirEvents(t *testing.T) {
	x := newSite(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "espresso") }))
	defer server.Close()
	x.do("POST", "/v1/webhooks", jsonType, `{"event":"temp","url":"`+server.URL+`"}`)
	p := x.puppet(1, "kitchen", x.account)
	stream := x.events("/v1/devices/events")
	const each = 30
	for n := range each {
		p.publish(fmt.Sprintf("temp/device/%d", n), "x")
		x.do("POST", "/v1/devices/events", jsonType, fmt.Sprintf(`{"name":"temp/api/%d","data":"x"}`, n))
	}
	stage := map[string]int{}
	late := time.After(3 * patience)
	for seen := 0; seen < 2*each; {
		var e event
		select {
		case e = <-stream:
		case <-late:
			t.Fatalf("%d of %d calls were answered", seen, 2*each)
		}
		name, want := e.name, 0
		switch {
		case strings.HasPrefix(name, "hook-sent/"):
			name, want = strings.TrimPrefix(name, "hook-sent/"), 1
		case strings.HasPrefix(name, "hook-response/"):
			name, want = strings.TrimSuffix(strings.TrimPrefix(name, "hook-response/"), "/0"), 2
			seen++
		case !strings.HasPrefix(name, "temp/"):
			continue
		}
		if stage[name] != want {
			t.Errorf("%s came as number %d of its events", e.name, stage[name])
		}
		stage[name]++
	}
}

// A webhook to the cloud's own API does not arrive there.
func TestAWebhookCannotReachTheCloud(t *testing.T) {
	x := newSite(t)
	stream := x.events("/v1/devices/events/hook-error")
	x.do("POST", "/v1/webhooks", jsonType, `{"event":"temp","url":"`+x.url+`/v1/devices?access_token=`+x.token+`","requestType":"GET"}`)
	x.do("POST", "/v1/devices/events", jsonType, `{"name":"temp","data":"x"}`)
	x.wantEvent(stream, event{"hook-error/temp/0", "this cloud does not let webhooks reach that address", "particle-internal"})
}

// A product's device gets the answer by its own name, and so does the product.
func TestAProductWebhook(t *testing.T) {
	x := newSite(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s", b)
	}))
	defer server.Close()
	p := x.puppet(1, "", store.AccountID{}) // nobody's
	id := p.id.String()
	x.do("POST", "/v1/products", jsonType, `{"name":"Coffee","platform_id":13}`)
	x.do("POST", "/v1/products/1000/devices", jsonType, `{"id":"`+id+`"}`)
	x.do("POST", "/v1/products/1000/integrations", jsonType,
		`{"event":"temp","url":"`+server.URL+`","body":"{{PRODUCT_ID}} {{PARTICLE_DEVICE_ID}}","responseTopic":"orders/{{PARTICLE_DEVICE_ID}}"}`)
	stream := x.events("/v1/products/1000/events")
	p.publish("temp", "1")
	x.wantEvent(stream, event{"temp", "1", id})
	x.wantEvent(stream, event{"orders/" + id + "/0", "1000 " + id, "particle-internal"})
	if e := <-p.heard; e.Name != "orders/"+id+"/0" {
		t.Errorf("the device heard %s", e.Name)
	}
}
