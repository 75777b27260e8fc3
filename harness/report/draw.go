package report

import (
	"fmt"
	"html"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/harness/timeline"
	"github.com/muster/muster/protocol/clock"
)

// The measures of the drawing, in its own units.
const (
	drawWidth   = 1100
	drawLeft    = 150 // of names
	drawRight   = 12
	laneHeight  = 18
	laneGap     = 4
	barsHeight  = 44 // of the traffic
	otherLanes  = 14 // besides suites
	ticksMax    = 2000
	axisHeight  = 24
	drawPadding = 10
	nameMax     = 20 // of a lane, in characters
)

// A Traffic is how many bytes went each way within one slice of the run.
type Traffic struct {
	At   time.Duration `json:"at_ns"` // since the run began
	For  time.Duration `json:"for_ns"`
	Up   int           `json:"up"`   // bytes, headers included
	Down int           `json:"down"` // bytes, headers included
}

// A drawing is the timeline as SVG.
type drawing struct {
	strings.Builder
	end clock.Instant
	y   int
}

// drawTime draws the timeline: traffic, suites with their checks, and whoever else has
// something to tell. It returns nothing if nothing is known.
func (r *Run) drawTime() template.HTML {
	d := &drawing{end: clock.Instant(r.Duration)}
	for i := range r.Timeline {
		d.end = max(d.end, r.Timeline[i].End())
	}
	if len(r.Timeline) == 0 || d.end <= 0 {
		return ""
	}
	d.y = drawPadding
	d.traffic(r.Traffic)
	d.suites(r)
	d.others(r)
	d.axis()
	return template.HTML(fmt.Sprintf(`<svg class="time" viewBox="0 0 %d %d" role="img" aria-label="what happened when">%s</svg>`, drawWidth, d.y+axisHeight, d.String()))
}

// x is where an instant is.
func (d *drawing) x(at clock.Instant) float64 {
	return drawLeft + float64(drawWidth-drawLeft-drawRight)*float64(at)/float64(d.end)
}

// lane begins a lane with a name.
func (d *drawing) lane(name string, height int) {
	short := name
	if r := []rune(name); len(r) > nameMax {
		short = string(r[:8]) + "…" + string(r[len(r)-nameMax+9:])
	}
	fmt.Fprintf(d, `<rect class="lane" x="%d" y="%d" width="%d" height="%d" rx="3"/>`, drawLeft, d.y, drawWidth-drawLeft-drawRight, height)
	fmt.Fprintf(d, `<text class="name" x="%d" y="%d" text-anchor="end">%s<title>%s</title></text>`, drawLeft-8, d.y+height/2+4, html.EscapeString(short), html.EscapeString(name))
}

