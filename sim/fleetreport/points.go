package fleetreport

import (
	"cmp"
	"math"
	"slices"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/selfwatch"
)

// A line is one curve of a chart. A value that was not measured is NaN.
type line struct {
	Name  string
	Class string    // its colour
	Y     []float64 // one for each point
	High  []float64 // largest of the intervals that a point stands for; nil: Y has it
}

// points is how samples become curves: each stands for some intervals.
type points struct {
	s     *series
	width int64 // intervals in a point
	n     int
}

// pointsMax is how many points a curve has.
const pointsMax = 600

func newPoints(s *series) points {
	p := points{s: s, width: 1}
	total := s.last + 1
	if s.slots == nil {
		total = 0
	}
	p.width = max(1, (total+pointsMax-1)/pointsMax)
	if s.width > 0 { // so that histograms need not be cut
		p.width = (p.width + s.width - 1) / s.width * s.width
	}
	p.n = int((total + p.width - 1) / p.width)
	return p
}

// times returns the moments of the points, in seconds: the middle of what each
// stands for.
func (p points) times() []float64 {
	x := make([]float64, p.n)
	for i := range x {
		x[i] = (float64(i) + 0.5) * float64(p.width) * p.s.axis.Every.Seconds()
	}
	return x
}

// each calls f with the slots of each point; nil for an interval without samples.
func (p points) each(f func(i int, slots []*slot)) {
	slots := make([]*slot, 0, p.width)
	for i := range p.n {
		slots = slots[:0]
		for k := range p.width {
			if s := p.s.slots[int64(i)*p.width+k]; s != nil {
				slots = append(slots, s)
			}
		}
		f(i, slots)
	}
}

// curve makes a line of what get says of an interval: the mean of each point, and
// its largest.
func (p points) curve(name, class string, get func(*slot) float64) line {
	l := line{Name: name, Class: class, Y: make([]float64, p.n), High: make([]float64, p.n)}
	p.each(func(i int, slots []*slot) {
		l.Y[i], l.High[i] = math.NaN(), math.NaN()
		sum, n := 0.0, 0
		for _, s := range slots {
			v := get(s)
			if math.IsNaN(v) {
				continue
			}
			sum += v
			n++
			if !(l.High[i] >= v) { // also when it is NaN
				l.High[i] = v
			}
		}
		if n > 0 {
			l.Y[i] = sum / float64(n)
		}
	})
	if p.width == 1 {
		l.High = nil
	}
	return l
}

// rate makes a line of a counter, a second.
func (p points) rate(name, class string, c record.Counter) line {
	i := column(c)
	return p.curve(name, class, func(s *slot) float64 { return s.rate(s.counts[i]) })
}

// level makes a line of a level, summed over groups and workers.
func (p points) level(name, class string, level record.Level) line {
	return p.curve(name, class, func(s *slot) float64 { return s.level(level) })
}

func (p *slot) level(level record.Level) float64 {
	if p.levels == nil {
		return math.NaN()
	}
	sum := int64(0)
	for _, l := range p.levels {
		sum += l[level]
	}
	return float64(sum)
}

// The percentiles that charts over time show.
var percentiles = []struct {
	share float64
	name  string
	class string
}{{0.5, "p50", "q1"}, {0.99, "p99", "q2"}, {0.999, "p99.9", "q3"}, {1, "max", "q4"}}

// quantiles makes lines of the percentiles of a timing, in seconds.
func (p points) quantiles(name record.Timing) []line {
	var lines []line
	shares := make([]float64, len(percentiles))
	for i, q := range percentiles {
		lines = append(lines, line{Name: q.name, Class: q.class, Y: make([]float64, p.n)})
		shares[i] = q.share
	}
	for i := range p.n {
		all := make(record.Sparse)
		for b := int64(i) * p.width / p.s.width; b < (int64(i)+1)*p.width/p.s.width && b < int64(len(p.s.bins)); b++ {
			all.Merge(p.s.bins[b][name])
		}
		found := all.Quantiles(shares...)
		for k := range lines {
			lines[k].Y[i] = math.NaN()
			if len(all) > 0 {
				lines[k].Y[i] = found[k].Seconds()
			}
		}
	}
	return lines
}

// measured reports whether a timing has any duration.
func (s *series) measured(name record.Timing) bool {
	return slices.ContainsFunc(s.bins, func(b map[record.Timing]record.Sparse) bool { return len(b[name]) > 0 })
}

// reasons lists the reasons of errors, the most frequent first.
func (s *series) reasons() []string {
	sums := make(map[string]float64)
	for _, p := range s.slots {
		for reason, n := range p.errors {
			sums[reason] += n
		}
	}
	return byCount(sums)
}

func byCount[N uint64 | float64](sums map[string]N) []string {
	list := make([]string, 0, len(sums))
	for reason := range sums {
		list = append(list, reason)
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b))
	})
	return list
}

// reasonsMax is how many reasons a chart tells apart.
const reasonsMax = 5

// errors makes a line for each of the most frequent reasons, and one for the rest.
func (p points) errors() []line {
	reasons := p.s.reasons()
	var lines []line
	for i, reason := range reasons[:min(reasonsMax, len(reasons))] {
		lines = append(lines, p.curve(reason, series5[i], func(s *slot) float64 { return s.rate(s.errors[reason]) }))
	}
	if len(reasons) > reasonsMax {
		lines = append(lines, p.curve("other reasons", "soft", func(s *slot) (sum float64) {
			for _, reason := range reasons[reasonsMax:] {
				sum += s.rate(s.errors[reason])
			}
			return sum
		}))
	}
	return lines
}

// series5 are colours that are told apart.
var series5 = [reasonsMax]string{"c1", "c2", "c3", "c4", "c5"}

// A span is a stretch of time, in seconds.
type span struct {
	From, To float64
	Name     string
	Title    string
}

// strained returns the stretches in which the generator was the bottleneck.
func (p points) strained() (list []span) {
	step := float64(p.width) * p.s.axis.Every.Seconds()
	p.each(func(i int, slots []*slot) {
		for _, s := range slots {
			if s.strain < selfwatch.Bottleneck {
				continue
			}
			from := float64(i) * step
			if n := len(list); n > 0 && list[n-1].To == from {
				list[n-1].To = from + step
			} else {
				list = append(list, span{From: from, To: from + step, Title: "generator: " + s.why})
			}
			return
		}
	})
	return list
}
