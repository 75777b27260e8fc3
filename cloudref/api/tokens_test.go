package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// signUp makes a user who can log in.
func (b *bench) signUp(name, password string) {
	b.t.Helper()
	b.do("POST", "/v1/users", "", "application/json", `{"username":"`+name+`","password":"`+password+`","account_info":{"first_name":"Carol"}}`).
		want(200, `{"ok":true}`)
}

// grant asks for a token with more fields.
func (b *bench) grant(fields url.Values) answered {
	b.t.Helper()
	for name, value := range map[string]string{"client_id": "particle-cli", "client_secret": "particle-cli", "grant_type": "password"} {
		if !fields.Has(name) {
			fields.Set(name, value)
		}
	}
	// Of no meaning here: the command-line tool sends it.
	return b.do("POST", "/oauth/token", "null", form, fields.Encode())
}

func TestPasswordGrant(t *testing.T) {
	b := newBench(t, nil)
	b.signUp("carol@example.com", "hunter22")
	for _, client := range [][2]string{
		{"particle", "particle"}, {"particle-api", "particle-api"}, {"CLI2", "client_secret_here"}, {"user", "client_secret_here"}, {"spark-cli", "client_secret_here"}, {"particle-cli", "particle-cli"}, {"Spark", "Spark"},
	} {
		o := b.grant(url.Values{
			"username": {"Carol@Example.com"}, "password": {"hunter22"}, "client_id": {client[0]}, "client_secret": {client[1]},
		}).decode()
		if o["token_type"] != "bearer" || o["expires_in"] != 7776000.0 || len(o["access_token"].(string)) != 40 || len(o["refresh_token"].(string)) != 40 {
			t.Errorf("%s: got %v", client[0], o)
		}
		b.do("GET", "/v1/access_tokens/current", o["access_token"].(string), "", "").want(200,
			`{"expires_at":"2026-04-02T03:04:05.678Z","client":"`+client[0]+`","client_id":"`+client[0]+`","scopes":[],"orgs":[]}`)
	}
	b.grant(url.Values{"username": {"carol@example.com"}, "password": {"wrong"}}).want(400, badGrant)
	b.grant(url.Values{"username": {"carol@example.com"}, "password": {strings.Repeat("x", 2000)}}).want(400, badGrant)

	r := httptest.NewRequest("POST", "/oauth/token", strings.NewReader("grant_type=password&username=carol@example.com&password=hunter22"))
	r.Header.Set("Content-Type", form)
	r.SetBasicAuth("particle", "particle")
	if o := b.send(r).decode(); len(o["access_token"].(string)) != 40 {
		t.Errorf("with HTTP Basic: %v", o)
	}
}

func TestLifetimes(t *testing.T) {
	b := newBench(t, nil)
	b.signUp("carol@example.com", "hunter22")
	get := func(name, value string) map[string]any {
		t.Helper()
		return b.grant(url.Values{"username": {"carol@example.com"}, "password": {"hunter22"}, name: {value}}).decode()
	}
	for _, test := range []struct {
		name, value string
		seconds     float64
		expires     string
	}{
		{"expires_in", "0", 0, "null"},
		{"expires_in", "60", 60, `"2026-01-02T03:05:05.678Z"`},
		{"expires_at", "2026-01-02T03:06:05.678Z", 120, `"2026-01-02T03:06:05.678Z"`},
		{"expires_in", "9999999999999", lifetimeMax.Seconds(), `"2125-12-09T03:04:05.678Z"`},
	} {
		o := get(test.name, test.value)
		if o["expires_in"] != test.seconds {
			t.Errorf("%s=%s: %v s, want %v", test.name, test.value, o["expires_in"], test.seconds)
		}
		a := b.do("GET", "/v1/access_tokens/current", o["access_token"].(string), "", "")
		if !strings.Contains(a.body, `"expires_at":`+test.expires) {
			t.Errorf("%s=%s: %s, want %s", test.name, test.value, a.body, test.expires)
		}
	}
	short := get("expires_in", "60")["access_token"].(string)
	b.now = b.now.Add(61 * time.Second)
	b.do("GET", "/v1/devices", short, "", "").want(401, oldToken)
	for _, bad := range [][2]string{{"expires_in", "-1"}, {"expires_in", "soon"}, {"expires_at", "soon"}, {"expires_at", "2020-01-01T00:00:00Z"}} {
		if a := b.grant(url.Values{"username": {"carol@example.com"}, "password": {"hunter22"}, bad[0]: {bad[1]}}); a.status != 400 {
			t.Errorf("%v: %d %s", bad, a.status, a.body)
		}
	}
}

