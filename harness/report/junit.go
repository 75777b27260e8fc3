package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The elements of the JUnit form that build servers read, as the schema of the
// Jenkins xunit plugin (junit-10) allows them, attempts included.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Time     string       `xml:"time,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name      string         `xml:"name,attr"`
		Classname string         `xml:"classname,attr"`
		Time      string         `xml:"time,attr"`
		Skipped   *junitResult   `xml:"skipped"`
		Error     *junitResult   `xml:"error"`
		Failure   *junitResult   `xml:"failure"`
		Reruns    []junitAttempt `xml:"rerunFailure"` // those before one that failed too
		Flaky     []junitAttempt `xml:"flakyFailure"` // those before one that passed
		SystemOut string         `xml:"system-out,omitempty"`
	}
	junitResult struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
	junitAttempt struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:"stackTrace"`
	}
)

// WriteJUnit writes the run in the JUnit form that build servers read. Names
// are stable from run to run: the suite is the test suite, suite and
// generation the class, the check the test. JUnit knows no inconclusive: it
// becomes an error, which build servers show apart from failures. A failure that
// the baseline expects is skipped. Attempts before the last are rerunFailure and
// flakyFailure elements.
func (r *Run) WriteJUnit(w io.Writer) error {
	all := junitSuites{Name: r.Tool, Time: seconds(r.Duration)}
	for _, name := range r.Suites() {
		suite := junitSuite{Name: name, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05")}
		suite.Properties = []junitProperty{{"seed", fmt.Sprint(r.Seed)}, {"repeat", r.Repeat}}
		if r.Shard != "" {
			suite.Properties = append(suite.Properties, junitProperty{"shard", r.Shard})
		}
		var total time.Duration
		for i := range r.Results {
			if r.Results[i].Suite == name {
				suite.add(testcase(&r.Results[i]))
				total += r.Results[i].Duration
			}
		}
		suite.Time = seconds(total)
		all.Suites = append(all.Suites, suite)
		all.Tests, all.Failures, all.Errors = all.Tests+suite.Tests, all.Failures+suite.Failures, all.Errors+suite.Errors
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "\t")
	if err := encoder.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
}

func testcase(result *Result) junitCase {
	tc := junitCase{
		Classname: result.Suite + "." + strings.ReplaceAll(generationOf(result).String(), " ", "."),
		Name:      result.Check,
		Time:      seconds(result.Duration),
	}
	if result.Target != "" {
		tc.Classname = result.Target + "." + tc.Classname
	}
	text := findingsText(*result)
	switch verdict := result.Verdict; {
	case result.Deviation != nil:
		tc.Skipped = &junitResult{Message: result.Deviation.Line(), Text: text}
	case verdict == Fail:
		tc.Failure = &junitResult{Message: firstLine(text), Type: strings.Join(result.Requirements, " "), Text: text}
	case verdict == Inconclusive:
		tc.Error = &junitResult{Message: firstLine(text), Type: "inconclusive", Text: text}
	case verdict == Pass || verdict == PassWithRemark:
		tc.SystemOut = text
	default: // it did not run
		tc.Skipped = &junitResult{Message: result.Verdict.String() + ": " + result.Reason}
	}
	for _, a := range result.Attempts[:max(0, len(result.Attempts)-1)] {
		text := findingsText(Result{Verdict: a.Verdict, Reason: a.Reason, Findings: a.Findings})
		attempt := junitAttempt{Message: firstLine(text), Type: a.Verdict.String(), Text: text}
		if tc.Failure != nil || tc.Error != nil {
			tc.Reruns = append(tc.Reruns, attempt)
		} else {
			tc.Flaky = append(tc.Flaky, attempt)
		}
	}
	return tc
}

// findingsShown is how many findings of a result are shown as text: the first tell
// what is wrong.
const findingsShown = 20

// findingsText is what a person needs to understand a result without a
// debugger: every finding, what was expected, what was seen, and the command
// that repeats it.
func findingsText(result Result) string {
	var b strings.Builder
	if result.Reason != "" {
		fmt.Fprintln(&b, result.Reason)
	}
	if result.Deviation != nil {
		fmt.Fprintln(&b, result.Deviation.Line())
	}
	for i := range result.Findings {
		if i == findingsShown {
			fmt.Fprintf(&b, "and %d more findings, which are in report.json\n", len(result.Findings)-i)
			break
		}
		f := &result.Findings[i]
		fmt.Fprintln(&b, f.Line())
		if f.Expected != "" || f.Actual != "" {
			fmt.Fprintf(&b, "  expected: %s\n  actual:   %s\n", f.Expected, f.Actual)
		}
		for _, packet := range f.Packets {
			fmt.Fprintf(&b, "  %s\n", packet)
		}
	}
	for i := range result.Measurements {
		fmt.Fprintln(&b, result.Measurements[i].Line())
	}
	if n := len(result.Attempts); n > 1 {
		fmt.Fprintf(&b, "attempt %d; before it: %s\n", n, attemptsBefore(&result))
	}
	if result.Verdict >= Inconclusive && result.Repeat != "" {
		fmt.Fprintf(&b, "to repeat: %s\n", result.Repeat)
	}
	return b.String()
}

// attemptsBefore names the verdicts of the attempts before the last.
func attemptsBefore(result *Result) string {
	var words []string
	for _, a := range result.Attempts[:len(result.Attempts)-1] {
		words = append(words, a.Verdict.String())
	}
	return strings.Join(words, ", ")
}

// Line returns the finding as one line.
func (f *Finding) Line() string {
	parts := make([]string, 0, 3)
	if f.Requirement != "" {
		parts = append(parts, f.Requirement)
	}
	if f.Device != "" {
		parts = append(parts, "device "+f.Device)
	}
	return strings.Join(append(parts, f.Text), ": ")
}

// Line returns the deviation as one line.
func (d *Deviation) Line() string {
	line := fmt.Sprintf("expected by the baseline: %s (%s", d.Reason, d.Owner)
	if d.Expires != "" {
		line += ", until " + d.Expires
	}
	return line + ")"
}

// Line returns the measurement as one line.
func (m *Measurement) Line() string {
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

// generationOf is the column of a result.
func generationOf(r *Result) Generation { return Generation{r.DeviceOS, r.Transport} }
