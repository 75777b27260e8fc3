package fleetmetrics

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/record/recordtest"
)

func scrape(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, r.Status, err)
	}
	return string(b)
}

// What was sampled is what is scraped, by group, summed over workers.
func TestScrape(t *testing.T) {
	e := New()
	var samples []record.Sample
	run := recordtest.Make(recordtest.Options{Seed: 1, Every: 10 * time.Second, Workers: 2, Overloaded: true}, func(s *record.Sample) { samples = append(samples, *s) })
	e.Begin(run)
	for i := range samples {
		if samples[i].At <= 350*time.Second {
			e.Sample(&samples[i])
		}
	}
	s, err := e.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := scrape(t, s.URL())
	for _, want := range []string{
		`muster_fleet_run_info{cloud="127.0.0.1:5684",scenario="storm after an outage",seed="1",version="v0.5.0"} 1`,
		`muster_fleet_phase{phase="storm"} 1`, `muster_fleet_phase{phase="ramp"} 0`, "muster_fleet_elapsed_seconds 350", "muster_fleet_planned_seconds 520",
		`muster_fleet_devices{group="borons",state="all"} 600`, `muster_fleet_handshakes_total{group="photons"}`, `muster_fleet_ended_total{group="borons",reason="ping timeout"}`,
		`muster_fleet_wire_bytes_total{activity="resume",direction="up",group="borons"}`, `muster_fleet_duration_seconds_bucket{group="borons",what="publish",le="0.1"}`,
		`muster_fleet_generator_strain{worker="w2"} 2`, `muster_fleet_generator_cpu_cores{worker="w1"} 1.92`, "go_goroutines",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("scraped nothing of %s", want)
		}
	}
	if problems, err := testutil.GatherAndLint(e.registry); err != nil || len(problems) > 0 {
		t.Errorf("names: %v, %v", problems, err)
	}
	if _, err := e.Serve(s.listener.Addr().String()); err == nil || !strings.Contains(err.Error(), "another address") {
		t.Errorf("a taken address: %v", err)
	}
}

// Counters and histograms are those of the run.
func TestSums(t *testing.T) {
	e := New()
	run := recordtest.Make(recordtest.Options{Seed: 2, Every: 20 * time.Second}, e.Sample)
	sum := run.Sum("", "borons")
	if got := e.groups["borons"].counts[record.Published]; got != sum.Counts[record.Published] {
		t.Errorf("published: got %d, want %d", got, sum.Counts[record.Published])
	}
	d, h := e.groups["borons"].times[record.PublishTime], sum.Times[record.PublishTime]
	if d.count != uint64(h.Count()) {
		t.Errorf("got %d durations, want %d", d.count, h.Count())
	}
	for bound, n := range d.cumulative() {
		over := h.Over(time.Duration(bound * 1.001 * float64(time.Second)))
		if want := float64(h.Count()) * (1 - over); float64(n) < want-1 || float64(n) > want+1 {
			t.Errorf("up to %v s: got %d, want %.0f", bound, n, want)
		}
	}
	if mean := d.sum / float64(d.count); mean < h.Mean().Seconds()*0.999 || mean > h.Mean().Seconds()*1.001 {
		t.Errorf("mean: got %v, want %v", mean, h.Mean())
	}
}

// The dashboard shows metrics that exist, each panel at least one, and leaves out none
// that says something of its own.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../../docs/fleet-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title  string
		Panels []struct {
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int } `json:"gridPos"`
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	descs := make(chan *prometheus.Desc, 200)
	New().Describe(descs)
	close(descs)
	name := regexp.MustCompile(`fqName: "([a-z_]+)"`)
	for d := range descs {
		known[name.FindStringSubmatch(d.String())[1]] = false
	}
	used := regexp.MustCompile(`muster_fleet_[a-z_]+`)
	for _, p := range board.Panels {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.GridPos.W == 0 {
			t.Errorf("panel %s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			names := used.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("panel %s: %s", p.Title, target.Expr)
			}
			for _, n := range names {
				n = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(n, "_bucket"), "_sum"), "_count")
				if _, ok := known[n]; !ok {
					t.Errorf("panel %s: there is no metric %s", p.Title, n)
				}
				known[n] = true
			}
		}
	}
	optional := []string{ // said by others, or seldom wanted
		"muster_fleet_attempts_total", "muster_fleet_connected_total", "muster_fleet_offline_total", "muster_fleet_ignored_total", "muster_fleet_stray_total",
		"muster_fleet_impair_lost_total", "muster_fleet_send_failed_total", "muster_fleet_send_refused_total", "muster_fleet_socket_drops_total", "muster_fleet_moves_total", "muster_fleet_sleeps_total",
		"muster_fleet_wire_packets_total", "muster_fleet_updates_begun_total", "muster_fleet_late_total", "muster_fleet_generator_heap_bytes", "muster_fleet_generator_gc_cpu_ratio",
	}
	for n, shown := range known {
		if !shown && !slices.Contains(optional, n) {
			t.Errorf("no panel shows %s", n)
		}
	}
}
