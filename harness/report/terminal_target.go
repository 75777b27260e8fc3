package report

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// capabilities shows what the target was said to have and what was found.
func (p *printer) capabilities(r *Run) {
	if len(r.Capabilities) == 0 {
		return
	}
	t := newTable("What was found out about the target")
	t.AppendHeader(table.Row{"Capability", "Declared", "Found", ""})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 4, WidthMax: 80, WidthMaxEnforcer: text.WrapSoft}})
	for _, c := range r.Capabilities {
		found := c.Probed
		if c.Contradicts() {
			found = p.paint(Fail, Fail.Mark()+" "+found)
		}
		t.AppendRow(table.Row{c.Name, c.Declared, found, c.Text})
	}
	p.printf("%s\n\n", t.Render())
}

// omissions says what was not run, and why.
func (p *printer) omissions(r *Run) {
	if len(r.Omissions) == 0 {
		return
	}
	p.printf("Not judged:\n")
	for _, o := range r.Omissions {
		line := fmt.Sprintf("%s: %s", o.What, o.Reason)
		if o.Checks > 0 {
			line = fmt.Sprintf("%d × %s", o.Checks, line)
		}
		p.printf("  %s\n", p.paint(Unsupported, line))
	}
	p.printf("\n")
}

// baseline says in what the run differs from what is expected of it.
func (p *printer) baseline(r *Run) {
	if r.Baseline == nil {
		return
	}
	expected := 0
	for i := range r.Results {
		if r.Results[i].Deviation != nil {
			expected++
		}
	}
	p.printf("Baseline %s: %d results deviate as expected, %d differences\n", r.Baseline.Name, expected, len(r.Baseline.Differences))
	for _, d := range r.Baseline.Differences {
		where := Generation{d.DeviceOS, d.Transport}.String()
		if where != "" {
			where = " on Device OS " + where
		}
		p.printf("  %s\n", p.paint(Fail, fmt.Sprintf("%s%s: expected %v, was %v: %s", d.Check, where, d.Expected, d.Actual, d.Text)))
	}
	p.printf("\n")
}

// flakes says how many results passed only when tried again.
func (p *printer) flakes(r *Run) {
	if r.Flakes == nil || r.Flakes.Used == 0 {
		return
	}
	v := PassWithRemark
	if r.Flakes.Used > r.Flakes.Allowed {
		v = Fail
	}
	p.printf("%s\n\n", p.paint(v, fmt.Sprintf("Flaky: %d results passed only when tried again, of %d that may", r.Flakes.Used, r.Flakes.Allowed)))
}