// box draws a piece of a lane.
func (d *drawing) box(kind string, from, until clock.Instant, y, height int, title string) {
	x := d.x(from)
	fmt.Fprintf(d, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s</title></rect>`,
		kind, x, y, max(1.5, d.x(until)-x-0.4), height, html.EscapeString(title))
}

// traffic draws the bytes of each slice, up above the line and down below it.
func (d *drawing) traffic(slices []Traffic) {
	most := 1
	for _, t := range slices {
		most = max(most, t.Up, t.Down)
	}
	if len(slices) == 0 {
		return
	}
	d.lane("traffic, up and down", barsHeight)
	half := barsHeight / 2
	for _, t := range slices {
		at, until := clock.Instant(t.At), clock.Instant(t.At+t.For)
		for _, side := range []struct {
			kind  string
			bytes int
			down  bool
		}{{"up", t.Up, false}, {"down", t.Down, true}} {
			h := half * side.bytes / most
			if side.bytes > 0 {
				h = max(1, h)
				y := d.y + half - h
				if side.down {
					y = d.y + half
				}
				d.box(side.kind, at, until, y, h, fmt.Sprintf("%v: %d B up, %d B down within %v", t.At.Round(time.Millisecond), t.Up, t.Down, t.For.Round(time.Millisecond)))
			}
		}
	}
	d.y += barsHeight + laneGap
}

// suites draws a lane a suite, with what prepares it and its checks in the colour of
// their worst verdict.
func (d *drawing) suites(r *Run) {
	worst := make(map[string]Verdict)
	for i := range r.Results {
		name := r.Results[i].Name()
		worst[name] = Worse(worst[name], r.Results[i].Verdict)
	}
	for _, suite := range r.Suites() {
		named := false
		for i := range r.Timeline {
			e := &r.Timeline[i]
			mine := strings.HasPrefix(e.Check, suite+"/") || e.Text == "prepare "+suite || strings.HasPrefix(e.Text, "prepare "+suite+":")
			if e.Kind != timeline.Step || !mine {
				continue
			}
			if !named {
				d.lane(suite, laneHeight)
				named = true
			}
			kind, title := "step", e.Text
			if e.Check != "" {
				kind = class(worst[e.Check])
				title = fmt.Sprintf("%s: %v", e.Check, worst[e.Check])
			}
			if e.Level == timeline.Bad {
				kind = "bad"
			}
			d.box(kind, e.At, e.End(), d.y+3, laneHeight-6, fmt.Sprintf("%s, %v from %v on", title, e.For.Round(time.Millisecond), e.At))
		}
		if named {
			d.y += laneHeight + laneGap
		}
	}
}

// others draws what else has lanes, those with bad news and those of rigs first, and
// devices only if findings are about them.
func (d *drawing) others(r *Run) {
	ranks := make(map[string]int)
	inFindings := make(map[string]bool)
	for i := range r.Results {
		for _, f := range r.Results[i].Findings {
			inFindings[f.Device] = true
		}
	}
	bench := r.onBench()
	for i := range r.Timeline {
		e := &r.Timeline[i]
		rank, known := ranks[e.Lane]
		if !known {
			rank = 9
		}
		switch {
		case e.Kind == timeline.Packet && bench:
			rank = min(rank, 2)
		case e.Kind == timeline.Step || e.Kind == timeline.Verdict || e.Kind == timeline.Packet:
			continue
		case e.Kind == timeline.Device && !inFindings[e.Lane]:
			continue
		case e.Kind == timeline.Note || e.Kind == timeline.Power || e.Kind == timeline.USB:
			rank = min(rank, 0)
		case e.Kind == timeline.Serial || e.Kind == timeline.Process:
			rank = min(rank, 1)
		case e.Kind == timeline.Device:
			rank = min(rank, 2)
		default:
			rank = min(rank, 3)
		}
		ranks[e.Lane] = rank
	}
	lanes := make([]string, 0, len(ranks))
	for name := range ranks {
		lanes = append(lanes, name)
	}
	slices.SortFunc(lanes, func(a, b string) int {
		if ranks[a] != ranks[b] {
			return ranks[a] - ranks[b]
		}
		return strings.Compare(a, b)
	})
	for i, name := range lanes {
		if i == otherLanes {
			fmt.Fprintf(d, `<text x="%d" y="%d">and %d more lanes in timeline.jsonl</text>`, drawLeft, d.y+12, len(lanes)-otherLanes)
			d.y += laneHeight + laneGap
			break
		}
		d.ticks(r.Timeline, name, bench)
	}
}

// ticks draws the events of one lane.
func (d *drawing) ticks(events []timeline.Event, name string, packets bool) {
	d.lane(name, laneHeight)
	n, last := 0, map[string]float64{}
	for i := range events {
		e := &events[i]
		if e.Lane != name || e.Kind == timeline.Step || e.Kind == timeline.Verdict || e.Kind == timeline.Packet && !packets {
			continue
		}
		kind := string(e.Level)
		if kind == "" {
			kind = "plain"
		}
		y, height := d.y+2, laneHeight-4
		if e.Kind == timeline.Packet {
			height /= 2
			if kind = "up"; strings.HasPrefix(e.Text, "down") {
				kind, y = "down", y+height
			}
		}
		if x, drawn := last[kind]; drawn && e.For == 0 && d.x(e.At)-x < 1 {
			continue // it would be on the one before
		}
		last[kind] = d.x(e.At)
		if n++; n > ticksMax {
			break // the file has them
		}
		d.box(kind, e.At, e.End(), y, height, fmt.Sprintf("%v %s: %s", e.At, e.Kind, e.Text))
	}
	d.y += laneHeight + laneGap
}

// onBench reports whether the run had boards or programs: few devices, of which all
// is told.
func (r *Run) onBench() bool {
	return slices.ContainsFunc(r.Timeline, func(e timeline.Event) bool { return e.Kind == timeline.Serial || e.Kind == timeline.Process })
}

// logMax bounds the lines of the log on the page.
const logMax = 4000

// A logView is what happened on a bench, line by line, on one clock.
type logView struct {
	Lines   []logLine
	LeftOut int
	Kinds   []timeline.Kind
}

type logLine struct {
	At, Lane, Text, Class string
	Kind                  timeline.Kind
}

// log returns what happened on a bench, nil for other runs: thousands of devices are
// for the file.
func (r *Run) log() *logView {
	if !r.onBench() {
		return nil
	}
	v := new(logView)
	for i := range r.Timeline {
		e := &r.Timeline[i]
		if len(v.Lines) == logMax {
			v.LeftOut = len(r.Timeline) - i
			break
		}
		text := e.Text
		if e.Check != "" && e.Kind == timeline.Step {
			text = e.Check
		}
		l := logLine{At: fmt.Sprintf("%.3f", time.Duration(e.At).Seconds()), Lane: e.Lane, Text: text, Kind: e.Kind, Class: string(e.Level)}
		if e.Kind == timeline.Packet {
			if l.Class = "up"; strings.HasPrefix(e.Text, "down") {
				l.Class = "down"
			}
		}
		v.Lines = append(v.Lines, l)
		if !slices.Contains(v.Kinds, e.Kind) {
			v.Kinds = append(v.Kinds, e.Kind)
		}
	}
	return v
}

// axis draws round times below the lanes.
func (d *drawing) axis() {
	step := time.Duration(d.end)
	for _, s := range []time.Duration{
		time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
		5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour,
	} {
		if time.Duration(d.end)/s <= 14 {
			step = s
			break
		}
	}
	for at := time.Duration(0); at <= time.Duration(d.end); at += max(step, 1) {
		x := d.x(clock.Instant(at))
		fmt.Fprintf(d, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke-dasharray="2 4"/><text x="%.1f" y="%d" text-anchor="middle">%v</text>`,
			x, x, drawPadding, d.y, x, d.y+14, at)
	}
}
