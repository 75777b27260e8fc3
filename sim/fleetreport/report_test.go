package fleetreport

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/record/recordtest"
	"github.com/muster/muster/sim/selfwatch"
)

func render(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

// The page of a run says what came of it, what was measured, and what was run, and
// needs nothing from elsewhere.
func TestPage(t *testing.T) {
	dir := recordtest.Folder(t, recordtest.Options{Seed: 1, Devices: 10_000, Every: 4 * time.Second})
	path := filepath.Join(dir, File)
	if err := WriteFile(dir, path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	wants(t, text, "Pass:", "all 3 thresholds hold", "10,000", "p99(publish) &lt; 100ms", "in hold", "muster fleet run storm.yaml --cloud 127.0.0.1 --seed 1",
		`id="devices"`, `id="publish-time"`, `id="cpu"`, "full handshake", "ping timeout", "boron@6.2.0, boron@4.2.0", "24 GiB", "never the bottleneck",
		"the cloud does not answer", "(10,000 times)", "everybody comes back")
	for _, bad := range regexp.MustCompile(`(?i)(src|href)=["']?(https?:)?//|@import|url\(`).FindAllString(text, -1) {
		t.Errorf("the page needs something from elsewhere: %s", bad)
	}
	if filepath.Base(path) != "report.html" || len(b) > 2<<20 {
		t.Errorf("%s has %d bytes", path, len(b))
	}
}

// A generator that was the bottleneck is told of at the top, on the charts and with
// what to change.
func TestBottleneckPage(t *testing.T) {
	r, err := Read(recordtest.Folder(t, recordtest.Options{Seed: 2, Devices: 10_000, Every: 4 * time.Second, Overloaded: true, Workers: 2}))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 2 {
		t.Fatalf("found %v", r.Findings)
	}
	selfwatch.Settle(r.Run, r.Findings)
	text := render(t, r)
	wants(t, text, "Inconclusive:", "proves nothing about the cloud", `class="strain"`, "worker w2", "Lower the rates", "arrivals began up to")
}

// Names from a scenario are text, whatever is in them.
func TestPageEscapes(t *testing.T) {
	r := &Report{Run: &record.Run{
		Name: "<script>alert(1)</script>", Verdict: record.Fail, Why: "<b>", Scenario: "</pre><img>",
		Phases: []record.Phase{{Name: `"><i>`, End: time.Second}}, Groups: []record.Group{{Name: "<u>", Devices: 1}},
	}}
	s := record.Sample{At: time.Second, Every: time.Second, Phase: `"><i>`, Group: "<u>", Levels: map[record.Level]int64{record.Devices: 1, record.Online: 1}}
	s.Error("</script><script>", 3)
	r.series.add(&s)
	r.Run.Cell(s.Phase, s.Group).Add(&s.Tally)
	text := render(t, r)
	for _, bad := range []string{"<script>alert", "</pre><img>", `"><i>`, "</script><script>"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q as markup", bad)
		}
	}
}

// A run of which nothing was measured still has a page.
func TestEmptyPage(t *testing.T) {
	wants(t, render(t, &Report{Run: &record.Run{Name: "nothing", Verdict: record.Inconclusive, Interrupted: true}}), "Inconclusive:", "before its last phase did")
}

// A run that was killed has a page of what it measured.
func TestKilledPage(t *testing.T) {
	dir := recordtest.Folder(t, recordtest.Options{Seed: 3, Every: 10 * time.Second})
	if err := os.Remove(filepath.Join(dir, record.RunFile)); err != nil {
		t.Fatal(err)
	}
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, render(t, r), "killed before it could write its end", `id="publish-time"`, "storm")
	if err := WriteFile(t.TempDir(), filepath.Join(dir, File)); err == nil || !strings.Contains(err.Error(), "no folder of a run") {
		t.Errorf("an empty folder: %v", err)
	}
}

// long is a run of n intervals with a rate of 10/s and durations around 20 ms, and
// one interval, and in it one event, that sticks out.
func long(n, peak int) *Report {
	r := &Report{Run: &record.Run{Phases: []record.Phase{{Name: "hold", End: time.Duration(n) * time.Second}}, Groups: []record.Group{{Name: "all", Devices: 10}}}}
	for i := range n {
		s := record.Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Phase: "hold", Group: "all", Levels: map[record.Level]int64{record.Devices: 10, record.Online: 10}}
		s.Count(record.Published, 10)
		for k := range 10 {
			s.Time(record.PublishTime).Add(20*time.Millisecond + time.Duration(k)*time.Microsecond)
		}
		if i == peak {
			s.Count(record.Published, 4990)
			s.Time(record.PublishTime).Add(7 * time.Second)
		}
		r.series.add(&s)
	}
	return r
}

