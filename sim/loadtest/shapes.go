package loadtest

import (
	"time"

	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workload"
)

// Arrivals returns when how many devices of each group are switched on, from the
// beginning of the first phase.
func Arrivals(s *scenario.Scenario) []workload.Shape {
	shapes := make([]workload.Shape, len(s.Groups))
	for i := range s.Phases {
		p := &s.Phases[i]
		left, all := make([]float64, len(s.Groups)), 0.0
		for g := range s.Groups {
			if p.Arrive == nil || !p.Concerns(s.Groups[g].Name) {
				continue
			}
			left[g] = float64(s.Groups[g].Devices) - shapes[g].Total()
			if n := float64(p.Arrive.Devices); n > 0 {
				left[g] = min(left[g], n)
			}
			all += left[g]
		}
		for g := range s.Groups {
			if left[g] <= 0 {
				shapes[g].Line(p.Duration, 0, 0)
				continue
			}
			arrive(&shapes[g], p.Arrive, p.Duration, left[g], left[g]/all)
		}
	}
	return shapes
}

// arrive adds the arrival of n devices, share of all that arrive, in a phase.
func arrive(to *workload.Shape, a *scenario.Arrive, duration time.Duration, n, share float64) {
	var s workload.Shape
	switch {
	case a.AtOnce:
		s.Step(n)
	case a.Ramp != nil:
		s.Line(duration, a.Ramp.From*share, a.Ramp.To*share)
	case a.Spike != nil:
		half := min(a.Spike.Width, duration) / 2
		before := (duration - 2*half) / 2
		base, peak := a.Spike.Base*share, a.Spike.Peak*share
		s.Line(before, base, base)
		s.Line(half, base, peak)
		s.Line(half, peak, base)
		s.Line(duration-before-2*half, base, base)
	case a.Over > 0:
		s.Line(min(a.Over, duration), n/a.Over.Seconds(), n/a.Over.Seconds())
	default:
		s.Line(duration, a.Rate*share, a.Rate*share)
	}
	to.Append(s.Until(n), duration)
}

// Loads returns how much of its usual load each group has when: 1 is all of it.
func Loads(s *scenario.Scenario) []workload.Shape {
	shapes := make([]workload.Shape, len(s.Groups))
	for i := range s.Phases {
		p := &s.Phases[i]
		for g := range s.Groups {
			if p.Load != nil && p.Concerns(s.Groups[g].Name) {
				shapes[g].Line(p.Duration, p.Load.From, p.Load.To)
			} else {
				shapes[g].Line(p.Duration, 1, 1)
			}
		}
	}
	return shapes
}

// all is 1 all through the scenario.
func all(s *scenario.Scenario) *workload.Shape {
	shape := &workload.Shape{}
	shape.Line(s.Duration(), 1, 1)
	return shape
}
