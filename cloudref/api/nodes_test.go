package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/fixtures/natstest"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// newNodes is a cloud of two nodes with an API each, and one account. Devices connect
// to the first.
func newNodes(t *testing.T) (near, far *site) {
	t.Helper()
	url := natstest.Start(t).ClientURL()
	return newNodesAt(t, url, url)
}

// newNodesAt is the same with a NATS server that each reaches at its own address.
func newNodesAt(t *testing.T, nats ...string) (near, far *site) {
	t.Helper()
	dirs := []string{t.TempDir(), t.TempDir()}
	var all []*site
	for i, dir := range dirs {
		if len(all) > 0 {
			key, err := os.ReadFile(filepath.Join(dirs[0], "session.key"))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "session.key"), key, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		cloud, err := cloudref.Start(t.Context(), cloudref.Options{
			Dir: dir, NATS: nats[i], UDP: netip.MustParseAddrPort("127.0.0.1:0"),
			ECKey: seed.P256(seed.Bytes(1, "cloud")), RSAKey: seed.RSA(seed.Bytes(1, "cloud"), 2048),
			Log: func(line string) { t.Log("cloud:", line) },
		})
		if err != nil {
			t.Fatal(err)
		}
		rest := cloud.API(api.Config{DeviceTimeout: patience, Log: func(line string) { t.Log("api:", line) }})
		h := httptest.NewServer(rest)
		x := &site{t: t, cloud: cloud, rest: rest, http: h, url: h.URL}
		t.Cleanup(x.stop)
		all = append(all, x)
	}
	near, far = all[0], all[1]
	var err error
	if near.account, err = near.rest.CreateUser(t.Context(), username, password); err != nil {
		t.Fatal(err)
	}
	if near.token, err = near.rest.IssueToken(t.Context(), near.account, time.Hour); err != nil {
		t.Fatal(err)
	}
	far.account, far.token = near.account, near.token
	far.until("the nodes know one another, and the token", func() bool {
		far.send("GET", "/v1/devices", jsonType, "")
		return near.cloud.Nodes() == 2 && far.cloud.Nodes() == 2 && far.status == http.StatusOK
	})
	return near, far
}

// until waits for what the nodes tell each other.
func (x *site) until(what string, is func() bool) {
	x.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			x.t.Fatalf("never: %s", what)
		}
	}
}

// sees waits until a node knows that a device of the other is online, by its id and by
// its name: they are told separately.
func (x *site) sees(p *puppet) {
	x.t.Helper()
	x.until("the device is online", func() bool {
		for _, called := range []string{p.id.String(), p.name} {
			var o map[string]any
			if json.Unmarshal(x.send("GET", "/v1/devices/"+called, jsonType, ""), &o) != nil || o["online"] != true || o["functions"] == nil {
				return false
			}
		}
		return true
	})
}

// A device at one node is called, read and updated at the other; streams of both tell
// of it.
func TestADeviceAtTheOtherNode(t *testing.T) {
	near, far := newNodes(t)
	p := near.puppet(1, "kitchen", near.account)
	id := p.id.String()
	far.sees(p)
	if o := far.do("POST", "/v1/devices/kitchen/brew", jsonType, `{"arg":"12345"}`); o["return_value"] != 5.0 {
		t.Errorf("called: %v", o)
	}
	if o := far.do("GET", "/v1/devices/kitchen/temp", jsonType, ""); o["result"] != 93.5 {
		t.Errorf("read: %v", o)
	}
	if o := far.do("PUT", "/v1/devices/kitchen/ping", jsonType, ""); o["online"] != true {
		t.Errorf("pinged: %v", o)
	}
	far.do("PUT", "/v1/devices/kitchen", jsonType, `{"signal":"1"}`)
	if !p.wait(p.lit) {
		t.Error("it does not shout rainbows")
	}

	streams := []<-chan event{near.events("/v1/devices/events/spark/flash"), far.events("/v1/devices/events/spark/flash")}
	image := binary(20_000)
	kind, form := flashForm(t, image)
	if o := far.do("PUT", "/v1/devices/kitchen", kind, form); o["status"] != "Update started" {
		t.Fatalf("flashed: %v", o)
	}
	for _, stream := range streams {
		for _, want := range []string{"started ", "success "} {
			near.wantEvent(stream, event{"spark/flash/status", want, id})
		}
	}
	p.wait(p.online)
	if got := p.flashed(); !bytes.Equal(got, image) {
		t.Errorf("%d bytes arrived, %d were sent", len(got), len(image))
	}
	damaged := bytes.Clone(image)
	damaged[100] ^= 1
	kind, form = flashForm(t, damaged)
	if o := far.do("PUT", "/v1/devices/kitchen", kind, form); far.status != http.StatusBadRequest {
		t.Errorf("a damaged image: %d %v", far.status, o)
	}
}

