package selfwatch

import (
	"slices"

	"github.com/muster/muster/sim/record"
)

// Settle changes the verdicts of a run to what the findings leave of them, and adds
// each finding to its notes.
//
// A threshold that failed in a spoilt phase is inconclusive: the generator's own
// slowness may be why; but where it only made times longer, thresholds on anything else
// than a duration stand. One that passed stands, because slowness makes times longer
// and losses more, unless arrivals were late: then the cloud was not asked what the
// scenario says. A run without thresholds is inconclusive when any phase was spoilt, by
// the same rule if it failed.
// A threshold over all phases is spoilt by any.
func Settle(r *record.Run, findings []Finding) {
	if len(findings) == 0 {
		return
	}
	for _, f := range findings {
		n := record.Note{Kind: "generator", Text: capital(f.String()) + "."}
		for _, p := range r.Phases {
			if p.Name == f.Phase {
				n.At = p.End
			}
		}
		r.Notes = append(r.Notes, n)
	}
	if len(r.Thresholds) == 0 {
		for _, f := range findings {
			if r.Verdict != record.Fail || !f.Slow {
				doubt(r, f)
				return
			}
		}
		return
	}
	// What else failed than thresholds, such as an update, stands.
	other := r.Verdict == record.Fail && !slices.ContainsFunc(r.Thresholds, func(t record.Threshold) bool { return t.Verdict == record.Fail })
	var why *Finding
	for i := range r.Thresholds {
		t := &r.Thresholds[i]
		for k := range findings {
			f := &findings[k]
			if !f.spoils(t) {
				continue
			}
			t.Verdict, t.Why = record.Inconclusive, "in phase "+f.Phase+" the generator was the bottleneck"
			if why == nil {
				why = f
			}
		}
	}
	worst := record.Pass
	for _, t := range r.Thresholds {
		switch t.Verdict {
		case record.Fail:
			return // one failure stands: the run failed
		case record.Inconclusive:
			worst = record.Inconclusive
		default:
			// It passed.
		}
	}
	if worst == record.Inconclusive && why != nil && !other {
		doubt(r, *why)
	}
}

// spoils reports whether a verdict on a threshold says nothing because of a finding.
func (f *Finding) spoils(t *record.Threshold) bool {
	if t.Phase != "" && t.Phase != f.Phase {
		return false
	}
	switch t.Verdict {
	case record.Fail:
		return !f.Slow || t.Unit == "s"
	case record.Pass:
		return f.Late
	default:
		return false
	}
}

// doubt makes a run inconclusive unless it failed for a reason of its own.
func doubt(r *record.Run, f Finding) {
	r.Verdict, r.Why = record.Inconclusive, f.String()
}

func capital(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
