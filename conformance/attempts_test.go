package conformance

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

// TestAttempts runs a check that fails twice, and is then as it should be.
func TestAttempts(t *testing.T) {
	var tries, prepared atomic.Int32
	suites := []Suite{{
		Name:    "s",
		Prepare: func(context.Context, *target.Env) error { prepared.Add(1); return nil },
		Checks: []Check{{
			Name: "flaky", Text: "text", Requirements: []string{"R-1"},
			Skip: onlyTCP,
			Run: func(_ context.Context, _ *target.Env, _ *target.Group, r *Recorder) error {
				Equal(r, "R-1", "", "try", min(tries.Add(1), 3), 3)
				return nil
			},
		}},
	}}
	o := small()
	o.Retries = 5
	s := startShell(t, suites, o)
	s.options.Retries = 5
	r := s.run(t.Context())[0] // TCP comes first
	if r.Verdict != report.Pass || len(r.Attempts) != 3 || r.Attempts[0].Verdict != report.Fail || len(r.Attempts[0].Findings) != 1 {
		t.Errorf("%v after %+v", r.Verdict, r.Attempts)
	}
	if prepared.Load() != 3 {
		t.Errorf("prepared %d times, want once for each attempt", prepared.Load())
	}
}

// TestUnsupportedEndsACheck holds that a check which asks for what the target lacks
// ends at once, and that what it finds then does not count. A failure before that does.
func TestUnsupportedEndsACheck(t *testing.T) {
	asking := func(before bool) func(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
		return func(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
			if before {
				r.Fail(report.Finding{Text: "found before it asked"})
			}
			_, err := e.Call(ctx, g.Devices[0], target.FunctionSum, "")
			<-ctx.Done()
			r.Fail(report.Finding{Text: "found behind that"})
			return err
		}
	}
	suites := []Suite{{Name: "s", Checks: []Check{
		{Name: "asks", Text: "text", Requirements: []string{"R-1"}, Run: asking(false)},
		{Name: "fails", Text: "text", Requirements: []string{"R-1"}, Run: asking(true)},
		{Name: "looks", Text: "text", Requirements: []string{"R-1"}, Needs: []string{"asks"}, Judge: func(*Conversation, *Recorder) {}},
	}}}
	o := small()
	edit := o.Target
	o.Target = func(t *target.Options) {
		edit(t)
		t.Spec = &target.Spec{Capabilities: map[target.Capability]bool{target.Functions: false}}
	}
	o.Patience = 10 * time.Minute
	for _, r := range startShell(t, suites, o).run(t.Context()) {
		switch {
		case r.Check == "fails":
			if r.Verdict != report.Fail || len(r.Findings) != 1 || r.Reason == "" {
				t.Errorf("%s: %v, %v, %q", r.Check, r.Verdict, r.Findings, r.Reason)
			}
		case r.Verdict != report.Unsupported || len(r.Findings) != 0 || r.Reason == "":
			t.Errorf("%s: %v, %v, %q", r.Check, r.Verdict, r.Findings, r.Reason)
		}
	}
}

// TestTimeLimit judges when the time of the run is over.
func TestTimeLimit(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Nanosecond, errTimeout)
	defer cancel()
	<-ctx.Done()
	s := startShell(t, Suites()[:1], small())
	s.options.Timeout = time.Nanosecond
	for _, r := range s.run(ctx) {
		if r.Verdict != report.NotRun || r.Reason != "the time limit of 1ns was over" {
			t.Errorf("%s: %v %q", r.Name(), r.Verdict, r.Reason)
		}
	}
}
