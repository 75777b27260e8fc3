package report

import "fmt"

// A Verdict is one step of a ladder from "nothing known" to "broken". Adding
// up results takes the highest step, so one failure is never outvoted.
type Verdict uint8

// The ladder, lowest first.
const (
	// NotRun: selected, but the run ended before it (interrupt, time limit).
	NotRun Verdict = iota
	// Disabled: switched off by the user, with a reason.
	Disabled
	// Unsupported: the target does not have the capability. Never a pass.
	Unsupported
	// Pass: observed, and as required.
	Pass
	// PassWithRemark: as required, but worth a look (a SHOULD, a near miss).
	PassWithRemark
	// Inconclusive: the harness, the rig or the load generator was at fault,
	// so nothing can be said about the target.
	Inconclusive
	// Fail: observed, and not as required.
	Fail

	numVerdicts
)

var verdicts = [numVerdicts]struct{ name, mark string }{
	NotRun:         {"not run", "·"},
	Disabled:       {"disabled", "-"},
	Unsupported:    {"unsupported", "○"},
	Pass:           {"pass", "✓"},
	PassWithRemark: {"pass with remark", "✓!"},
	Inconclusive:   {"inconclusive", "?"},
	Fail:           {"fail", "✗"},
}

// String returns the verdict in words.
func (v Verdict) String() string {
	if v >= numVerdicts {
		return fmt.Sprintf("verdict(%d)", uint8(v))
	}
	return verdicts[v].name
}

// Mark returns a sign of one or two columns for tables.
func (v Verdict) Mark() string {
	if v >= numVerdicts {
		return "?"
	}
	return verdicts[v].mark
}

// MarshalText encodes the verdict in words, for JSON.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is the inverse of MarshalText. It fails on an unknown word.
func (v *Verdict) UnmarshalText(text []byte) error {
	for i := range verdicts {
		if verdicts[i].name == string(text) {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("report: %q is not a verdict", text)
}

// Worse returns the higher of two steps.
func Worse(a, b Verdict) Verdict { return max(a, b) }

// Exit codes of a run.
const (
	ExitClean        = 0   // everything that ran passed
	ExitFailures     = 1   // at least one failure
	ExitUsage        = 2   // the command line was wrong; nothing ran
	ExitInconclusive = 3   // no failure, but something could not be judged
	ExitBaseline     = 4   // differs from the given baseline
	ExitInterrupted  = 130 // stopped by the user
)
