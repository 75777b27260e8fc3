package conformance

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/harness/report"
)

// TestConclude: the result is told whatever became of the reports, and a run that
// left something undone is not clean.
func TestConclude(t *testing.T) {
	clean := func() *report.Run {
		return &report.Run{Results: []report.Result{{Suite: "resume", Check: "bytes", Transport: "udp", Verdict: report.Pass}}}
	}
	failing := clean()
	failing.Results[0].Verdict = report.Fail
	full := t.TempDir()
	if err := os.Mkdir(filepath.Join(full, "report.json"), 0o700); err != nil { // no file can be made there
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		run  *report.Run
		dir  string
		err  error
		code int
		says string
	}{
		{"clean", clean(), t.TempDir(), nil, report.ExitClean, "reports: "},
		{"no room", clean(), full, nil, report.ExitInconclusive, "writing a report"},
		{"no room for failures", failing, full, nil, report.ExitFailures, "writing a report"},
		{"a board that was not put back", clean(), t.TempDir(), errors.New("its own server key"), report.ExitInconclusive, "muster conform: its own server key"},
	} {
		var out bytes.Buffer
		code := report.ExitClean
		var exit *ExitError
		if err := conclude(test.run, test.dir, test.err, &out, &out); errors.As(err, &exit) {
			code = exit.Code
		}
		if code != test.code || !strings.Contains(out.String(), test.says) || !strings.Contains(out.String(), "1 checks") && !strings.Contains(out.String(), "1 check") {
			t.Errorf("%s: exit code %d, want %d\n%s", test.name, code, test.code, &out)
		}
		if _, err := os.Stat(filepath.Join(test.dir, "index.html")); err != nil {
			t.Errorf("%s: the other reports are missing, too: %v", test.name, err)
		}
	}
}
