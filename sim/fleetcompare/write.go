package fleetcompare

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/muster/muster/sim/fleetreport"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/show"
)

// Caution is what a reader must know of the words "better" and "worse".
const Caution = "A change is told when it is above the tolerance and at least four times its own standard error over ten pieces of the phase. " +
	"That is noise within a run: repeat both runs to see how much one run differs from the next on the same machine."

// words are what people read for a verdict.
var words = map[Verdict]string{
	Same: "same", Noise: "within the noise", Few: "too few to say", Changed: "changed", Better: "better", Worse: "worse", Spoilt: "the generator was the bottleneck",
}

// told reports whether a row is shown without being asked for: what changed, and what
// every reader looks for.
func (r *Row) told() bool {
	switch r.Verdict {
	case Worse, Better, Changed, Spoilt:
		return true
	case Same, Noise, Few:
		return r.Group == "" && (strings.HasSuffix(r.Name, "p50") || strings.HasSuffix(r.Name, "p99") || r.Name == "events acknowledged" || r.Name == "handshakes" || r.Name == "resumes" || r.Name == "bytes a device")
	}
	return false
}

// Headline is the result in a few words.
func (c *Comparison) Headline() string {
	worse, better := c.Count(Worse), c.Count(Better)
	var parts []string
	if n := c.Broken(); n > 0 {
		parts = append(parts, show.Count(n, "threshold")+" fail now")
		if n == 1 {
			parts[0] = "1 threshold fails now"
		}
	}
	if worse > 0 {
		parts = append(parts, show.Count(worse, "number")+" worse in B")
	}
	if better > 0 {
		parts = append(parts, show.Count(better, "number")+" better in B")
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, ", ")
	case c.Count(Spoilt) > 0:
		return "what differs may be the generator's doing"
	case len(c.Rows) == 0:
		return "nothing can be compared"
	}
	return "no difference beyond the noise"
}

// WriteText writes the comparison for a terminal: with all, every number; else those
// that changed and those that everybody looks for.
func (c *Comparison) WriteText(w io.Writer, all, colour bool) error {
	p := &printer{w: w, colour: colour}
	for i, s := range []*Side{c.A, c.B} {
		r := s.run()
		p.printf("%c  %s  %s, %s, %s\n", 'A'+i, s.Dir, r.Name, r.Began.UTC().Format("2006-01-02 15:04 UTC"), p.paint(verdictColour[r.Verdict], string(r.Verdict)))
	}
	p.list("Not the same, and so perhaps why results differ", c.Conditions, nil)
	p.list("Doubts", c.Doubts, text.Colors{text.FgYellow})
	p.rows(c.Rows, all)
	p.thresholds(c.Thresholds)
	if c.Count(Worse)+c.Count(Better)+c.Count(Changed) > 0 {
		p.printf("\n%s\n", text.WrapSoft(Caution, 100))
	}
	p.printf("\n%s\n", p.paint(c.colour(), c.Headline()))
	return p.err
}

var verdictColour = map[record.Verdict]text.Colors{record.Pass: {text.FgGreen}, record.Fail: {text.FgRed}, record.Inconclusive: {text.FgYellow}}

var rowColour = map[Verdict]text.Colors{Better: {text.FgGreen}, Worse: {text.FgRed, text.Bold}, Spoilt: {text.FgYellow}, Changed: {text.FgYellow}, Same: {text.Faint}, Noise: {text.Faint}, Few: {text.Faint}}

func (c *Comparison) colour() text.Colors {
	switch c.ExitCode() {
	case exitWorse:
		return text.Colors{text.FgRed, text.Bold}
	case exitInconclusive:
		return text.Colors{text.FgYellow}
	}
	return text.Colors{text.FgGreen}
}

// A printer remembers the first error, so that its steps read as one text.
type printer struct {
	w      io.Writer
	colour bool
	err    error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) paint(c text.Colors, s string) string {
	if !p.colour || len(c) == 0 {
		return s
	}
	return c.Sprint(s)
}

