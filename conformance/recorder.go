package conformance

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/protocol/trace"
)

// A Recorder collects what one check found. It is safe for concurrent use:
// checks look at many devices at once.
type Recorder struct {
	mu       sync.Mutex
	findings []report.Finding
	limits   []limit // of samples, in order
	samples  map[limit][]sample
	judged   int
	frozen   bool
	over     func() bool // whether the run was broken off, if not nil
}

// freeze ends the record: what a check finds from now on proves nothing.
func (r *Recorder) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = true
}

// nothing reports whether nothing was looked at, and nothing found.
func (r *Recorder) nothing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.judged == 0 && len(r.findings) == 0
}

// failed reports whether a failure was found.
func (r *Recorder) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.findings, func(f report.Finding) bool { return f.Verdict == report.Fail })
}

// The bounds of what is kept of one check on one generation: findingsMax findings, of
// which those beyond the first packetsMax come without their packets. A target that
// does everything wrong on a thousand devices would fill a disk otherwise.
const (
	findingsMax = 2000
	packetsMax  = 20
)

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
	if !r.frozen && (r.over == nil || !r.over()) {
		r.findings = append(r.findings, f)
	}
}

// weigh gives findings the verdicts that they have in a run.
func (r *Recorder) weigh(verdict func(*report.Finding) report.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.findings {
		r.findings[i].Verdict = verdict(&r.findings[i])
	}
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

// A limit is what a measured value is held against.
type limit struct {
	requirement, name, unit string
	value                   int64 // 0: none
	exact                   bool  // the value is the required one
}

// sampleMax bounds the packets of a sample that are shown.
const sampleMax = 64

// A sample is one measured value and the packets that make it up.
type sample struct {
	device  string
	value   int64
	packets []*trace.Packet
}

// Measure records a value, with the packets that make it up. All values with the
// same limit are one measurement. A value that is above the limit, or differs from
// it if exact, is a failure.
func (r *Recorder) Measure(l limit, device string, value int64, packets ...*trace.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.judged++; r.frozen {
		return
	}
	if r.samples == nil {
		r.samples = make(map[limit][]sample)
	}
	if r.samples[l] == nil {
		r.limits = append(r.limits, l)
	}
	r.samples[l] = append(r.samples[l], sample{device, value, packets})
}

// measured returns the measurements, and a finding for each that is out of bounds.
func (r *Recorder) measured() (list []report.Measurement, findings []report.Finding) {
	for _, l := range r.limits {
		sorted := slices.Clone(r.samples[l])
		slices.SortStableFunc(sorted, func(a, b sample) int { return cmp.Compare(a.value, b.value) })
		last := len(sorted) - 1
		m := report.Measurement{
			Requirement: l.requirement, Name: l.name, Unit: l.unit, Limit: l.value, Exact: l.exact, Count: len(sorted),
			Min: sorted[0].value, Median: sorted[len(sorted)/2].value, Max: sorted[last].value,
		}
		seen := make(map[int64]bool)
		for _, i := range []int{0, len(sorted) / 2, last} {
			if s := sorted[i]; !seen[s.value] {
				seen[s.value] = true
				m.Samples = append(m.Samples, report.Sample{Device: s.device, Value: s.value, Packets: upTo(sampleMax, s.packets)})
			}
		}
		list = append(list, m)
		if m.Over() {
			worst := sorted[last]
			if m.Max <= m.Limit {
				worst = sorted[0]
			}
			findings = append(findings, report.Finding{
				Verdict: report.Fail, Requirement: l.requirement, Device: worst.device, Text: l.name + " is out of bounds",
				Expected: m.Bound(), Actual: m.Range(), Packets: lines(worst.packets),
			})
		}
	}
	return list, findings
}

// result adds up what was found.
func (r *Recorder) result(result report.Result) report.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	result.Verdict = report.Pass
	if r.judged == 0 {
		result.Verdict, result.Reason = report.Inconclusive, "nothing happened that could be judged"
	}
	measurements, over := r.measured()
	findings := append(slices.Clone(r.findings), over...)
	for _, f := range findings {
		result.Verdict = report.Worse(result.Verdict, f.Verdict)
	}
	result.Measurements = measurements
	result.Findings = findings
	if len(findings) > packetsMax {
		// The worst come first.
		slices.SortStableFunc(findings, func(a, b report.Finding) int { return int(b.Verdict) - int(a.Verdict) })
		for i := packetsMax; i < len(findings); i++ {
			findings[i].Packets = nil
		}
	}
	if more := len(findings) - findingsMax; more > 0 {
		result.Findings = append(slices.Clone(result.Findings[:findingsMax]), report.Finding{
			Verdict: result.Findings[findingsMax].Verdict, Text: fmt.Sprintf("and %d more findings", more),
		})
	}
	return result
}
