package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/muster/muster/cloudref/store"
)

const jsonKind = "application/json"

// login returns the status of a login, with the given answer of the password grant.
func (b *bench) login(name, password string) int {
	return b.do("POST", "/oauth/token", "", form,
		"grant_type=password&client_id=particle&client_secret=particle&username="+name+"&password="+password).status
}

// withPassword gives Alice and Bob passwords.
func withPassword(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, nil)
	b.must(b.server.SetPassword(t.Context(), aliceID, "old"))
	b.must(b.server.SetPassword(t.Context(), bobID, "bobs"))
	return b
}

func TestChangeUser(t *testing.T) {
	b := withPassword(t)
	put := func(body string) answered { return b.do("PUT", "/v1/user", b.alice, jsonKind, body) }
	const done = `{"ok":true,"message":"User account updated"}`
	const wrong = `{"ok":false,"errors":["The password is not right."]}`

	put(`{}`).want(400, `{"ok":false,"errors":["Nothing to do: give account_info, or current_password with username or password."]}`)
	b.do("PUT", "/v1/user", b.alice, form, "account_info[first_name]=Alice&account_info[business_account]=true").want(200, done)
	put(`{"account_info":{"last_name":"Liddell"}}`).want(200, done)
	info := b.json("GET", "/v1/user", "").decode()["account_info"].(map[string]any)
	if info["first_name"] != "Alice" || info["last_name"] != "Liddell" || info["business_account"] != true {
		t.Errorf("got %v", info)
	}
	put(`{"account_info":{"first_name":"`+strings.Repeat("x", personNameMax+1)+`"}}`).
		want(400, `{"ok":false,"errors":["first_name has at most 256 bytes."]}`)

	// A token alone takes no account over.
	put(`{"password":"new"}`).want(403, wrong)
	put(`{"password":"new","current_password":"bobs"}`).want(403, wrong)
	put(`{"username":"mallory@example.com","current_password":""}`).want(403, wrong)
	put(`{"password":"","current_password":"old"}`).want(400, `{"ok":false,"errors":["A password has 1 to 1024 bytes."]}`)
	put(`{"password":"new","current_password":"old"}`).want(200, done)
	if old, fresh, bob := b.login("alice@example.com", "old"), b.login("alice@example.com", "new"), b.login("bob@example.com", "bobs"); old != 400 || fresh != 200 || bob != 200 {
		t.Errorf("logins: %d %d %d", old, fresh, bob)
	}

	put(`{"username":"Bob@example.com","current_password":"new"}`).want(400, `{"ok":false,"errors":["username must be unique"]}`)
	put(`{"username":"a b","current_password":"new"}`).want(400, `{"ok":false,"errors":["username must be an email address"]}`)
	put(`{"username":"Liddell@example.com","current_password":"new"}`).want(200, done)
	if old, fresh := b.login("alice@example.com", "new"), b.login("liddell@example.com", "new"); old != 400 || fresh != 200 {
		t.Errorf("logins: %d %d", old, fresh)
	}
	b.json("GET", "/v1/user/identify?tracking=1", "").
		want(200, `{"id":"`+aliceID.String()+`","email":"liddell@example.com"}`)
	if who := b.json("GET", "/v1/user/identify", "").decode(); who["account_info"] == nil {
		t.Errorf("got %v", who)
	}

	put(`{"password":"newer","current_password":"new","invalidate_tokens":true}`).want(200, done)
	b.json("GET", "/v1/user", "").want(401, badToken)
	b.do("GET", "/v1/devices/bobs", b.bob, "", "").decode()
}

