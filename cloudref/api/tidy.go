package api

import (
	"net/http"
	"net/url"
	"strings"
)

// tidy makes of a path the one that its route has, as the real service takes it:
// several slashes, which base addresses with a slash at their end make, count as
// one, and one at its end as none. What names events may hold anything. What
// http.ServeMux would answer with a redirect is escaped: clients do not bring their
// token along there.
func tidy(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		if clean := tidied(path); clean != path {
			if u, err := url.Parse(clean); err == nil {
				to := *r.URL
				to.Path, to.RawPath = u.Path, clean
				request := r.WithContext(r.Context())
				request.URL = &to
				r = request
			}
		}
		h.ServeHTTP(w, r)
	})
}

// eventsInPath stands before the prefix of an event stream.
const eventsInPath = "/events/"

func tidied(path string) string {
	path = "/" + strings.TrimLeft(path, "/")
	route, prefix, events := strings.Cut(path, eventsInPath)
	if !events || prefix == "" {
		for strings.Contains(path, "//") {
			path = strings.ReplaceAll(path, "//", "/")
		}
		if len(path) > 1 {
			path = strings.TrimSuffix(path, "/")
		}
		return dotless(path)
	}
	route = tidied(route)
	// A slash behind a slash would be redirected, and so would dots alone.
	for strings.HasPrefix(prefix, "/") || strings.Contains(prefix, "//") {
		if strings.HasPrefix(prefix, "/") {
			prefix = "%2F" + prefix[1:]
		}
		prefix = strings.ReplaceAll(prefix, "//", "/%2F")
	}
	return route + eventsInPath + dotless(prefix)
}

// dotless escapes what consists of dots alone, which http.ServeMux would redirect.
func dotless(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part == "." || part == ".." {
			parts[i] = strings.ReplaceAll(part, ".", "%2E")
		}
	}
	return strings.Join(parts, "/")
}
