package conformance

import (
	"strings"
	"testing"

	"github.com/muster/muster/conformance/mutants"
	"github.com/muster/muster/conformance/requirements"
)

// TestCoverage fails for every gap between catalogue, checks and mutants.
func TestCoverage(t *testing.T) {
	c, suites, table, err := everything()
	if err != nil {
		t.Fatal(err)
	}
	judge := func(what string, gaps []string) {
		for _, gap := range gaps {
			t.Errorf("%s %s", what, gap)
		}
	}
	v := Cover(c, suites, table)
	for _, r := range v.Requirements {
		judge(r.ID, r.Gaps)
	}
	for _, check := range v.Checks {
		judge(check.Name, check.Gaps)
	}
	for _, m := range v.Mutants {
		judge(m.Name, m.Gaps)
	}
}

// TestChecksSayHow: "muster explain" would be silent otherwise.
func TestChecksSayHow(t *testing.T) {
	for _, s := range Suites() {
		for _, c := range s.Checks {
			for what, text := range map[string]string{"Provoke": c.Provoke, "Observe": c.Observe} {
				if text == "" || strings.HasSuffix(text, ".") {
					t.Errorf("%s/%s: %s is %q: want half a sentence", s.Name, c.Name, what, text)
				}
			}
		}
	}
}

// TestGapsAreFound breaks the coverage in each way.
func TestGapsAreFound(t *testing.T) {
	rows, err := requirements.Parse([]byte(`requirements:
- {id: S1, level: MUST, roles: [cloud], source: s, text: t}
`))
	if err != nil {
		t.Fatal(err)
	}
	check := func(ids ...string) []Suite {
		return []Suite{{Name: "s", Checks: []Check{{Name: "c", Requirements: ids}}}}
	}
	mutant := func(breaks []string, fails ...string) []mutants.Mutant {
		return []mutants.Mutant{{Name: "cloud/m", Breaks: breaks, Fails: fails}}
	}
	s1 := []string{"S1"}
	for _, test := range []struct {
		name   string
		suites []Suite
		table  []mutants.Mutant
		edit   func(*requirements.Requirement)
		want   string // "" for no gap
	}{
		{"complete", check("S1"), mutant(s1, "s/c"), nil, ""},
		{"no check", nil, nil, nil, "no check"},
		{"no check, with a reason", nil, nil, func(r *requirements.Requirement) { r.Untested = "why" }, ""},
		{"no mutant", check("S1"), nil, nil, "no mutant"},
		{"unknown id", check("S1", "S2"), mutant(s1, "s/c"), nil, "judges S2, which is no requirement"},
		{"check without id", check(), nil, func(r *requirements.Requirement) { r.Untested = "why" }, "judges no requirement"},
		{"mutant of nothing", check("S1"), mutant(nil, "s/c"), func(r *requirements.Requirement) { r.Unbroken = "why" }, "breaks no requirement"},
		{"mutant of an unknown id", check("S1"), mutant([]string{"S1", "S2"}, "s/c"), nil, "breaks S2, which is no requirement"},
		{"mutant that nobody finds", check("S1"), mutant(s1), nil, "breaks S1, which no check that must find it judges"},
		{"two mutants of one name", check("S1"), append(mutant(s1, "s/c"), mutant(s1, "s/c")...), nil, "has the name of another mutant"},
		{"mutant that fails no check", check("S1"), mutant(s1, "s/c", "s/d"), nil, "must fail s/d, which is no check"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := *rows[0]
			if test.edit != nil {
				test.edit(&r)
			}
			c, err := requirements.New([]*requirements.Requirement{&r})
			if err != nil {
				t.Fatal(err)
			}
			v := Cover(c, test.suites, test.table)
			var got []string
			for _, r := range v.Requirements {
				got = append(got, r.Gaps...)
			}
			for _, c := range v.Checks {
				got = append(got, c.Gaps...)
			}
			for _, m := range v.Mutants {
				got = append(got, m.Gaps...)
			}
			found := strings.Contains(strings.Join(got, "\n"), test.want)
			if len(got) != v.Gaps() || (test.want == "") != (len(got) == 0) || !found {
				t.Errorf("gaps %q, want %q", got, test.want)
			}
		})
	}
}
