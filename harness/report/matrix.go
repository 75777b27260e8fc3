package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A matrix sorts results into columns: generations, of each target where there are
// several.
type matrix struct {
	run     *Run
	columns []column
	names   []string
	several bool
}

type column struct {
	target string
	Generation
}

func newMatrix(r *Run) *matrix {
	targets := distinct(r.Results, func(result Result) string { return result.Target })
	m := &matrix{run: r, several: len(targets) > 1}
	for _, target := range targets {
		for _, g := range r.Generations() {
			if slices.ContainsFunc(r.Results, func(x Result) bool { return x.Target == target && generationOf(&x) == g }) {
				m.columns = append(m.columns, column{target, g})
				name := g.String()
				if m.several {
					name = target + " " + name
				}
				m.names = append(m.names, name)
			}
		}
	}
	return m
}

// cell adds up results, of which index is the number in the run.
func (m *matrix) cells(fits func(*Result) bool) []cellView {
	cells := make([]cellView, len(m.columns))
	for i := range m.run.Results {
		r := &m.run.Results[i]
		if !fits(r) {
			continue
		}
		c := &cells[slices.Index(m.columns, column{r.Target, generationOf(r)})]
		line := fmt.Sprintf("%s: %s", r.Name(), r.Verdict)
		if r.Reason != "" {
			line += ", " + r.Reason
		}
		if n := len(r.Attempts); n > 1 {
			line += fmt.Sprintf(", at attempt %d", n)
		}
		verdict := r.Verdict
		if r.Deviation != nil {
			verdict = PassWithRemark
			line += ", " + r.Deviation.Line()
		}
		if c.Any {
			line = c.Title + "\n" + line
		}
		c.Title = line
		worse := !c.Any || verdict > c.Verdict
		if r.needsLook() && (worse || c.Link == "") {
			c.Link = anchor(i)
		}
		if worse {
			c.Verdict = verdict
		}
		c.Any = true
	}
	return cells
}

// requirements returns the rows of the requirements that are cited, in the order of
// their ids.
func (m *matrix) requirements() []requirementView {
	texts := make(map[string]Requirement)
	for _, q := range m.run.Requirements {
		texts[q.ID] = q
	}
	var ids []string
	for _, r := range m.run.Results {
		for _, id := range r.Requirements {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.SortFunc(ids, compareIDs)
	var rows []requirementView
	for _, id := range ids {
		row := requirementView{Requirement: texts[id], OK: true}
		row.ID = id
		row.Cells = m.cells(func(r *Result) bool { return slices.Contains(r.Requirements, id) })
		for _, c := range row.Cells {
			row.OK = row.OK && c.Link == ""
		}
		rows = append(rows, row)
	}
	return rows
}

// suites returns the matrices of the checks.
func (m *matrix) suites() []suiteView {
	var list []suiteView
	for _, name := range m.run.Suites() {
		s := suiteView{Name: name}
		var results []Result
		for _, r := range m.run.Results {
			if r.Suite == name {
				results = append(results, r)
			}
		}
		s.Verdict, s.Tally = verdictOf(results), tally(results)
		s.Open = s.Verdict >= Inconclusive
		for _, check := range distinct(results, func(r Result) string { return r.Check }) {
			i := slices.IndexFunc(results, func(r Result) bool { return r.Check == check })
			s.Checks = append(s.Checks, checkView{
				Name: check, Text: results[i].Text, Requirements: results[i].Requirements,
				Cells: m.cells(func(r *Result) bool { return r.Suite == name && r.Check == check }),
			})
		}
		list = append(list, s)
	}
	return list
}

// compareIDs orders ids: claims first, then by letter and number.
func compareIDs(a, b string) int {
	al, an := splitID(a)
	bl, bn := splitID(b)
	return cmp.Or(cmp.Compare(rankOf(al), rankOf(bl)), cmp.Compare(al, bl), cmp.Compare(an, bn), cmp.Compare(a, b))
}

func splitID(id string) (letters string, number int) {
	i := strings.IndexAny(id, "0123456789")
	if i < 0 {
		return id, 0
	}
	number, _ = strconv.Atoi(id[i:])
	return strings.TrimSuffix(id[:i], "-"), number
}

func rankOf(letters string) int {
	if letters == "S" {
		return 0
	}
	return 1
}

// A measuredView is one measurement on all generations.
type measuredView struct {
	Name, Check, Requirement, Bound string
	Over                            bool
	Rows                            []measuredRow
}

type measuredRow struct {
	Measurement
	Generation Generation
}

// measured returns the measurements of the run, a limit each.
func (r *Run) measured() []measuredView {
	var list []measuredView
	for i := range r.Results {
		result := &r.Results[i]
		for _, m := range result.Measurements {
			j := slices.IndexFunc(list, func(v measuredView) bool {
				return v.Name == m.Name && v.Check == result.Name() && v.Bound == m.Bound()
			})
			if j < 0 {
				list = append(list, measuredView{Name: m.Name, Check: result.Name(), Requirement: m.Requirement, Bound: m.Bound()})
				j = len(list) - 1
			}
			list[j].Over = list[j].Over || m.Over()
			list[j].Rows = append(list[j].Rows, measuredRow{m, generationOf(result)})
		}
	}
	return list
}

// unrun returns what was not run, and why: what was left out on purpose, and results
// without a verdict by their reasons.
func (r *Run) unrun() []Omission {
	list := slices.Clone(r.Omissions)
	for i := range r.Results {
		result := &r.Results[i]
		if result.Verdict >= Pass {
			continue
		}
		what, reason := result.Name(), result.Reason
		if reason == "" {
			reason = result.Verdict.String()
		}
		j := slices.IndexFunc(list, func(o Omission) bool { return o.Reason == reason && slices.Contains(strings.Split(o.What, ", "), what) })
		if j >= 0 {
			continue // said already, of another generation or by whoever left it out
		}
		j = slices.IndexFunc(list, func(o Omission) bool { return o.Reason == reason })
		if j < 0 {
			list = append(list, Omission{What: what, Reason: reason})
			continue
		}
		list[j].What += ", " + what
	}
	for i := range list {
		if list[i].Checks > 0 {
			continue
		}
		for j := range r.Results {
			if result := &r.Results[j]; result.Verdict < Pass && result.Reason == list[i].Reason {
				list[i].Checks++
			}
		}
	}
	return list
}
