package cloudref

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
)

// hookKillEnv is set in the child: data directory and URL of the webhook.
const hookKillEnv = "MUSTER_CLOUD_HOOK_KILL"

// A collector is the server that a webhook calls. It fails the first call of each
// event, so that some always wait to be repeated.
type collector struct {
	mu    sync.Mutex
	n     int
	seen  map[string]int
	again chan struct{}
}

func (x *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.n++
	if x.seen[string(b)]++; x.seen[string(b)] == 1 || err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	select {
	case x.again <- struct{}{}:
	default:
	}
}

func (x *collector) has(want []string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, text := range want {
		if x.seen[text] < 2 {
			return false
		}
	}
	return true
}

// TestKillHooks kills a cloud at random points while events come and webhooks are
// called: each event whose publisher was told that it was taken reaches the webhook.
func TestKillHooks(t *testing.T) {
	if where := os.Getenv(hookKillEnv); where != "" {
		hookKillChild(where)
		return
	}
	x := &collector{seen: map[string]int{}, again: make(chan struct{}, 1)}
	server := httptest.NewServer(x)
	defer server.Close()
	dir := t.TempDir()
	var acknowledged []string
	for round := range 5 {
		acknowledged = append(acknowledged, runHookChild(t, dir+" "+server.URL, round)...)
	}
	if len(acknowledged) < 50 {
		t.Fatalf("%d events: the test tests nothing", len(acknowledged))
	}
	c, err := Start(t.Context(), Options{Dir: dir, Hooks: hookKillConfig})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for !x.has(acknowledged) {
		select {
		case <-x.again:
		case <-ctx.Done():
			t.Fatal("events that were acknowledged never reached the webhook")
		}
	}
	t.Logf("%d events acknowledged, all of them called, in %d attempts", len(acknowledged), x.n)
}

var hookKillConfig = hooks.Config{Delays: []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond, time.Millisecond}, AtOnce: 4, ThrottleAfter: 1 << 30}

// runHookChild runs a cloud, kills it, and returns what it acknowledged.
func runHookChild(t *testing.T, where string, round int) (acknowledged []string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKillHooks$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", hookKillEnv, where, round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		// After so many it is killed, wherever it is then.
		if acknowledged = append(acknowledged, lines.Text()); len(acknowledged) == 20+7*round {
			if err := child.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	return acknowledged
}

func hookKillChild(where string) {
	dir, rest, _ := strings.Cut(where, " ")
	url, round, _ := strings.Cut(rest, " ")
	ctx := context.Background()
	c, err := Start(ctx, Options{Dir: dir, Hooks: hookKillConfig})
	if err != nil {
		panic(err)
	}
	owner, err := c.Account(ctx, "alice")
	if err != nil {
		panic(err)
	}
	spec, err := json.Marshal(hooks.Spec{URL: url, RequestType: http.MethodPost, Body: "{{PARTICLE_EVENT_VALUE}}"})
	if err != nil {
		panic(err)
	}
	err = c.Store().CreateHook(ctx, &store.Hook{ID: store.DeviceID{1}, Account: owner, Event: "news", Spec: spec})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		panic(err)
	}
	for n := 0; ; n++ {
		text := fmt.Sprintf("%s/%d", round, n)
		if err := c.Publish(ctx, owner, app.Event{Name: "news", Data: []byte(text)}); err != nil {
			panic(err)
		}
		fmt.Println(text)
	}
}
