package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/muster/muster/conformance/mutants"
	"github.com/muster/muster/harness/report"
)

// call runs one of the catalogue's commands and returns what it says and its exit
// code.
func call(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	root := &cobra.Command{Use: "muster", SilenceErrors: true}
	root.AddCommand(CatalogueCommands()...)
	var b bytes.Buffer
	root.SetOut(&b)
	root.SetErr(&b)
	root.SetArgs(args)
	err := root.Execute()
	var exit *ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.Code
	case err != nil:
		code = -1
	}
	return b.String(), code
}

func TestCatalogueCommands(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		says []string
		not  []string
	}{
		{"list", 0, []string{"S1 ", "R-96", "C-57", "D-22", "N-52", "A-17", "265 requirements"}, nil},
		{"list R-7?", 0, []string{"R-70", "10 requirements"}, []string{"R-69", "S6 "}},
		{"list r-71", 0, []string{"R-71", "1 requirement\n"}, nil},
		{"list resume/bytes", 0, []string{"R-71", "R-82"}, []string{"R-75"}},
		{"list --role device --suite timers", 0, []string{"R-47"}, []string{"R-82"}},
		{"list --level should", 0, []string{"R-81"}, []string{"R-82"}},
		{"list --checks R-71", 0, []string{"resume/bytes"}, []string{"resume/marks"}},
		{"list --checks --suite resume", 0, []string{"resume/marks"}, []string{"handshake/"}},
		{"list --level sometimes", report.ExitUsage, []string{"want one of"}, nil},
		{"list --role dog", report.ExitUsage, []string{"want one of"}, nil},
		{"list --suite dog", report.ExitUsage, []string{"want one of"}, nil},
		{"list dog", report.ExitUsage, []string{"neither a requirement nor a check"}, nil},
		{"list [", report.ExitUsage, []string{"wildcards"}, nil},
		{"explain R-71", 0, []string{"142 bytes", "transport §3.9", "resume/bytes", "provoked", "cloud/double-replies"}, nil},
		{"explain S6", 0, []string{"proven by"}, nil},
		{"explain cloud/any-tag", 0, []string{"R-54", "hostile/forged-records"}, nil},
		{"explain nothing", report.ExitUsage, []string{"muster list"}, nil},
		{"mutants --list device", 0, []string{"device/no-ping"}, []string{"cloud/"}},
		{"mutants dog", report.ExitUsage, []string{"muster mutants --list"}, nil},
		{"mutants [", report.ExitUsage, []string{"wildcards"}, nil},
	} {
		out, code := call(t, strings.Fields(test.args)...)
		if code != test.code {
			t.Errorf("muster %s: exit code %d, want %d: %s", test.args, code, test.code, out)
		}
		for _, s := range test.says {
			if !strings.Contains(out, s) {
				t.Errorf("muster %s: no %q in\n%s", test.args, s, out)
			}
		}
		for _, s := range test.not {
			if strings.Contains(out, s) {
				t.Errorf("muster %s: there is %q in\n%s", test.args, s, out)
			}
		}
	}
}

func TestCoverageCommand(t *testing.T) {
	c, suites, table, err := everything()
	if err != nil {
		t.Fatal(err)
	}
	gaps := Cover(c, suites, table).Gaps()
	want := report.ExitClean
	if gaps > 0 {
		want = report.ExitFailures
	}
	for _, args := range []string{"coverage", "coverage --gaps", "coverage --json"} {
		out, code := call(t, strings.Fields(args)...)
		if code != want {
			t.Errorf("muster %s: exit code %d with %d gaps", args, code, gaps)
		}
		if args == "coverage --json" {
			var v Coverage
			if err := json.Unmarshal([]byte(out), &v); err != nil || v.Gaps() != gaps {
				t.Errorf("%d gaps in the JSON, want %d: %v", v.Gaps(), gaps, err)
			}
		} else if !strings.Contains(out, counted(gaps, "gap")) {
			t.Errorf("muster %s does not say %q", args, counted(gaps, "gap"))
		}
	}
}

// TestExplainTellsTheLastVerdicts reads a report that a run would have left.
func TestExplainTellsTheLastVerdicts(t *testing.T) {
	dir := t.TempDir()
	run := report.Run{Seed: 99, Results: []report.Result{
		{Suite: "resume", Check: "bytes", DeviceOS: "3.1.0", Transport: "udp", Verdict: report.Pass},
		{
			Suite: "resume", Check: "bytes", DeviceOS: "6.2.0", Transport: "udp", Verdict: report.Fail,
			Findings: []report.Finding{{Text: "too many", Expected: "142", Actual: "143"}},
		},
	}}
	if err := writeReports(&run, dir); err != nil {
		t.Fatal(err)
	}
	out, code := call(t, "explain", "R-71", "--out", dir)
	for _, s := range []string{"✗ fail: 6.2.0 udp", "too many (expected 142, actual 143)", "✓ pass: 3.1.0 udp", "seed 99"} {
		if code != 0 || !strings.Contains(out, s) {
			t.Errorf("exit code %d, want %q in\n%s", code, s, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "report.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := call(t, "explain", "R-71", "--out", dir); code != report.ExitUsage || !strings.Contains(out, "run muster conform again") {
		t.Errorf("exit code %d with a damaged report: %s", code, out)
	}
}

// TestKillsAreShown: what a person sees of a mutant that is found, of one that
// gets through, and of one that makes more fail than it may.
func TestKillsAreShown(t *testing.T) {
	m := func(name string) *mutants.Mutant {
		return &mutants.Mutant{Name: name, Breaks: []string{"R-71"}, Fails: []string{"resume/bytes"}}
	}
	kills := []Kill{
		{Mutant: m("cloud/found"), Name: "cloud/found", Breaks: []string{"R-71"}, Killed: map[string]string{"resume/bytes": "x"}},
		{Mutant: m("cloud/through"), Name: "cloud/through", Breaks: []string{"R-71"}, Survived: map[string]string{"resume/bytes": "6.2.0 udp: pass"}},
		{
			Mutant: m("cloud/more"), Name: "cloud/more", Breaks: []string{"R-71"}, Killed: map[string]string{"resume/bytes": "x"},
			Unrelated: map[string]string{"resume/marks": "y"},
		},
		{Mutant: m("cloud/not-run"), Name: "cloud/not-run", Breaks: []string{"R-71"}, Err: errors.New("no socket")},
	}
	var b bytes.Buffer
	err := showKills(t.Context(), &b, kills, false)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != report.ExitFailures {
		t.Errorf("%v, want exit code %d", err, report.ExitFailures)
	}
	for _, s := range []string{
		"✓ killed", "✗ survived", "? not run", "cloud/through was not found by resume/bytes: 6.2.0 udp: pass",
		"cloud/more made resume/marks fail too", "could not be run: no socket", "1 of 4 mutants killed",
	} {
		if !strings.Contains(b.String(), s) {
			t.Errorf("no %q in\n%s", s, &b)
		}
	}
	if err := showKills(t.Context(), &b, kills[:1], true); err != nil {
		t.Errorf("all killed: %v", err)
	}
}
