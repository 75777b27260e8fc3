package conformance

import (
	"context"
	"fmt"
	"sync"

	"github.com/muster/muster/harness/report"
)

// tryAgain runs a check once more on the generations on which it did not pass, and
// keeps every attempt: a retry that hides what was seen before it would be worse
// than none.
func (s *shell) tryAgain(ctx context.Context, suite Suite, check Check, results []report.Result) {
	var again []int
	for i := range results {
		if results[i].Verdict >= report.Inconclusive && ctx.Err() == nil {
			again = append(again, i)
		}
	}
	if len(again) == 0 {
		return
	}
	s.prepare(ctx, suite) // the attempt before has left things as it left them
	groups := s.env.Groups()
	var done sync.WaitGroup
	for _, i := range again {
		done.Go(func() {
			before := results[i]
			attempts := before.Attempts
			if len(attempts) == 0 {
				attempts = []report.Attempt{attemptOf(before)}
			}
			next := s.judge(ctx, suite, check, groups[i])
			if next.Verdict == report.NotRun {
				return // the run is over
			}
			next.Attempts = append(attempts, attemptOf(next))
			results[i] = next
		})
	}
	done.Wait()
}

func attemptOf(r report.Result) report.Attempt {
	return report.Attempt{Verdict: r.Verdict, Reason: r.Reason, Findings: r.Findings, Duration: r.Duration}
}

// settleFlakes counts the results that passed only when tried again. Within the
// budget they pass with a remark, beyond it they fail.
func (o *Options) settleFlakes(run *report.Run) {
	if o.Retries == 0 {
		return
	}
	run.Flakes = &report.FlakeBudget{Allowed: o.FlakeBudget}
	for i := range run.Results {
		r := &run.Results[i]
		if len(r.Attempts) < 2 || r.Verdict >= report.Inconclusive || r.Verdict < report.Pass {
			continue
		}
		run.Flakes.Used++
		text := fmt.Sprintf("passed at attempt %d; see the attempts for what was seen before", len(r.Attempts))
		r.Verdict = report.Worse(r.Verdict, report.PassWithRemark)
		if run.Flakes.Used > o.FlakeBudget {
			r.Verdict = report.Fail
			text += fmt.Sprintf("; the flake budget of %d is used up", o.FlakeBudget)
		}
		r.Findings = append(r.Findings, report.Finding{Verdict: r.Verdict, Text: text})
	}
}
