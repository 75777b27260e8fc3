package fleetreport

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/show"
)

//go:embed page/page.html
var pageSource string

//go:embed page/page.css
var pageStyle string

//go:embed page/page.js
var pageScript string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"number": show.Number[int], "memory": show.Memory, "clock": show.Clock, "duration": show.Duration, "count": show.Number[uint64],
	"percent":  func(x float64) template.CSS { return template.CSS(fmt.Sprintf("%.3f%%", x)) },
	"join":     func(list []string) string { return strings.Join(list, ", ") },
	"command":  commandLine,
	"sentence": sentence,
	"capital":  func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] },
}).Parse(pageSource))

// File is the name of the report in the folder of its run.
const File = "report.html"

// A view is the report in the order in which the page shows it.
type view struct {
	*Report
	Style      template.CSS
	Script     template.JS
	Headline   string
	Took       time.Duration
	Tiles      []tile
	Thresholds []thresholdView
	Charts     []*chart
	Ranks      *chart
	Rows       []row
	Reasons    []reason
	Ledgers    []ledger
	Costs      []cost
	Generator  []*chart
	Activities []legend
	Notes      []record.Note
	Why        string
	Each       string // what a point of a curve stands for, if it is more than an interval
	Interval   string
}

// WriteHTML writes the report as one page.
func (r *Report) WriteHTML(w io.Writer) error {
	p := newPoints(&r.series)
	v := view{
		Report: r, Style: template.CSS(pageStyle), Script: template.JS(pageScript), Headline: r.headline(), Took: r.length(),
		Tiles: r.tiles(p), Thresholds: r.thresholds(), Charts: r.charts(p), Ranks: r.ranks(), Rows: r.rows(), Reasons: r.reasons(),
		Ledgers: r.ledgers(), Costs: r.costs(), Generator: r.generator(p), Interval: show.Duration(r.series.axis.Every),
	}
	if p.width > 1 {
		v.Each = show.Duration(time.Duration(p.width) * r.series.axis.Every)
	}
	for _, n := range r.Run.Notes { // the charts tell of phases, and Findings of the generator
		if n.Kind != "phase" && (n.Kind != "generator" || len(r.Findings) == 0) {
			v.Notes = append(v.Notes, n)
		}
	}
	if r.Run.Verdict != record.Pass {
		v.Why = r.Run.Why
	}
	for _, a := range activities {
		v.Activities = append(v.Activities, legend{Name: a.name, Class: a.class})
	}
	return page.Execute(w, v)
}

// headline is what came of the run in a few words.
func (r *Report) headline() string {
	held, failed := 0, 0
	for _, t := range r.Run.Thresholds {
		switch t.Verdict {
		case record.Pass:
			held++
		case record.Fail:
			failed++
		default:
			// It could not be judged.
		}
	}
	all := len(r.Run.Thresholds)
	switch {
	case r.Run.Verdict == record.Inconclusive:
		return "this run proves nothing about the cloud"
	case all == 0 && r.Run.Verdict == record.Pass:
		return "the run had no thresholds to judge"
	case failed > 0:
		return fmt.Sprintf("%d of %s do not hold", failed, show.Count(all, "threshold"))
	case r.Run.Verdict == record.Fail:
		return "something did not hold"
	case all == 1:
		return "the one threshold holds"
	}
	return fmt.Sprintf("all %d thresholds hold", held)
}

// sentence makes a sentence of text, unless it begins with an expression.
func sentence(s string) string {
	first, _, _ := strings.Cut(s, " ")
	if strings.Trim(first, "abcdefghijklmnopqrstuvwxyz") == "" {
		s = strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):]
	}
	return strings.TrimSuffix(s, ".") + "."
}

// commandLine writes arguments so that a shell takes them apart the same way.
func commandLine(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !strings.ContainsRune("-_./:=,@%+", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
