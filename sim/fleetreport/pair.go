package fleetreport

import (
	_ "embed"
	"html/template"
	"io"
	"math"
	"time"

	"github.com/muster/muster/sim/record"
)

//go:embed page/pair.html
var pairSource string

var pairPage = template.Must(template.Must(page.Clone()).New("pair").Parse(pairSource))

// A Pair is two runs to be drawn beside each other, and what is said of them.
type Pair struct {
	A, B         *Report
	NameA, NameB string
	Headline     string
	Class        string // "pass", "fail" or "inconclusive"
	Conditions   []string
	Doubts       []string
	Caution      string
	Thresholds   []PairThreshold
	Phases       []PairPhase
}

// A PairThreshold is a condition in both runs.
type PairThreshold struct {
	Text, Where, A, B string
	From, To          record.Verdict
}

// A PairPhase is what differs in a phase.
type PairPhase struct {
	Name string
	Rows []PairRow
}

// A PairRow is one number of both runs.
type PairRow struct {
	Group, Name, A, B, Change, Verdict string
	Class                              string // "fail", "pass", "inconclusive" or "soft"
	Hidden                             bool   // until somebody asks for everything
}

// WriteHTML writes the comparison as one page.
func (p *Pair) WriteHTML(w io.Writer) error {
	return pairPage.Execute(w, struct {
		*Pair
		Style  template.CSS
		Script template.JS
		Charts []*chart
	}{p, template.CSS(pageStyle), template.JS(pageScript), p.charts()})
}

// charts lay the curves of the runs over each other.
func (p *Pair) charts() (list []*chart) {
	a, b := newPoints(&p.A.series), newPoints(&p.B.series)
	base, phases := a, p.A
	if p.B.length() > p.A.length() {
		base, phases = b, p.B
	}
	if base.n == 0 {
		return nil
	}
	x := base.times()
	over := func(id, title, sub string, u unit, log bool, get func(points) line) {
		c := &chart{ID: id, Title: title, Sub: sub, Unit: u, Log: log, X: x, Phases: phases.phases()}
		for i, side := range []points{a, b} {
			if side.n == 0 {
				continue
			}
			l := get(side).at(x, side)
			l.Name, l.Class = []string{"A", "B"}[i], []string{"c1", "c4"}[i]
			c.Lines = append(c.Lines, l)
		}
		if !c.Empty() {
			c.prepare(phases.length())
			list = append(list, c)
		}
	}
	p99 := func(t record.Timing) func(points) line {
		return func(p points) line { return p.quantiles(t)[1] }
	}
	rate := func(counter record.Counter) func(points) line {
		return func(p points) line { return p.rate("", "", counter) }
	}
	over("publish-time", "Time of an event, p99", "from when it was due", seconds, true, p99(record.PublishTime))
	over("connect-time", "Time to connect, p99", "from the beginning of an attempt", seconds, true, p99(record.ConnectTime))
	over("delivery-time", "Time of a delivery, p99", "from publication", seconds, true, p99(record.DeliveryTime))
	over("call-time", "Time of a call, p99", "over the API", seconds, true, p99(record.CallTime))
	over("online", "Devices online", "at the end of an interval", plain, false, func(p points) line { return p.level("", "", record.Online) })
	over("publishes", "Events acknowledged", "by the cloud", perSecond, false, rate(record.Published))
	over("resumes", "Sessions resumed", "without a handshake", perSecond, false, rate(record.Resumes))
	over("handshakes", "Full handshakes", "that made a session", perSecond, false, rate(record.Handshakes))
	over("ended", "Connections and attempts that ended", "for whatever reason", perSecond, false, rate(record.Offline))
	over("bytes", "Bytes on the wire", "both ways", bytesRate, false, func(p points) line {
		return p.curve("", "", func(s *slot) float64 { return s.rate(s.up + s.down) })
	})
	return append(list, p.ranks()...)
}

// at takes the values of a line at other moments.
func (l line) at(x []float64, p points) line {
	step := (time.Duration(p.width) * p.s.axis.Every).Seconds()
	out := line{Y: make([]float64, len(x))}
	if l.High != nil {
		out.High = make([]float64, len(x))
	}
	for i, t := range x {
		out.Y[i] = math.NaN()
		k := int(t / step)
		if k < len(l.Y) {
			out.Y[i] = l.Y[k]
		}
		if out.High != nil {
			if out.High[i] = math.NaN(); k < len(l.High) {
				out.High[i] = l.High[k]
			}
		}
	}
	return out
}

// ranks lays all percentiles over each other.
func (p *Pair) ranks() (list []*chart) {
	a, b := p.A.ranks(), p.B.ranks()
	for _, l := range a.Lines {
		for _, m := range b.Lines {
			if l.Name != m.Name {
				continue
			}
			c := &chart{ID: "ranks-" + l.Class, Title: "All percentiles: " + l.Name, Sub: "of the whole run", Unit: seconds, Log: true, Ranks: true, X: a.X}
			l.Name, l.Class, m.Name, m.Class = "A", "c1", "B", "c4"
			c.Lines = []line{l, m}
			c.prepare(0)
			list = append(list, c)
			break
		}
	}
	return list
}
