package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever a client sends as a body, it gets an answer in JSON, and the cloud lives.
func FuzzBody(f *testing.F) {
	image := upload("file", "firmware.bin", []byte("nonsense"))
	for _, seed := range []uploaded{
		{"application/json", `{"name":"bath"}`},
		{"application/json", `{"signal":{"a":[1,null,true]}}`},
		{"application/json", `[`},
		{form, "name=bath&groups[]=a&groups[]=b&account_info[first_name]=x&a[=&]=&[]=1"},
		{form, "%"},
		{"", `{"name":"x"}`},
		image,
		{image.kind, image.content[:len(image.content)/2]},
		{"multipart/form-data; boundary=", "--"},
	} {
		f.Add(seed.kind, seed.content)
	}
	f.Fuzz(func(t *testing.T, kind, content string) {
		b := newBench(t, nil)
		a := b.do(http.MethodPut, "/v1/devices/kitchen", b.alice, kind, content)
		if !json.Valid([]byte(a.body)) {
			t.Errorf("%d %q", a.status, a.body)
		}
	})
}

// Whatever path and token a client comes with, it gets an answer in JSON or, for
// a path that is not clean, is sent to the clean one. Streams are not asked for.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/v1/devices/kitchen/temp", "/v1/devices/%2F/x", "/v1/access_tokens/x", "/oauth/token", "/v1//devices/.."} {
		f.Add(seed, "token")
	}
	f.Fuzz(func(t *testing.T, path, token string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || strings.Contains(u.Path, "events") || strings.ContainsAny(token, "\r\n") {
			t.Skip()
		}
		b := newBench(t, nil)
		for _, token := range []string{token, b.alice} {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.URL = u
			r.Header.Set("Authorization", "Bearer "+token)
			a := b.send(r)
			if raw := a.header.Get("Content-Type") == "text/plain; charset=utf-8" && u.Query().Get("format") == "raw"; !raw && a.status/100 != 3 && !json.Valid([]byte(a.body)) {
				t.Errorf("%d %q", a.status, a.body)
			}
		}
	})
}
