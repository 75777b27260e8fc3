package fleetcompare

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/show"
)

// A Row is one number of both runs.
type Row struct {
	Phase, Group string // Group "": all of them
	Name         string
	A, B         string
	Change       string // in percent
	Verdict      Verdict
}

// A Threshold is one condition, in both runs.
type Threshold struct {
	Text, Where string
	A, B        string
	From, To    record.Verdict // "": it is not in that run
}

// A Comparison is what differs between two runs.
type Comparison struct {
	A, B *Side
	// Conditions are what was not the same, and so may be why results are not.
	Conditions []string
	// Doubts are why the comparison says less than it seems to.
	Doubts     []string
	Rows       []Row
	Thresholds []Threshold
}

// Compare compares two runs. tolerance is the share by which a number may differ
// without being told, such as 0.05.
func Compare(a, b *Side, tolerance float64) *Comparison {
	c := &Comparison{A: a, B: b}
	c.conditions()
	c.doubts()
	for _, p := range a.run().Phases {
		if !hasPhase(b.run(), p.Name) {
			continue
		}
		spoilt := c.spoilt(p.Name)
		groups := []string{""}
		for _, g := range a.run().Groups {
			if len(a.run().Groups) > 1 && hasGroup(b.run(), g.Name) {
				groups = append(groups, g.Name)
			}
		}
		for _, g := range groups {
			c.rows(key{p.Name, g}, tolerance, spoilt)
		}
	}
	c.thresholds()
	return c
}

func hasPhase(r *record.Run, name string) bool {
	return slices.ContainsFunc(r.Phases, func(p record.Phase) bool { return p.Name == name })
}

func hasGroup(r *record.Run, name string) bool {
	return slices.ContainsFunc(r.Groups, func(g record.Group) bool { return g.Name == name })
}

// spoilt reports whether a generator was the bottleneck in a phase.
func (c *Comparison) spoilt(phase string) bool {
	for _, s := range []*Side{c.A, c.B} {
		for _, f := range s.Report.Findings {
			if f.Phase == phase {
				return true
			}
		}
	}
	return false
}

func (c *Comparison) rows(k key, tolerance float64, spoilt bool) {
	pa, pb := c.A.pieces[k], c.B.pieces[k]
	wa, wb := whole(pa), whole(pb)
	for _, m := range measures {
		a, b := m.get(&wa, true), m.get(&wb, true)
		if nothing(a) && nothing(b) {
			continue
		}
		r := Row{Phase: k.phase, Group: k.group, Name: m.name, A: written(m, a), B: written(m, b), Change: change(a, b)}
		switch {
		case m.extreme:
			r.Verdict = Few
		default:
			r.Verdict = judge(a, b, each(pa, m), each(pb, m), m.better, tolerance)
		}
		if spoilt && (r.Verdict == Worse || r.Verdict == Better || r.Verdict == Changed) {
			r.Verdict = Spoilt
		}
		c.Rows = append(c.Rows, r)
	}
}

// nothing reports that a number was not measured, or is none.
func nothing(v float64) bool { return math.IsNaN(v) || v == 0 }

func written(m measure, v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return m.write(v)
}

func each(list *[piecesOf]piece, m measure) []float64 {
	values := make([]float64, piecesOf)
	for i := range values {
		values[i] = math.NaN()
		if list != nil {
			values[i] = m.get(&list[i], false)
		}
	}
	return values
}

// change writes how much b is more than a.
func change(a, b float64) string {
	switch {
	case math.IsNaN(a) || math.IsNaN(b):
		return ""
	case a == 0:
		return "new"
	}
	percent := 100 * (b/a - 1)
	switch {
	case math.Abs(percent) < 0.05:
		return "0 %"
	case percent >= 999.5:
		return fmt.Sprintf("×%s", show.Short(b/a))
	case math.Abs(percent) < 9.95:
		return fmt.Sprintf("%+.1f %%", percent)
	}
	return fmt.Sprintf("%+.0f %%", percent)
}

