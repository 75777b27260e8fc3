package conformance

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

var update = flag.Bool("update", false, "write the golden files anew")

// small is a run of two devices, one over each transport.
func small(selected ...string) Options {
	return Options{
		Select: selected, Devices: 2, Seed: 7, Patience: 20 * time.Second,
		Target: func(o *target.Options) {
			o.Memory = true
			o.Profiles = append(o.Profiles, target.Profile("boron@6.2.0"), target.Profile("photon@3.1.0"))
		},
	}
}

// start brings up the target of a small run for a shell of the test's own.
func startShell(t *testing.T, suites []Suite, o Options) *shell {
	t.Helper()
	var to target.Options
	o.Target(&to)
	to.Devices, to.Seed = o.Devices, o.Seed
	env, err := target.Start(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	o = o.defaults()
	return &shell{env: env, suites: suites, options: &o}
}

func TestChecksGolden(t *testing.T) {
	verify(Suites())
	var got strings.Builder
	if err := writeList(&got); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "checks.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the checks differ from %s; if that is meant, run go test ./conformance -run Golden -update", golden)
	}
}

func TestVerifyPanics(t *testing.T) {
	run := func(context.Context, *target.Env, *target.Group, *Recorder) error { return nil }
	good := Check{Name: "a", Text: "text", Requirements: []string{"R-1"}, Run: run}
	edit := func(f func(*Check)) Check { c := good; f(&c); return c }
	for _, test := range []struct {
		name   string
		checks []Check
	}{
		{"twice", []Check{good, good}},
		{"no text", []Check{edit(func(c *Check) { c.Text = "" })}},
		{"no function", []Check{edit(func(c *Check) { c.Run = nil })}},
		{"no requirement", []Check{edit(func(c *Check) { c.Requirements = nil })}},
		{"unknown requirement", []Check{edit(func(c *Check) { c.Requirements = []string{"R-97"} })}},
		{"needs nothing that is there", []Check{edit(func(c *Check) { c.Needs = []string{"b"} })}},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("verify accepts it")
				}
			}()
			verify([]Suite{{Name: "s", Checks: test.checks}})
		})
	}
	verify([]Suite{{Name: "s", Checks: []Check{good}}})
}

func TestUnknownCheckIsAUsageError(t *testing.T) {
	for _, name := range []string{"nosuch", "resume/nosuch", "[", "resume/*/x"} {
		var stdout, stderr bytes.Buffer
		err := conform(t.Context(), Options{Select: []string{name}}, t.TempDir(), &stdout, &stderr)
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != report.ExitUsage {
			t.Errorf("%q: %v, want exit code %d", name, err, report.ExitUsage)
		}
		if !strings.Contains(stderr.String(), name) {
			t.Errorf("%q: the error does not name it: %s", name, &stderr)
		}
	}
}

func TestTooManyDevicesIsAUsageError(t *testing.T) {
	for _, n := range []int{-1, 20_001} {
		if _, err := Run(t.Context(), Options{Devices: n}); err == nil {
			t.Errorf("%d devices are accepted", n)
		}
	}
}

func TestNothingJudgedIsNoPass(t *testing.T) {
	// Over TCP alone there is nothing that a check of UDP could judge.
	o := small("handshake/cookie")
	o.Devices = 1
	o.Target = func(o *target.Options) {
		o.Memory = true
		o.Profiles = append(o.Profiles, target.Profile("photon@3.1.0"))
	}
	run, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if run.ExitCode() != report.ExitInconclusive {
		t.Errorf("exit code %d, want %d: %+v", run.ExitCode(), report.ExitInconclusive, run.Results)
	}
}

func TestPlanTakesWhatACheckNeeds(t *testing.T) {
	catalogue, err := requirements.Load()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Select: []string{"pubsub/publish-cost"}}
	p := o.plan(Suites(), catalogue)
	if len(p.suites) != 1 || len(p.suites[0].Checks) != 2 || p.suites[0].Checks[0].Name != "publish" {
		t.Errorf("got %+v", p.suites)
	}
}

