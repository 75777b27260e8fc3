package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// A Diff is what differs between two runs.
type Diff struct {
	// Conditions are what the runs do not have in common, such as the target or
	// the version: differences may come from there.
	Conditions []Change `json:"conditions,omitempty"`
	// Verdicts are results that changed, and those that only one run has.
	Verdicts []VerdictChange `json:"verdicts,omitempty"`
	// Numbers are measured values that changed: medians of what checks measured,
	// and totals of the ledger, in the bytes of a phase.
	Numbers []NumberChange `json:"numbers,omitempty"`
	// Same is how many results are alike.
	Same int `json:"same"`
}

// A Change is one thing that is another in the second run.
type Change struct {
	What   string `json:"what"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// A VerdictChange is a result that is another in the second run. Before or After
// is empty if only the other run has the result.
type VerdictChange struct {
	Check     string   `json:"check"`
	DeviceOS  string   `json:"device_os"`
	Transport string   `json:"transport"`
	Before    *Verdict `json:"before,omitempty"`
	After     *Verdict `json:"after,omitempty"`
	Text      string   `json:"text,omitempty"` // the first finding, or the reason, of the worse one
}

// Kind says in a word what has happened.
func (c *VerdictChange) Kind() string {
	switch {
	case c.Before == nil:
		return "new"
	case c.After == nil:
		return "gone"
	case *c.After > *c.Before && *c.After >= Inconclusive:
		return "worse"
	case *c.Before >= Inconclusive && *c.After < Inconclusive:
		return "better"
	default:
		return "other"
	}
}

// A NumberChange is a measured value that is another in the second run.
type NumberChange struct {
	What      string `json:"what"`
	DeviceOS  string `json:"device_os"`
	Transport string `json:"transport"`
	Unit      string `json:"unit"`
	Before    int64  `json:"before"`
	After     int64  `json:"after"`
}

// Empty reports whether the runs have the same results and the same numbers.
func (d *Diff) Empty() bool { return len(d.Verdicts) == 0 && len(d.Numbers) == 0 }

// resultKey names a result in every run.
type resultKey struct{ check, deviceOS, transport string }

// Compare returns what differs between two runs, in the order of the first.
func Compare(before, after *Run) *Diff {
	d := &Diff{}
	d.conditions(before, after)
	old, now := indexed(before), indexed(after)
	for _, r := range before.Results {
		k := keyOf(&r)
		next, ok := now[k]
		switch {
		case !ok:
			d.verdict(k, &r, nil)
		case next.Verdict != r.Verdict:
			d.verdict(k, &r, next)
		default:
			d.Same++
		}
		if ok {
			d.measurements(k, &r, next)
		}
	}
	for _, r := range after.Results {
		if k := keyOf(&r); old[k] == nil {
			d.verdict(k, nil, &r)
		}
	}
	d.ledger(before, after)
	return d
}

func keyOf(r *Result) resultKey { return resultKey{r.Name(), r.DeviceOS, r.Transport} }

func indexed(run *Run) map[resultKey]*Result {
	m := make(map[resultKey]*Result, len(run.Results))
	for i := range run.Results {
		m[keyOf(&run.Results[i])] = &run.Results[i]
	}
	return m
}

func (d *Diff) conditions(a, b *Run) {
	for _, c := range []Change{
		{"cloud", a.Cloud, b.Cloud},
		{"device", a.Device, b.Device},
		{"version of Muster", a.Version, b.Version},
		{"shard", a.Shard, b.Shard},
	} {
		if c.Before != c.After {
			d.Conditions = append(d.Conditions, c)
		}
	}
	if a.Interrupted || b.Interrupted {
		d.Conditions = append(d.Conditions, Change{"interrupted", yesNo(a.Interrupted), yesNo(b.Interrupted)})
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (d *Diff) verdict(k resultKey, a, b *Result) {
	c := VerdictChange{Check: k.check, DeviceOS: k.deviceOS, Transport: k.transport}
	worse := a
	if a != nil {
		c.Before = &a.Verdict
	}
	if b != nil {
		c.After = &b.Verdict
		if a == nil || b.Verdict >= a.Verdict {
			worse = b
		}
	}
	c.Text = worse.Reason
	if len(worse.Findings) > 0 {
		c.Text = worse.Findings[0].Line()
	}
	d.Verdicts = append(d.Verdicts, c)
}

func (d *Diff) measurements(k resultKey, a, b *Result) {
	for i := range a.Measurements {
		m := &a.Measurements[i]
		for j := range b.Measurements {
			n := &b.Measurements[j]
			if n.Name == m.Name && moved(m.Median, n.Median) {
				d.Numbers = append(d.Numbers, NumberChange{k.check + ": " + m.Name, k.deviceOS, k.transport, m.Unit, m.Median, n.Median})
			}
		}
	}
}

// moved reports whether a value changed by more than half a percent: signatures have
// a byte or two more or less from run to run.
func moved(a, b int64) bool {
	const perMille = 5
	change := b - a
	return max(change, -change)*1000 > perMille*max(a, -a)
}

func (d *Diff) ledger(a, b *Run) {
	type key struct{ phase, deviceOS, transport string }
	old := make(map[key]LedgerRow)
	for _, row := range a.Ledger {
		old[key{row.Phase, row.DeviceOS, row.Transport}] = row
	}
	for _, row := range b.Ledger {
		// Only what has a budget has to stay: the rest depends on what was done.
		before, ok := old[key{row.Phase, row.DeviceOS, row.Transport}]
		if ok && row.Budget > 0 && moved(int64(before.Total.Median), int64(row.Total.Median)) {
			d.Numbers = append(d.Numbers, NumberChange{
				"ledger: " + row.Phase, row.DeviceOS, row.Transport, "B", int64(before.Total.Median), int64(row.Total.Median),
			})
		}
	}
}

// WriteTerminal writes the differences for people, worst first, and a line that
// sums up, last.
func (d *Diff) WriteTerminal(w io.Writer, colour bool) error {
	p := &printer{w: w, colour: colour}
	for _, c := range d.Conditions {
		p.printf("%s: %s → %s\n", c.What, orNothing(c.Before), orNothing(c.After))
	}
	counts := make(map[string]int)
	for _, kind := range []string{"worse", "better", "new", "gone", "other"} {
		var list []*VerdictChange
		for i := range d.Verdicts {
			if d.Verdicts[i].Kind() == kind {
				list = append(list, &d.Verdicts[i])
			}
		}
		counts[kind] = len(list)
		p.verdictChanges(kind, list)
	}
	p.numberChanges(d.Numbers)
	var parts []string
	for _, kind := range []string{"worse", "better", "new", "gone", "other"} {
		if n := counts[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	if n := len(d.Numbers); n > 0 {
		parts = append(parts, fmt.Sprintf("%d numbers changed", n))
	}
	if len(parts) == 0 {
		parts = append(parts, "no differences")
	}
	p.printf("%s, %d results alike\n", strings.Join(parts, ", "), d.Same)
	return p.err
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}

// words are how the kinds of changes are headed.
var words = map[string]string{
	"worse": "Worse", "better": "Better", "new": "In the second run only", "gone": "In the first run only", "other": "Otherwise changed",
}

func (p *printer) verdictChanges(kind string, list []*VerdictChange) {
	if len(list) == 0 {
		return
	}
	t := newTable(words[kind])
	t.AppendHeader(table.Row{"Check", "Device OS", "Before", "After", ""})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 5, WidthMax: 80, WidthMaxEnforcer: text.WrapSoft}})
	for _, c := range list {
		t.AppendRow(table.Row{c.Check, Generation{c.DeviceOS, c.Transport}, p.verdictOrNothing(c.Before), p.verdictOrNothing(c.After), c.Text})
	}
	p.printf("%s\n\n", t.Render())
}

func (p *printer) verdictOrNothing(v *Verdict) string {
	if v == nil {
		return ""
	}
	return p.paint(*v, v.Mark()+" "+v.String())
}

func (p *printer) numberChanges(list []NumberChange) {
	if len(list) == 0 {
		return
	}
	t := newTable("Numbers (medians)")
	t.AppendHeader(table.Row{"What", "Device OS", "Before", "After", "Difference"})
	for _, n := range list {
		t.AppendRow(table.Row{n.What, Generation{n.DeviceOS, n.Transport}, fmt.Sprintf("%d %s", n.Before, n.Unit), fmt.Sprintf("%d %s", n.After, n.Unit), fmt.Sprintf("%+d", n.After-n.Before)})
	}
	p.printf("%s\n\n", t.Render())
}
