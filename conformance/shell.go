package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/extensions/globals"
	"github.com/onsi/ginkgo/v2/formatter"
	"github.com/onsi/gomega"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

// A shell runs checks as Ginkgo specs. The tree is built anew for each run, so
// one process can judge several targets.
type shell struct {
	env     *target.Env
	suites  []Suite
	options *Options
	results []report.Result

	catalogue    *requirements.Catalogue
	capabilities []report.Capability
	silent       map[string]bool  // checks whose results are not reported
	failed       map[string]error // of Prepare, by suite

	mu      sync.Mutex
	lacking map[string]string // why checks are unsupported, by their names and generations
	// gone says that the cloud that is judged has ended, "" if not.
	gone string
}

// A plain type that Ginkgo takes for a *testing.T: verdicts come from the
// report, not from the framework.
type tolerant struct{}

// Fail implements ginkgo.GinkgoTestingT.
func (tolerant) Fail() {}

// ginkgos is held while Ginkgo runs: its tree is global.
var ginkgos sync.Mutex

// run runs the suites one after the other, each as a tree of its own: they are in
// an order that Ginkgo would shuffle. It returns the results, with NotRun for
// what an interrupt left out.
func (s *shell) run(ctx context.Context) []report.Result {
	s.failed, s.lacking = make(map[string]error), make(map[string]string)
	if s.probe(ctx) {
		s.excludeAll()
		return s.results
	}
	if s.options.plain {
		return s.runPlain(ctx)
	}
	ginkgos.Lock()
	defer ginkgos.Unlock()
	// Ginkgo's own words are for people who write suites.
	formatter.ColorableStdOut, formatter.ColorableStdErr = io.Discard, io.Discard
	gomega.RegisterFailHandler(ginkgo.Fail)
	for _, suite := range s.suites {
		globals.Reset()
		s.describe(ctx, suite)
		suiteConfig, reporterConfig := ginkgo.GinkgoConfiguration()
		suiteConfig.RandomSeed = int64(s.options.Seed)
		suiteConfig.PollProgressAfter, suiteConfig.Timeout = 0, year // the run has its own limit
		reporterConfig.Succinct = true
		ginkgo.RunSpecs(tolerant{}, "muster conform", suiteConfig, reporterConfig)
	}
	return s.results
}

// runPlain does what run does, without Ginkgo.
func (s *shell) runPlain(ctx context.Context) []report.Result {
	for _, suite := range s.suites {
		s.prepare(ctx, suite)
		for _, check := range suite.Checks {
			s.keep(s.judgeAll(ctx, suite, check)...)
		}
	}
	return s.results
}

// year is more than any run takes.
const year = 365 * 24 * time.Hour

// keep adds results to those of the run, but for those of checks that ran for
// others only.
func (s *shell) keep(results ...report.Result) {
	for _, r := range results {
		if !s.silent[r.Name()] {
			s.results = append(s.results, r)
		}
	}
}

// prepare brings the environment into the state that a suite looks at.
func (s *shell) prepare(ctx context.Context, suite Suite) {
	s.options.progress(suite.Name, "preparing")
	if suite.Prepare == nil || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Patience)
	defer cancel()
	done := s.preparing(suite.Name)
	if s.failed[suite.Name] = s.env.Reopen(ctx); s.failed[suite.Name] == nil {
		s.failed[suite.Name] = suite.Prepare(ctx, s.env)
	}
	done(s.failed[suite.Name])
}

// describe adds the specs of one suite: each check on each generation.
func (s *shell) describe(ctx context.Context, suite Suite) {
	ginkgo.Describe(suite.Name, ginkgo.Ordered, ginkgo.ContinueOnFailure, func() {
		ginkgo.BeforeAll(func() { s.prepare(ctx, suite) })
		for _, check := range suite.Checks {
			// The generations are judged side by side: most checks wait for devices
			// most of the time. The first spec of a check runs it for all of them.
			judged := sync.OnceValue(func() []report.Result { return s.judgeAll(ctx, suite, check) })
			for i, group := range s.env.Groups() {
				ginkgo.It(fmt.Sprintf("%s on %s", check.Name, group), ginkgo.Label(check.Requirements...), func() {
					result := judged()[i]
					s.keep(result)
					gomega.Expect(result.Verdict).NotTo(gomega.Equal(report.Fail), "%v", result.Findings)
				})
			}
		}
	})
}

// judgeAll runs one check on all generations and returns the results in their
// order. What does not pass is tried again, if the options say so.
func (s *shell) judgeAll(ctx context.Context, suite Suite, check Check) []report.Result {
	groups := s.env.Groups()
	results := make([]report.Result, len(groups))
	s.options.progress(suite.Name, check.Name)
	over := s.options.goesOn(suite.Name, check.Name)
	judged := s.checking(suite.Name + "/" + check.Name)
	var done sync.WaitGroup
	for i, group := range groups {
		done.Go(func() { results[i] = s.judge(ctx, suite, check, group) })
		if suite.Prepare == nil && s.env.OneAtATime() {
			done.Wait()
		}
	}
	done.Wait()
	for range s.options.Retries {
		s.tryAgain(ctx, suite, check, results)
	}
	over()
	s.options.done += len(groups)
	judged(results)
	return results
}

// blank is the result of a check that has not run.
func (s *shell) blank(suite Suite, check Check, group *target.Group) report.Result {
	return report.Result{
		Suite: suite.Name, Check: check.Name, Text: check.Text, DeviceOS: group.DeviceOS, Transport: group.Transport,
		Requirements: check.Requirements, Devices: len(group.Devices), Repeat: s.options.repeat(suite.Name + "/" + check.Name),
	}
}

