package bench

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

// An Entrant is one way to do something, in a [Contest].
type Entrant struct {
	Name string
	// Do does it n times.
	Do func(n int) error
	// Clean, if not nil, tidies up after each Do and is not measured.
	Clean func()
	// Max bounds n, if not zero: what has to be kept until Clean.
	Max int

	turn  int       // operations a turn
	costs []float64 // microseconds of CPU an operation, by round
}

// A Contest compares entrants that take turns, so that whatever slows the machine
// down slows all of them.
type Contest struct {
	// Rounds is how many turns each entrant has; at least 1.
	Rounds int
	// Turn is how much CPU time a turn should take.
	Turn time.Duration
}

// Run lets the entrants compete. Afterwards they know their costs.
func (c Contest) Run(entrants ...*Entrant) error {
	for _, e := range entrants {
		if err := c.calibrate(e); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	for range c.Rounds {
		for _, e := range entrants {
			cost, err := e.measure(e.turn)
			if err != nil {
				return fmt.Errorf("%s: %w", e.Name, err)
			}
			e.costs = append(e.costs, cost/float64(e.turn))
		}
	}
	return nil
}

// calibrate finds how many operations make a turn, and warms up.
func (c Contest) calibrate(e *Entrant) error {
	want := float64(c.Turn.Microseconds())
	for n := 1; ; {
		cost, err := e.measure(n)
		if err != nil {
			return err
		}
		limit := math.MaxInt32
		if e.Max > 0 {
			limit = e.Max
		}
		// getrusage counts in microseconds at best and in ticks at worst.
		if cost >= want/4 || n >= limit {
			e.turn = min(limit, max(1, int(float64(n)*want/max(cost, 1))))
			return nil
		}
		n = min(limit, 2*n)
	}
}

// measure returns the CPU time of n operations in microseconds.
func (e *Entrant) measure(n int) (float64, error) {
	runtime.GC() // everybody collects his own garbage
	start := cpuTime()
	err := e.Do(n)
	cost := cpuTime() - start
	if e.Clean != nil {
		e.Clean()
	}
	return float64(cost) / float64(time.Microsecond), err
}

// Cost returns the median CPU time of an operation in microseconds.
func (e *Entrant) Cost() float64 { return median(e.costs) }

// Over returns how many times as much e costs as other: the median of the ratios
// of the rounds, which drifts less than the ratio of the medians.
func (e *Entrant) Over(other *Entrant) float64 {
	var ratios []float64
	for i := range min(len(e.costs), len(other.costs)) {
		ratios = append(ratios, e.costs[i]/other.costs[i])
	}
	return median(ratios)
}

// median returns 0 of nothing.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}
