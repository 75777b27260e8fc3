package cloudref

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/muster/muster/cloudref/api"
)

// The limits that the real service documents, each for one source address. They
// are off by default: a load test would measure them instead of the cloud.
const (
	limitWindow = 5 * time.Minute
	// limitPasswords wrong passwords in a row block an address for limitBlock.
	limitPasswords = 10
	limitBlock     = 30 * time.Minute
	// limitStreams is how many event streams an address may have open at once.
	limitStreams = 100
	// limitAddresses bounds how many addresses are remembered. When there are
	// more, all are forgotten: the limits are then loose for a moment, never the
	// memory.
	limitAddresses = 1 << 16
	// limitNetwork is how many bits of an IPv6 address count.
	limitNetwork = 64
)

// A limitKind is a group of routes with a limit of their own.
type limitKind uint8

const (
	limitAll limitKind = iota
	limitLogin
	limitTokens
	limitPassword // tokens are listed for who has the password
	limitUsers
	limitOpen // of event streams
	numLimitKinds
)

// limitOf is how many calls of each kind an address has in limitWindow.
var limitOf = [numLimitKinds]int{limitAll: 10_000, limitLogin: 100, limitTokens: 100, limitUsers: 100, limitOpen: 100}

// limits refuse what is too much with 429.
type limits struct {
	next http.Handler
	now  func() time.Time

	mu        sync.Mutex
	addresses map[string]*limited
}

// A limited is what is known of one address.
type limited struct {
	calls   [numLimitKinds]*rate.Limiter
	wrong   int       // passwords in a row
	blocked time.Time // until when nobody may log in from there
	streams int       // open
}

func newLimits(next http.Handler) *limits {
	return &limits{next: next, now: time.Now, addresses: make(map[string]*limited)}
}

// Limited returns the API behind the limits on calls, as "muster cloud
// --rate-limits" serves it, with a clock of the caller's.
func (c *Cloud) Limited(rest *api.Server, now func() time.Time) http.Handler {
	if c.faults.UnlimitedAPI {
		return rest
	}
	l := newLimits(rest)
	l.now = now
	return l
}

// kindOf returns the kind of a request besides limitAll, limitAll if it has none.
func kindOf(r *http.Request) limitKind {
	switch path := r.URL.Path; {
	case r.Method == http.MethodPost && path == "/oauth/token",
		// Who found a token must not guess the password with it.
		path == "/v1/user" && (r.Method == http.MethodPut || r.Method == http.MethodDelete):
		return limitLogin
	case r.Method == http.MethodGet && path == "/v1/access_tokens":
		return limitPassword
	case strings.HasPrefix(path, "/v1/access_tokens") && (r.Method == http.MethodDelete || path == "/v1/access_tokens"):
		return limitTokens
	case r.Method == http.MethodPost && (path == "/v1/users" || path == "/v1/user/password-reset"):
		return limitUsers
	case r.Method == http.MethodGet && isStream(path):
		return limitOpen
	default:
		return limitAll
	}
}

// isStream reports whether a path is that of an event stream: one of its elements
// is "events", and it is not the name of a device.
func isStream(path string) bool {
	return strings.HasPrefix(path, "/v1/events") || strings.Contains(path, "/events/") || strings.HasSuffix(path, "/events") ||
		strings.HasPrefix(path, "/muster/devices/") && strings.HasSuffix(path, "/watch")
}

// ServeHTTP implements http.Handler.
func (l *limits) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := addressOf(r)
	kind := kindOf(r)
	if wait := l.admit(host, kind); wait > 0 {
		tooMany(w, wait)
		return
	}
	switch kind {
	case limitOpen:
		defer l.leave(host)
	case limitLogin, limitPassword:
		status := &statusWriter{ResponseWriter: w}
		w = status
		defer func() {
			// A change that needs no password does not prove that one is known.
			if right := status.status < http.StatusBadRequest; !right || r.Method == http.MethodPost {
				l.loggedIn(host, right)
			}
		}()
	default:
		// Nothing to note behind it.
	}
	l.next.ServeHTTP(w, r)
}

// addressOf is the address that a request counts for: of IPv6 the network, because one
// machine has all the addresses of its own.
func addressOf(r *http.Request) string {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			return r.RemoteAddr
		}
		return host
	}
	addr := a.Addr().WithZone("").Unmap()
	if addr.Is4() {
		return addr.String()
	}
	network, err := addr.Prefix(limitNetwork)
	if err != nil {
		return addr.String()
	}
	return network.String()
}

// admit takes one call of an address, or says how long it must wait.
func (l *limits) admit(host string, kind limitKind) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, now := l.address(host), l.now()
	if (kind == limitLogin || kind == limitPassword) && now.Before(a.blocked) {
		return a.blocked.Sub(now)
	}
	if kind == limitOpen && a.streams >= limitStreams {
		return time.Minute
	}
	for _, k := range []limitKind{limitAll, kind} {
		reservation := a.calls[k].ReserveN(now, 1)
		if delay := reservation.DelayFrom(now); delay > 0 {
			reservation.CancelAt(now)
			return delay
		}
		if kind == limitAll {
			break
		}
	}
	if kind == limitOpen {
		a.streams++
	}
	return 0
}

func (l *limits) address(host string) *limited {
	a := l.addresses[host]
	if a != nil {
		return a
	}
	if len(l.addresses) >= limitAddresses {
		clear(l.addresses)
	}
	a = &limited{}
	for kind, n := range limitOf {
		a.calls[kind] = rate.NewLimiter(rate.Limit(float64(n)/limitWindow.Seconds()), n)
	}
	a.calls[limitPassword] = a.calls[limitTokens] // one limit, in the real service's words
	l.addresses[host] = a
	return a
}

func (l *limits) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.addresses[host]; a != nil && a.streams > 0 {
		a.streams--
	}
}

// loggedIn counts wrong passwords in a row.
func (l *limits) loggedIn(host string, right bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.address(host)
	if right {
		a.wrong = 0
		return
	}
	if a.wrong++; a.wrong >= limitPasswords {
		a.wrong, a.blocked = 0, l.now().Add(limitBlock)
	}
}

// tooMany answers a call that is over a limit.
func tooMany(w http.ResponseWriter, wait time.Duration) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	w.WriteHeader(http.StatusTooManyRequests)
	text := fmt.Sprintf("Too many requests from this address. Try again in %d s.", seconds)
	if err := json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": text, "error_description": text}); err != nil {
		return // the client is gone
	}
}

// A statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
