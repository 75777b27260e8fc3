package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"findings": findingsText,
	"join":     func(parts []string) string { return strings.Join(parts, " ") },
	"round":    func(d time.Duration) string { return d.Round(time.Millisecond).String() },
	"class":    func(v Verdict) string { return strings.ReplaceAll(v.String(), " ", "-") },
}).Parse(pageSource))

// WriteHTML writes the run as one page that needs no other file and no
// network: verdicts by suite and generation, each failure with what repeats
// it, and the byte ledger drawn as bars against the budgets.
func (r *Run) WriteHTML(w io.Writer) error {
	return page.Execute(w, r.view())
}

// A view is the run in the order in which the page shows it.
type view struct {
	*Run
	Overall     Verdict
	Tallies     []tallyView
	Columns     []Generation
	Rows        []rowView
	Troubles    []Result
	PhaseCharts []chartView
}

type tallyView struct {
	Verdict Verdict
	Count   int
}

type rowView struct {
	Suite string
	Cells []cellView
}

type cellView struct {
	Verdict Verdict
	Tally   string
	Results []Result
}

// A chartView is one phase: a bar a generation, all to one scale.
type chartView struct {
	Phase string
	Bars  []barView
}

// A barView is one generation's bar. Widths and positions are percent of the
// chart's width.
type barView struct {
	Row            LedgerRow
	Label          string
	Up, Down       float64
	UpHdr, DownHdr float64
	Budget         float64 // position of the mark; 0: none
	Over           bool
}

func (r *Run) view() view {
	v := view{Run: r, Overall: r.Verdict(), Columns: r.Generations()}
	counts := r.Count()
	for verdict := numVerdicts; verdict > 0; verdict-- {
		if n := counts[verdict-1]; n > 0 {
			v.Tallies = append(v.Tallies, tallyView{verdict - 1, n})
		}
	}
	for _, suite := range r.Suites() {
		row := rowView{Suite: suite}
		for _, g := range v.Columns {
			cell := r.Cell(suite, g)
			row.Cells = append(row.Cells, cellView{verdictOf(cell), tally(cell), cell})
		}
		v.Rows = append(v.Rows, row)
	}
	for _, result := range r.Results {
		if result.Verdict >= PassWithRemark {
			v.Troubles = append(v.Troubles, result)
		}
	}
	for _, phase := range r.Phases() {
		v.PhaseCharts = append(v.PhaseCharts, r.chart(phase))
	}
	return v
}

func (r *Run) chart(phase string) chartView {
	chart := chartView{Phase: phase}
	scale := 1
	for _, row := range r.Ledger {
		if row.Phase == phase {
			scale = max(scale, row.Up.Bytes()+row.Down.Bytes(), row.Budget)
		}
	}
	percent := func(n int) float64 { return 100 * float64(n) / float64(scale) }
	for _, row := range r.Ledger {
		if row.Phase != phase {
			continue
		}
		chart.Bars = append(chart.Bars, barView{
			Row: row, Label: Generation{row.DeviceOS, row.Transport}.String(),
			Up: percent(row.Up.Payload), UpHdr: percent(row.Up.Headers),
			Down: percent(row.Down.Payload), DownHdr: percent(row.Down.Headers),
			Budget: percent(row.Budget), Over: row.Budget > 0 && row.Total.Median > row.Budget,
		})
	}
	return chart
}

// Describe is the tooltip of a bar.
func (b barView) Describe() string {
	return fmt.Sprintf("%s: up %d B in %d, down %d B in %d, headers %d B, total %d B (%d–%d over %d)",
		b.Label, b.Row.Up.Payload, b.Row.Up.Packets, b.Row.Down.Payload, b.Row.Down.Packets,
		b.Row.Up.Headers+b.Row.Down.Headers, b.Row.Total.Median, b.Row.Total.Min, b.Row.Total.Max, b.Row.Count)
}