// A device goes to another node in the middle of an update, as when its own was killed:
// there the update goes on, and readers at both hear that it is a success.
func TestAnUpdateGoesOnAtTheOtherNode(t *testing.T) {
	near, far := newNodes(t)
	p := near.puppet(1, "kitchen", near.account)
	id := p.id.String()
	far.sees(p)
	streams := []<-chan event{near.events("/v1/devices/events/spark/flash"), far.events("/v1/devices/events/spark/flash")}
	p.tasks <- func() { p.roamAt, p.roamTo = 10, far.cloud.UDP() }
	image := binary(60_000)
	kind, form := flashForm(t, image)
	if o := near.do("PUT", "/v1/devices/kitchen", kind, form); o["status"] != "Update started" {
		t.Fatalf("flashed: %v", o)
	}
	for _, stream := range streams {
		near.wantEvent(stream, event{"spark/flash/status", "success ", id})
	}
	p.wait(p.online)
	if got := p.flashed(); !bytes.Equal(got, image) {
		t.Errorf("%d bytes arrived, %d were sent", len(got), len(image))
	}
	if near.cloud.Node().Holds(p.id) || !far.cloud.Node().Holds(p.id) {
		t.Error("the device is not at the other node")
	}
}

// A release that one node is told of reaches the devices of the other.
func TestAReleaseAtTheOtherNode(t *testing.T) {
	near, far := newNodes(t)
	far.do("POST", "/v1/products", jsonType, `{"name":"Coffee","platform_id":13}`)
	p := near.puppet(1, "kitchen", near.account, ofProduct(1000, 1, 2))
	id := p.id.String()
	far.sees(p)
	far.do("POST", "/v1/products/1000/devices", jsonType, `{"id":"`+id+`"}`)
	near.until("the device is in the product at both", func() bool {
		return near.cloud.Store().Member(p.id).Product == 1000 && far.cloud.Store().Member(p.id).Product == 1000
	})
	image := far.firmware(2)
	near.until("the firmware is known at both", func() bool {
		near.send("GET", "/v1/products/1000/firmware/2", jsonType, "")
		return near.status == http.StatusOK
	})
	far.do("PUT", "/v1/products/1000/firmware/release", jsonType, `{"version":2,"product_default":true,"intelligent":true}`)
	p.wait(p.online)
	if got := p.flashed(); !bytes.Equal(got, image) {
		t.Errorf("%d bytes arrived, %d were sent", len(got), len(image))
	}
	far.until("the other node knows what it runs", func() bool {
		return far.do("GET", "/v1/products/1000/devices/"+id, jsonType, "")["firmware_version"] == 2.0
	})
}

// Ledgers between the API of one node and a device of the other, both ways.
func TestLedgersAtTheOtherNode(t *testing.T) {
	near, far := newNodes(t)
	for _, l := range []string{`{"name":"config","scope":"Device","direction":"Downstream"}`, `{"name":"report","scope":"Device","direction":"Upstream"}`} {
		far.do("POST", "/v1/ledgers", jsonType, `{"ledger":`+l+`}`)
	}
	near.until("both ledgers are known", func() bool {
		return len(near.do("GET", "/v1/ledgers", jsonType, "")["ledgers"].([]any)) == 2
	})
	p := near.puppet(1, "kitchen", near.account)
	far.sees(p)
	c := &ledgerClient{puppet: p}
	infos := c.info("config", "report")
	c.call(pdc.LedgerCall{Method: pdc.LedgerSubscribe, Ledgers: []pdc.LedgerRef{ref(infos["config"])}})

	path := "/v1/ledgers/config/instances/" + p.id.String()
	far.do("PUT", path, jsonType, `{"instance":{"data":{"rate":5}}}`)
	// The node of the device may hear late that the ledgers were made: then the device
	// is told of that too.
	notice := p.notice()
	for notice.Method == pdc.LedgerResetInfo {
		notice = p.notice()
	}
	if notice.Method != pdc.LedgerNotifyUpdate || notice.Ledgers[0].Name != "config" {
		t.Errorf("got %+v", notice)
	}
	reply := c.call(pdc.LedgerCall{Method: pdc.LedgerGetData, Ledgers: []pdc.LedgerRef{ref(infos["config"])}})
	if got := fmt.Sprintf("%x", reply.Data); got != "a1647261746505" {
		t.Errorf("got %s", got)
	}

	set := pdc.LedgerRef{Name: "report", ScopeID: infos["report"].ScopeID, Updated: pdc.LedgerUpdated{Milliseconds: 1_767_323_045_678, Known: true}}
	if reply := c.call(pdc.LedgerCall{Method: pdc.LedgerSetData, Ledgers: []pdc.LedgerRef{set}, Data: []byte{0xa1, 0x61, 'n', 7}}); reply.Result != pdc.LedgerOK {
		t.Fatalf("set data: %+v", reply)
	}
	far.until("the other node has what the device says", func() bool {
		var o struct{ Instance struct{ Data map[string]any } }
		b := far.send("GET", "/v1/ledgers/report/instances/"+p.id.String(), jsonType, "")
		return json.Unmarshal(b, &o) == nil && o.Instance.Data["n"] == 7.0
	})
	// It goes to the other node, which tells it of changes from then on.
	p.tasks <- func() { p.roam(far.cloud.UDP()) }
	far.until("the device has gone to the other node", func() bool { return far.cloud.Node().Holds(p.id) && !near.cloud.Node().Holds(p.id) })
	far.do("PUT", path, jsonType, `{"instance":{"data":{"rate":6}}}`)
	if notice := p.notice(); notice.Method != pdc.LedgerNotifyUpdate || notice.Ledgers[0].Name != "config" {
		t.Errorf("moved, it got %+v", notice)
	}
	// Archived at one, it is gone for the device at the other.
	near.send("DELETE", "/v1/ledgers/config", jsonType, "")
	if notice := p.notice(); notice.Method != pdc.LedgerResetInfo {
		t.Errorf("got %+v", notice)
	}
}

