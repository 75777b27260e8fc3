package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
)

// TestCloudNumbers prints what the cloud does for those who use it: events to
// readers of streams, calls of the API, and a start with many sessions. As in
// TestNumbers it judges nothing, and without -numbers runs for a moment.
//
// These are times on the wall, of a fleet, a cloud and its readers in one process
// on one machine: what counts is what holds under load.
func TestCloudNumbers(t *testing.T) {
	r := &run{t: t, full: *numbers}
	if !r.full && testing.Short() {
		t.Skip("runs a fleet")
	}
	start := time.Now()
	for _, l := range []*line{
		{name: "events to stream readers, and calls", measure: r.cloudLoad},
		{name: "a start with many sessions", measure: r.manySessions},
	} {
		if r.full {
			fmt.Printf("measuring: %s\n", l.name)
		}
		if err := l.measure(); err != nil {
			t.Fatalf("%s: %v", l.name, err)
		}
	}
	if !r.full {
		return
	}
	fmt.Printf("\n%s, %s/%s, %d cores, %s; times on the wall\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		time.Since(start).Round(time.Second))
	if err := WriteTable(os.Stdout, r.rows); err != nil {
		t.Fatal(err)
	}
}

// A service is a product with its REST API, on a store that survives.
type service struct {
	*product
	http  *httptest.Server
	token string
}

func (r *run) newService(devices int) (*service, error) {
	p, err := newProductOn(cloudref.Options{Dir: r.t.TempDir(), UDP: netip.MustParseAddrPort("127.0.0.1:0"), ECKey: cloudKey})
	if err != nil {
		return nil, err
	}
	s := &service{product: p}
	owner, err := p.cloud.Account(context.Background(), "bench")
	if err != nil {
		return nil, fmt.Errorf("making an account: %w", err)
	}
	p.owner = owner
	rest := p.cloud.API(api.Config{})
	s.http = httptest.NewUnstartedServer(nil)
	s.http.Config = rest.HTTP(rest)
	s.http.Start()
	if s.token, err = rest.IssueToken(context.Background(), owner, 0); err != nil {
		return nil, fmt.Errorf("making a token: %w", err)
	}
	const group = 500 // at a time, so that nobody waits too long for a handshake
	for done := 0; done < devices; done += group {
		if _, err := p.connect(min(group, devices-done)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *service) close() {
	s.http.CloseClientConnections()
	s.http.Close()
	s.product.close()
}

func (s *service) get(ctx context.Context, path string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http.URL+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking: %w", err)
	}
	q.Header.Set("Authorization", "Bearer "+s.token)
	return http.DefaultClient.Do(q)
}

// A watch reads an event stream and notes how long each event was on its way: the
// event's data are the time when it was published.
type watch struct {
	began time.Time

	mu    sync.Mutex
	took  []time.Duration
	seen  atomic.Int64
	ended chan error
}

func (s *service) watch(ctx context.Context, began time.Time) (*watch, error) {
	answer, err := s.get(ctx, "/v1/devices/events/load")
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	w := &watch{began: began, ended: make(chan error, 1)}
	go func() {
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		for lines.Scan() {
			_, rest, is := strings.Cut(lines.Text(), `data: {"data":"`)
			if !is {
				continue
			}
			number, _, _ := strings.Cut(rest, `"`)
			if sent, err := strconv.ParseInt(number, 10, 64); err == nil {
				took := time.Since(w.began) - time.Duration(sent)
				w.mu.Lock()
				w.took = append(w.took, took)
				w.mu.Unlock()
				w.seen.Add(1)
			}
		}
		w.ended <- lines.Err()
	}()
	return w, nil
}

// quantile returns the q-quantile in milliseconds.
func quantile(took []time.Duration, q float64) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
}

// offer lets devices publish at a rate for a while, in turn, and returns how many
// events that were.
func (s *service) offer(rate int, d time.Duration, began time.Time) (n int) {
	const step = 5 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	start := time.Now()
	for now := range tick.C {
		if now.Sub(start) > d {
			return n
		}
		for due := int(now.Sub(start).Seconds() * float64(rate)); n < due; n++ {
			data := []byte(strconv.FormatInt(int64(time.Since(began)), 10))
			s.fleet.Publish(n%s.fleet.Len(), device.Publication{Name: "load", Data: data}, func(error) { s.refused.Add(1) })
		}
	}
	return n
}

// cloudLoad measures what goes from devices to people and back.
func (r *run) cloudLoad() error {
	devices := r.scale(10_000, 10)
	s, err := r.newService(devices)
	if err != nil {
		return err
	}
	defer s.close()
	if err := r.eventLoad(s, devices); err != nil {
		return err
	}
	if err := r.manyReaders(s); err != nil {
		return err
	}
	return r.calls(s)
}

// eventLoad finds the highest rate at which one reader sees all events.
func (r *run) eventLoad(s *service, devices int) error {
	rates, d := []int{500, 1000, 2000, 3000, 4000, 6000, 8000, 12000}, 5*time.Second
	if !r.full {
		rates, d = []int{100}, 100*time.Millisecond
	}
	what := fmt.Sprintf("%s devices, one reader: ", grouped(int64(devices)))
	best := 0
	var rows []Row
	for _, rate := range rates {
		ctx, cancel := context.WithCancel(context.Background())
		began := time.Now()
		w, err := s.watch(ctx, began)
		if err != nil {
			cancel()
			return err
		}
		offered := s.offer(rate, d, began)
		sent := time.Since(began)
		for wait := 0; w.seen.Load() < int64(offered) && wait < 100; wait++ {
			time.Sleep(20 * time.Millisecond)
		}
		took := time.Since(began)
		cancel()
		<-w.ended
		got := int(w.seen.Load())
		kept := got == offered && took < sent+sent/5
		if kept {
			best = rate
			rows = []Row{
				{What: what + "latency at that rate, p50", Unit: "ms", Ours: quantile(w.took, .5)},
				{What: what + "latency at that rate, p99", Unit: "ms", Ours: quantile(w.took, .99)},
			}
		}
		if r.full {
			fmt.Printf("  %d events/s offered: %d of %d seen after %v, p50 %.1f ms, p99 %.1f ms\n", rate, got, offered,
				took.Round(10*time.Millisecond), quantile(w.took, .5), quantile(w.took, .99))
		}
		if !kept {
			break
		}
	}
	r.rows = append(r.rows, Row{What: what + "events a second, all seen", Unit: "1/s", Ours: float64(best)})
	r.rows = append(r.rows, rows...)
	return nil
}

// manyReaders has many readers see the same events.
func (r *run) manyReaders(s *service) error {
	readers, rate, d := r.scale(1000, 5), 20, 5*time.Second
	if !r.full {
		d = 200 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	var all []*watch
	for range readers {
		w, err := s.watch(ctx, began)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	offered := s.offer(rate, d, began)
	seen := func() (n int64) {
		for _, w := range all {
			n += w.seen.Load()
		}
		return n
	}
	for end := time.Now().Add(patience); seen() < int64(offered*readers) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	var took []time.Duration
	for _, w := range all {
		<-w.ended
		took = append(took, w.took...)
	}
	if len(took) != offered*readers {
		return fmt.Errorf("%d of %d events were seen", len(took), offered*readers)
	}
	what := fmt.Sprintf("%s readers, %d events/s each: ", grouped(int64(readers)), rate)
	r.rows = append(r.rows,
		Row{What: what + "latency, p50", Unit: "ms", Ours: quantile(took, .5)},
		Row{What: what + "latency, p99", Unit: "ms", Ours: quantile(took, .99)})
	return nil
}

// calls measures requests a second. The floor is an HTTP server that answers the
// same bytes without looking.
func (r *run) calls(s *service) error {
	d := time.Second
	if !r.full {
		d = 50 * time.Millisecond
	}
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, `{"id":"000000000000000000000000","name":"","last_app":"","connected":true,"return_value":1}`)
	}))
	defer bare.Close()
	paths := func(base, format string) func(int) string {
		return func(n int) string {
			id := fleet.ID(2, n%s.fleet.Len())
			return base + fmt.Sprintf(format, fmt.Sprintf("%x", id[:]))
		}
	}
	for _, c := range []struct {
		what, method, body string
		path               func(int) string
	}{
		{"call a function of an online device", http.MethodPost, "arg=hot", paths(s.http.URL, "/v1/devices/%s/brew")},
		{"read a variable of an online device", http.MethodGet, "", paths(s.http.URL, "/v1/devices/%s/water")},
		{"ask for a device", http.MethodGet, "", paths(s.http.URL, "/v1/devices/%s")},
		{"publish an event", http.MethodPost, "name=n&data=1", func(int) string { return s.http.URL + "/v1/devices/events" }},
	} {
		floor, ours := 0.0, 0.0
		for range r.scale(3, 1) { // in turn
			a, err := s.hammer(d, c.method, func(int) string { return bare.URL }, c.body)
			if err != nil {
				return err
			}
			b, err := s.hammer(d, c.method, c.path, c.body)
			if err != nil {
				return fmt.Errorf("%s: %w", c.what, err)
			}
			floor, ours = max(floor, a), max(ours, b)
		}
		r.rows = append(r.rows, Row{What: c.what + ", 64 at a time", Unit: "1/s", Floor: floor, Ours: ours, OverFloor: ours / floor})
	}
	return nil
}

// hammer sends requests, 64 at a time, and returns how many were answered a second.
func (s *service) hammer(d time.Duration, method string, url func(int) string, body string) (float64, error) {
	const clients = 64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var next, done atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	start := time.Now()
	for range clients {
		wg.Go(func() {
			for time.Since(start) < d {
				q, err := http.NewRequestWithContext(context.Background(), method, url(int(next.Add(1))), strings.NewReader(body))
				if err != nil {
					errs <- err
					return
				}
				q.Header.Set("Authorization", "Bearer "+s.token)
				q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				a, err := client.Do(q)
				if err != nil {
					errs <- err
					return
				}
				text, err := io.ReadAll(a.Body)
				a.Body.Close()
				if err != nil || a.StatusCode != http.StatusOK {
					errs <- errors.Join(err, fmt.Errorf("%s: %s", a.Status, text))
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(done.Load()) / time.Since(start).Seconds(), nil
	}
}
