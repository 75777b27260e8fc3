package fleetreport

import (
	"math"
)

// A scale maps values to a share of a chart's height or width, 0 to 1.
type scale struct {
	low, high float64
	log       bool
	ticks     []float64
}

// linear returns a scale from 0 to a round number that is not below high.
func linear(high float64) scale {
	if !(high > 0) || math.IsInf(high, 0) {
		high = 1
	}
	step := roundStep(high / 4)
	s := scale{high: step * math.Ceil(high/step-1e-9)}
	for i := 0; float64(i)*step <= s.high+step/2; i++ {
		s.ticks = append(s.ticks, float64(i)*step)
	}
	return s
}

// binary returns the largest of 1 KiB, 1 MiB and so on that is not above x, or 1.
func binary(x float64) float64 {
	unit := 1.0
	for unit*1024 <= x {
		unit *= 1024
	}
	return unit
}

// times stretches a scale.
func (s scale) times(by float64) scale {
	s.high *= by
	for i := range s.ticks {
		s.ticks[i] *= by
	}
	return s
}

// roundStep returns 1, 2 or 5 times a power of ten, not below x.
func roundStep(x float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if x <= m*p*(1+1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// logarithmic returns a scale that holds low to high, both above 0.
func logarithmic(low, high float64) scale {
	if !(low > 0) || !(high >= low) || math.IsInf(high, 0) {
		return scale{low: 1, high: 10, log: true, ticks: []float64{1, 10}}
	}
	steps := []float64{1, 2, 5}
	if math.Log10(high/low) > 3.2 {
		steps = []float64{1}
	}
	s := scale{low: below(low, steps), log: true}
	for v := s.low; ; v = above(v*1.0001, steps) {
		s.ticks = append(s.ticks, v)
		if s.high = v; v >= high && v > s.low {
			return s
		}
	}
}

// minutes replaces the ticks of a scale of seconds above ten seconds by those that
// clocks have.
func (s *scale) minutes() {
	var kept []float64
	for _, v := range s.ticks {
		if v <= 10 {
			kept = append(kept, v)
		}
	}
	for _, v := range []float64{30, 60, 120, 300, 600, 1800, 3600} {
		if v >= s.low && len(kept) == 0 || len(kept) > 0 && v > kept[len(kept)-1] {
			if kept = append(kept, v); v >= s.ticks[len(s.ticks)-1]*0.5 {
				break
			}
		}
	}
	s.ticks, s.high = kept, max(s.high, kept[len(kept)-1])
}

// below returns the largest of the steps times a power of ten that is not above x.
func below(x float64, steps []float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(x)+1e-9))
	found := p
	for _, m := range steps {
		if m*p <= x*(1+1e-9) {
			found = m * p
		}
	}
	return found
}

// above returns the smallest that is not below x.
func above(x float64, steps []float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(x)+1e-9))
	for _, m := range steps {
		if m*p >= x*(1-1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// at returns the place of a value; outside of the scale it is at its edge.
func (s scale) at(v float64) float64 {
	share := (v - s.low) / (s.high - s.low)
	if s.log {
		if v <= 0 {
			return 0
		}
		share = math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return max(0, min(1, share))
}

// timeSteps are distances of marks on the axis of time, in seconds.
var timeSteps = []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400}

// clock returns a scale of time from 0 to end seconds, with at most eight marks.
func clock(end float64) scale {
	s := scale{high: max(end, 1)}
	step := 86400 * math.Ceil(s.high/8/86400)
	for _, t := range timeSteps {
		if s.high/t <= 8 {
			step = t
			break
		}
	}
	for i := 0; float64(i)*step <= s.high; i++ {
		s.ticks = append(s.ticks, float64(i)*step)
	}
	return s
}
