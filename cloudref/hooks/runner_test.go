package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// patience bounds everything that a test waits for.
const patience = time.Minute

// A ward is a runner with its store, and a server that hooks call.
type ward struct {
	t       *testing.T
	store   *store.Store
	runner  *Runner
	url     string
	server  http.HandlerFunc
	calls   chan *http.Request
	bodies  chan string
	replied chan Reply
	failing atomic.Bool // replies cannot be stored
	refused chan bool
	n       byte
}

func newWard(t *testing.T, c Config, server http.HandlerFunc) *ward {
	t.Helper()
	x := &ward{
		t: t, store: store.NewMemory(), server: server,
		calls: make(chan *http.Request, 256), bodies: make(chan string, 256), replied: make(chan Reply, 1024), refused: make(chan bool, 1024),
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		x.bodies <- string(b)
		x.calls <- r
		x.server(w, r)
	}))
	x.url = h.URL
	if c.Delays == nil {
		c.Delays = []time.Duration{time.Millisecond, 2 * time.Millisecond}
	}
	if c.Log == nil {
		c.Log = func(line string) { t.Log(line) }
	}
	x.runner = NewRunner(c, x.store, x)
	if err := x.runner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.runner.Stop(); h.Close(); _ = x.store.Close() })
	return x
}

// Reply implements Cloud.
func (x *ward) Reply(_ context.Context, _ *store.Hook, _ *Call, replies []Reply) error {
	if x.failing.Load() {
		x.refused <- true
		return errors.New("the disk is full")
	}
	for _, r := range replies {
		x.replied <- r
	}
	return nil
}

// hook makes a webhook, whose URL is on the server unless it names a host.
func (x *ward) hook(spec Spec) store.DeviceID {
	x.t.Helper()
	if !strings.Contains(spec.URL, "://") {
		spec.URL = x.url + spec.URL
	}
	if err := spec.Check(); err != nil {
		x.t.Fatal(err)
	}
	x.n++
	raw, _ := json.Marshal(spec)
	h := &store.Hook{ID: store.DeviceID{11: x.n}, Event: "temp", Spec: raw}
	if err := x.store.CreateHook(x.t.Context(), h); err != nil {
		x.t.Fatal(err)
	}
	return h.ID
}

func (x *ward) call(hook store.DeviceID) {
	x.t.Helper()
	if err := x.store.Do(x.t.Context(), testCall.Op(hook)); err != nil {
		x.t.Fatal(err)
	}
}

func await[T any](x *ward, c <-chan T) T {
	x.t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		x.t.Fatal("nothing comes")
		panic("unreachable")
	}
}

func (x *ward) want(replies ...Reply) {
	x.t.Helper()
	for _, want := range replies {
		if got := await(x, x.replied); got != want {
			x.t.Fatalf("got %+v, want %+v", got, want)
		}
	}
}

var sentReply = Reply{"hook-sent/temp/kitchen", "undefined"}

func hostname(x *ward) string { return strings.Split(strings.TrimPrefix(x.url, "http://"), ":")[0] }

// history waits until so many attempts of a hook are noted.
func (x *ward) history(id store.DeviceID, attempts int) History {
	x.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		h, err := x.runner.History(x.t.Context(), id)
		if err != nil {
			x.t.Fatal(err)
		}
		if len(h.Last) == attempts {
			return h
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("%d attempts are noted, want %d", len(h.Last), attempts)
		}
	}
}

// What became of calls is known behind a restart, ten of them, and counted by day.
func TestHistoryIsKept(t *testing.T) {
	x := newWard(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "thanks") })
	id := x.hook(Spec{})
	for n := range 12 {
		x.runner.history.note(id, Record{At: time.Date(2026, 1, 1+n/6, 0, 0, n, 0, time.UTC), Event: fmt.Sprint("e", n), Attempt: 1})
	}
	x.runner.Stop()
	again := NewRunner(Config{}, x.store, x)
	h, err := again.History(t.Context(), id)
	if err != nil || len(h.Last) != 10 || h.Last[0].Event != "e11" || h.Last[9].Event != "e2" {
		t.Errorf("got %+v, %v", h, err)
	}
	if len(h.Days) != 2 || h.Days[0] != (Day{"2026-01-02", 6, 0}) || h.Days[1] != (Day{"2026-01-01", 6, 0}) {
		t.Errorf("got %+v", h.Days)
	}
	// It goes with its hook.
	if err := x.store.RemoveHook(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if h, err := again.History(t.Context(), id); err != nil || len(h.Last) != 0 {
		t.Errorf("got %+v, %v", h, err)
	}
}

