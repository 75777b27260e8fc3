package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// WriteTerminal writes what a person sees at the end of a run: what needs a look first,
// as a tree of suites, checks and generations, with everything needed to understand it;
// then the byte ledger, then the table of verdicts, and the one-line summary last, where
// the eye rests. Colour is used if colour is true.
func (r *Run) WriteTerminal(w io.Writer, colour bool) error {
	p := &printer{w: w, colour: colour}
	p.tree(r)
	p.ledger(r)
	p.capabilities(r)
	p.matrix(r)
	p.omissions(r)
	p.flakes(r)
	p.baseline(r)
	p.notes(r)
	p.summary(r)
	return p.err
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

func (p *printer) paint(v Verdict, s string) string {
	if !p.colour {
		return s
	}
	switch v {
	case Pass:
		return text.FgGreen.Sprint(s)
	case PassWithRemark, Inconclusive:
		return text.FgYellow.Sprint(s)
	case Fail:
		return text.Colors{text.FgRed, text.Bold}.Sprint(s)
	case NotRun, Disabled, Unsupported:
		return text.Faint.Sprint(s)
	default:
		return s
	}
}

func newTable(title string) table.Writer {
	t := table.NewWriter()
	t.SetTitle("%s", title)
	style := table.StyleLight
	style.Title.Align = text.AlignLeft
	style.Format.Header = text.FormatDefault
	style.Format.Footer = text.FormatDefault
	style.Options.SeparateColumns = false
	style.Options.DrawBorder = false
	style.Size.WidthMin = utf8.RuneCountInString(title) + 2 // a narrow table would cut it into pieces
	t.SetStyle(style)
	return t
}

func (p *printer) ledger(r *Run) {
	if len(r.Ledger) == 0 {
		return
	}
	t := newTable("Bytes on the wire (median of a phase; IP and UDP or TCP headers included)")
	t.AppendHeader(table.Row{"Phase", "Device OS", "Seen", "Up", "Down", "Headers", "Total", "Range", "Budget"})
	numbers := []table.ColumnConfig{}
	for column := 3; column <= 9; column++ {
		numbers = append(numbers, table.ColumnConfig{Number: column, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(numbers)
	previous := ""
	for _, row := range r.Ledger {
		phase := row.Phase
		if phase == previous {
			phase = ""
		} else if previous != "" {
			t.AppendSeparator()
		}
		previous = row.Phase
		t.AppendRow(table.Row{
			phase,
			Generation{row.DeviceOS, row.Transport},
			row.Count,
			fmt.Sprintf("%d (%d)", row.Up.Payload, row.Up.Packets),
			fmt.Sprintf("%d (%d)", row.Down.Payload, row.Down.Packets),
			row.Up.Headers + row.Down.Headers, row.Total.Median,
			fmt.Sprintf("%d–%d", row.Total.Min, row.Total.Max), p.budget(row),
		})
	}
	p.printf("%s\n\n", t.Render())
}

func (p *printer) budget(row LedgerRow) string {
	if row.Budget == 0 {
		return ""
	}
	v := Pass
	if row.Total.Median > row.Budget { // the most includes what was sent again
		v = Fail
	}
	return p.paint(v, fmt.Sprintf("%s %d", v.Mark(), row.Budget))
}

func (p *printer) matrix(r *Run) {
	generations := r.Generations()
	t := newTable("Verdicts by suite and Device OS generation")
	header := table.Row{"Suite"}
	for _, g := range generations {
		header = append(header, g.String())
	}
	t.AppendHeader(header)
	for _, suite := range r.Suites() {
		row := table.Row{suite}
		for _, g := range generations {
			cell := r.Cell(suite, g)
			if len(cell) == 0 {
				row = append(row, "")
				continue
			}
			v := verdictOf(cell)
			row = append(row, p.paint(v, fmt.Sprintf("%s %s", v.Mark(), tally(cell))))
		}
		t.AppendRow(row)
	}
	p.printf("%s\n\n", t.Render())
}

// tally is "passed/all" of a cell.
func tally(cell []Result) string {
	passed := 0
	for _, result := range cell {
		if result.Verdict == Pass || result.Verdict == PassWithRemark {
			passed++
		}
	}
	return fmt.Sprintf("%d/%d", passed, len(cell))
}

func (p *printer) summary(r *Run) {
	counts := r.Count()
	var parts []string
	for v := numVerdicts; v > 0; v-- {
		if n := counts[v-1]; n > 0 {
			parts = append(parts, p.paint(v-1, fmt.Sprintf("%d %s", n, v-1)))
		}
	}
	devices := 0
	for _, c := range r.Cohorts {
		devices += c.Devices
	}
	seed := ""
	if r.Seed != 0 {
		seed = fmt.Sprintf(", seed %d", r.Seed)
	}
	p.printf("%s: %d devices, %d checks: %s, in %s%s\n", r.Tool, devices, len(r.Results),
		strings.Join(parts, ", "), r.Duration.Round(100*time.Millisecond), seed)
	if r.Verdict() >= Inconclusive && r.Repeat != "" {
		p.printf("to repeat: %s\n", r.Repeat)
	}
}
