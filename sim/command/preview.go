package command

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/show"
	"github.com/muster/muster/sim/workload"
)

// previewWidth is how many columns the time of a run takes.
const previewWidth = 64

// preview draws what a scenario would do.
func preview(w io.Writer, s *scenario.Scenario) {
	fmt.Fprintf(w, "%s: %s in %s, %s, %s\n", s.Name, show.Count(s.Devices(), "device"), show.Count(len(s.Groups), "group"),
		show.Count(len(s.Phases), "phase"), show.Duration(s.Duration()))
	if s.Description != "" {
		fmt.Fprintln(w, s.Description)
	}
	e := loadtest.Expect(s)
	wide := len("phase")
	for i := range s.Phases {
		wide = max(wide, utf8.RuneCountInString(s.Phases[i].Name))
	}
	row := func(cells ...any) {
		line := fmt.Sprintf("  %-*s %8s %8s  %10s %12s %10s  %s", append([]any{wide}, cells...)...)
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	fmt.Fprintln(w)
	row("phase", "from", "length", "devices on", "events/s", "calls/s", "")
	at := time.Duration(0)
	for i := range s.Phases {
		p := &s.Phases[i]
		end := at + p.Duration
		row(p.Name, show.Clock(at), show.Clock(p.Duration), show.Number(int64(math.Round(e.Devices(end-1)))),
			between(e.Events(at), e.Events(end-1)), show.Short(e.Calls(end-1)), doing(s, p))
		at = end
	}
	fmt.Fprintln(w)
	chart(w, "devices on", s.Duration(), e.Devices)
	chart(w, "arrivals/s", s.Duration(), e.Arrivals)
	chart(w, "events/s", s.Duration(), e.Events)
	if len(s.Callers) > 0 {
		chart(w, "calls/s", s.Duration(), e.Calls)
	}
	fmt.Fprintf(w, "  %-12s %s\n", "", phaseLine(s))
	fmt.Fprintln(w)
	for i := range s.Groups {
		fmt.Fprintf(w, "  group %s: %s\n", s.Groups[i].Name, strings.Join(s.Groups[i].Words(), "; "))
	}
	for i := range s.Campaigns {
		fmt.Fprintf(w, "  campaign %s\n", s.Campaigns[i].Words())
	}
	for _, t := range s.Thresholds {
		fmt.Fprintf(w, "  must hold: %s\n", t.Words())
	}
	for _, r := range s.Remarks() {
		fmt.Fprintf(w, "  remark: %s\n", r)
	}
}

// doing says what a phase does, with the groups that it is about.
func doing(s *scenario.Scenario, p *scenario.Phase) string {
	text := p.Doing()
	for i := range s.Campaigns {
		if s.Campaigns[i].Phase == p.Name {
			text += " campaign " + s.Campaigns[i].Name
		}
	}
	if len(p.Groups) > 0 && text != "" {
		text += " (" + strings.Join(p.Groups, ", ") + ")"
	}
	return strings.TrimSpace(text)
}

func between(a, b float64) string {
	if a == b {
		return show.Short(a)
	}
	return show.Short(a) + "–" + show.Short(b)
}

// bars are an eighth of a line high each.
var bars = []rune("▁▂▃▄▅▆▇█")

// chart draws a quantity over the time of a run, as one line of bars.
func chart(w io.Writer, name string, length time.Duration, f func(time.Duration) float64) {
	var values [previewWidth]float64
	highest := 0.0
	for i := range values {
		values[i] = f(length * time.Duration(2*i+1) / (2 * previewWidth))
		highest = max(highest, values[i])
	}
	line := make([]rune, previewWidth)
	for i, v := range values {
		switch {
		case v <= 0:
			line[i] = ' '
		default:
			line[i] = bars[min(int(v/highest*float64(len(bars))), len(bars)-1)]
		}
	}
	fmt.Fprintf(w, "  %-12s %s %s\n", name, string(line), show.Short(highest))
}

// phaseLine marks where phases begin.
func phaseLine(s *scenario.Scenario) string {
	line := []rune(strings.Repeat("─", previewWidth))
	shape := workload.Shape{}
	for i := range s.Phases {
		x := int(float64(previewWidth) * float64(shape.End()) / float64(s.Duration()))
		for j, c := range []rune("┬" + s.Phases[i].Name) {
			if x+j < len(line) {
				line[x+j] = c
			}
		}
		shape.Line(s.Phases[i].Duration, 0, 0)
	}
	return string(line)
}