// Nobody has the password of an account that has none.
func TestNoPasswordIsNoPassword(t *testing.T) {
	b := newBench(t, nil)
	for _, body := range []string{`{"password":"x"}`, `{"password":"x","current_password":""}`} {
		if a := b.do("PUT", "/v1/user", b.alice, jsonKind, body); a.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if a := b.do("DELETE", "/v1/user", b.alice, jsonKind, `{"password":""}`); a.status != http.StatusForbidden {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestDropUser(t *testing.T) {
	b := withPassword(t)
	ctx := t.Context()
	made := b.json("POST", "/v1/webhooks", `{"event":"x","url":"http://example.com/"}`).decode()
	b.json("POST", "/v1/clients", `{"name":"shop","type":"web"}`).decode()
	if a := b.json("POST", "/v1/ledgers", `{"ledger":{"name":"notes","scope":"Owner","direction":"Downstream"}}`); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	b.json("PUT", "/v1/ledgers/notes/instances/"+aliceID.String(), `{"instance":{"data":{"secret":1}}}`).decode()
	ledger := b.store.LedgersOf(store.LedgerOwner{Account: aliceID})[0].Key

	b.do("DELETE", "/v1/user", b.alice, jsonKind, `{"password":"bobs"}`).want(403, `{"ok":false,"errors":["The password is not right."]}`)
	b.do("DELETE", "/v1/user", b.alice, "", "").want(403, `{"ok":false,"errors":["The password is not right."]}`)
	b.json("GET", "/v1/devices/kitchen", "").decode()

	product := b.json("POST", "/v1/products", `{"name":"Coffee","platform_id":13}`)
	if product.status != http.StatusOK {
		t.Fatalf("%d %s", product.status, product.body)
	}
	b.do("DELETE", "/v1/user", b.alice, jsonKind, `{"password":"old"}`).
		want(400, `{"ok":false,"errors":["This account owns products, which would be nobody's: Coffee (1000). Change its name and password instead."]}`)
	_, err := b.store.UpdateProduct(ctx, store.FirstProduct, func(p *store.Product) error { p.Owner = bobID; return nil })
	b.must(err)

	b.do("DELETE", "/v1/user", b.alice, jsonKind, `{"password":"old"}`).want(200, `{"ok":true}`)
	b.json("GET", "/v1/user", "").want(401, badToken)
	if got := b.login("alice@example.com", "old"); got != http.StatusBadRequest {
		t.Errorf("login: %d", got)
	}
	if devices := b.store.DevicesOf(aliceID); len(devices) != 0 {
		t.Errorf("devices: %v", devices)
	}
	if len(b.store.HooksOf(aliceID)) != 0 {
		t.Errorf("webhook %v is left", made["id"])
	}
	if clients, err := b.store.Clients(ctx, aliceID); err != nil || len(clients) != 0 {
		t.Errorf("clients: %v %v", clients, err)
	}
	if data, err := b.store.LedgerInstances(ctx, ledger); err != nil || len(data) != 0 {
		t.Errorf("ledger: %v %v", data, err)
	}
	// What was hers can be claimed; what is Bob's is his.
	b.do("POST", "/v1/devices", b.bob, jsonKind, `{"id":"`+kitchen+`"}`).decode()
	b.do("GET", "/v1/devices/bobs", b.bob, "", "").decode()
	if got := b.login("bob@example.com", "bobs"); got != http.StatusOK {
		t.Errorf("Bob's login: %d", got)
	}
}

// What is not served says so, where each client looks; and below a product only to
// those who may know of it.
func TestUnserved(t *testing.T) {
	b := newBench(t, nil)
	b.json("POST", "/v1/products", `{"name":"Coffee","platform_id":13}`).decode()
	for _, r := range b.server.unservedRoutes() {
		method, path, found := strings.Cut(r.pattern, " ")
		if !found {
			method, path = "GET", r.pattern
		}
		path = strings.NewReplacer("{product}", "1000", "{device}", kitchen, "{rest...}", "x/y").Replace(path)
		t.Run(method+" "+path, func(t *testing.T) {
			b.t = t
			a := b.do(method, path, b.alice, jsonKind, `{}`)
			var body struct {
				OK          *bool
				Error       string `json:"error"`
				Description string `json:"error_description"`
			}
			if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusNotImplemented ||
				body.OK == nil || *body.OK || body.Error != body.Description || !strings.HasSuffix(body.Error, ".") {
				t.Errorf("%d %s", a.status, a.body)
			}
			switch {
			case r.access == anyone:
			case strings.Contains(path, "/products/"):
				b.do(method, path, b.bob, jsonKind, `{}`).want(404, `{"ok":false,"error":"Permission denied"}`)
			default:
				b.do(method, path, "", jsonKind, `{}`).want(400, noToken)
			}
		})
	}
	b.t = t
	b.json("GET", "/v1/orgs", "").want(200, `{"organizations":[]}`)
	for _, path := range []string{"/v1/orgs/acme", "/v1/orgs/acme/products", "/v1/orgs/acme/devices/x/events"} {
		const no = "This cloud has no organisations. What they have is the account's own here: leave the organisation out."
		b.json("GET", path, "").want(404, `{"ok":false,"error":"`+no+`","error_description":"`+no+`"}`)
	}
	if a := b.json("POST", "/v1/devices", `{"product_id":13}`); a.status != http.StatusNotImplemented || !strings.Contains(a.body, "/v1/provisioning/ID") {
		t.Errorf("%d %s", a.status, a.body)
	}
}
