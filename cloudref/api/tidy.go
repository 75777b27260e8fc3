package api

import (
	"net/http"
	"net/url"
	"strings"
)

// tidy makes of a path the one that its route has, as the real service takes it:
// several slashes at its beginning, which base addresses with a slash at their end
// make, count as one, and one at its end as none. What names events may hold
// anything: what http.ServeMux would answer with a redirect is escaped there.
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
	if !events {
		if len(path) > 1 {
			path = strings.TrimRight(path, "/")
		}
		if path == "" {
			path = "/"
		}
		return path
	}
	// A slash behind a slash would be redirected, and so would dots alone.
	for strings.HasPrefix(prefix, "/") || strings.Contains(prefix, "//") {
		if strings.HasPrefix(prefix, "/") {
			prefix = "%2F" + prefix[1:]
		}
		prefix = strings.ReplaceAll(prefix, "//", "/%2F")
	}
	parts := strings.Split(prefix, "/")
	for i, part := range parts {
		if part == "." || part == ".." {
			parts[i] = strings.ReplaceAll(part, ".", "%2E")
		}
	}
	return route + eventsInPath + strings.Join(parts, "/")
}
