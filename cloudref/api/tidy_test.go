package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Paths as people and their tools write them.
func TestTidiedPaths(t *testing.T) {
	for path, want := range map[string]string{
		"/":                                "/",
		"//":                               "/",
		"/v1/devices":                      "/v1/devices",
		"/v1/devices/":                     "/v1/devices",
		"//v1/devices//":                   "/v1/devices",
		"/oauth/token/":                    "/oauth/token",
		"/v1/devices/events":               "/v1/devices/events",
		"/v1/devices/events/":              "/v1/devices/events",
		"/v1//devices///x/":                "/v1/devices/x",
		"/v1//devices/events/a/":           "/v1/devices/events/a/",
		"/v1/../v1/devices/./x":            "/v1/%2E%2E/v1/devices/%2E/x",
		"/v1/devices/events/a/":            "/v1/devices/events/a/",
		"/v1/devices/events/a//b":          "/v1/devices/events/a/%2Fb",
		"/v1/devices/events//a":            "/v1/devices/events/%2Fa",
		"/v1/devices/events/a///b//":       "/v1/devices/events/a/%2F/b/%2F",
		"/v1/devices/events/./..":          "/v1/devices/events/%2E/%2E%2E",
		"/v1/products/1/events/a%2Fb":      "/v1/products/1/events/a%2Fb",
		"/v1/devices/my%20lamp/events/x/.": "/v1/devices/my%20lamp/events/x/%2E",
	} {
		if got := tidied(path); got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
}

// Nothing is redirected, and a prefix of events is what was asked for.
func TestOddPathsAreServed(t *testing.T) {
	var got []string
	mux := http.NewServeMux()
	for _, path := range []string{"/v1/devices", "/v1/devices/events"} {
		mux.HandleFunc("GET "+path, func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.URL.Path) })
	}
	mux.HandleFunc("GET /v1/devices/events/{prefix...}", func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.PathValue("prefix")) })
	h := tidy(mux)
	for path, want := range map[string]string{
		"//v1/devices/?a=b":           "/v1/devices",
		"/v1/devices/events/a//b":     "a//b",
		"/v1/devices/events/../x":     "../x",
		"/v1/devices/events/a%2F%2Fb": "a//b",
		"/v1/devices/events/100%25":   "100%",
		"/v1/devices/events/%C3%A9//": "é//",
		"/v1//devices":                "/v1/devices",
		"/v1/devices/events/":         "/v1/devices/events",
	} {
		got = nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if w.Code != http.StatusOK || len(got) != 1 || got[0] != want {
			t.Errorf("%s: status %d, served as %q, want %q", path, w.Code, got, want)
		}
	}
	b := newBench(t, nil)
	if a := b.json("GET", "//v1/devices/", ""); a.status != http.StatusOK {
		t.Errorf("got %d %s", a.status, a.body)
	}
	b.json("POST", "/v1//devices/events/", `{"name":"a"}`).want(200, `{"ok":true}`)
	b.json("GET", "/v1/../devices", "").want(404, fmt.Sprintf(notFound, "GET"))
}