// conditions lists what was not the same.
func (c *Comparison) conditions() {
	a, b := c.A.run(), c.B.run()
	say := func(what, a, b string) {
		if a != b {
			c.Conditions = append(c.Conditions, fmt.Sprintf("%s: %s → %s", what, orNone(a), orNone(b)))
		}
	}
	say("scenario", a.Name, b.Name)
	if a.Name == b.Name && a.Scenario != b.Scenario {
		c.Conditions = append(c.Conditions, "the scenario's text")
	}
	say("seed", fmt.Sprint(a.Seed), fmt.Sprint(b.Seed))
	say("cloud", a.Cloud, b.Cloud)
	say("muster", a.Muster, b.Muster)
	say("machines", hosts(a), hosts(b))
	say("groups", groups(a), groups(b))
	say("phases", phases(a), phases(b))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func hosts(r *record.Run) string {
	var list []string
	for _, h := range r.Hosts {
		list = append(list, fmt.Sprintf("%s (%d cores, %s, %s %s)", h.Name, h.Cores, show.Memory(h.Memory), h.OS, h.Kernel))
	}
	return strings.Join(list, ", ")
}

func groups(r *record.Run) string {
	var list []string
	for _, g := range r.Groups {
		list = append(list, fmt.Sprintf("%s %s of %s", show.Number(g.Devices), g.Name, strings.Join(g.Profiles, " ")))
	}
	return strings.Join(list, ", ")
}

func phases(r *record.Run) string {
	var list []string
	for _, p := range r.Phases {
		list = append(list, p.Name+" "+show.Duration(p.End-p.Start))
	}
	return strings.Join(list, ", ")
}

// doubts lists why the comparison says less than it seems to.
func (c *Comparison) doubts() {
	shared := false
	for i, s := range []*Side{c.A, c.B} {
		which := string(rune('A' + i))
		if s.run().Interrupted {
			c.Doubts = append(c.Doubts, which+" was interrupted")
		}
		for _, f := range s.Report.Findings {
			c.Doubts = append(c.Doubts, which+": "+f.What)
		}
		if s.run().Verdict == record.Inconclusive && len(s.Report.Findings) == 0 && !s.run().Interrupted {
			c.Doubts = append(c.Doubts, which+" is inconclusive: "+s.run().Why)
		}
	}
	for _, p := range c.A.run().Phases {
		shared = shared || hasPhase(c.B.run(), p.Name)
	}
	if !shared {
		c.Doubts = append(c.Doubts, "the runs have no phase in common")
	}
}

func (c *Comparison) thresholds() {
	find := func(r *record.Run, t *record.Threshold) (string, record.Verdict) {
		for i := range r.Thresholds {
			if o := &r.Thresholds[i]; o.Text == t.Text && o.Phase == t.Phase && o.Group == t.Group {
				return show.InUnit(o.Value, o.Unit), o.Verdict
			}
		}
		return "–", ""
	}
	seen := make(map[string]bool)
	for _, side := range []*Side{c.A, c.B} {
		for i := range side.run().Thresholds {
			t := &side.run().Thresholds[i]
			row := Threshold{Text: t.Text, Where: where(t)}
			if seen[row.Text+"\x00"+row.Where] {
				continue
			}
			seen[row.Text+"\x00"+row.Where] = true
			row.A, row.From = find(c.A.run(), t)
			row.B, row.To = find(c.B.run(), t)
			c.Thresholds = append(c.Thresholds, row)
		}
	}
}

func where(t *record.Threshold) string {
	switch {
	case t.Phase != "" && t.Group != "":
		return t.Group + " in " + t.Phase
	case t.Phase != "":
		return t.Phase
	}
	return t.Group
}

// Count returns how many rows have a verdict.
func (c *Comparison) Count(v Verdict) (n int) {
	for _, r := range c.Rows {
		if r.Verdict == v {
			n++
		}
	}
	return n
}

// Broken returns how many thresholds held in A and fail in B.
func (c *Comparison) Broken() (n int) {
	for _, t := range c.Thresholds {
		if t.From == record.Pass && t.To == record.Fail {
			n++
		}
	}
	return n
}

// The exit codes of a comparison.
const (
	exitAlike        = 0 // nothing is worse in B
	exitInconclusive = 3 // nothing that can be compared is worse, but not all can
	exitWorse        = 4
)

// ExitCode returns the exit code.
func (c *Comparison) ExitCode() int {
	switch {
	case c.Count(Worse) > 0 || c.Broken() > 0:
		return exitWorse
	case len(c.Doubts) > 0:
		return exitInconclusive
	}
	return exitAlike
}