// judge runs one check on one generation.
func (s *shell) judge(ctx context.Context, suite Suite, check Check, group *target.Group) report.Result {
	result := s.blank(suite, check, group)
	switch reason := skip(check, group); {
	case ctx.Err() != nil:
		result.Reason = s.brokenOff(ctx)
		return result
	case group.Absent != "" && !(suite.Prepare == nil && group.Heard):
		missing := target.Missing{Capability: target.Capability(group.Transport), Why: group.Absent}
		result.Verdict, result.Reason = report.Unsupported, missing.Error()
		return result
	case s.stillGone():
		result.Verdict, result.Reason = report.Inconclusive, s.gone
		return result
	case s.failed[suite.Name] != nil:
		result.Verdict, result.Reason = report.Inconclusive, s.failed[suite.Name].Error()
		if missing := new(target.Missing); errors.As(s.failed[suite.Name], &missing) {
			result.Verdict = report.Unsupported
		}
		return result
	case reason != "":
		result.Verdict, result.Reason = report.Unsupported, reason
		return result
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, s.options.Patience)
	defer cancel()
	// A check whose run is broken off finds everything missing: that proves nothing.
	recorder, began := &Recorder{over: func() bool { return whole.Err() != nil }}, time.Now()
	usage := &target.Usage{Done: ctx.Done(), Stop: func() {
		recorder.freeze() // what was found by then counts
		cancel()
	}}
	usage.Deadline, _ = ctx.Deadline()
	result.Began = time.Duration(s.env.Now())
	err := s.runCheck(ctx, check, group, usage, recorder)
	usage.End()
	if suite.Prepare != nil {
		back, cancel := context.WithTimeout(whole, s.options.Patience)
		s.env.Reinstate(back, group) // for the checks of the suite that look at devices
		cancel()
	}
	if whole.Err() != nil && !recorder.failed() {
		result.Reason = s.brokenOff(whole) + ", while it ran"
	} else if missing := usage.Missing(); len(missing) > 0 && !recorder.failed() {
		result.Verdict, result.Reason = report.Unsupported, reasons(missing)
	} else {
		if len(missing) > 0 {
			result.Reason, err = "it failed before it could not go on: "+reasons(missing), nil
		}
		if err != nil {
			recorder.Inconclusive(report.Finding{Text: "the harness could not finish: " + err.Error()})
		}
		absent := group.Absentees()
		recorder.weigh(func(f *report.Finding) report.Verdict {
			v := s.options.weigh(s.catalogue, f)
			if why := absent[f.Device]; why != "" && v == report.Fail {
				f.Text += " (" + why + ")"
				return report.Inconclusive // it was unplugged, or has lost its power
			}
			return v
		})
		result = recorder.result(result)
	}
	s.mourn(&result)
	s.fate(suite, check, group, recorder, &result)
	result.Duration = time.Since(began)
	return result
}

// brokenOff says why a run ends before its end.
func (s *shell) brokenOff(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return fmt.Sprintf("the time limit of %v was over", s.options.Timeout)
	}
	return "the run was interrupted"
}

// mourn notes that the cloud that is judged has ended: a failure of the checks that ran
// then. What they saw besides may be that.
func (s *shell) mourn(result *report.Result) {
	if result.Verdict != report.Fail && result.Verdict != report.Inconclusive {
		return
	}
	why := s.env.Gone()
	if why == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = fmt.Sprintf("%s: the cloud ended while %s/%s ran, or a check beside it", why, result.Suite, result.Check)
	result.Verdict = report.Fail
	result.Findings = append([]report.Finding{{Verdict: report.Fail, Text: s.gone}}, result.Findings...)
}

// stillGone reports whether the cloud has ended and did not come back.
func (s *shell) stillGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != "" && s.env.Gone() == "" {
		s.gone = ""
	}
	return s.gone != ""
}

// fate notes why a check is unsupported. What judges the traffic of such a check, and saw
// nothing, is unsupported too.
func (s *shell) fate(suite Suite, check Check, group *target.Group, r *Recorder, result *report.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, needed := range check.Needs {
		if why := s.lacking[suite.Name+"/"+needed+" "+group.String()]; why != "" && r.nothing() && result.Verdict == report.Inconclusive {
			result.Verdict, result.Reason = report.Unsupported, why
		}
	}
	if result.Verdict == report.Unsupported {
		s.lacking[suite.Name+"/"+check.Name+" "+group.String()] = result.Reason
	}
}

// overtime is how long a check may go on when its time is over, before it is given
// up: a run ends, whatever its target does. Checks in virtual time wait for nothing,
// but on a busy machine they can take this long.
const overtime = time.Minute

// runCheck runs a check, and gives it up when it does not end with its context.
func (s *shell) runCheck(ctx context.Context, check Check, group *target.Group, usage *target.Usage, r *Recorder) error {
	ended := make(chan error, 1)
	go func() {
		// A check that a target's bytes bring down is a defect of ours; what the
		// other checks found must not be lost with it.
		defer func() {
			if p := recover(); p != nil {
				ended <- fmt.Errorf("the check panicked, please report it: %v\n%s", p, debug.Stack())
			}
		}()
		ended <- check.run(ctx, s.env.View(group, usage), group, r)
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(overtime):
		return fmt.Errorf("the check did not end within %v of its time", overtime)
	}
}

// reasons says what a check asked for in vain.
func reasons(missing []*target.Missing) string {
	var list []string
	for _, m := range missing {
		list = append(list, m.Error())
	}
	return strings.Join(list, "; ")
}

func skip(check Check, group *target.Group) string {
	if check.Skip == nil {
		return ""
	}
	return check.Skip(group)
}
