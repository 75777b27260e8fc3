package conformance

import (
	"fmt"
	"slices"
	"sync"

	"github.com/muster/muster/harness/report"
)

// A Recorder collects what one check found. It is safe for concurrent use:
// checks look at many devices at once.
type Recorder struct {
	mu           sync.Mutex
	findings     []report.Finding
	measurements []report.Measurement
	judged       int
}

// findingsMax bounds the findings of one check that are kept: the first ones
// tell what is wrong, and their number is told.
const findingsMax = 20

// Judged says that n more things were looked at. A check that judged nothing is
// inconclusive, whatever it found: it must not pass because nothing happened.
func (r *Recorder) Judged(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judged += n
}

// Fail records that something is not as required.
func (r *Recorder) Fail(f report.Finding) { r.add(report.Fail, f) }

// Remark records something that is allowed but worth a look.
func (r *Recorder) Remark(f report.Finding) { r.add(report.PassWithRemark, f) }

// Inconclusive records that something could not be judged, through no fault of
// the target.
func (r *Recorder) Inconclusive(f report.Finding) { r.add(report.Inconclusive, f) }

func (r *Recorder) add(v report.Verdict, f report.Finding) {
	f.Verdict = v
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings = append(r.findings, f)
}

// Equal records a failure unless got is want.
func Equal[T comparable](r *Recorder, requirement, device, what string, got, want T, packets ...string) bool {
	r.Judged(1)
	if got == want {
		return true
	}
	r.Fail(report.Finding{
		Requirement: requirement, Device: device, Text: what,
		Expected: fmt.Sprint(want), Actual: fmt.Sprint(got), Packets: packets,
	})
	return false
}

// Measure records numbers, and a failure for each that is above the limit, or
// that differs from it if exact. A limit of 0 is none.
func (r *Recorder) Measure(requirement, name, unit string, values []int64, limit int64, exact bool) {
	r.Judged(len(values))
	if len(values) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(values))
	m := report.Measurement{
		Name: name, Unit: unit, Min: sorted[0], Median: sorted[len(sorted)/2], Max: sorted[len(sorted)-1],
		Limit: limit, Exact: exact, Count: len(sorted),
	}
	r.mu.Lock()
	r.measurements = append(r.measurements, m)
	r.mu.Unlock()
	over := m.Max > limit && limit > 0
	if over || exact && (m.Min != limit || m.Max != limit) {
		r.Fail(report.Finding{
			Requirement: requirement, Text: name + " is out of bounds",
			Expected: m.Line(), Actual: fmt.Sprintf("%d to %d %s", m.Min, m.Max, unit),
		})
	}
}

// result adds up what was found.
func (r *Recorder) result(result report.Result) report.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	result.Verdict = report.Pass
	if r.judged == 0 {
		result.Verdict, result.Reason = report.Inconclusive, "nothing happened that could be judged"
	}
	for _, f := range r.findings {
		result.Verdict = report.Worse(result.Verdict, f.Verdict)
	}
	result.Measurements = r.measurements
	result.Findings = r.findings
	if more := len(r.findings) - findingsMax; more > 0 {
		// The worst stay.
		slices.SortStableFunc(result.Findings, func(a, b report.Finding) int { return int(b.Verdict) - int(a.Verdict) })
		result.Findings = append(slices.Clone(result.Findings[:findingsMax]), report.Finding{
			Verdict: result.Findings[findingsMax].Verdict, Text: fmt.Sprintf("and %d more findings", more),
		})
	}
	return result
}