// Charts of long runs have few points and keep what stuck out: the peak of a rate,
// and the longest duration. Percentiles are those of all that a point stands for.
func TestLongRun(t *testing.T) {
	const n, peak = 5000, 3217
	r := long(n, peak)
	p := newPoints(&r.series)
	if p.n > pointsMax || p.n < pointsMax/4 || len(r.series.bins) > binsMax {
		t.Fatalf("%d points of %d intervals, %d bins", p.n, p.width, len(r.series.bins))
	}
	at := peak / int(p.width)
	rate := p.rate("", "", record.Published)
	if rate.High[at] != 5000 || top(rate) != 5000 {
		t.Errorf("the peak of the rate is %v at its place, %v in all", rate.High[at], top(rate))
	}
	mean := (10*float64(p.width-1) + 5000) / float64(p.width)
	if math.Abs(rate.Y[at]-mean) > 1e-6 || rate.Y[0] != 10 {
		t.Errorf("means are %v, want %v, and %v, want 10", rate.Y[at], mean, rate.Y[0])
	}
	var whole record.Histogram
	for range p.width * 10 {
		whole.Add(20 * time.Millisecond)
	}
	whole.Add(7 * time.Second)
	lines := p.quantiles(record.PublishTime)
	if got, want := lines[3].Y[at], whole.Quantile(1).Seconds(); got != want {
		t.Errorf("the longest is %v, want %v", got, want)
	}
	if got := lines[1].Y[at]; got > 0.021 || got < 0.02 {
		t.Errorf("p99 of the point with one long event in %d is %v, want 20 ms", p.width*10, got)
	}
	if lines[3].Y[0] > 0.021 {
		t.Errorf("the long event is at another point too")
	}
	wants(t, render(t, r), "A point stands for 16 s")
}

// Samples of workers and groups for one interval add up, also when a worker's come
// late.
func TestWorkersAddUp(t *testing.T) {
	var s series
	for _, worker := range []string{"a", "b"} {
		for i := range 3 {
			x := record.Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Worker: worker, Group: "g", Levels: map[record.Level]int64{record.Online: 4}}
			x.Count(record.Resumes, 5)
			s.add(&x)
		}
	}
	p := newPoints(&s)
	if rate, level := p.rate("", "", record.Resumes), p.level("", "", record.Online); p.n != 3 || rate.Y[1] != 10 || level.Y[2] != 8 {
		t.Errorf("%d points, rate %v, level %v", p.n, rate.Y, level.Y)
	}
}

func TestScales(t *testing.T) {
	for _, c := range []struct {
		s         scale
		low, high float64
		ticks     int
	}{
		{linear(87), 0, 100, 3},
		{linear(0), 0, 1, 3},
		{linear(1000), 0, 1000, 3},
		{logarithmic(0.012, 3.4), 0.01, 5, 9},
		{logarithmic(1e-5, 3), 1e-5, 10, 7},
		{logarithmic(math.Inf(1), math.Inf(-1)), 1, 10, 2},
		{clock(520), 0, 520, 5},
	} {
		if c.s.low != c.low || math.Abs(c.s.high/c.high-1) > 1e-9 || len(c.s.ticks) < c.ticks {
			t.Errorf("got %+v, want %v to %v", c.s, c.low, c.high)
		}
	}
	if s := linear(3 << 30 / binary(3<<30)).times(binary(3 << 30)); s.high != 3<<30 && s.high != 4<<30 {
		t.Errorf("memory: %+v", s)
	}
	if at := logarithmic(1, 100).at(10); math.Abs(at-0.5) > 1e-9 || linear(10).at(20) != 1 {
		t.Errorf("10 is at %v", at)
	}
}

func TestCommandLine(t *testing.T) {
	if got := commandLine([]string{"muster", "fleet", "run", "my storm.yaml", "it's", ""}); got != `muster fleet run 'my storm.yaml' 'it'\''s' ''` {
		t.Error(got)
	}
}

func TestCommand(t *testing.T) {
	dir := recordtest.Folder(t, recordtest.Options{Seed: 4, Every: 10 * time.Second})
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := Command()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.Execute()
		return out.String(), err
	}
	if out, err := run(dir); err != nil || out != filepath.Join(dir, "report.html")+"\n" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := run(dir, "--out", "-"); err != nil || !strings.HasPrefix(out, "<!doctype html>") {
		t.Errorf("%.40q, %v", out, err)
	}
	var usage interface{ Usage() }
	if _, err := run(t.TempDir()); !errors.As(err, &usage) {
		t.Errorf("an empty folder: %v", err)
	}
}

// Intervals of real runs end late: no point is without a value, none has that of two,
// and one that took the time of three is spread over them.
func TestLateIntervals(t *testing.T) {
	var s series
	at := time.Duration(0)
	for _, every := range []time.Duration{1001, 1037, 962, 985, 3060, 955, 5} {
		every *= time.Millisecond
		at += every
		for _, group := range []string{"a", "b"} {
			x := record.Sample{At: at, Every: every, Phase: "hold", Group: group, Levels: map[record.Level]int64{record.Online: 5}}
			x.Count(record.Resumes, uint64(every/time.Millisecond))
			s.add(&x)
		}
		s.add(&record.Sample{At: at, Every: every, Phase: "hold", Self: &record.Self{Cores: 2}})
	}
	p := newPoints(&s)
	rate, level := p.rate("", "", record.Resumes), p.level("", "", record.Online)
	if p.n != 9 {
		t.Fatalf("%d points", p.n)
	}
	for i := range p.n {
		if math.Abs(rate.Y[i]-2000) > 1 || level.Y[i] != 10 {
			t.Errorf("point %d: %v/s and %v devices, want 2000 and 10", i, rate.Y[i], level.Y[i])
		}
	}
}
