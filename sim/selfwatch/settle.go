package selfwatch

import "github.com/muster/muster/sim/record"

// Settle changes the verdicts of a run to what the findings leave of them, and adds
// each finding to its notes.
//
// A threshold that failed in a spoilt phase is inconclusive: the generator's own
// slowness may be why. One that passed stands, because slowness makes times longer
// and losses more, unless arrivals were late: then the cloud was not asked what the
// scenario says. A run without thresholds is inconclusive when any phase was spoilt.
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
		doubt(r, findings[0])
		return
	}
	for i := range r.Thresholds {
		t := &r.Thresholds[i]
		for _, f := range findings {
			if (t.Phase == "" || t.Phase == f.Phase) && (t.Verdict == record.Fail || t.Verdict == record.Pass && f.Late) {
				t.Verdict, t.Why = record.Inconclusive, f.What
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
	if worst == record.Inconclusive {
		doubt(r, findings[0])
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
