package report

import (
	"fmt"
	"slices"
	"strings"
)

// tree shows what needs a look: suites, their checks, and the generations of each. The
// packets are shown for the first generation: those of the others look alike, and the
// page has them.
func (p *printer) tree(r *Run) {
	for _, suite := range r.Suites() {
		var checks []string
		worst := NotRun
		for i := range r.Results {
			result := &r.Results[i]
			if result.Suite != suite || !result.needsLook() {
				continue
			}
			worst = Worse(worst, result.Verdict)
			if !slices.Contains(checks, result.Check) {
				checks = append(checks, result.Check)
			}
		}
		if len(checks) == 0 {
			continue
		}
		p.printf("%s\n", p.paint(worst, worst.Mark()+" "+suite))
		for i, check := range checks {
			p.check(r, suite, check, i == len(checks)-1)
		}
		p.printf("\n")
	}
}

// The lines of the tree.
const (
	branch, lastBranch = "├─ ", "└─ "
	trunk, noTrunk     = "│  ", "   "
)

// check shows a check with its generations.
func (p *printer) check(r *Run, suite, check string, last bool) {
	var results []*Result
	worst := NotRun
	for i := range r.Results {
		if result := &r.Results[i]; result.Suite == suite && result.Check == check && result.needsLook() {
			results = append(results, result)
			worst = Worse(worst, result.Verdict)
		}
	}
	joint, below := branch, trunk
	if last {
		joint, below = lastBranch, noTrunk
	}
	p.printf("%s%s  [%s]\n", joint, p.paint(worst, worst.Mark()+" "+check), strings.Join(results[0].Requirements, " "))
	if results[0].Text != "" {
		p.printf("%s   required: %s\n", below, results[0].Text)
	}
	for i, result := range results {
		joint, inner := branch, trunk
		if i == len(results)-1 {
			joint, inner = lastBranch, noTrunk
		}
		title := result.Verdict.Mark() + " Device OS " + generationOf(result).String()
		if result.Target != "" {
			title += " of " + result.Target
		}
		p.printf("%s%s%s\n", below, joint, p.paint(result.Verdict, title))
		shown := *result
		if i > 0 {
			shown.Findings = withoutPackets(result.Findings)
			if result.Repeat == results[0].Repeat {
				shown.Repeat = ""
			}
		}
		for line := range strings.Lines(findingsText(shown)) {
			p.printf("%s%s   %s", below, inner, line)
		}
	}
}

// withoutPackets returns findings without their packets.
func withoutPackets(findings []Finding) []Finding {
	list := slices.Clone(findings)
	for i := range list {
		if n := len(list[i].Packets); n > 0 {
			list[i].Packets = []string{fmt.Sprintf("(%s: see the page)", several(n, "packet"))}
		}
	}
	return list
}

// notes says what a reader should know.
func (p *printer) notes(r *Run) {
	for _, note := range r.Notes {
		p.printf("%s\n", p.paint(Inconclusive, "note: "+note))
	}
	if r.Evidence != nil {
		for _, line := range r.Evidence.LeftOut {
			p.printf("%s\n", p.paint(Unsupported, "not in the bundle: "+line))
		}
	}
	if len(r.Notes) > 0 || r.Evidence != nil && len(r.Evidence.LeftOut) > 0 {
		p.printf("\n")
	}
}