// A change of a ledger that the node of a device is not told of, as its connection to
// NATS breaks just then, makes the device ask again.
func TestLedgerChangedUnheard(t *testing.T) {
	server := natstest.Start(t)
	wire := natstest.NewWire(t, server.Addr().String())
	near, far := newNodesAt(t, wire.URL(), server.ClientURL())
	far.do("POST", "/v1/ledgers", jsonType, `{"ledger":{"name":"config","scope":"Device","direction":"Downstream"}}`)
	near.until("the ledger is known", func() bool {
		return len(near.do("GET", "/v1/ledgers", jsonType, "")["ledgers"].([]any)) == 1
	})
	p := near.puppet(1, "kitchen", near.account)
	far.sees(p)
	c := &ledgerClient{puppet: p}
	infos := c.info("config")
	c.call(pdc.LedgerCall{Method: pdc.LedgerSubscribe, Ledgers: []pdc.LedgerRef{ref(infos["config"])}})
	wire.Deafen()
	far.do("PUT", "/v1/ledgers/config/instances/"+p.id.String(), jsonType, `{"instance":{"data":{"rate":5}}}`)
	wire.Cut()
	if notice := p.notice(); notice.Method != pdc.LedgerResetInfo && notice.Method != pdc.LedgerNotifyUpdate { // this if the news was late
		t.Errorf("got %+v", notice)
	}
}

// Vitals are asked for at one node and measured by a device of the other.
func TestVitalsAtTheOtherNode(t *testing.T) {
	near, far := newNodes(t)
	p := near.puppet(1, "kitchen", near.account)
	far.sees(p)
	stream := far.events("/v1/devices/events/spark/device/diagnostics")
	far.do("POST", "/v1/diagnostics/kitchen/update", jsonType, "")
	if far.status != http.StatusAccepted {
		t.Errorf("status %d", far.status)
	}
	select {
	case e := <-stream:
		if e.name != "spark/device/diagnostics/update" || e.core != p.id.String() {
			t.Errorf("got %v", e)
		}
	case <-time.After(patience):
		t.Fatal("no vitals on the stream of the other node")
	}
	far.until("the vitals are stored", func() bool {
		far.send("GET", "/v1/diagnostics/kitchen/last", jsonType, "")
		return far.status == http.StatusOK
	})
}

// Whichever node makes the call of a webhook, its answer reaches the device, and the
// readers of both once.
func TestWebhookAnswersAtBothNodes(t *testing.T) {
	near, far := newNodes(t)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "espresso") }))
	defer hook.Close()
	far.do("POST", "/v1/webhooks", jsonType, `{"event":"temp","url":"`+hook.URL+`","responseTopic":"orders/{{{PARTICLE_EVENT_NAME}}}"}`)
	near.until("the hook is known at both", func() bool {
		return bytes.Contains(near.send("GET", "/v1/webhooks", jsonType, ""), []byte(hook.URL))
	})
	p := near.puppet(1, "kitchen", near.account)
	streams := []<-chan event{near.events("/v1/devices/events/orders"), far.events("/v1/devices/events/orders")}
	const calls = 20
	for n := range calls {
		p.publish(fmt.Sprintf("temp/%d", n), "x")
	}
	want := map[string]int{}
	for n := range calls {
		want[fmt.Sprintf("orders/temp/%d/0", n)] = 1
	}
	collect := func(who string, next func() string) {
		t.Helper()
		got := map[string]int{}
		for range calls {
			got[next()]++
		}
		for name := range want {
			if got[name] != 1 {
				t.Errorf("%s: %s came %d times", who, name, got[name])
			}
		}
	}
	late := time.After(3 * patience)
	for n, stream := range streams {
		collect(fmt.Sprint("the reader at node ", n), func() string {
			select {
			case e := <-stream:
				return e.name
			case <-late:
				t.Fatal("an answer is missing")
				return ""
			}
		})
	}
	collect("the device", func() string {
		select {
		case e := <-p.heard:
			return e.Name
		case <-late:
			t.Fatal("the device misses an answer")
			return ""
		}
	})
}
