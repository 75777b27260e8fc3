package conformance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

func catalogue(t *testing.T) *requirements.Catalogue {
	t.Helper()
	c, err := requirements.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reported returns the checks that a plan reports.
func reported(p plan) []string {
	var names []string
	for _, s := range p.suites {
		for _, c := range s.Checks {
			if name := s.Name + "/" + c.Name; !p.silent[name] {
				names = append(names, name)
			}
		}
	}
	return names
}

func TestShardsAreAllAndNothingTwice(t *testing.T) {
	whole := Options{}
	want := reported(whole.plan(Suites(), catalogue(t)))
	var got []string
	for _, shard := range []string{"1/3", "2/3", "3/3"} {
		o := Options{Shard: shard}
		p := o.plan(Suites(), catalogue(t))
		if again := reported(o.plan(Suites(), catalogue(t))); !slices.Equal(again, reported(p)) {
			t.Errorf("shard %s is not the same twice", shard)
		}
		if n := len(reported(p)); n < len(want)/3 || n > len(want)/3+1 {
			t.Errorf("shard %s has %d of %d checks", shard, n, len(want))
		}
		if len(p.omissions) != 1 {
			t.Errorf("shard %s: omissions %v", shard, p.omissions)
		}
		got = append(got, reported(p)...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d checks in the shards, %d without", len(got), len(want))
	}
}

func TestShardsRunWhatTheyNeed(t *testing.T) {
	for _, shard := range []string{"1/2", "2/2"} {
		o := Options{Select: []string{"pubsub/publish*"}, Shard: shard}
		p := o.plan(Suites(), catalogue(t))
		i := slices.IndexFunc(p.suites, func(s Suite) bool { return s.Name == "pubsub" })
		for _, c := range p.suites[i].Checks {
			for _, n := range c.Needs {
				if !slices.ContainsFunc(p.suites[i].Checks, func(other Check) bool { return other.Name == n }) {
					t.Errorf("shard %s has %s without %s", shard, c.Name, n)
				}
			}
		}
	}
}

func TestOneSideIsJudged(t *testing.T) {
	cloud := Options{Spec: &target.Spec{Cloud: &target.CloudSpec{UDP: "x"}}}
	device := Options{Spec: &target.Spec{Device: &target.DeviceSpec{}}}
	of := func(o Options) []string { return reported(o.plan(Suites(), catalogue(t))) }
	for check, want := range map[string][2]bool{
		"handshake/client-hello": {false, true}, // only the device makes it
		"handshake/cookie":       {true, false}, // only the cloud makes it
		"handshake/connects":     {true, true},
		"functions/call":         {true, true},
	} {
		if got := slices.Contains(of(cloud), check); got != want[0] {
			t.Errorf("%s judges clouds: %v", check, got)
		}
		if got := slices.Contains(of(device), check); got != want[1] {
			t.Errorf("%s judges devices: %v", check, got)
		}
	}
}

func TestSelectByRequirement(t *testing.T) {
	o := Options{Select: []string{"R-71"}}
	if err := o.defaultsAndCheck(); err != nil {
		t.Error(err)
	}
	if got := reported(o.plan(Suites(), catalogue(t))); !slices.Contains(got, "resume/bytes") {
		t.Errorf("R-71 is judged by %v", got)
	}
}

func (o *Options) defaultsAndCheck() error {
	all := o.defaults()
	return all.check(Suites())
}

func TestWrongOptions(t *testing.T) {
	for says, o := range map[string]Options{
		"--shard":     {Shard: "5/4"},
		"2/4":         {Shard: "two"},
		"--level":     {Level: "PERHAPS"},
		"--device-os": {DeviceOS: ">> 2"},
		"negative":    {Retries: -1},
	} {
		if err := o.defaultsAndCheck(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q in it", o, err, says)
		}
	}
}

func TestWeight(t *testing.T) {
	var should, must string
	for _, r := range catalogue(t).All() {
		if slices.Equal(r.Roles, []requirements.Role{requirements.Cloud}) {
			switch r.Level {
			case requirements.Should:
				should = r.ID
			case requirements.Must:
				must = r.ID
			default: // is not needed
			}
		}
	}
	cloud := &target.Spec{Cloud: &target.CloudSpec{UDP: "x"}}
	device := &target.Spec{Device: &target.DeviceSpec{}}
	for _, test := range []struct {
		name string
		o    Options
		id   string
		want report.Verdict
	}{
		{"by default every level counts", Options{}, should, report.Fail},
		{"a SHOULD, where SHOULDs must hold", Options{Level: "SHOULD"}, should, report.Fail},
		{"a SHOULD, where MUSTs must hold", Options{Level: "MUST"}, should, report.PassWithRemark},
		{"a MUST", Options{Level: "MUST"}, must, report.Fail},
		{"the target's own", Options{Spec: cloud}, must, report.Fail},
		{"that of the other side, which is ours", Options{Spec: device}, must, report.Inconclusive},
		{"what is in no catalogue", Options{Level: "MUST"}, "", report.Fail},
	} {
		if got := test.o.weigh(catalogue(t), &report.Finding{Verdict: report.Fail, Requirement: test.id}); got != test.want {
			t.Errorf("%s (%s): %v, want %v", test.name, test.id, got, test.want)
		}
	}
}

// resultsOf makes a run of results "suite/check" with verdicts.
func resultsOf(verdicts map[string]report.Verdict) *report.Run {
	run := new(report.Run)
	for name, v := range verdicts {
		suite, check, _ := strings.Cut(name, "/")
		run.Results = append(run.Results, report.Result{Suite: suite, Check: check, DeviceOS: "6.2.0", Transport: "udp", Verdict: v, Requirements: []string{"R-1"}})
	}
	slices.SortFunc(run.Results, func(a, b report.Result) int { return strings.Compare(a.Name(), b.Name()) })
	return run
}

func baselineOf(t *testing.T, text string) (*Baseline, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "baseline.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadBaseline(file)
}

func TestBaseline(t *testing.T) {
	day := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	const known = `
targets:
  lab:
    - {check: a/fails, owner: ann, reason: ticket 7, expires: 2026-06-01}
`
	for _, test := range []struct {
		name     string
		baseline string
		verdicts map[string]report.Verdict
		code     int
		says     string
	}{
		{"what is expected", known, map[string]report.Verdict{"a/fails": report.Fail, "a/ok": report.Pass}, report.ExitClean, ""},
		{"another failure", known, map[string]report.Verdict{"a/fails": report.Fail, "b/new": report.Fail}, report.ExitBaseline, "not in the baseline"},
		{"it does not occur", known, map[string]report.Verdict{"a/fails": report.Pass}, report.ExitBaseline, "did not occur"},
		{"it was not run", known, map[string]report.Verdict{"a/ok": report.Pass}, report.ExitClean, ""},
		{
			"it has expired", strings.ReplaceAll(known, "2026-06-01", "2026-05-31"),
			map[string]report.Verdict{"a/fails": report.Fail, "a/ok": report.Pass},
			report.ExitBaseline, "expired",
		},
		{"of another target", strings.ReplaceAll(known, "lab", "field"), map[string]report.Verdict{"a/fails": report.Fail}, report.ExitBaseline, "not in the baseline"},
		{
			"by requirement and version", strings.ReplaceAll(known, "check: a/fails", `id: R-1, device_os: ">= 6", transport: udp`),
			map[string]report.Verdict{"a/fails": report.Fail, "b/fails": report.Fail},
			report.ExitClean, "",
		},
		{
			"of another version", strings.ReplaceAll(known, "check: a/fails", `check: a/fails, device_os: "< 6"`),
			map[string]report.Verdict{"a/fails": report.Fail},
			report.ExitBaseline, "not in the baseline",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := baselineOf(t, test.baseline)
			if err != nil {
				t.Fatal(err)
			}
			run := resultsOf(test.verdicts)
			b.compare(run, "lab", day)
			if code := run.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d: %+v", code, test.code, run.Baseline.Differences)
			}
			var said string
			for _, d := range run.Baseline.Differences {
				said += d.Text + "\n"
			}
			if !strings.Contains(said, test.says) || test.says == "" && said != "" {
				t.Errorf("it says %q, want %q", said, test.says)
			}
		})
	}
}

