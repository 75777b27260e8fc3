package cloudref

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What must stay secret is neither on the disk nor in the log, wherever it was made:
// tokens, passwords, secrets of clients, claim codes, credentials of webhooks; nor do
// data of events and arguments get into the log.
func TestSecretsAreNowhere(t *testing.T) {
	dir := t.TempDir()
	out, stop := startCommand(t, dir, "--log", "json", "--sign-up", "--trust-new-for", "5m")
	text := out.String()
	api := "http://" + valueOf(text, "http")
	login := readLogin(t, filepath.Join(dir, fileLogin))
	secrets := map[string]string{"token of the login": login["token"], "password of the login": login["password"]}
	call := func(method, path, body string) map[string]any {
		t.Helper()
		r := must(http.NewRequestWithContext(t.Context(), method, api+path, strings.NewReader(body)))
		r.Header.Set("Authorization", "Bearer "+login["token"])
		r.Header.Set("Content-Type", "application/json")
		if strings.Contains(body, "grant_type=") {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		b := must(io.ReadAll(a.Body))
		if a.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %d %s", method, path, a.StatusCode, b)
		}
		var o map[string]any
		if err := json.Unmarshal(b, &o); err != nil {
			t.Fatalf("%s %s: %s", method, path, b)
		}
		return o
	}
	secret := func(what string, v any) {
		t.Helper()
		s, _ := v.(string)
		if len(s) < 8 {
			t.Fatalf("the %s is %q", what, s)
		}
		secrets[what] = s
	}
	granted := call(http.MethodPost, "/oauth/token", url.Values{
		"grant_type": {"password"}, "username": {defaultOwner}, "password": {login["password"]}, "client_id": {"particle"}, "client_secret": {"particle"},
	}.Encode())
	secret("access token", granted["access_token"])
	secret("refresh token", granted["refresh_token"])
	secret("claim code", call(http.MethodPost, "/v1/device_claims", "{}")["claim_code"])
	client, _ := call(http.MethodPost, "/v1/clients", `{"name":"app","type":"installed"}`)["client"].(map[string]any)
	secret("client secret", client["secret"])
	call(http.MethodPost, "/v1/users", `{"username":"bob@example.org","password":"bobs-open-sesame"}`)
	secret("password", "bobs-open-sesame")
	call(http.MethodPost, "/v1/webhooks", `{"event":"never","url":"http://example.org/","auth":{"username":"u","password":"hook-open-sesame"},"headers":{"X-Key":"header-open-sesame"}}`)
	secret("password of a webhook", "hook-open-sesame")
	secret("header of a webhook", "header-open-sesame")

	addr, key := cloudOf(t, dir, " udp="+valueOf(text, "udp")+" ")
	p := newPuppet(1, key)
	if err := p.dial(addr); err != nil {
		t.Fatal(err)
	}
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	if !p.say(p.publish("temp", "datum-of-an-event"), patience) {
		t.Fatal("no acknowledgement")
	}
	state := p.link.DTLS().Export()
	background(t, p)
	call(http.MethodPost, "/v1/devices/"+p.id.String()+"/double", `{"arg":"argument-of-a-call"}`)
	stop()

	for what, s := range secrets {
		if strings.Contains(out.String(), s) {
			t.Errorf("the %s is in the log", what)
		}
	}
	for _, private := range []string{"datum-of-an-event", "argument-of-a-call"} {
		if strings.Contains(out.String(), private) {
			t.Errorf("%q is in the log", private)
		}
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) == fileLogin {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for what, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("the %s is in %s", what, path)
			}
		}
		for _, k := range [][]byte{state.ReadKey[:], state.WriteKey[:]} {
			if bytes.Contains(b, k) {
				t.Errorf("a session's key is in %s", path)
			}
		}
		return nil
	})
	if err != nil || files < 20 {
		t.Errorf("%d files looked at: %v", files, err)
	}
}

// valueOf returns a value of the line that says that the cloud is up, in JSON.
func valueOf(log, key string) string {
	for line := range strings.Lines(log) {
		var o map[string]any
		if json.Unmarshal([]byte(line), &o) == nil && o["msg"] == "the cloud is up" {
			s, _ := o[key].(string)
			return s
		}
	}
	return ""
}