// TestInterrupt interrupts a run from within: what was not begun is reported as
// not run, and the reports are written.
func TestInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	o := small("functions")
	o.Progress = func(_ float64, what string) {
		if what == "functions: arguments" {
			interrupt()
		}
	}
	run, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if run.ExitCode() != report.ExitInterrupted {
		t.Errorf("exit code %d, want %d", run.ExitCode(), report.ExitInterrupted)
	}
	last := run.Results[len(run.Results)-1]
	if run.Results[0].Verdict != report.Pass || last.Verdict != report.NotRun {
		t.Errorf("first %v, last %v", run.Results[0].Verdict, last.Verdict)
	}
	dir := filepath.Join(t.TempDir(), "reports")
	if err := writeReports(run, dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.json", "junit.xml", "index.html"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestInterruptedCheck: what a check misses because its run is broken off is no failure;
// what it found before is.
func TestInterruptedCheck(t *testing.T) {
	for name, test := range map[string]struct {
		before bool
		want   report.Verdict
	}{"found nothing": {false, report.NotRun}, "had found something": {true, report.Fail}} {
		ctx, interrupt := context.WithCancel(t.Context())
		check := Check{Name: "c", Run: func(ctx context.Context, _ *target.Env, _ *target.Group, r *Recorder) error {
			if test.before {
				r.Fail(report.Finding{Text: "wrong"})
			}
			interrupt()
			r.Judged(1)
			r.Fail(report.Finding{Text: "it did not come: " + ctx.Err().Error()})
			return ctx.Err()
		}}
		suite := Suite{Name: "s", Checks: []Check{check}}
		s := startShell(t, []Suite{suite}, small())
		result := s.judge(ctx, suite, check, s.env.Groups()[0])
		if result.Verdict != test.want || len(result.Findings) > 1 {
			t.Errorf("%s: %v, %s, %+v", name, result.Verdict, result.Reason, result.Findings)
		}
	}
}

func TestConformIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	o := small("functions")
	edit := o.Target
	o.Target = func(o *target.Options) {
		edit(o)
		o.Cloud = func(*target.CloudConfig, bool) { interrupt() }
	}
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	err := conform(ctx, o, dir, &stdout, &stderr)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != report.ExitInterrupted {
		t.Fatalf("%v, want exit code %d; %s", err, report.ExitInterrupted, &stderr)
	}
}

func TestPrepareThatFailsIsInconclusive(t *testing.T) {
	ran := false
	suites := []Suite{{
		Name:    "broken",
		Prepare: func(context.Context, *target.Env) error { return errors.New("no power") },
		Checks: []Check{{
			Name: "a", Text: "text", Requirements: []string{"R-1"},
			Run: func(context.Context, *target.Env, *target.Group, *Recorder) error { ran = true; return nil },
		}},
	}}
	for _, r := range startShell(t, suites, small()).run(t.Context()) {
		if r.Verdict != report.Inconclusive || r.Reason != "no power" {
			t.Errorf("%v %q, want inconclusive", r.Verdict, r.Reason)
		}
	}
	if ran {
		t.Error("the check ran")
	}
}

func TestVerdictsOfChecks(t *testing.T) {
	check := func(name string, run func(r *Recorder) error) Check {
		return Check{
			Name: name, Text: "text", Requirements: []string{"R-1"},
			Run: func(_ context.Context, _ *target.Env, _ *target.Group, r *Recorder) error { return run(r) },
		}
	}
	suites := []Suite{{Name: "s", Checks: []Check{
		check("pass", func(r *Recorder) error { r.Judged(1); return nil }),
		check("nothing judged", func(*Recorder) error { return nil }),
		check("broken harness", func(r *Recorder) error { r.Judged(1); return errors.New("no socket") }),
		check("panic", func(r *Recorder) error { r.Judged(1); panic("odd bytes") }),
		check("fail", func(r *Recorder) error { Equal(r, "R-1", "", "what", 1, 2); return nil }),
		check("fail and broken", func(r *Recorder) error { Equal(r, "R-1", "", "what", 1, 2); return errors.New("no socket") }),
		check("remark", func(r *Recorder) error { r.Judged(1); r.Remark(report.Finding{Text: "odd"}); return nil }),
	}}}
	want := map[string]report.Verdict{
		"pass": report.Pass, "nothing judged": report.Inconclusive, "broken harness": report.Inconclusive, "panic": report.Inconclusive,
		"fail": report.Fail, "fail and broken": report.Fail, "remark": report.PassWithRemark,
	}
	s := startShell(t, suites, small())
	for _, r := range s.run(t.Context()) {
		if r.Verdict != want[r.Check] {
			t.Errorf("%s: %v, want %v", r.Check, r.Verdict, want[r.Check])
		}
	}
}

// TestTwoRunsInOneProcess also holds the two ways of running checks, with Ginkgo
// and without, against one another.
func TestTwoRunsInOneProcess(t *testing.T) {
	t.Parallel() // it waits most of the time
	var lines [2]string
	for i := range lines {
		o := small("functions", "handshake/c*")
		o.plain = i == 1
		run, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range run.Results {
			lines[i] += fmt.Sprintf("%s/%s %s %s %v\n", r.Suite, r.Check, r.DeviceOS, r.Transport, r.Verdict)
		}
		if run.ExitCode() != report.ExitClean {
			t.Errorf("run %d: exit code %d\n%s", i, run.ExitCode(), lines[i])
		}
	}
	if lines[0] != lines[1] {
		t.Errorf("got\n%s and then\n%s", lines[0], lines[1])
	}
}
