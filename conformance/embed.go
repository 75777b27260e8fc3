package conformance

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/muster/muster/harness/report"
)

// Test judges a target from somebody else's "go test": each check on each generation
// is a subtest, called suite/check/version/transport. What the target lacks is
// skipped, with the reason; what could not be judged fails too, as it proves
// nothing. It returns the run, for those who want a report of it.
//
// It does not use Ginkgo, so it lives beside a suite that does.
func Test(t *testing.T, o Options) *report.Run {
	t.Helper()
	o.plain = true
	run, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("muster: %v", err)
	}
	for i := range run.Results {
		r := &run.Results[i]
		t.Run(strings.Join([]string{r.Suite, r.Check, r.DeviceOS, r.Transport}, "/"), func(t *testing.T) { tell(t, r) })
	}
	if run.Baseline != nil {
		for _, d := range run.Baseline.Differences {
			t.Errorf("differs from the baseline: %s: %s", d.Check, d.Text)
		}
	}
	return run
}

// tell says in the words of package testing what became of a check.
func tell(t *testing.T, r *report.Result) {
	t.Helper()
	for _, f := range r.Findings {
		t.Log(f.Line())
		if f.Expected != "" || f.Actual != "" {
			t.Logf("  expected: %s", f.Expected)
			t.Logf("  actual:   %s", f.Actual)
		}
		for _, packet := range f.Packets {
			t.Log("  " + packet)
		}
	}
	switch {
	case r.Deviation != nil:
		t.Logf("expected by %s until %s: %s", r.Deviation.Owner, r.Deviation.Expires, r.Deviation.Reason)
	case r.Verdict >= report.Inconclusive:
		t.Errorf("%v: %s [%s] %s", r.Verdict, r.Text, strings.Join(r.Requirements, " "), r.Reason)
	case r.Verdict <= report.Unsupported:
		t.Skipf("%v: %s", r.Verdict, r.Reason)
	}
}

// Ginkgo gives every program that links it some forty flags. They are none of ours,
// nor of a program that embeds the suites, so they go, unless somebody uses them: a
// test binary of its own suites, started by Ginkgo's command.
func init() {
	for _, arg := range os.Args {
		if strings.HasPrefix(strings.TrimLeft(arg, "-"), "ginkgo.") {
			return
		}
	}
	hideGinkgo()
}

// hideGinkgo replaces the flags of the process by those that are not Ginkgo's.
func hideGinkgo() {
	kept := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	kept.Usage = flag.CommandLine.Usage
	flag.VisitAll(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "ginkgo.") {
			kept.Var(f.Value, f.Name, f.Usage)
		}
	})
	flag.CommandLine = kept
	flag.CommandLine.Usage = func() { flag.Usage() }
}
