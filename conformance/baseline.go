package conformance

import (
	_ "embed" // the schema
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

//go:embed baseline.schema.json
var baselineSchema []byte

// A Baseline is the results that are expected not to be as required, by target: for
// each somebody answers, until a day.
type Baseline struct {
	// Name is the file, for reports.
	Name string `yaml:"-"`
	// Targets are the deviations by the name of the target. "reference" is the
	// reference cloud with simulated devices.
	Targets map[string][]Expectation `yaml:"targets"`
}

// An Expectation is one deviation that is expected.
type Expectation struct {
	// Check names the check, ID a requirement; one of them, with wildcards.
	Check string `yaml:"check"`
	ID    string `yaml:"id"`
	// DeviceOS is a range of versions and Transport "udp" or "tcp"; empty: all.
	DeviceOS  string `yaml:"device_os"`
	Transport string `yaml:"transport"`
	// Verdict is what is expected: "fail", if it is empty.
	Verdict string `yaml:"verdict"`
	Owner   string `yaml:"owner"`
	Reason  string `yaml:"reason"`
	// Expires is the last day on which it holds, 2026-12-31.
	Expires string `yaml:"expires"`

	verdict report.Verdict
	expires time.Time
	version func(string) bool
}

// LoadBaseline reads a baseline file. Errors name the line or the entry.
func LoadBaseline(file string) (*Baseline, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the baseline: %w", err)
	}
	baseline := &Baseline{Name: file}
	if err := target.ReadYAML(b, baselineSchema, baseline); err != nil {
		return nil, fmt.Errorf("the baseline %s: %w", file, err)
	}
	for name, list := range baseline.Targets {
		for i := range list {
			if err := list[i].complete(); err != nil {
				return nil, fmt.Errorf("the baseline %s: target %s, entry %d: %w", file, name, i+1, err)
			}
		}
	}
	return baseline, nil
}

// complete checks an entry and reads its words.
func (e *Expectation) complete() (err error) {
	_, badCheck := path.Match(e.Check+e.ID, "")
	switch {
	case (e.Check == "") == (e.ID == ""):
		return errors.New("want check: NAME or id: REQUIREMENT, one of them")
	case badCheck != nil:
		return fmt.Errorf("%q is no name with wildcards", e.Check+e.ID)
	}
	if e.expires, err = time.Parse(time.DateOnly, e.Expires); err != nil {
		return fmt.Errorf("expires %q: want a day such as 2026-12-31", e.Expires)
	}
	e.verdict = report.Fail
	if e.Verdict != "" {
		if err := e.verdict.UnmarshalText([]byte(e.Verdict)); err != nil {
			return err
		}
	}
	e.version = func(string) bool { return true }
	if e.DeviceOS != "" {
		e.version, err = target.ParseDeviceOS(e.DeviceOS)
	}
	return err
}

// covers reports whether the entry speaks of a result.
func (e *Expectation) covers(r *report.Result) bool {
	named := false
	if e.Check != "" {
		named, _ = path.Match(e.Check, r.Name())
	}
	for _, id := range r.Requirements {
		ok, _ := path.Match(e.ID, id)
		named = named || ok
	}
	return named && (e.Transport == "" || e.Transport == r.Transport) && e.version(r.DeviceOS)
}

// name is what the entry speaks of.
func (e *Expectation) name() string {
	if e.Check != "" {
		return e.Check
	}
	return e.ID
}

// expired reports whether the entry's last day is over.
func (e *Expectation) expired(now time.Time) bool { return now.After(e.expires.AddDate(0, 0, 1)) }

// compare marks the results that are expected, and notes every difference.
func (b *Baseline) compare(run *report.Run, name string, now time.Time) {
	run.Baseline = &report.Baseline{Name: b.Name}
	list := b.Targets[name]
	differ := func(d report.Difference) { run.Baseline.Differences = append(run.Baseline.Differences, d) }
	occurred, judged := make([]bool, len(list)), make([]bool, len(list))
	for i := range run.Results {
		r := &run.Results[i]
		for j := range list {
			e := &list[j]
			if !e.covers(r) {
				continue
			}
			judged[j] = judged[j] || r.Verdict >= report.Unsupported
			if r.Verdict == e.verdict {
				occurred[j] = true
				if !e.expired(now) {
					r.Deviation = &report.Deviation{Owner: e.Owner, Reason: e.Reason, Expires: e.Expires}
				}
			}
		}
		if r.Deviation == nil && r.Verdict >= report.Inconclusive {
			differ(report.Difference{
				Check: r.Name(), DeviceOS: r.DeviceOS, Transport: r.Transport, Expected: report.Pass, Actual: r.Verdict,
				Text: "not in the baseline",
			})
		}
	}
	for j := range list {
		e := &list[j]
		d := report.Difference{Check: e.name(), DeviceOS: e.DeviceOS, Transport: e.Transport, Expected: e.verdict, Actual: report.Pass}
		switch {
		case e.expired(now):
			d.Text = fmt.Sprintf("the deviation expired on %s: ask %s", e.Expires, e.Owner)
		case judged[j] && !occurred[j]:
			d.Text = fmt.Sprintf("the deviation did not occur: take it out, and tell %s", e.Owner)
		default:
			continue
		}
		if occurred[j] {
			d.Actual = e.verdict
		}
		differ(d)
	}
}