func TestRefreshGrant(t *testing.T) {
	b := newBench(t, nil)
	b.signUp("carol@example.com", "hunter22")
	first := b.grant(url.Values{"username": {"carol@example.com"}, "password": {"hunter22"}}).decode()
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first["refresh_token"].(string)}}
	// A refresh token opens nothing by itself, nor for another client.
	b.do("GET", "/v1/devices", first["refresh_token"].(string), "", "").want(401, badToken)
	b.grant(url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": refresh["refresh_token"], "client_id": {"particle"}, "client_secret": {"particle"},
	}).want(400, `{"error":"invalid_grant","error_description":"Invalid refresh token"}`)
	second := b.grant(refresh).decode()
	b.do("GET", "/v1/devices", second["access_token"].(string), "", "").want(200, `[]`)
	b.grant(refresh).want(400, `{"error":"invalid_grant","error_description":"Invalid refresh token"}`)
}

func TestClientCredentials(t *testing.T) {
	b := newBench(t, nil)
	client := b.json("POST", "/v1/clients", `{"name":"brewer","type":"installed"}`).decode()["client"].(map[string]any)
	id, secret := client["id"].(string), client["secret"].(string)
	o := b.grant(url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}).decode()
	if a := b.do("GET", "/v1/devices/kitchen", o["access_token"].(string), "", ""); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	b.grant(url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {"wrong"}}).want(400, badClient)

	list := b.json("GET", "/v1/clients", "")
	if strings.Contains(list.body, secret) || !strings.Contains(list.body, id) {
		t.Errorf("got %s", list.body)
	}
	b.do("GET", "/v1/clients", b.bob, "", "").want(200, `{"ok":true,"clients":[]}`)
	b.do("DELETE", "/v1/clients/"+id, b.bob, "", "").want(404, `{"ok":false,"error":"Client not found"}`)
	b.json("PUT", "/v1/clients/"+id, `{"name":"roaster"}`).want(200,
		`{"ok":true,"client":{"id":"`+id+`","name":"roaster","type":"installed","redirect_uri":"","scope":""}}`)
	if a := b.json("DELETE", "/v1/clients/"+id, ""); a.status != http.StatusNoContent || a.body != "" {
		t.Errorf("got %d %q", a.status, a.body)
	}
	b.grant(url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}).want(400, badClient)
}

func TestTokensOfAnAccount(t *testing.T) {
	b := newBench(t, nil)
	b.signUp("carol@example.com", "hunter22")
	token := b.grant(url.Values{"username": {"carol@example.com"}, "password": {"hunter22"}}).decode()["access_token"].(string)
	list := func(name, password string) answered {
		r := httptest.NewRequest("GET", "/v1/access_tokens", nil)
		r.SetBasicAuth(name, password)
		return b.send(r)
	}
	list("carol@example.com", "hunter22").want(200,
		`[{"token":"************************************`+token[36:]+`","expires_at":"2026-04-02T03:04:05.678Z","client":"particle-cli"}]`)
	list("carol@example.com", "wrong").want(401, `{"ok":false,"errors":["Bad password"]}`)
	list("nobody@example.com", "wrong").want(400, `{"ok":false,"errors":["Unknown user"]}`)

	// Who knows a token may revoke it. One that does not exist is as good as gone.
	b.do("DELETE", "/v1/access_tokens/"+token, "", "", "").want(200, `{"ok":true}`)
	b.do("DELETE", "/v1/access_tokens/"+token, "", "", "").want(200, `{"ok":true}`)
	b.do("GET", "/v1/user", token, "", "").want(401, badToken)

	b.json("DELETE", "/v1/access_tokens/current", "").want(200, `{"ok":true}`)
	b.json("GET", "/v1/user", "").want(401, badToken)

	second, err := b.server.IssueToken(t.Context(), bobID, 0)
	b.must(err)
	b.do("DELETE", "/v1/access_tokens", b.bob, "", "").want(200, `{"ok":true}`)
	b.do("GET", "/v1/user", b.bob, "", "").want(401, badToken)
	b.do("GET", "/v1/user", second, "", "").want(401, badToken)
}

