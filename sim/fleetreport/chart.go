package fleetreport

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/muster/muster/sim/show"
)

// A unit says how values of a chart are written.
type unit string

const (
	plain      unit = ""
	perSecond  unit = "/s"
	bytesRate  unit = "B/s"
	seconds    unit = "s"
	cores      unit = "cores"
	memoryUnit unit = "B"
)

// write writes a value. The page's script writes the same.
func (u unit) write(v float64) string {
	switch u {
	case perSecond:
		return show.Rate(v)
	case bytesRate:
		return show.Bytes(v) + "/s"
	case seconds:
		return show.Seconds(v)
	case memoryUnit:
		return show.Memory(uint64(max(0, v)))
	default:
		return show.Short(v)
	}
}

// A chart is curves over a common axis.
type chart struct {
	ID, Title string
	Sub       string // a sentence below the title
	Unit      unit
	Lines     []line
	X         []float64
	Stack     bool
	Log       bool
	Marks     []mark // limits of thresholds
	Phases    []span
	Strained  []span
	Wide      bool
	Ranks     bool // the axis is of percentiles, not of time

	x, y scale
}

// A mark is a value to compare with.
type mark struct {
	Y        float64
	Text     string
	From, To float64 // in seconds; both 0: everywhere
}

// A tick is a mark on an axis, at a percentage of its length.
type tick struct {
	At   float64
	Text string
}

// A markLine is a mark as it is drawn, in percent.
type markLine struct {
	tick
	Left, Width float64
}

// prepare chooses the scales.
func (c *chart) prepare(end time.Duration) {
	if c.Ranks {
		c.x = scale{high: 1}
		if n := len(c.X); n > 0 {
			c.x.high = c.X[n-1]
		}
	} else {
		c.x = clock(end.Seconds())
	}
	low, high := math.Inf(1), math.Inf(-1)
	see := func(v float64) {
		if math.IsNaN(v) || c.Log && v <= 0 {
			return
		}
		low, high = min(low, v), max(high, v)
	}
	for _, l := range c.Lines {
		for i, v := range l.Y {
			see(v)
			if l.High != nil && !c.Stack {
				see(l.High[i])
			}
		}
	}
	if c.Stack {
		for i := range c.X {
			see(c.sum(i, len(c.Lines)))
		}
	}
	for _, m := range c.Marks {
		see(m.Y)
	}
	if c.Log {
		c.y = logarithmic(low, high)
		if c.Unit == seconds && c.y.high > 60 {
			c.y.minutes()
		}
	} else {
		c.y = linear(high)
		if c.Unit == memoryUnit {
			c.y = linear(high / binary(high)).times(binary(high))
		}
	}
}

// sum returns what the first n lines are together at a point.
func (c *chart) sum(i, n int) (sum float64) {
	for _, l := range c.Lines[:n] {
		if !math.IsNaN(l.Y[i]) {
			sum += l.Y[i]
		}
	}
	return sum
}

// Empty reports whether nothing was measured.
func (c *chart) Empty() bool {
	for _, l := range c.Lines {
		for _, v := range l.Y {
			if v > 0 {
				return false
			}
		}
	}
	return true
}

// YTicks are the marks of the vertical axis.
func (c *chart) YTicks() (list []tick) {
	for _, v := range c.y.ticks {
		text := c.Unit.write(v)
		if c.Unit == seconds && v >= 60 && math.Mod(v, 60) == 0 {
			text = show.Short(v/60) + " m"
		}
		list = append(list, tick{100 * c.y.at(v), text})
	}
	return list
}

// XTicks are the marks of the horizontal axis.
func (c *chart) XTicks() (list []tick) {
	if c.Ranks {
		for i, text := range []string{"0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"} {
			if float64(i) <= c.x.high {
				list = append(list, tick{100 * c.x.at(float64(i)), text})
			}
		}
		return list
	}
	for _, v := range c.x.ticks {
		list = append(list, tick{100 * c.x.at(v), show.Clock(time.Duration(v) * time.Second)})
	}
	return list
}

// A legend names a line and says what it came to.
type legend struct {
	Name, Class, Value string
}

// Legends returns the legend of each line.
func (c *chart) Legends() (list []legend) {
	for _, l := range c.Lines {
		top := math.NaN()
		for i, v := range l.Y {
			if l.High != nil {
				v = l.High[i]
			}
			if !math.IsNaN(v) && !(top >= v) {
				top = v
			}
		}
		value := "–"
		if !math.IsNaN(top) {
			value = c.Unit.write(top)
		}
		list = append(list, legend{l.Name, l.Class, value})
	}
	return list
}

// band is a span on the axis of time, in percent.
type band struct {
	Left, Width float64
	Name, Title string
	Odd         bool
}

func (c *chart) bands(spans []span) (list []band) {
	for i, s := range spans {
		left, right := 100*c.x.at(s.From), 100*c.x.at(s.To)
		list = append(list, band{Left: left, Width: right - left, Name: s.Name, Title: s.Title, Odd: i%2 == 1})
	}
	return list
}

