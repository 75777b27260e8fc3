package report

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	gojunit "github.com/joshdk/go-junit"
)

// full is a run with one of every verdict, attempts, and a text that XML cannot hold.
func full() *Run {
	run := sample()
	for v := range numVerdicts {
		run.Results = append(run.Results, Result{
			Suite: "ladder", Check: strings.ReplaceAll(v.String(), " ", "-"), DeviceOS: "6.2.0", Transport: "udp", Verdict: v,
			Reason: "because \x00\x1b]0; <&>", Requirements: []string{"R-1", "S1"},
		})
	}
	bad := Attempt{Verdict: Fail, Findings: []Finding{{Verdict: Fail, Text: "lost", Expected: "1", Actual: "0"}}}
	run.Results = append(
		run.Results,
		Result{Suite: "ladder", Check: "flaky", DeviceOS: "6.2.0", Transport: "udp", Verdict: Pass, Attempts: []Attempt{bad, {Verdict: Pass}}},
		Result{Suite: "ladder", Check: "steady", DeviceOS: "6.2.0", Transport: "udp", Verdict: Fail, Findings: bad.Findings, Attempts: []Attempt{bad, bad}},
		Result{
			Suite: "ladder", Check: "known", DeviceOS: "6.2.0", Transport: "udp", Verdict: Fail, Findings: bad.Findings,
			Deviation: &Deviation{Owner: "ann", Reason: "bug 12", Expires: "2027-01-01"},
		},
	)
	run.Shard = "2/4"
	return run
}

func junitOf(t *testing.T, run *Run) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := run.WriteJUnit(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestJUnitFitsTheSchema has another program check the file against what build
// servers accept.
func TestJUnitFitsTheSchema(t *testing.T) {
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		if os.Getenv("MUSTER_REQUIRE_PEERS") != "" {
			t.Fatal("xmllint is missing: install the package libxml2-utils")
		}
		t.Skip("xmllint is not installed (Debian: libxml2-utils)")
	}
	for name, run := range map[string]*Run{"full": full(), "sample": sample(), "empty": {Tool: "muster conform"}} {
		cmd := exec.CommandContext(t.Context(), xmllint, "--noout", "--schema", "testdata/junit.xsd", "-")
		cmd.Stdin = bytes.NewReader(junitOf(t, run))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	// The schema itself must refuse something.
	cmd := exec.CommandContext(t.Context(), xmllint, "--noout", "--schema", "testdata/junit.xsd", "-")
	cmd.Stdin = strings.NewReader(`<testsuites><testsuite name="a" tests="many" failures="0" errors="0"/></testsuites>`)
	if cmd.Run() == nil {
		t.Error("the schema accepts anything")
	}
}

// TestJUnitIsReadByOthers reads the file with a parser that others use for the files
// of many tools.
func TestJUnitIsReadByOthers(t *testing.T) {
	suites, err := gojunit.Ingest(junitOf(t, full()))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]gojunit.Status{
		"not-run": gojunit.StatusSkipped, "disabled": gojunit.StatusSkipped, "unsupported": gojunit.StatusSkipped,
		"pass": gojunit.StatusPassed, "pass-with-remark": gojunit.StatusPassed, "inconclusive": gojunit.StatusError,
		"fail": gojunit.StatusFailed, "flaky": gojunit.StatusPassed, "steady": gojunit.StatusFailed, "known": gojunit.StatusSkipped,
	}
	seen := 0
	for _, suite := range suites {
		if suite.Properties["seed"] != "42" || suite.Properties["shard"] != "2/4" {
			t.Errorf("suite %s: properties %v", suite.Name, suite.Properties)
		}
		if suite.Name != "ladder" {
			continue
		}
		if got := suite.Totals; got.Failed != 2 || got.Error != 1 || got.Skipped != 4 || got.Passed != 3 {
			t.Errorf("totals %+v", got)
		}
		for _, test := range suite.Tests {
			seen++
			if test.Status != want[test.Name] || test.Classname != "ladder.6.2.0.udp" {
				t.Errorf("%s %s: %v, want %v", test.Classname, test.Name, test.Status, want[test.Name])
			}
		}
	}
	if seen != len(want) {
		t.Errorf("%d tests, want %d", seen, len(want))
	}
}

func TestJUnitShowsAttempts(t *testing.T) {
	text := string(junitOf(t, full()))
	if strings.Count(text, "<flakyFailure ") != 1 || strings.Count(text, "<rerunFailure ") != 1 {
		t.Errorf("attempts are not shown:\n%s", text)
	}
}
