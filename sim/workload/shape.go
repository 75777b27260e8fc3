package workload

import (
	"math"
	"sort"
	"time"
)

// A Shape is a rate over time, from 0 on: straight lines and steps. What it
// yields is an amount: a rate of devices per second yields devices. The zero value
// yields nothing.
type Shape struct {
	pieces []piece
	end    time.Duration
	amount float64 // yielded until end
}

// A piece is a line of a shape, or, with no length, a step.
type piece struct {
	start, length time.Duration
	from, to      float64 // rate per second; of a step, from is what it yields
	before        float64 // yielded until start
}

// yields returns what a piece yields in its first d.
func (p *piece) yields(d time.Duration) float64 {
	if p.length == 0 {
		return p.from
	}
	t := d.Seconds()
	return p.from*t + (p.to-p.from)*t*t/(2*p.length.Seconds())
}

// Line adds a line from the present end on: length is not negative, rates neither.
func (s *Shape) Line(length time.Duration, from, to float64) {
	if length <= 0 {
		return
	}
	p := piece{start: s.end, length: length, from: from, to: to, before: s.amount}
	s.pieces = append(s.pieces, p)
	s.end += length
	s.amount += p.yields(length)
}

// Step adds an amount that is yielded at once, at the present end.
func (s *Shape) Step(amount float64) {
	if amount > 0 {
		s.pieces = append(s.pieces, piece{start: s.end, from: amount, before: s.amount})
		s.amount += amount
	}
}

// End returns where the shape ends.
func (s *Shape) End() time.Duration { return s.end }

// Total returns the amount of the whole shape.
func (s *Shape) Total() float64 { return s.amount }

// Amount returns what the shape has yielded until t, steps at t included.
func (s *Shape) Amount(t time.Duration) float64 {
	i := sort.Search(len(s.pieces), func(i int) bool { return s.pieces[i].start > t })
	if i == 0 {
		return 0
	}
	p := &s.pieces[i-1]
	return p.before + p.yields(min(t-p.start, p.length))
}

// Rate returns the rate at t; it does not see steps.
func (s *Shape) Rate(t time.Duration) float64 {
	for i := range s.pieces {
		if p := &s.pieces[i]; p.length > 0 && t >= p.start && t < p.start+p.length {
			return p.from + (p.to-p.from)*float64(t-p.start)/float64(p.length)
		}
	}
	return 0
}

// When returns when the amount has been yielded, and false when it never is.
func (s *Shape) When(amount float64) (time.Duration, bool) {
	if amount < 0 || amount >= s.amount {
		return 0, false
	}
	i := sort.Search(len(s.pieces), func(i int) bool { return s.pieces[i].before > amount }) - 1
	p := &s.pieces[i]
	if p.length == 0 {
		return p.start, true
	}
	// a is what is left to yield in p: from·t + slope·t²/2.
	a, slope := amount-p.before, (p.to-p.from)/p.length.Seconds()
	// In the form that stays exact when either rate is 0.
	root := math.Sqrt(max(p.from*p.from+2*slope*a, 0))
	t := 0.0
	if d := p.from + root; d > 0 {
		t = 2 * a / d
	}
	return p.start + min(time.Duration(math.Round(t*float64(time.Second))), p.length), true
}

// Until returns the part of s until an amount has been yielded: all of it when it
// never is.
func (s *Shape) Until(amount float64) Shape {
	var cut Shape
	for _, p := range s.pieces {
		left := amount - cut.amount
		switch yields := p.yields(p.length); {
		case left <= 0:
			return cut
		case p.length == 0:
			cut.Step(min(p.from, left))
		case yields <= left:
			cut.Line(p.length, p.from, p.to)
		default:
			at, _ := s.When(amount)
			cut.Line(at-p.start, p.from, p.from+(p.to-p.from)*float64(at-p.start)/float64(p.length))
			return cut
		}
	}
	return cut
}

// Append adds o to the end of s, and then nothing until length has passed.
func (s *Shape) Append(o Shape, length time.Duration) {
	for _, p := range o.pieces {
		if p.length == 0 {
			s.Step(p.from)
		} else {
			s.Line(p.length, p.from, p.to)
		}
	}
	s.Line(length-o.end, 0, 0)
}