func TestWrongBaselines(t *testing.T) {
	for says, text := range map[string]string{
		"owner":                       `targets: {lab: [{check: a/b, reason: x, expires: "2026-01-01"}]}`,
		"'soon' does":                 `targets: {lab: [{check: a/b, owner: o, reason: x, expires: soon}]}`,
		"one of them":                 `targets: {lab: [{check: a/b, id: R-1, owner: o, reason: x, expires: "2026-01-01"}]}`,
		"jugglers":                    `targets: {lab: [{check: a/b, jugglers: 3, owner: o, reason: x, expires: "2026-01-01"}]}`,
		"value must be one of 'fail'": `targets: {lab: [{check: a/b, verdict: maybe, owner: o, reason: x, expires: "2026-01-01"}]}`,
		"--device-os":                 `targets: {lab: [{check: a/b, device_os: ">>", owner: o, reason: x, expires: "2026-01-01"}]}`,
		"no such":                     "",
	} {
		var err error
		if text == "" {
			_, err = LoadBaseline(filepath.Join(t.TempDir(), "none"))
		} else {
			_, err = baselineOf(t, text)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q in it", text, err, says)
		}
	}
}

func TestFlakes(t *testing.T) {
	flaky := func() *report.Run {
		run := resultsOf(map[string]report.Verdict{"a/flaky": report.Pass, "b/flaky": report.Pass, "c/fine": report.Pass, "d/fails": report.Fail})
		for i := range run.Results {
			if run.Results[i].Check != "fine" {
				run.Results[i].Attempts = []report.Attempt{{Verdict: report.Fail}, {Verdict: run.Results[i].Verdict}}
			}
		}
		return run
	}
	for budget, want := range map[int][]report.Verdict{
		0: {report.Fail, report.Fail, report.Pass, report.Fail},
		1: {report.PassWithRemark, report.Fail, report.Pass, report.Fail},
		2: {report.PassWithRemark, report.PassWithRemark, report.Pass, report.Fail},
	} {
		run := flaky()
		o := Options{Retries: 1, FlakeBudget: budget}
		o.settleFlakes(run)
		for i, r := range run.Results {
			if r.Verdict != want[i] {
				t.Errorf("budget %d: %s: %v, want %v", budget, r.Name(), r.Verdict, want[i])
			}
		}
		if run.Flakes.Used != 2 || run.Flakes.Allowed != budget {
			t.Errorf("%+v", run.Flakes)
		}
	}
}
