package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
)

//go:embed page/page.html
var pageSource string

//go:embed page/page.css
var pageStyle string

//go:embed page/page.js
var pageScript string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"join":  func(parts []string) string { return strings.Join(parts, " ") },
	"round": func(d time.Duration) string { return d.Round(time.Millisecond).String() },
	"class": class,
	"inc":   func(i int) int { return i + 1 },
}).Parse(pageSource))

// class is the name of a verdict in the style sheet.
func class(v Verdict) string { return strings.ReplaceAll(v.String(), " ", "-") }

// WriteHTML writes the run as one page that needs no other file and no network: what
// failed, with what is required, what was seen and what repeats it; requirements by
// generation; the byte ledger drawn as bars against the budgets; the timeline; and
// what was not run, and why.
func (r *Run) WriteHTML(w io.Writer) error {
	return page.Execute(w, r.view())
}

// A view is the run in the order in which the page shows it.
type view struct {
	*Run
	Style        template.CSS
	Script       template.JS
	Overall      Verdict
	Headline     string
	Tallies      []tallyView
	Columns      []string
	Several      bool // targets
	Legend       []Verdict
	Failures     []troubleView // and inconclusive ones
	Remarks      []troubleView
	Requirements []requirementView
	Suites       []suiteView
	PhaseCharts  []chartView
	Measured     []measuredView
	Unrun        []Omission
	Time         template.HTML
	Log          *logView
}

type tallyView struct {
	Verdict Verdict
	Count   int
}

// A troubleView is a result that needs a look.
type troubleView struct {
	Result
	Anchor string
	Edge   string
	Folded bool // one of the same check is shown before it
	Cited  []Requirement
}

// A cellView is where a row and a column of a matrix meet.
type cellView struct {
	Any     bool
	Verdict Verdict
	Title   string
	Link    string // the anchor of the trouble, if there is one
}

// A requirementView is one row of the matrix of requirements.
type requirementView struct {
	Requirement
	Cells []cellView
	OK    bool // nothing in it needs a look
}

// A suiteView is the matrix of the checks of one suite.
type suiteView struct {
	Name    string
	Verdict Verdict
	Tally   string
	Open    bool
	Checks  []checkView
}

type checkView struct {
	Name, Text   string
	Requirements []string
	Cells        []cellView
}

// A chartView is one phase: a bar a generation, all to one scale.
type chartView struct {
	Phase string
	Scale int
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
	v := view{
		Run: r, Style: template.CSS(pageStyle), Script: template.JS(pageScript), Overall: r.Verdict(),
		Legend: []Verdict{Pass, PassWithRemark, Fail, Inconclusive, Unsupported, NotRun},
	}
	counts := r.Count()
	for verdict := numVerdicts; verdict > 0; verdict-- {
		if n := counts[verdict-1]; n > 0 {
			v.Tallies = append(v.Tallies, tallyView{verdict - 1, n})
		}
	}
	v.Headline = r.headline(counts)
	m := newMatrix(r)
	v.Columns, v.Several = m.names, m.several
	v.Failures, v.Remarks = r.troubles()
	v.Requirements, v.Suites = m.requirements(), m.suites()
	for _, phase := range r.Phases() {
		v.PhaseCharts = append(v.PhaseCharts, r.chart(phase))
	}
	v.Measured = r.measured()
	v.Unrun = r.unrun()
	v.Time, v.Log = r.drawTime(), r.log()
	return v
}

// headline is the verdict of the run in a few words.
func (r *Run) headline(counts map[Verdict]int) string {
	switch {
	case len(r.Results) == 0:
		return "nothing was judged"
	case r.Baseline != nil && len(r.Baseline.Differences) > 0:
		return fmt.Sprintf("%s from the baseline", several(len(r.Baseline.Differences), "difference"))
	case counts[Fail] > 0:
		return fmt.Sprintf("%d of %d results failed", counts[Fail], len(r.Results))
	case counts[Inconclusive] > 0:
		return several(counts[Inconclusive], "result") + " could not be judged"
	case counts[NotRun] > 0:
		return several(counts[NotRun], "result") + " missing"
	case counts[Pass]+counts[PassWithRemark] == 0:
		return "nothing that was asked for applies to the target"
	}
	return "everything that applies passed"
}

// several is a number of things.
func several(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// troubles returns the results that failed or could not be judged, and those with
// remarks.
func (r *Run) troubles() (failures, remarks []troubleView) {
	texts := make(map[string]Requirement)
	for _, q := range r.Requirements {
		texts[q.ID] = q
	}
	for i, result := range r.Results {
		if !result.needsLook() {
			continue
		}
		t := troubleView{Result: result, Anchor: anchor(i), Edge: "warn-edge"}
		for _, id := range result.Requirements {
			if q, ok := texts[id]; ok {
				t.Cited = append(t.Cited, q)
			}
		}
		switch {
		case result.Verdict == Fail && result.Deviation == nil:
			t.Edge = "fail-edge"
			failures = append(failures, t)
		case result.Verdict == Inconclusive && result.Deviation == nil:
			failures = append(failures, t)
		default:
			remarks = append(remarks, t)
		}
	}
	// What failed comes before what could not be judged.
	slices.SortStableFunc(failures, func(a, b troubleView) int { return cmp.Compare(b.Verdict, a.Verdict) })
	for _, list := range [][]troubleView{failures, remarks} {
		for i := range list {
			list[i].Folded = i > 0 && list[i].Name() == list[i-1].Name() && list[i].Verdict == list[i-1].Verdict
		}
	}
	return failures, remarks
}

// needsLook reports whether a person should look at a result.
func (r *Result) needsLook() bool { return r.Verdict >= PassWithRemark || len(r.Attempts) > 1 }

// anchor is the place of a result on the page.
func anchor(i int) string { return fmt.Sprintf("r%d", i) }

func (r *Run) chart(phase string) chartView {
	chart := chartView{Phase: phase, Scale: 1}
	for _, row := range r.Ledger {
		if row.Phase == phase {
			chart.Scale = max(chart.Scale, row.Up.Bytes()+row.Down.Bytes(), row.Budget)
		}
	}
	percent := func(n int) float64 { return 100 * float64(n) / float64(chart.Scale) }
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
	text := fmt.Sprintf("%s: up %d B in %d, down %d B in %d, headers %d B, total %d B (%d–%d over %d)",
		b.Label, b.Row.Up.Payload, b.Row.Up.Packets, b.Row.Down.Payload, b.Row.Down.Packets,
		b.Row.Up.Headers+b.Row.Down.Headers, b.Row.Total.Median, b.Row.Total.Min, b.Row.Total.Max, b.Row.Count)
	if b.Row.Budget > 0 {
		text += fmt.Sprintf(", budget %d B", b.Row.Budget)
	}
	return text
}
