package loadtest

import (
	"time"

	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workload"
)

// An Expectation is what a scenario should lead to when every device connects at
// once and nothing fails. Times are from the beginning of the first phase.
type Expectation struct {
	scenario        *scenario.Scenario
	arrivals, loads []workload.Shape
}

// Expect returns what a scenario should lead to.
func Expect(s *scenario.Scenario) *Expectation {
	return &Expectation{s, Arrivals(s), Loads(s)}
}

// Devices returns how many devices are awake or connecting at a time.
func (e *Expectation) Devices(at time.Duration) (n float64) {
	for g := range e.scenario.Groups {
		n += e.on(g, at)
	}
	return n
}

// on returns how many devices of a group are on.
func (e *Expectation) on(g int, at time.Duration) float64 {
	group := &e.scenario.Groups[g]
	if p := e.phase(at); p != nil && p.Outage == "power" && p.Concerns(group.Name) {
		return 0
	}
	n := e.arrivals[g].Amount(at)
	if s := group.Sleep; s != nil {
		n *= s.Awake.Mean() / (s.Awake.Mean() + s.Asleep.Mean())
	}
	return n
}

func (e *Expectation) phase(at time.Duration) *scenario.Phase {
	for i := range e.scenario.Phases {
		if at < e.scenario.Phases[i].Duration {
			return &e.scenario.Phases[i]
		}
		at -= e.scenario.Phases[i].Duration
	}
	return nil
}

// Arrivals returns how many devices are switched on per second, around a time.
func (e *Expectation) Arrivals(at time.Duration) (n float64) {
	window := max(e.scenario.Duration()/128, time.Millisecond)
	for g := range e.arrivals {
		n += e.arrivals[g].Amount(at+window) - e.arrivals[g].Amount(max(at-window, 0)-1)
	}
	return n / (2 * window).Seconds()
}

// Events returns how many events per second are due.
func (e *Expectation) Events(at time.Duration) (n float64) {
	if p := e.phase(at); p == nil {
		return 0
	}
	for g := range e.scenario.Groups {
		group := &e.scenario.Groups[g]
		for i := range group.Publish {
			p := &group.Publish[i]
			every := p.Interval(group.Devices)
			if mean := every.Mean(); p.On == "" && mean > 0 {
				n += e.on(g, at) * e.loads[g].Rate(at) / mean
			} else if s := group.Sleep; s != nil { // once when awake
				n += e.arrivals[g].Amount(at) / (s.Awake.Mean() + s.Asleep.Mean())
			}
		}
	}
	return n
}

// Calls returns how many calls of the API per second are due.
func (e *Expectation) Calls(at time.Duration) (n float64) {
	p := e.phase(at)
	if p == nil {
		return 0
	}
	for i := range e.scenario.Callers {
		if c := &e.scenario.Callers[i]; c.During(p.Name) {
			n += c.Rate * e.loads[max(e.scenario.Group(c.Group), 0)].Rate(at)
		}
	}
	return n
}