func (p *printer) list(title string, list []string, c text.Colors) {
	if len(list) == 0 {
		return
	}
	p.printf("\n%s\n", p.paint(c, title))
	for _, s := range list {
		p.printf("  %s\n", s)
	}
}

func newTable(title string, header table.Row, rightAligned ...int) table.Writer {
	t := table.NewWriter()
	t.SetTitle("%s", title)
	style := table.StyleLight
	style.Title.Align = text.AlignLeft
	style.Format.Header = text.FormatDefault
	style.Options.SeparateColumns = false
	style.Options.DrawBorder = false
	t.SetStyle(style)
	t.AppendHeader(header)
	var columns []table.ColumnConfig
	for _, n := range rightAligned {
		columns = append(columns, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t
}

// rows writes a table for each phase.
func (p *printer) rows(rows []Row, all bool) {
	for len(rows) > 0 {
		n := slices.IndexFunc(rows, func(r Row) bool { return r.Phase != rows[0].Phase })
		if n < 0 {
			n = len(rows)
		}
		t := newTable(rows[0].Phase, table.Row{"", "", "A", "B", "Change", ""}, 3, 4, 5)
		for _, r := range rows[:n] {
			if all || r.told() {
				t.AppendRow(table.Row{r.Name, r.Group, r.A, r.B, r.Change, p.paint(rowColour[r.Verdict], words[r.Verdict])})
			}
		}
		if t.Length() > 0 {
			p.printf("\n%s\n", t.Render())
		}
		rows = rows[n:]
	}
}

func (p *printer) thresholds(list []Threshold) {
	if len(list) == 0 {
		return
	}
	t := newTable("Thresholds", table.Row{"", "", "A", "B", ""}, 3, 4)
	for _, x := range list {
		word := ""
		switch {
		case x.From == record.Pass && x.To == record.Fail:
			word = p.paint(rowColour[Worse], "fails now")
		case x.From == record.Fail && x.To == record.Pass:
			word = p.paint(rowColour[Better], "holds now")
		case x.From != x.To:
			word = p.paint(rowColour[Changed], fmt.Sprintf("%s → %s", orNone(string(x.From)), orNone(string(x.To))))
		}
		t.AppendRow(table.Row{x.Text, x.Where, x.A, x.B, word})
	}
	p.printf("\n%s\n", t.Render())
}

// Pair returns the comparison as a page.
func (c *Comparison) Pair() *fleetreport.Pair {
	class := map[int]string{exitAlike: "pass", exitInconclusive: "inconclusive", exitWorse: "fail"}[c.ExitCode()]
	p := &fleetreport.Pair{
		A: c.A.Report, B: c.B.Report, NameA: c.A.Dir, NameB: c.B.Dir, Headline: c.Headline(), Class: class,
		Conditions: c.Conditions, Doubts: c.Doubts, Caution: Caution,
	}
	p.Headline = strings.ToUpper(p.Headline[:1]) + p.Headline[1:]
	for _, t := range c.Thresholds {
		p.Thresholds = append(p.Thresholds, fleetreport.PairThreshold{Text: t.Text, Where: t.Where, A: t.A, B: t.B, From: t.From, To: t.To})
	}
	classes := map[Verdict]string{Better: "pass", Worse: "fail", Spoilt: "inconclusive", Changed: "inconclusive"}
	for _, r := range c.Rows {
		if n := len(p.Phases); n == 0 || p.Phases[n-1].Name != r.Phase {
			p.Phases = append(p.Phases, fleetreport.PairPhase{Name: r.Phase})
		}
		if r.Group != "" && !r.told() {
			continue
		}
		class := classes[r.Verdict]
		if class == "" {
			class = "soft"
		}
		last := &p.Phases[len(p.Phases)-1]
		last.Rows = append(last.Rows, fleetreport.PairRow{
			Group: r.Group, Name: r.Name, A: r.A, B: r.B, Change: r.Change, Verdict: words[r.Verdict], Class: class, Hidden: !r.told(),
		})
	}
	return p
}