func TestACall(t *testing.T) {
	x := newWard(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "thanks") })
	id := x.hook(Spec{URL: "/hook"})
	x.call(id)
	if r := await(x, x.calls); r.Method != "POST" || r.URL.Path != "/hook" || r.UserAgent() != userAgent {
		t.Errorf("got %s %s by %s", r.Method, r.URL, r.UserAgent())
	}
	x.want(sentReply, Reply{"hook-response/temp/kitchen/0", "thanks"})
	if h := x.history(id, 1); h.Days[0].Succeeded != 1 || h.Days[0].Failed != 0 || h.Last[0].Status != 200 || h.Last[0].Attempt != 1 {
		t.Errorf("got %+v", h)
	}
}

// What the server is to blame for is tried three times, what the hook is to blame
// for once.
func TestRetries(t *testing.T) {
	status := atomic.Int32{}
	status.Store(503)
	x := newWard(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })
	id := x.hook(Spec{})
	x.call(id)
	x.want(sentReply, Reply{"hook-error/temp/kitchen/0", "error status 503 from " + hostname(x)})
	if len(x.calls) != 3 {
		t.Errorf("%d attempts, want 3", len(x.calls))
	}
	status.Store(404)
	x.call(id)
	x.want(sentReply, Reply{"hook-error/temp/kitchen/0", "error status 404 from " + hostname(x)})
	if len(x.calls) != 4 {
		t.Errorf("%d attempts, want 1 more", len(x.calls)-3)
	}
	if h := x.history(id, 4); h.Days[0].Failed != 4 || h.Last[1].Attempt != 3 {
		t.Errorf("got %+v", h)
	}
}

func TestARetryThatSucceeds(t *testing.T) {
	n := atomic.Int32{}
	x := newWard(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, "late")
	})
	x.call(x.hook(Spec{}))
	x.want(sentReply, Reply{"hook-response/temp/kitchen/0", "late"})
}

func TestTimeouts(t *testing.T) {
	x := newWard(t, Config{Timeout: time.Second, NoRetries: true}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	x.call(x.hook(Spec{ErrorResponseTopic: "oops"}))
	x.want(sentReply, Reply{"oops/0", "error: no answer from " + hostname(x) + " within 1s"})
	x = newWard(t, Config{NoRetries: true}, func(http.ResponseWriter, *http.Request) {}) // which has time to be refused
	x.call(x.hook(Spec{URL: "http://127.0.0.1:1/"}))
	x.want(sentReply, Reply{"hook-error/temp/kitchen/0", "error: no connection to 127.0.0.1"})
}

// A host that fails all the time is left alone for a while, and then tried once.
func TestThrottle(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(0, 0)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	fail := atomic.Bool{}
	fail.Store(true)
	x := newWard(t, Config{NoRetries: true, ThrottleAfter: 3, Now: clock}, func(w http.ResponseWriter, _ *http.Request) {
		if fail.Load() {
			w.WriteHeader(500)
		}
	})
	id := x.hook(Spec{})
	failure := Reply{"hook-error/temp/kitchen/0", "error status 500 from " + hostname(x)}
	for range 3 {
		x.call(id)
		x.want(sentReply, failure)
	}
	x.call(id)
	x.want(Reply{"hook-error/temp/kitchen/0", errSleeping})
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	x.call(id)
	x.want(sentReply, failure)
	x.call(id)
	x.want(Reply{"hook-error/temp/kitchen/0", errSleeping})
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	fail.Store(false)
	for range 2 {
		x.call(id)
		x.want(sentReply)
	}
	if len(x.calls) != 6 {
		t.Errorf("%d calls, want 6", len(x.calls))
	}
}

// A server that hangs does not keep others from being called.
func TestASlowHost(t *testing.T) {
	x := newWard(t, Config{AtOnce: 4, AtOncePerHost: 1}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	slow := x.hook(Spec{})
	for range 4 {
		x.call(slow)
	}
	await(x, x.calls)
	quick := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer quick.Close()
	x.call(x.hook(Spec{URL: quick.URL + "/"}))
	x.want(sentReply)
}

// Nor does an account with many servers that hang keep others from having theirs
// called.
func TestAnAccountWithSlowHosts(t *testing.T) {
	var slow []string
	for range 8 {
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err == nil { // only then the end of the connection is seen
				<-r.Context().Done()
			}
		}))
		t.Cleanup(server.Close) // after the runner stopped
		slow = append(slow, server.URL+"/")
	}
	x := newWard(t, Config{AtOnce: 4, AtOncePerHost: 1}, nil)
	for _, url := range slow {
		x.call(x.hook(Spec{URL: url}))
	}
	quick := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer quick.Close()
	others := &store.Hook{ID: store.DeviceID{0xee}, Account: store.AccountID{0xee}, Event: "temp", Spec: encode(Spec{URL: quick.URL + "/", RequestType: "POST"})}
	if err := x.store.CreateHook(t.Context(), others); err != nil {
		t.Fatal(err)
	}
	x.call(others.ID)
	x.want(sentReply)
}

