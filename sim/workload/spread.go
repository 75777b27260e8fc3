package workload

import (
	"fmt"
	"math"
)

// A Kind is a family of distributions.
type Kind uint8

// The kinds, with the fields of [Spread] that each uses.
const (
	Constant    Kind = iota // A
	Uniform                 // from A to B, all equally likely
	Exponential             // mean A: the intervals of a Poisson process
	Normal                  // mean A, standard deviation B
	LogNormal               // median A, standard deviation B of the logarithm
	Choice                  // one of Values, all equally likely

	numKinds
)

var kindNames = [numKinds]string{"constant", "uniform", "exponential", "normal", "lognormal", "choice"}

// String returns the name of k, as scenario files have it.
func (k Kind) String() string { return kindNames[min(k, numKinds-1)] }

// A Spread is a distribution of numbers: seconds, bytes or values. The zero value
// is always 0.
type Spread struct {
	Kind   Kind
	A, B   float64
	Values []float64 // of Choice
	// Least and Most bound what is drawn; Most 0: no bound above.
	Least, Most float64
}

// Always returns the spread that is always v.
func Always(v float64) Spread { return Spread{A: v} }

// Zero reports whether nothing but 0 is ever drawn.
func (s *Spread) Zero() bool { return s.Kind == Constant && s.A == 0 && s.Least == 0 }

// Draw draws a number.
func (s *Spread) Draw(d *Dice) float64 {
	v := s.A
	switch s.Kind {
	case Uniform:
		v += (s.B - s.A) * d.Float()
	case Exponential:
		v *= d.Exp()
	case Normal:
		v += s.B * d.Normal()
	case LogNormal:
		v *= math.Exp(s.B * d.Normal())
	case Choice:
		v = s.Values[d.Uint64()%uint64(len(s.Values))]
	case Constant, numKinds:
	}
	if v = max(v, s.Least); s.Most > 0 {
		v = min(v, s.Most)
	}
	return v
}

// Mean returns what draws average to, not counting the bounds.
func (s *Spread) Mean() float64 {
	switch s.Kind {
	case Uniform:
		return (s.A + s.B) / 2
	case LogNormal:
		return s.A * math.Exp(s.B*s.B/2)
	case Choice:
		sum := 0.0
		for _, v := range s.Values {
			sum += v
		}
		return sum / float64(max(len(s.Values), 1))
	case Constant, Exponential, Normal, numKinds:
	}
	return max(s.A, s.Least)
}

// String describes s in a few words, with numbers written by show.
func (s *Spread) String(show func(float64) string) string {
	switch s.Kind {
	case Constant:
		return show(s.A)
	case Uniform:
		return fmt.Sprintf("%s to %s", show(s.A), show(s.B))
	case Exponential:
		return fmt.Sprintf("exponential, mean %s", show(s.A))
	case Normal:
		return fmt.Sprintf("normal, mean %s, deviation %s", show(s.A), show(s.B))
	case LogNormal:
		return fmt.Sprintf("lognormal, median %s, sigma %g", show(s.A), s.B)
	case Choice, numKinds:
	}
	return fmt.Sprintf("one of %d values", len(s.Values))
}
