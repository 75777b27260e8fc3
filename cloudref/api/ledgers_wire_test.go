package api_test

import (
	"bytes"
	be "encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A ledgerClient asks about ledgers as Device OS does.
type ledgerClient struct {
	*puppet
	token byte
	tag   uint32
}

// call makes one call, in blocks where need be, and returns the reply.
func (x *ledgerClient) call(c pdc.LedgerCall) pdc.LedgerReply {
	x.x.t.Helper()
	x.tag++
	upload := coap.Upload{Body: c.Append(nil), SZX: coap.SZXMax}
	for {
		x.token++
		payload, block, cut := upload.Block()
		r := pdc.LedgerRequest{Token: []byte{x.token}, Payload: payload}
		if cut {
			r.Block1, r.RequestTag = &block, be.BigEndian.AppendUint32(nil, x.tag)
		}
		m := x.ask(x.token, r.Message(dialect))
		if block.More {
			if m.Code != coap.Continue {
				x.x.t.Fatalf("block %d is answered with %v", block.Num, m.Code)
			}
			upload.Acknowledged(m.Code)
			continue
		}
		return x.fetch(m)
	}
}

// fetch gets an answer that comes in blocks.
func (x *ledgerClient) fetch(m coap.Message) pdc.LedgerReply {
	x.x.t.Helper()
	var fetch coap.Fetch
	for {
		response, err := pdc.ParseLedgerResponse(m)
		if err != nil {
			x.x.t.Fatal(err)
		}
		switch fetch.Add(clock.Instant(0), m, coap.Limits{BytesMax: 1 << 20, Lifetime: time.Hour}) {
		case coap.FetchDone:
			reply, err := pdc.ParseLedgerReply(fetch.Body())
			if err != nil {
				x.x.t.Fatal(err)
			}
			return reply
		case coap.FetchNext:
			x.token++
			next := fetch.Next()
			m = x.ask(x.token, pdc.LedgerRequest{Token: []byte{x.token}, ETag: response.ETag, Block2: &next}.Message(dialect))
		default:
			x.x.t.Fatalf("the blocks do not fit together: %v", m)
		}
	}
}

func (x *ledgerClient) info(names ...string) map[string]pdc.LedgerInfo {
	x.x.t.Helper()
	c := pdc.LedgerCall{Method: pdc.LedgerGetInfo}
	for _, name := range names {
		c.Ledgers = append(c.Ledgers, pdc.LedgerRef{Name: name})
	}
	reply := x.call(c)
	if reply.Result != pdc.LedgerOK || reply.Method != pdc.LedgerGetInfo {
		x.x.t.Fatalf("get info: %+v", reply)
	}
	infos := map[string]pdc.LedgerInfo{}
	for _, info := range reply.Ledgers {
		infos[info.Name] = info
	}
	return infos
}

func ref(i pdc.LedgerInfo) pdc.LedgerRef { return pdc.LedgerRef{Name: i.Name, ScopeID: i.ScopeID} }

func (p *puppet) notice() pdc.LedgerCall {
	p.x.t.Helper()
	select {
	case call := <-p.noticed:
		return call
	case <-time.After(patience):
		p.x.t.Fatalf("no notice comes: %v", p.failed)
		panic("unreachable")
	}
}

// Ledgers from the API to a device and from a device to the API.
func TestLedgersOnTheWire(t *testing.T) {
	x := newSite(t)
	for _, l := range []string{
		`{"name":"config","scope":"Device","direction":"Downstream"}`,
		`{"name":"report","scope":"Device","direction":"Upstream"}`,
		`{"name":"shared","scope":"Owner","direction":"Downstream"}`,
	} {
		x.do("POST", "/v1/ledgers", jsonType, `{"ledger":`+l+`}`)
	}
	p := x.puppet(1, "kitchen", x.account)
	id := p.id.String()
	c := &ledgerClient{puppet: p}
	infos := c.info("config", "report", "shared", "absent")
	if len(infos) != 3 || infos["config"].Scope != pdc.LedgerScopeDevice || infos["config"].Direction != pdc.LedgerCloudToDevice ||
		infos["report"].Direction != pdc.LedgerDeviceToCloud || infos["shared"].Scope != pdc.LedgerScopeOwner || infos["config"].Updated.Known {
		t.Fatalf("got %+v", infos)
	}
	reply := c.call(pdc.LedgerCall{Method: pdc.LedgerSubscribe, Ledgers: []pdc.LedgerRef{ref(infos["config"]), ref(infos["shared"])}})
	if reply.Result != pdc.LedgerOK || len(reply.Ledgers) != 2 {
		t.Fatalf("subscribe: %+v", reply)
	}

	// Down: a notice, then data of several blocks.
	data := map[string]any{"list": []any{uint64(1), int64(-2), 2.5, "x", true, nil}, "text": strings.Repeat("y", 5000)}
	raw, _ := json.Marshal(data)
	x.do("PUT", "/v1/ledgers/config/instances/"+id, jsonType, `{"instance":{"data":`+string(raw)+`}}`)
	notice := p.notice()
	if notice.Method != pdc.LedgerNotifyUpdate || len(notice.Ledgers) != 1 || notice.Ledgers[0].Name != "config" || !notice.Ledgers[0].Updated.Known {
		t.Fatalf("got %+v", notice)
	}
	reply = c.call(pdc.LedgerCall{Method: pdc.LedgerGetData, Ledgers: []pdc.LedgerRef{ref(infos["config"])}})
	var got map[string]any
	if err := cbor.Unmarshal(reply.Data, &got); err != nil || !reflect.DeepEqual(got, data) || reply.Updated != notice.Ledgers[0].Updated {
		t.Errorf("got %v, %v at %v", got, err, reply.Updated)
	}
	x.do("PUT", "/v1/ledgers/shared/instances/"+x.account.String(), jsonType, `{"instance":{"data":{"a":1}}}`)
	if notice := p.notice(); notice.Ledgers[0].Name != "shared" {
		t.Errorf("got %+v", notice)
	}

	// Up, in several blocks.
	up, _ := cbor.Marshal(map[string]any{"temp": 21.5, "n": 7, "log": strings.Repeat("z", 3000), "bytes": []byte{1, 2}})
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	set := pdc.LedgerRef{Name: "report", ScopeID: infos["report"].ScopeID, Updated: pdc.LedgerUpdated{Milliseconds: uint64(at.UnixMilli()), Known: true}}
	if reply := c.call(pdc.LedgerCall{Method: pdc.LedgerSetData, Ledgers: []pdc.LedgerRef{set}, Data: up}); reply.Result != pdc.LedgerOK {
		t.Fatalf("set data: %+v", reply)
	}
	instance := x.do("GET", "/v1/ledgers/report/instances/"+id, jsonType, "")["instance"].(map[string]any)
	want := map[string]any{"temp": 21.5, "n": 7.0, "log": strings.Repeat("z", 3000), "bytes": "AQI="}
	if !reflect.DeepEqual(instance["data"], want) || instance["updated_at"] != "2026-01-02T03:04:05.678Z" {
		t.Errorf("got %v", instance)
	}
	if info := c.info("report")["report"]; info.Updated != set.Updated {
		t.Errorf("the cloud says %v, the device %v", info.Updated, set.Updated)
	}

	// What goes wrong.
	for name, test := range map[string]struct {
		call pdc.LedgerCall
		want pdc.LedgerResult
	}{
		"unknown":         {pdc.LedgerCall{Method: pdc.LedgerGetData, Ledgers: []pdc.LedgerRef{{Name: "absent"}}}, pdc.LedgerNotFound},
		"wrong way":       {pdc.LedgerCall{Method: pdc.LedgerSetData, Ledgers: []pdc.LedgerRef{ref(infos["config"])}, Data: up}, pdc.LedgerInvalidDirection},
		"another scope":   {pdc.LedgerCall{Method: pdc.LedgerGetData, Ledgers: []pdc.LedgerRef{{Name: "config", ScopeID: []byte{1, 2, 3, 4}}}}, pdc.LedgerScopeChanged},
		"no map":          {pdc.LedgerCall{Method: pdc.LedgerSetData, Ledgers: []pdc.LedgerRef{set}, Data: []byte{0x81, 0x01}}, pdc.LedgerInvalidData},
		"no CBOR":         {pdc.LedgerCall{Method: pdc.LedgerSetData, Ledgers: []pdc.LedgerRef{set}, Data: []byte{0xa1}}, pdc.LedgerInvalidData},
		"unknown to hear": {pdc.LedgerCall{Method: pdc.LedgerSubscribe, Ledgers: []pdc.LedgerRef{{Name: "absent"}}}, pdc.LedgerNotFound},
	} {
		if reply := c.call(test.call); reply.Result != test.want {
			t.Errorf("%s: got %+v, want %v", name, reply, test.want)
		}
	}

	// A new ledger, and one that is archived, make devices ask again.
	x.do("POST", "/v1/ledgers", jsonType, `{"name":"late","scope":"Device","direction":"Upstream"}`)
	if notice := p.notice(); notice.Method != pdc.LedgerResetInfo {
		t.Errorf("got %+v", notice)
	}
	x.send("DELETE", "/v1/ledgers/report", jsonType, "")
	if notice := p.notice(); notice.Method != pdc.LedgerResetInfo || x.status != http.StatusNoContent {
		t.Errorf("got %+v, status %d", notice, x.status)
	}
	if infos := c.info("late", "report"); len(infos) != 1 {
		t.Errorf("got %+v", infos)
	}

	// Another account's device sees none of this.
	stranger := &ledgerClient{puppet: x.puppet(2, "bobs", store.AccountID{0xb0})}
	if infos := stranger.info("config", "late", "shared"); len(infos) != 0 {
		t.Errorf("a stranger sees %+v", infos)
	}
	reply = stranger.call(pdc.LedgerCall{Method: pdc.LedgerGetData, Ledgers: []pdc.LedgerRef{ref(infos["config"])}})
	if reply.Result != pdc.LedgerNotFound || len(reply.Data) != 0 {
		t.Errorf("a stranger gets %+v", reply)
	}
}

// A product's ledgers, and that the cloud remembers over a restart who follows one.
func TestLedgersOfProducts(t *testing.T) {
	dir := t.TempDir()
	x := start(t, dir)
	var err error
	if x.account, err = x.rest.CreateUser(t.Context(), username, password); err != nil {
		t.Fatal(err)
	}
	if x.token, err = x.rest.IssueToken(t.Context(), x.account, time.Hour); err != nil {
		t.Fatal(err)
	}
	x.do("POST", "/v1/products", jsonType, `{"name":"Coffee","platform_id":13,"settings":{"quarantine":false}}`)
	x.do("POST", "/v1/products/1000/ledgers", jsonType, `{"ledger":{"name":"fleet","scope":"Product","direction":"Downstream"}}`)
	p := x.puppet(1, "", store.AccountID{}, ofProduct(1000, 1, 1))
	x.awaitMember(p.id)
	c := &ledgerClient{puppet: p}
	info := c.info("fleet")["fleet"]
	if info.Scope != pdc.LedgerScopeProduct || !bytes.Equal(info.ScopeID, []byte{0, 0, 0x03, 0xe8}) {
		t.Fatalf("got %+v", info)
	}
	c.call(pdc.LedgerCall{Method: pdc.LedgerSubscribe, Ledgers: []pdc.LedgerRef{ref(info)}})
	address := x.cloud.UDP()
	token := x.token
	x.stop()

	y := startAt(t, dir, address)
	t.Cleanup(y.stop)
	y.token = token
	moved := make(chan bool)
	p.tasks <- func() { p.x = y; moved <- true }
	<-moved
	y.send("PUT", "/v1/products/1000/ledgers/fleet/instances/1000?set_mode=Merge", jsonType, `{"instance":{"data":{"rate":5}}}`)
	if y.status != http.StatusOK {
		t.Fatalf("status %d", y.status)
	}
	p.publish("awake", "") // the cloud hears of it again
	if notice := p.notice(); notice.Ledgers[0].Name != "fleet" {
		t.Errorf("got %+v", notice)
	}
	reply := c.call(pdc.LedgerCall{Method: pdc.LedgerGetData, Ledgers: []pdc.LedgerRef{ref(info)}})
	if got := fmt.Sprintf("%x", reply.Data); got != "a1647261746505" {
		t.Errorf("got %s", got)
	}
}
