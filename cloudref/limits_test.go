package cloudref

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// The limits of the real service, each for one address, and the time after which
// they are over.
func TestLimits(t *testing.T) {
	status := http.StatusOK
	hold, arrived := make(chan struct{}), make(chan struct{}, limitStreams)
	l := newLimits(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("hold") {
			arrived <- struct{}{}
			<-hold
		}
		w.WriteHeader(status)
	}))
	now := time.Unix(1_700_000_000, 0)
	l.now = func() time.Time { return now }
	call := func(method, path, from string) int {
		r := httptest.NewRequest(method, path, http.NoBody)
		r.RemoteAddr = from + ":1234"
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests && (w.Header().Get("Retry-After") == "" || w.Body.Len() == 0) {
			t.Error("a refusal does not say when to come back")
		}
		return w.Code
	}
	for name, test := range map[string]struct {
		method, path string
		max          int
	}{
		"login":  {http.MethodPost, "/oauth/token", 100},
		"tokens": {http.MethodDelete, "/v1/access_tokens/0123", 100},
		"users":  {http.MethodPost, "/v1/users", 100},
		"stream": {http.MethodGet, "/v1/devices/events/temp", 100},
		"all":    {http.MethodGet, "/v1/devices", 10_000},
	} {
		for n := range test.max {
			if got := call(test.method, test.path, name); got != http.StatusOK {
				t.Fatalf("%s: call %d: %d", name, n, got)
			}
		}
		if got := call(test.method, test.path, name); got != http.StatusTooManyRequests {
			t.Errorf("%s: one too many: %d", name, got)
		}
		if got := call(test.method, test.path, name+" elsewhere"); got != http.StatusOK {
			t.Errorf("%s: from another address: %d", name, got)
		}
		now = now.Add(limitWindow)
		if got := call(test.method, test.path, name); got != http.StatusOK {
			t.Errorf("%s: five minutes later: %d", name, got)
		}
	}
	// Wrong passwords in a row.
	status = http.StatusBadRequest
	for range limitPasswords {
		call(http.MethodPost, "/oauth/token", "guesser")
	}
	status = http.StatusOK
	if got := call(http.MethodPost, "/oauth/token", "guesser"); got != http.StatusTooManyRequests {
		t.Errorf("after ten wrong passwords: %d", got)
	}
	if got := call(http.MethodGet, "/v1/devices", "guesser"); got != http.StatusOK {
		t.Errorf("a block of logins blocks everything: %d", got)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		if got := call(method, "/v1/user", "guesser"); got != http.StatusTooManyRequests {
			t.Errorf("after ten wrong passwords, %s /v1/user: %d", method, got)
		}
	}
	now = now.Add(limitBlock)
	if got := call(http.MethodPost, "/oauth/token", "guesser"); got != http.StatusOK {
		t.Errorf("half an hour later: %d", got)
	}
	// Passwords are guessed where tokens are listed, too.
	status = http.StatusUnauthorized
	for range limitPasswords {
		call(http.MethodGet, "/v1/access_tokens", "lister")
	}
	status = http.StatusOK
	for _, route := range [][2]string{{http.MethodGet, "/v1/access_tokens"}, {http.MethodPost, "/oauth/token"}} {
		if got := call(route[0], route[1], "lister"); got != http.StatusTooManyRequests {
			t.Errorf("%v after ten wrong passwords: %d", route, got)
		}
	}
	if got := call(http.MethodDelete, "/v1/access_tokens/0123", "lister"); got != http.StatusOK {
		t.Errorf("a block of logins keeps from revoking a token: %d", got)
	}
	// A machine with IPv6 has more addresses than anybody can count.
	for n := range 100 {
		call(http.MethodPost, "/v1/users", fmt.Sprintf("[2001:db8::%x]", n))
	}
	if got := call(http.MethodPost, "/v1/users", "[2001:db8::ffff:1]"); got != http.StatusTooManyRequests {
		t.Errorf("from another address of the same network: %d", got)
	}
	if got := call(http.MethodPost, "/v1/users", "[2001:db8:0:1::1]"); got != http.StatusOK {
		t.Errorf("from another network: %d", got)
	}
	// Streams open at once.
	ended := make(chan int)
	for range limitStreams {
		go func() { ended <- call(http.MethodGet, "/v1/devices/events?hold", "reader") }()
	}
	open := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.address("reader").streams
	}
	for range limitStreams {
		<-arrived
	}
	now = now.Add(limitWindow)
	if got := call(http.MethodGet, "/v1/devices/events", "reader"); got != http.StatusTooManyRequests {
		t.Errorf("one stream too many: %d", got)
	}
	close(hold)
	for range limitStreams {
		if got := <-ended; got != http.StatusOK {
			t.Errorf("a stream: %d", got)
		}
	}
	if open() != 0 {
		t.Errorf("%d streams are open", open())
	}
}