// When the runner has stopped no call is under way, and one that was broken off by that is
// nobody's failure.
func TestStopEndsCallsUnderWay(t *testing.T) {
	x := newWard(t, Config{}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	id := x.hook(Spec{})
	x.call(id)
	await(x, x.calls)
	x.runner.Stop()
	if x.runner.hosts.total != 0 {
		t.Error("a call is under way")
	}
	if h, err := x.runner.History(t.Context(), id); err != nil || len(h.Last) != 0 {
		t.Errorf("noted %+v, %v", h, err)
	}
}

// The operator reads that calls are dropped, once in a while, and the owner each time.
func TestDroppedCallsAreTold(t *testing.T) {
	now := time.Unix(1e9, 0)
	var lines []string
	x := newWard(t, Config{Now: func() time.Time { return now }, Log: func(line string) { lines = append(lines, line) }}, func(http.ResponseWriter, *http.Request) {})
	id := x.hook(Spec{})
	for range 3 {
		x.runner.Dropped(id, store.ErrShareFull)
	}
	now = now.Add(droppedLogEvery)
	x.runner.Dropped(id, store.ErrQueueFull)
	if len(lines) != 2 || !strings.Contains(lines[0], "share") || !strings.Contains(lines[1], "10000 calls of this webhook wait") || !strings.Contains(lines[1], "(3 since") {
		t.Errorf("got %q", lines)
	}
	x.runner.history.wait()
	h, err := x.runner.History(t.Context(), id)
	if err != nil || len(h.Last) != 4 || !strings.Contains(h.Last[3].Error, "share") {
		t.Errorf("got %+v, %v", h, err)
	}
}

// Webhooks do not reach the cloud itself, by whatever name or detour.
func TestOwnAddresses(t *testing.T) {
	x := newWard(t, Config{}, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "secrets") })
	detour := httptest.NewServer(http.RedirectHandler(x.url+"/admin", http.StatusFound))
	defer detour.Close()
	own := netip.MustParseAddrPort(strings.TrimPrefix(x.url, "http://"))
	x.runner.Guard.Own(own)
	port := fmt.Sprint(own.Port())
	for _, url := range []string{x.url + "/admin", "http://localhost:" + port, "http://[::1]:" + port, "http://0.0.0.0:" + port, "http://2130706433:" + port, detour.URL} {
		x.call(x.hook(Spec{URL: url, RequestType: "GET"}))
		x.want(sentReply)
		got := await(x, x.replied)
		if !strings.HasPrefix(got.Name, "hook-error/") || strings.Contains(got.Data, "secrets") {
			t.Errorf("%s: got %+v", url, got)
		}
	}
	if len(x.calls) != 0 {
		t.Errorf("%d calls arrived", len(x.calls))
	}
}

// A call whose answer cannot be stored stays in the queue.
func TestAnAnswerThatIsNotStored(t *testing.T) {
	x := newWard(t, Config{}, func(http.ResponseWriter, *http.Request) {})
	x.failing.Store(true)
	x.call(x.hook(Spec{}))
	await(x, x.refused)
	x.failing.Store(false)
	x.want(sentReply)
}

// A hook that is gone, and a call that nobody can read, leave the queue.
func TestCallsOfNobody(t *testing.T) {
	x := newWard(t, Config{}, func(http.ResponseWriter, *http.Request) {})
	id := x.hook(Spec{})
	x.call(store.DeviceID{0xff})
	if err := x.store.Do(t.Context(), store.PutCall(store.Call{Hook: id, Body: []byte("nonsense")})); err != nil {
		t.Fatal(err)
	}
	x.call(id)
	x.want(sentReply)
}

func TestCertificates(t *testing.T) {
	x := newWard(t, Config{NoRetries: true}, func(http.ResponseWriter, *http.Request) {})
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = nil
	defer secure.Close()
	x.call(x.hook(Spec{URL: secure.URL + "/"}))
	x.want(sentReply, Reply{"hook-error/temp/kitchen/0", "error: the certificate of 127.0.0.1 is not trusted"})
	x.call(x.hook(Spec{URL: secure.URL + "/", AnyCertificate: true}))
	x.want(sentReply)
}
