package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// ofProduct makes a puppet run a version of a product, and another after an update.
func ofProduct(product, version, becomes uint16) func(*puppet) {
	return func(p *puppet) { p.product, p.version, p.becomes = product, version, becomes }
}

// firmware uploads a version of product 1000 as the JavaScript library does.
func (x *site) firmware(version uint16) []byte {
	x.t.Helper()
	m := module.Module{Prefix: module.Prefix{
		Start: 0xd4000, Version: 7, Platform: dialect.Platform, Function: pdc.ModuleUserPart, Index: 1,
		Dependencies: [2]module.Dependency{{Function: pdc.ModuleSystemPart, Index: 1, Version: dialect.System}},
	}}
	m.Product = &module.Product{ID: 1000, Version: version}
	m.Fill(20_000, seed.Bytes(uint64(version), "image"))
	image := m.Append(nil)
	var b bytes.Buffer
	parts := multipart.NewWriter(&b)
	_ = parts.WriteField("version", fmt.Sprint(version))
	_ = parts.WriteField("title", "Better")
	file, _ := parts.CreateFormFile("file", "firmware.bin")
	_, _ = file.Write(image)
	_ = parts.Close()
	x.send("POST", "/v1/products/1000/firmware", parts.FormDataContentType(), b.String())
	if x.status != http.StatusCreated {
		x.t.Fatalf("the upload has status %d", x.status)
	}
	return image
}

// A release reaches a device when it connects, and one that is there at once.
func TestReleases(t *testing.T) {
	x := newSite(t)
	x.do("POST", "/v1/products", jsonType, `{"name":"Coffee","platform_id":13}`)
	stream, early := x.events("/v1/products/1000/events"), x.events("/v1/products/1000/events/early")
	p := x.puppet(1, "kitchen", x.account, ofProduct(1000, 1, 2))
	id := p.id.String()

	// Its firmware names the product, which does not know it.
	if o := x.await("/v1/devices/kitchen", "quarantined", true); o["product_id"] != 1000.0 {
		t.Errorf("got %v", o)
	}
	if m := x.cloud.Store().Member(p.id); m.Product != 0 || m.Waiting != 1000 {
		t.Errorf("got %+v", m)
	}
	p.publish("early", "unheard")

	image := x.firmware(2)
	x.wantEvent(stream, event{"particle/firmware/create", `{"description":"","groups":[],"product_default":false,"title":"Better","version":2}`, "api"})
	x.do("PUT", "/v1/products/1000/firmware/release", jsonType, `{"version":2,"product_default":true}`)
	x.wantEvent(stream, event{"particle/firmware/release", `{"description":"","groups":[],"product_default":true,"title":"Better","version":2}`, "api"})

	// Approved, it gets what it should run.
	x.do("POST", "/v1/products/1000/devices", jsonType, `{"id":"`+id+`"}`)
	for _, want := range []event{
		{"particle/device/updates/pending", "true", id},
		{"spark/flash/status", "started ", id},
		{"spark/flash/status", "success ", id},
		{"particle/device/updates/pending", "false", id},
	} {
		x.wantEvent(stream, want)
	}
	p.wait(p.online)
	if len(early) != 0 {
		t.Error("the product heard a device in quarantine")
	}
	if got := p.flashed(); !bytes.Equal(got, image) {
		t.Errorf("%d bytes arrived, %d were sent", len(got), len(image))
	}
	if o := x.do("GET", "/v1/products/1000/devices/"+id, jsonType, ""); o["firmware_version"] != 2.0 || o["targeted_firmware_release_version"] != 2.0 {
		t.Errorf("got %v", o)
	}

	// A development device is left alone; an intelligent release reaches it when it
	// is none any more.
	x.do("PUT", "/v1/products/1000/devices/"+id, jsonType, `{"development":true}`)
	x.firmware(3)
	p.tasks <- func() { p.becomes = 3 }
	x.do("PUT", "/v1/products/1000/firmware/release", jsonType, `{"version":3,"product_default":true,"intelligent":true}`)
	if o := x.do("GET", "/v1/products/1000/devices/"+id, jsonType, ""); o["firmware_version"] != 2.0 {
		t.Errorf("got %v", o)
	}
	x.do("PUT", "/v1/products/1000/devices/"+id, jsonType, `{"development":false}`)
	x.wantEvent(stream, event{"particle/device/updates/pending", "true", id})
	x.wantEvent(stream, event{"particle/device/updates/pending", "false", id})
}

// await asks until a field has a value.
func (x *site) await(path, field string, want any) map[string]any {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), patience)
	defer cancel()
	for {
		if o := x.do("GET", path, jsonType, ""); o[field] == want {
			return o
		}
		if ctx.Err() != nil {
			x.t.Fatalf("%s of %s does not become %v", field, path, want)
		}
	}
}

// A product without quarantine takes devices in that name it.
func TestAutomaticApproval(t *testing.T) {
	x := newSite(t)
	x.do("POST", "/v1/products", jsonType, `{"name":"Coffee","platform_id":13,"settings":{"quarantine":false}}`)
	p := x.puppet(1, "", store.AccountID{0xb0}, ofProduct(1000, 4, 4))
	o := x.awaitMember(p.id)
	if o["product_id"] != 1000.0 || o["firmware_version"] != 4.0 || o["quarantined"] != false {
		t.Errorf("got %v", o)
	}
}

func (x *site) awaitMember(id store.DeviceID) map[string]any {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), patience)
	defer cancel()
	for x.cloud.Store().Member(id).Product == 0 {
		if ctx.Err() != nil {
			x.t.Fatal("the device does not join")
		}
	}
	return x.do("GET", "/v1/products/1000/devices/"+id.String(), jsonType, "")
}

// What a device measures is told, and kept.
func TestVitals(t *testing.T) {
	x := newSite(t)
	stream := x.events("/v1/devices/events/spark/device/diagnostics")
	p := x.puppet(1, "kitchen", x.account)
	x.do("GET", "/v1/diagnostics/kitchen/last", jsonType, "")
	if x.status != http.StatusNotFound {
		t.Errorf("status %d", x.status)
	}
	x.do("POST", "/v1/diagnostics/kitchen/update", jsonType, "")
	if x.status != http.StatusAccepted {
		t.Errorf("status %d", x.status)
	}
	const want = `{"device":{"cloud":{"connection":{"status":"connected"}},"network":{"signal":{"rssi":{"err":-210},"strength":84.5,"strength_units":"%"}},` +
		`"other":{"40000":7},"system":{"memory":{"used":76000},"uptime":12345}},"service":{"coap":{"round_trip":80},"device":{"status":"ok"}}}`
	x.wantEvent(stream, event{"spark/device/diagnostics/update", want, p.id.String()})
	var o map[string]any
	for o == nil {
		if got := x.do("GET", "/v1/diagnostics/kitchen/last", jsonType, ""); x.status == http.StatusOK {
			o = got["diagnostics"].(map[string]any)
		}
	}
	if payload, _ := json.Marshal(o["payload"]); string(payload) != want || o["deviceID"] != p.id.String() {
		t.Errorf("got %v", o)
	}
	list := x.do("GET", "/v1/diagnostics/"+strings.ToUpper(p.id.String())+"?start_date=2020-01-01", jsonType, "")["diagnostics"].([]any)
	if len(list) != 1 {
		t.Errorf("got %v", list)
	}
	if list := x.do("GET", "/v1/diagnostics/kitchen?end_date=2020-01-01", jsonType, "")["diagnostics"].([]any); len(list) != 0 {
		t.Errorf("got %v", list)
	}
}
