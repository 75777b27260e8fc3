package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// WriteJUnit writes the run in the JUnit form that build servers read. Names
// are stable from run to run: the suite is the test suite, suite and
// generation the class, the check the test. JUnit knows no inconclusive: it
// becomes an error, which build servers show apart from failures.
func (r *Run) WriteJUnit(w io.Writer) error {
	var suites junit.Testsuites
	suites.Name = r.Tool
	for _, name := range r.Suites() {
		suite := junit.Testsuite{Name: name, Timestamp: r.Started.UTC().Format(time.RFC3339)}
		suite.AddProperty("seed", fmt.Sprint(r.Seed))
		suite.AddProperty("repeat", r.Repeat)
		var total time.Duration
		for _, result := range r.Results {
			if result.Suite == name {
				suite.AddTestcase(testcase(result))
				total += result.Duration
			}
		}
		suite.Time = seconds(total)
		suites.AddSuite(suite)
	}
	suites.Time = seconds(r.Duration)
	return suites.WriteXML(w)
}

func testcase(result Result) junit.Testcase {
	generation := Generation{result.DeviceOS, result.Transport}
	tc := junit.Testcase{
		Classname: result.Suite + "." + strings.ReplaceAll(generation.String(), " ", "."),
		Name:      result.Check,
		Time:      seconds(result.Duration),
	}
	text := findingsText(result)
	switch result.Verdict {
	case Fail:
		tc.Failure = &junit.Result{Message: firstLine(text), Type: strings.Join(result.Requirements, " "), Data: text}
	case Inconclusive:
		tc.Error = &junit.Result{Message: firstLine(text), Type: "inconclusive", Data: text}
	case NotRun, Disabled, Unsupported:
		tc.Skipped = &junit.Result{Message: result.Verdict.String() + ": " + result.Reason}
	case Pass, PassWithRemark:
		if text != "" {
			tc.SystemOut = &junit.Output{Data: text}
		}
	default: // no other is a verdict
	}
	return tc
}

// findingsText is what a person needs to understand a result without a
// debugger: every finding, what was expected, what was seen, and the command
// that repeats it.
func findingsText(result Result) string {
	var b strings.Builder
	if result.Reason != "" {
		fmt.Fprintln(&b, result.Reason)
	}
	for _, f := range result.Findings {
		fmt.Fprintln(&b, f.Line())
		if f.Expected != "" || f.Actual != "" {
			fmt.Fprintf(&b, "  expected: %s\n  actual:   %s\n", f.Expected, f.Actual)
		}
		for _, packet := range f.Packets {
			fmt.Fprintf(&b, "  %s\n", packet)
		}
	}
	for _, m := range result.Measurements {
		fmt.Fprintln(&b, m.Line())
	}
	if result.Verdict >= Inconclusive && result.Repeat != "" {
		fmt.Fprintf(&b, "to repeat: %s\n", result.Repeat)
	}
	return b.String()
}

// Line returns the finding as one line.
func (f Finding) Line() string {
	parts := make([]string, 0, 3)
	if f.Requirement != "" {
		parts = append(parts, f.Requirement)
	}
	if f.Device != "" {
		parts = append(parts, "device "+f.Device)
	}
	return strings.Join(append(parts, f.Text), ": ")
}

// Line returns the measurement as one line.
func (m Measurement) Line() string {
	line := fmt.Sprintf("%s: median %d %s (%d to %d, %d measured)", m.Name, m.Median, m.Unit, m.Min, m.Max, m.Count)
	switch {
	case m.Exact:
		line += fmt.Sprintf(", required exactly %d", m.Limit)
	case m.Limit > 0:
		line += fmt.Sprintf(", limit %d", m.Limit)
	}
	return line
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
