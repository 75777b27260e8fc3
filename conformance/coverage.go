package conformance

import (
	"cmp"
	"slices"

	"github.com/muster/muster/conformance/mutants"
	"github.com/muster/muster/conformance/requirements"
)

// A Coverage says which checks and mutants each requirement has, and the other way
// round. A gap is what fails the build.
type Coverage struct {
	Requirements []CoveredRequirement `json:"requirements"`
	Checks       []CoveredCheck       `json:"checks"`
	Mutants      []CoveredMutant      `json:"mutants"`
}

// A CoveredRequirement is a requirement with what proves it.
type CoveredRequirement struct {
	*requirements.Requirement
	// Checks judge it, Mutants break it. Those of a claim include those of the
	// requirements below it.
	Checks  []string `json:"checks"`
	Mutants []string `json:"mutants"`
	Gaps    []string `json:"gaps,omitempty"`
}

// A CoveredCheck is a check with what it judges and what makes it fail.
type CoveredCheck struct {
	Name         string   `json:"name"`
	Requirements []string `json:"requirements"`
	Mutants      []string `json:"mutants"`
	Gaps         []string `json:"gaps,omitempty"`
}

// A CoveredMutant is a mutant with what it breaks and what must find it.
type CoveredMutant struct {
	Name   string   `json:"name"`
	Breaks []string `json:"breaks"`
	Fails  []string `json:"fails"`
	Gaps   []string `json:"gaps,omitempty"`
}

// Cover compares the catalogue, the suites and the mutants.
func Cover(c *requirements.Catalogue, suites []Suite, table []mutants.Mutant) *Coverage {
	x := newIndex(c, suites, table)
	var v Coverage
	for _, r := range c.All() {
		row := CoveredRequirement{Requirement: r, Checks: x.checksOf(r), Mutants: x.mutantsOf(r)}
		row.Gaps = gapsOf(&row)
		v.Requirements = append(v.Requirements, row)
	}
	for _, n := range x.names {
		row := CoveredCheck{Name: n, Requirements: x.checks[n].Requirements, Mutants: x.killers[n]}
		if len(row.Requirements) == 0 {
			row.Gaps = append(row.Gaps, "judges no requirement")
		}
		for _, id := range row.Requirements {
			if c.Get(id) == nil {
				row.Gaps = append(row.Gaps, "judges "+id+", which is no requirement")
			}
		}
		if len(row.Mutants) == 0 {
			row.Gaps = append(row.Gaps, "no mutant fails it")
		}
		v.Checks = append(v.Checks, row)
	}
	named := make(map[string]bool)
	for i := range table {
		m := &table[i]
		row := CoveredMutant{Name: m.Name, Breaks: m.Breaks, Fails: m.Fails, Gaps: x.gapsOfMutant(m)}
		if named[m.Name] {
			row.Gaps = append(row.Gaps, "has the name of another mutant")
		}
		named[m.Name] = true
		v.Mutants = append(v.Mutants, row)
	}
	return &v
}

// gapsOf are the gaps of a requirement.
func gapsOf(row *CoveredRequirement) []string {
	var gaps []string
	switch {
	case row.Untested != "" && len(row.Checks) > 0 && !row.IsClaim():
		gaps = append(gaps, "has a check and a reason why there can be none")
	case row.Untested != "":
		return nil
	case len(row.Checks) == 0:
		return []string{"no check"}
	}
	switch {
	case row.Unbroken != "" && len(row.Mutants) > 0 && !row.IsClaim():
		gaps = append(gaps, "has a mutant and a reason why there can be none")
	case row.Unbroken == "" && len(row.Mutants) == 0:
		gaps = append(gaps, "no mutant")
	}
	return gaps
}

// Gaps counts the gaps.
func (v *Coverage) Gaps() int {
	n := 0
	for _, r := range v.Requirements {
		n += len(r.Gaps)
	}
	for _, c := range v.Checks {
		n += len(c.Gaps)
	}
	for _, m := range v.Mutants {
		n += len(m.Gaps)
	}
	return n
}

// An index finds what belongs together.
type index struct {
	catalogue *requirements.Catalogue
	names     []string // of checks, in order
	checks    map[string]*Check
	judges    map[string][]string // checks, by requirement
	breakers  map[string][]string // mutants, by requirement
	killers   map[string][]string // mutants, by check
}

func newIndex(c *requirements.Catalogue, suites []Suite, table []mutants.Mutant) *index {
	x := &index{
		catalogue: c, checks: make(map[string]*Check), judges: make(map[string][]string),
		breakers: make(map[string][]string), killers: make(map[string][]string),
	}
	for _, s := range suites {
		for i := range s.Checks {
			name := s.Name + "/" + s.Checks[i].Name
			x.names = append(x.names, name)
			x.checks[name] = &s.Checks[i]
			for _, id := range s.Checks[i].Requirements {
				x.judges[id] = append(x.judges[id], name)
			}
		}
	}
	for _, m := range table {
		for _, id := range m.Breaks {
			x.breakers[id] = append(x.breakers[id], m.Name)
		}
		for _, name := range m.Fails {
			x.killers[name] = append(x.killers[name], m.Name)
		}
	}
	return x
}

// checksOf are the checks of a requirement and, if it is a claim, of those below.
func (x *index) checksOf(r *requirements.Requirement) []string {
	return x.gather(r, x.judges)
}

// mutantsOf does the same for mutants.
func (x *index) mutantsOf(r *requirements.Requirement) []string {
	return x.gather(r, x.breakers)
}

func (x *index) gather(r *requirements.Requirement, by map[string][]string) []string {
	all := slices.Clone(by[r.ID])
	if r.IsClaim() {
		for _, child := range x.catalogue.Children(r.ID) {
			for _, name := range by[child.ID] {
				if !slices.Contains(all, name) {
					all = append(all, name)
				}
			}
		}
	}
	return all
}

// gapsOfMutant are what is wrong with a row of the mutants: a mutant must break
// something, and each thing that it breaks must be judged by a check that finds
// it.
func (x *index) gapsOfMutant(m *mutants.Mutant) []string {
	var gaps []string
	if len(m.Breaks) == 0 {
		gaps = append(gaps, "breaks no requirement")
	}
	for _, id := range m.Breaks {
		switch finds := func(name string) bool { return slices.Contains(x.judges[id], name) }; {
		case x.catalogue.Get(id) == nil:
			gaps = append(gaps, "breaks "+id+", which is no requirement")
		case !slices.ContainsFunc(m.Fails, finds):
			gaps = append(gaps, "breaks "+id+", which no check that must find it judges")
		}
	}
	for _, name := range slices.Concat(m.Fails, m.Also) {
		if x.checks[name] == nil {
			gaps = append(gaps, "must fail "+name+", which is no check")
		}
	}
	return gaps
}

// byID orders ids: S before R before C, D and N, and by number.
func byID(a, b string) int {
	order := func(id string) int {
		for i, first := range "SRCDN" {
			if id[0] == byte(first) {
				return i
			}
		}
		return -1
	}
	return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}