func TestUser(t *testing.T) {
	b := newBench(t, nil)
	b.json("GET", "/v1/user", "").want(200, `{"username":"alice@example.com","subscription_ids":[],
		"account_info":{"first_name":"","last_name":"","company_name":"","business_account":false},"mfa":{"enabled":false},
		"scim_provisioned":false,"tos":1,"memberships":[],"no_password":true,"wifi_device_count":1,"cellular_device_count":1}`)
	b.must(b.server.SetPassword(t.Context(), aliceID, "a new one"))
	b.grant(url.Values{"username": {"alice@example.com"}, "password": {"a new one"}}).decode()

	closed := newBench(t, func(c *Config) { c.NoSignUp = true })
	closed.do("POST", "/v1/users", "", "application/json", `{"username":"x@example.com","password":"y"}`).
		want(403, `{"ok":false,"errors":["This cloud makes no accounts by itself. Ask its operator."]}`)
}

func TestPasswordHashes(t *testing.T) {
	b := newBench(t, nil)
	hash, err := b.server.hashPassword(t.Context(), "secret")
	b.must(err)
	if again, _ := b.server.hashPassword(t.Context(), "secret"); again == hash || strings.Contains(hash, "secret") {
		t.Errorf("hashes %q and %q", hash, again)
	}
	for _, test := range []struct {
		hash, password string
		want, fails    bool
	}{
		{hash, "secret", true, false},
		{hash, "Secret", false, false},
		{hash, "", false, false},
		{"", "secret", false, false},
		{"$argon2id$v=19$m=19456,t=2,p=1$AAAA", "secret", false, true},
		{"$bcrypt$v=19$m=19456,t=2,p=1$AAAA$AAAA", "secret", false, true},
		{"$argon2id$v=19$m=8,t=0,p=1$AAAA$AAAA", "secret", false, true},
	} {
		got, err := b.server.checkPassword(t.Context(), test.hash, test.password)
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%q with %q: %v, %v", test.hash, test.password, got, err)
		}
	}
	// A token whose account is gone opens nothing.
	lost, err := b.server.IssueToken(t.Context(), store.AccountID{0xff}, 0)
	b.must(err)
	b.do("GET", "/v1/devices", lost, "", "").want(401, badToken)
}

// Who has as many tokens or clients as there may be is told so, and what to do; others
// are not concerned.
func TestFullAccounts(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of tokens, one after another")
	}
	b := newBench(t, nil)
	b.signUp("carol@example.com", "hunter22")
	b.signUp("dan@example.com", "hunter22")
	carol, _ := b.store.AccountByName("carol@example.com")
	now := b.server.c.Now()
	var tokens []*store.Token
	for n := range store.TokensMax - 1 {
		tokens = append(tokens, &store.Token{Account: carol.ID, Hash: store.HashToken(fmt.Sprint(n)), Kind: store.AccessToken})
	}
	b.must(b.store.AddTokens(t.Context(), now, tokens...))
	full := b.grant(url.Values{"username": {"carol@example.com"}, "password": {"hunter22"}})
	text := full.body
	// The command-line tool takes what speaks of an access token for a call to log in.
	if full.status != 400 || !strings.Contains(text, "Revoke some") || strings.Contains(strings.ToLower(text), "access token") {
		t.Errorf("got %d %s", full.status, full.body)
	}
	if a := b.grant(url.Values{"username": {"dan@example.com"}, "password": {"hunter22"}}); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	operators, err := b.server.IssueToken(t.Context(), carol.ID, time.Hour)
	b.must(err)
	b.do("DELETE", "/v1/access_tokens", operators, "", "").want(200, `{"ok":true}`)
	if a := b.grant(url.Values{"username": {"carol@example.com"}, "password": {"hunter22"}}); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}

	for n := range store.ClientsMax {
		b.must(b.store.AddClient(t.Context(), &store.Client{Account: aliceID, ID: fmt.Sprint(n)}))
	}
	b.json("POST", "/v1/clients", `{"name":"app","type":"installed"}`).
		want(400, `{"ok":false,"error":"There are at most 1000 clients of one account: delete one."}`)
	if a := b.json("DELETE", "/v1/clients/0", ""); a.status != 204 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := b.json("POST", "/v1/clients", `{"name":"app","type":"installed"}`); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	b.json("PUT", "/v1/clients/1", `{"name":"`+strings.Repeat("x", 257)+`"}`).
		want(400, `{"ok":false,"error":"The name of a client has at most 256 bytes, its redirect_uri and its scope 2048 each."}`)
}
