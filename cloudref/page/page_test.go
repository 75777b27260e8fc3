package page

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/cloudref/traffic"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/trace"
)

var (
	alice, bob = store.AccountID{1}, store.AccountID{2}
	lamp       = store.DeviceID{0xe0, 1}
	fridge     = store.DeviceID{0xe0, 2}
)

// newPage serves the page with a lamp of Alice and a fridge of Bob. Their tokens are
// their names.
func newPage(t *testing.T) (*httptest.Server, *traffic.Recorder) {
	t.Helper()
	st := store.NewMemory()
	for id, owner := range map[store.DeviceID]store.AccountID{lamp: alice, fridge: bob} {
		if err := st.Do(t.Context(), store.PutDevice(&store.Device{ID: id, Owner: owner})); err != nil {
			t.Fatal(err)
		}
	}
	wall := func(at clock.Instant) time.Time { return time.Unix(1_700_000_000, int64(at)) }
	recorder := traffic.NewRecorder(wall, func(id store.DeviceID) store.AccountID {
		identity, _ := st.Identity(id)
		return identity.Owner
	})
	var readers atomic.Int32
	server := httptest.NewServer(Handler(Config{
		Account: func(r *http.Request) (store.AccountID, bool) {
			a, ok := map[string]store.AccountID{"Bearer alice": alice, "Bearer bob": bob}[r.Header.Get("Authorization")]
			return a, ok
		},
		Store: st, Status: func(id store.DeviceID) endpoint.Status { return endpoint.Status{Device: id, Heard: -1} },
		Time: wall, Traffic: recorder, Closing: make(chan struct{}),
		Reader: func(store.AccountID) (func(), bool) {
			return func() { readers.Add(-1) }, readers.Add(1) <= readersMax
		},
	}, http.NotFoundHandler()))
	t.Cleanup(server.Close)
	return server, recorder
}

// readersMax is how many readers the page of a test lets in.
const readersMax = 2

// Who watches takes a place among the event streams.
func TestWatchesAreBounded(t *testing.T) {
	server, _ := newPage(t)
	path := "/muster/devices/" + lamp.String() + "/watch"
	for n := range readersMax + 1 {
		want := http.StatusOK
		if n == readersMax {
			want = http.StatusTooManyRequests
		}
		if r := get(t, server, path, "alice"); r.StatusCode != want {
			t.Errorf("reader %d: status %d, want %d", n+1, r.StatusCode, want)
		}
	}
}

func get(t *testing.T, server *httptest.Server, path, token string) *http.Response {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	r, err := server.Client().Do(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Body.Close() })
	return r
}

// What the page needs is served to everybody, and nothing else without a token. A
// device of another account looks like one that does not exist.
func TestWhoSeesWhat(t *testing.T) {
	server, _ := newPage(t)
	lampPath, fridgePath := "/muster/devices/"+lamp.String(), "/muster/devices/"+fridge.String()
	for _, test := range []struct {
		path, token string
		want        int
	}{
		{"/", "", 200},
		{"/muster/assets/app.js", "", 200},
		{"/muster/assets/style.css", "", 200},
		{"/muster/assets/", "", 404},
		{"/muster/assets/nothing.js", "", 404},
		{"/muster/devices", "", 401},
		{"/muster/devices", "mallory", 401},
		{"/muster/devices", "alice", 200},
		{lampPath + "/traffic", "", 401},
		{lampPath + "/traffic", "alice", 200},
		{"/muster/devices/" + strings.ToUpper(lamp.String()) + "/traffic", "alice", 200},
		{fridgePath + "/traffic", "alice", 404},
		{fridgePath + "/watch", "alice", 404},
		{"/muster/devices/e00000000000000000000000/traffic", "alice", 404},
		{"/muster/devices/lamp/traffic", "alice", 404},
		{"/v1/devices", "alice", 404}, // the API's
	} {
		if r := get(t, server, test.path, test.token); r.StatusCode != test.want {
			t.Errorf("%s with token %q: %d, want %d", test.path, test.token, r.StatusCode, test.want)
		}
	}
	var list []device
	if err := json.NewDecoder(get(t, server, "/muster/devices", "bob").Body).Decode(&list); err != nil || len(list) != 1 || list[0].ID != fridge.String() {
		t.Errorf("Bob sees %v (%v)", list, err)
	}
	if policy := get(t, server, "/", "").Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the page has the policy %q", policy)
	}
}

// A watch begins with what is remembered, and goes on with what comes.
func TestWatch(t *testing.T) {
	server, recorder := newPage(t)
	recorder.Traffic(endpoint.Traffic{Device: lamp, Direction: trace.Up, Bytes: 50, Messages: [][]byte{{0x40, 0, 0, 1}}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r := get(t, server, "/muster/devices/"+lamp.String()+"/watch", "alice")
	lines := bufio.NewScanner(r.Body)
	next := func(event string) (data string) {
		for lines.Scan() && ctx.Err() == nil {
			if lines.Text() == "event: "+event {
				lines.Scan()
				return lines.Text()
			}
		}
		t.Fatalf("the stream ended before %q", event)
		return ""
	}
	if data := next("record"); !strings.Contains(data, `"what":"Ping"`) || !strings.Contains(data, `"bytes":[78,0]`) {
		t.Errorf("remembered: %s", data)
	}
	recorder.Traffic(endpoint.Traffic{Device: fridge, Direction: trace.Up, Bytes: 999, Messages: [][]byte{{0x40, 0, 0, 1}}})
	recorder.Traffic(endpoint.Traffic{Device: lamp, Direction: trace.Down, Bytes: 33, Messages: [][]byte{{0x60, 0, 0, 1}}})
	if data := next("line"); !strings.Contains(data, `"bytes":61`) || !strings.Contains(data, `acknowledgement of Ping`) {
		t.Errorf("live: %s", data)
	}
}
