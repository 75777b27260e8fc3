package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

// A plan is which checks run, and which do not and why.
type plan struct {
	suites    []Suite
	omissions []report.Omission
	// silent are checks that run because others need their traffic, and whose
	// results belong to another shard.
	silent map[string]bool
}

// plan chooses the checks of the run.
func (o *Options) plan(suites []Suite, catalogue *requirements.Catalogue) plan {
	p := plan{silent: make(map[string]bool)}
	wanted, foreign, other := make(map[string]bool), 0, 0
	role, shard := o.Spec.Judged(), o.shard()
	var index int
	for _, s := range suites {
		for _, c := range s.Checks {
			name := s.Name + "/" + c.Name
			switch {
			case !o.selects(s.Name, &c):
			case !binds(catalogue, &c, role):
				foreign++
			default:
				if index%shard.of == shard.part {
					wanted[name] = true
				} else {
					other++
				}
				index++
			}
		}
	}
	p.suites = p.withNeeds(suites, wanted, shard.of > 1)
	if foreign > 0 {
		p.omissions = append(p.omissions, report.Omission{
			What: "checks that bind the other side", Checks: foreign,
			Reason: fmt.Sprintf("the %s is judged", role),
		})
	}
	if other > 0 {
		p.omissions = append(p.omissions, report.Omission{What: "checks of other shards", Checks: other, Reason: "this is shard " + o.Shard})
	}
	return p
}

// withNeeds returns the suites with the wanted checks, and those that they need. In
// a sharded run the latter are reported by the shard that they belong to.
func (p *plan) withNeeds(suites []Suite, wanted map[string]bool, sharded bool) []Suite {
	var list []Suite
	for _, s := range suites {
		needed := make(map[string]bool)
		for _, c := range s.Checks {
			if wanted[s.Name+"/"+c.Name] {
				needed[c.Name] = true
				for _, n := range c.Needs {
					needed[n] = true
				}
			}
		}
		var checks []Check
		for _, c := range s.Checks {
			if needed[c.Name] {
				checks = append(checks, c)
				if name := s.Name + "/" + c.Name; sharded && !wanted[name] {
					p.silent[name] = true
				}
			}
		}
		if s.Checks = checks; len(checks) > 0 {
			list = append(list, s)
		}
	}
	return list
}

// binds reports whether a check judges a role; "" is both. Claims bind both, so
// they tell only where a check has nothing else.
func binds(catalogue *requirements.Catalogue, c *Check, role target.Role) bool {
	if role == "" {
		return true
	}
	claims := true
	for _, id := range c.Requirements {
		r := catalogue.Get(id)
		if r == nil || r.IsClaim() {
			continue
		}
		claims = false
		if r.Binds(requirements.Role(role)) {
			return true
		}
	}
	return claims
}

// A part is one of several parts of a run, counted from 0.
type part struct{ part, of int }

// parseShard reads "2/4", the second of four.
func parseShard(text string) (part, error) {
	if text == "" {
		return part{0, 1}, nil
	}
	a, b, ok := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(a)
	n, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || i < 1 || i > n {
		return part{}, fmt.Errorf("--shard %s: want I/N, such as 2/4 for the second of four", text)
	}
	return part{i - 1, n}, nil
}

func (o *Options) shard() part {
	p, err := parseShard(o.Shard)
	if err != nil {
		return part{0, 1} // check has refused it
	}
	return p
}

// weigh returns the verdict that a finding has in this run: what is below the level
// that must hold is a remark, and what binds the other side, which is ours, is no
// failure of the target.
func (o *Options) weigh(catalogue *requirements.Catalogue, f *report.Finding) report.Verdict {
	if catalogue == nil || f.Verdict != report.Fail {
		return f.Verdict
	}
	r := catalogue.Get(f.Requirement)
	if r == nil {
		return f.Verdict
	}
	levels := requirements.Levels()
	strict := len(levels)
	if o.Level != "" {
		strict = slices.Index(levels, requirements.Level(o.Level)) + 1
	}
	role := o.Spec.Judged()
	switch {
	case role != "" && !r.Binds(requirements.Role(role)):
		return report.Inconclusive
	case slices.Index(levels, r.Level) >= strict:
		return report.PassWithRemark
	}
	return f.Verdict
}

// checkLevel reports whether a level is one.
func checkLevel(text string) error {
	if text != "" && !slices.Contains(requirements.Levels(), requirements.Level(text)) {
		return fmt.Errorf("--level %s: want one of %v", text, requirements.Levels())
	}
	return nil
}
