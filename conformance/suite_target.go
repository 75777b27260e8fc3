package conformance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

// The results on the target itself, which come before all suites. They are no
// checks of requirements: they tell whether checks can be trusted.
const (
	targetSuite      = "target"
	checkDeclared    = "capabilities"
	checkCanary      = "canary"
	textDeclared     = "what the target is declared to be and to have is what was found"
	textCanary       = "the target can say no: it refuses what cannot be"
	reasonNoCanary   = "there is nothing that it could say yes to"
	reasonExcluded   = "the target says yes to what cannot be: nothing that it says proves anything"
	reasonUnselected = "the run ended before it"
)

// probe looks at the target before it is judged, and reports whether it is excluded.
func (s *shell) probe(ctx context.Context) (excluded bool) {
	if s.options.Spec.Judged() == "" {
		return false
	}
	began := time.Now()
	p := s.env.Probe(ctx, min(s.options.Patience, probePatience))
	s.capabilities = p.Capabilities
	result := func(check, text string) report.Result {
		r := report.Result{Suite: targetSuite, Check: check, Text: text, Verdict: report.Pass, Duration: time.Since(began), Repeat: s.options.repeat("")}
		if groups := s.env.Groups(); len(groups) > 0 {
			g := groups[len(groups)-1]
			r.DeviceOS, r.Transport, r.Devices = g.DeviceOS, g.Transport, len(g.Devices)
		}
		return r
	}
	s.results = append(s.results, judgeDeclared(result(checkDeclared, textDeclared), p))
	canary := judgeCanary(result(checkCanary, textCanary), p)
	s.results = append(s.results, canary)
	return canary.Verdict == report.Fail
}

// probePatience bounds the wait for the first devices: a handshake whose first
// datagrams are lost takes some 25 s.
const probePatience = 45 * time.Second

func judgeDeclared(r report.Result, p target.Probe) report.Result {
	for _, c := range p.Capabilities {
		if c.Contradicts() {
			r.Verdict = report.Fail
			r.Findings = append(r.Findings, report.Finding{
				Verdict: report.Fail, Text: fmt.Sprintf("%s: %s", c.Name, c.Text), Expected: c.Declared, Actual: c.Probed,
			})
		}
	}
	if len(p.Capabilities) == 0 {
		r.Verdict, r.Reason = report.Inconclusive, "nothing could be found out"
	}
	return r
}

func judgeCanary(r report.Result, p target.Probe) report.Result {
	switch {
	case p.Asked == 0:
		r.Verdict, r.Reason = report.Unsupported, reasonNoCanary
	case len(p.Canaries) > 0:
		r.Verdict, r.Reason = report.Fail, reasonExcluded
		for _, what := range p.Canaries {
			r.Findings = append(r.Findings, report.Finding{Verdict: report.Fail, Text: what, Expected: "a refusal", Actual: "yes"})
		}
	}
	return r
}

// excludeAll says of every check that the target is excluded.
func (s *shell) excludeAll() {
	for _, suite := range s.suites {
		for _, check := range suite.Checks {
			for _, group := range s.env.Groups() {
				r := s.blank(suite, check, group)
				r.Reason = reasonExcluded
				s.results = append(s.results, r)
			}
		}
	}
}

// absences sums up what the target lacks, for the omissions of the report: each
// reason once, with how many results it stands for. Where one target is judged they
// have what does not apply to it, too, so that the numbers add up.
func absences(results []report.Result, one bool) []report.Omission {
	var list []report.Omission
	index := make(map[string]int)
	for _, r := range results {
		if r.Verdict != report.Unsupported || !one && !strings.HasPrefix(r.Reason, "the target lacks") {
			continue
		}
		i, known := index[r.Reason]
		if !known {
			i = len(list)
			index[r.Reason] = i
			list = append(list, report.Omission{What: "unsupported", Reason: r.Reason})
		}
		list[i].Checks++
	}
	return list
}