// PhaseBands are the phases.
func (c *chart) PhaseBands() []band { return c.bands(c.Phases) }

// StrainBands are where the generator was the bottleneck.
func (c *chart) StrainBands() []band { return c.bands(c.Strained) }

// MarkLines are the limits, by their height in percent.
func (c *chart) MarkLines() (list []markLine) {
	for _, m := range c.Marks {
		l := markLine{tick{100 * c.y.at(m.Y), m.Text}, 0, 100}
		if m.To > m.From {
			l.Left = 100 * c.x.at(m.From)
			l.Width = 100*c.x.at(m.To) - l.Left
		}
		list = append(list, l)
	}
	return list
}

// The drawing has these sizes, whatever the size on the screen: the page stretches
// it and keeps the width of lines.
const drawWidth, drawHeight = 1000, 200

// Draw returns the curves as SVG.
func (c *chart) Draw() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`, drawWidth, drawHeight, template.HTMLEscapeString(c.Title))
	for _, t := range c.y.ticks {
		fmt.Fprintf(&b, `<path class="grid" d="M0 %s H%d"/>`, c.py(t), drawWidth)
	}
	if c.Stack {
		c.stack(&b)
	} else {
		for _, l := range c.Lines {
			if l.High != nil {
				fmt.Fprintf(&b, `<path class="area %s" d="%s"/>`, l.Class, c.between(l.Y, l.High))
			}
		}
		for _, l := range c.Lines {
			fmt.Fprintf(&b, `<path class="line %s" d="%s"/>`, l.Class, c.path(l.Y))
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// stack draws lines on top of one another.
func (c *chart) stack(b *strings.Builder) {
	lower := make([]float64, len(c.X))
	for k, l := range c.Lines {
		upper := make([]float64, len(c.X))
		for i := range upper {
			upper[i] = c.sum(i, k+1)
		}
		fmt.Fprintf(b, `<path class="stack %s" d="%s"/>`, l.Class, c.between(lower, upper))
		lower = upper
	}
}

func (c *chart) px(x float64) string { return coordinate(drawWidth * c.x.at(x)) }

func (c *chart) py(y float64) string { return coordinate(drawHeight * (1 - c.y.at(y))) }

func coordinate(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// path draws a curve with gaps where nothing was measured. A point alone becomes a
// short stroke.
func (c *chart) path(y []float64) string {
	var b strings.Builder
	pen, strokes := false, 0
	dot := func() {
		if pen && strokes == 0 {
			b.WriteString("h1")
		}
	}
	for i, v := range y {
		if math.IsNaN(v) || c.Log && v <= 0 {
			dot()
			pen = false
			continue
		}
		if pen {
			b.WriteString("L")
			strokes++
		} else {
			b.WriteString("M")
			strokes = 0
		}
		b.WriteString(c.px(c.X[i]) + " " + c.py(v))
		pen = true
	}
	dot()
	return b.String()
}

// between draws the area between two curves, a piece for each stretch without gaps.
func (c *chart) between(low, high []float64) string {
	var b strings.Builder
	for i := 0; i < len(low); {
		if math.IsNaN(low[i]) || math.IsNaN(high[i]) {
			i++
			continue
		}
		from := i
		for i < len(low) && !math.IsNaN(low[i]) && !math.IsNaN(high[i]) {
			i++
		}
		for k := from; k < i; k++ {
			b.WriteString(map[bool]string{true: "M", false: "L"}[k == from])
			b.WriteString(c.px(c.X[k]) + " " + c.py(high[k]))
		}
		for k := i - 1; k >= from; k-- {
			b.WriteString("L" + c.px(c.X[k]) + " " + c.py(low[k]))
		}
		b.WriteString("Z")
	}
	return b.String()
}

// Data is what the page's script shows under the pointer.
func (c *chart) Data() (template.JS, error) {
	type curve struct {
		Y    []json.RawMessage `json:"y"`
		High []json.RawMessage `json:"h,omitempty"`
	}
	data := struct {
		Unit  unit              `json:"unit"`
		End   float64           `json:"end"`
		Ranks bool              `json:"ranks,omitempty"`
		X     []json.RawMessage `json:"x"`
		Lines []curve           `json:"lines"`
	}{Unit: c.Unit, End: c.x.high, Ranks: c.Ranks, X: rounded(c.X, 7)}
	for _, l := range c.Lines {
		data.Lines = append(data.Lines, curve{rounded(l.Y, 4), rounded(l.High, 4)})
	}
	b, err := json.Marshal(data)
	return template.JS(b), err
}

// rounded writes numbers with some digits, and null for what was not measured.
func rounded(list []float64, digits int) []json.RawMessage {
	var out []json.RawMessage
	for _, v := range list {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			out = append(out, json.RawMessage("null"))
		} else {
			out = append(out, json.RawMessage(strconv.FormatFloat(v, 'g', digits, 64)))
		}
	}
	return out
}
