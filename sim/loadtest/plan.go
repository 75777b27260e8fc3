package loadtest

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/scenario"
)

// A plan is a scenario and its part, in the form in which shards ask for it. It
// does not change while the run goes on.
type plan struct {
	scenario *scenario.Scenario
	part     Part
	seed     uint64
	base     clock.Instant // when the first phase begins
	began    time.Time     // the same on the wall
	ends     []clock.Instant
	groups   []span
}

// A span is the part of a group that is run here, by index in the fleet here.
type span struct{ first, count int }

// newPlan makes the plan of a run that begins, or began, at a time on the wall.
func newPlan(o *Options, began time.Time, now clock.Instant) *plan {
	p := &plan{scenario: o.Scenario, part: o.Part, seed: o.Seed, base: now, began: began}
	if o.Virtual == nil {
		p.base = now.Add(time.Until(began))
	}
	at := p.base
	for i := range p.scenario.Phases {
		at = at.Add(p.scenario.Phases[i].Duration)
		p.ends = append(p.ends, at)
	}
	for g := range p.scenario.Groups {
		first := p.scenario.First(g)
		end := min(first+p.scenario.Groups[g].Devices, p.part.First+p.part.Count)
		first = max(first, p.part.First)
		p.groups = append(p.groups, span{first - p.part.First, max(end-first, 0)})
	}
	return p
}

// group returns the group of a device here.
func (p *plan) group(i int) int {
	for g := range p.groups {
		if s := p.groups[g]; i < s.first+s.count && s.count > 0 {
			return g
		}
	}
	panic("loadtest: no such device")
}

// phase returns the phase at a time: the last one when all are over.
func (p *plan) phase(at clock.Instant) int {
	for i, end := range p.ends {
		if at < end {
			return i
		}
	}
	return len(p.ends) - 1
}

// end is the end of the last phase.
func (p *plan) end() clock.Instant { return p.ends[len(p.ends)-1] }

// wall returns a time on the wall.
func (p *plan) wall(at clock.Instant) time.Time { return p.began.Add(at.Sub(p.base)) }
