package restapi

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const id = "e00fce68aabbccddeeff0011"

// cloud is a server that answers with what it is told.
func cloud(t *testing.T, handler http.HandlerFunc) *Cloud {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(server.URL+"/", "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNew(t *testing.T) {
	for _, base := range []string{"", "localhost:8080", "ftp://x", "http://"} {
		if _, err := New(base, "t", nil); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:8080") {
			t.Errorf("%q: %v", base, err)
		}
	}
	if _, err := New("http://x", "", nil); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Errorf("no token: %v", err)
	}
	if _, err := New("https://x", "t", []byte("none")); err == nil {
		t.Error("a certificate that is none was taken")
	}
}

func TestToken(t *testing.T) {
	for content, want := range map[string]string{
		"abc\n":                              "abc",
		"user: a\npassword: b\ntoken: abc\n": "abc", // what "muster cloud" writes
		"access_token: abc":                  "abc",
		"two words\n":                        "",
		"":                                   "",
	} {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Token(file)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	t.Setenv(EnvToken, "from outside")
	if got, err := Token(""); got != "from outside" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Token("/does/not/exist"); err == nil {
		t.Error("a file that is not there went unsaid")
	}
}

func TestRequests(t *testing.T) {
	c := cloud(t, func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s %s without the token", q.Method, q.URL)
		}
		switch q.Method + " " + q.URL.Path {
		case "POST /v1/provisioning/" + id:
			if q.FormValue("publicKey") != "PEM" || q.FormValue("algorithm") != "ecc" || q.FormValue("deviceID") != id {
				t.Errorf("form %v", q.Form)
			}
			fmt.Fprint(w, `"Success!"`)
		case "GET /v1/devices/" + id:
			fmt.Fprintf(w, `{"id":%q,"online":true,"platform_id":13}`, id)
		case "PUT /v1/devices/" + id:
			file, head, err := q.FormFile("file")
			if err != nil || head.Filename != "app.bin" {
				t.Errorf("%v, %v", head, err)
				return
			}
			data, _ := io.ReadAll(file)
			fmt.Fprintf(w, `{"id":%q,"status":"Update started %d"}`, id, len(data))
		default:
			t.Errorf("%s %s", q.Method, q.URL)
		}
	})
	ctx := context.Background()
	if err := c.Register(ctx, id, "PEM", "ecc"); err != nil {
		t.Error(err)
	}
	if d, err := c.Device(ctx, id); err != nil || !d.Online || d.Platform != 13 {
		t.Errorf("%+v, %v", d, err)
	}
	if status, err := c.Flash(ctx, id, "app.bin", []byte("12345")); err != nil || status != "Update started 5" {
		t.Errorf("%q, %v", status, err)
	}
}

func TestRefusals(t *testing.T) {
	for answer, test := range map[string]struct {
		status int
		says   string
	}{
		`{"ok":false,"error":"A device id has 24 hexadecimal digits."}`:           {400, "24 hexadecimal"},
		`{"error":"invalid_token","error_description":"The access token is bad"}`: {401, "The access token is bad\": the token"},
		`{"ok":false,"code":500,"errors":["Request Timed Out"]}`:                  {500, "Timed Out"},
		`<html>no such page</html>`:                                               {404, "somebody else"},
		`{"ok":false,"output":"build didn't produce binary"}`:                     {200, "build didn't"},
		`not JSON`: {200, "no JSON"},
	} {
		c := cloud(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			fmt.Fprint(w, answer)
		})
		_, err := c.Flash(context.Background(), id, "a", nil)
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", answer, err)
		}
	}
	c := cloud(t, nil)
	c.base.Host = "127.0.0.1:1"
	if _, err := c.Device(context.Background(), id); err == nil || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("nobody there: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := c.Device(ctx, id); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestEvents(t *testing.T) {
	c := cloud(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, ":ok\n\n\nevent: spark/flash/status\ndata: {\"data\":\"success \",\"coreid\":\""+id+"\"}\n\n:\n\nevent: cut\ndata: {}")
	})
	e, err := c.Events(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	event, err := e.Next()
	if err != nil || event != (Event{"spark/flash/status", "success ", id}) {
		t.Errorf("%+v, %v", event, err)
	}
	if _, err := e.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an event that is cut: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for name, handler := range map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "event: a\ndata: b\n\n") },
	} {
		e, err := cloud(t, handler).Events(context.Background(), id)
		if err == nil {
			_, err = e.Next()
		}
		if err == nil {
			t.Errorf("%s went unsaid", name)
		}
	}
}

func TestOwnCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }))
	defer server.Close()
	server.Config.ErrorLog = nil
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	c, err := New(server.URL, "t", ca)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Device(context.Background(), id); err != nil {
		t.Error(err)
	}
	c, _ = New(server.URL, "t", nil)
	if _, err := c.Device(context.Background(), id); err == nil {
		t.Error("a certificate that nobody knows was trusted")
	}
}
