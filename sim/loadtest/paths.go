package loadtest

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/scenario"
)

// paths are the networks of the groups in the phases: they implement fleet.Net for
// the conductor. A nil path is a perfect network.
type paths struct {
	conductor *conductor
	list      []*fleet.Path // by phase and group
	groups    int
}

// newPaths makes the networks of a scenario; nil when all are perfect.
func newPaths(c *conductor, s *scenario.Scenario) *paths {
	p := &paths{conductor: c, groups: len(s.Groups)}
	some := false
	for i := range s.Phases {
		phase := &s.Phases[i]
		for g := range s.Groups {
			one := pathOf(&s.Groups[g], phase)
			some = some || one != nil
			p.list = append(p.list, one)
		}
	}
	if !some {
		return nil
	}
	return p
}

// pathOf returns the network of a group in a phase.
func pathOf(g *scenario.Group, phase *scenario.Phase) *fleet.Path {
	n := g.Network
	concerned := phase.Concerns(g.Name)
	if concerned && phase.Outage == "network" {
		return &fleet.Path{Cut: true}
	}
	if concerned && phase.Network != nil {
		n = phase.Network
	}
	if n == nil || n.Loss == 0 && n.Delay == 0 && n.Jitter == 0 && n.MTU == 0 {
		return nil
	}
	mtu := n.MTU
	if g.Network != nil && mtu == 0 {
		mtu = g.Network.MTU
	}
	return &fleet.Path{Loss: n.Loss, Delay: n.Delay, Jitter: n.Jitter, MTU: mtu}
}

// Path implements fleet.Net.
func (p *paths) Path(i int, at clock.Instant) *fleet.Path {
	b := p.conductor.books[i%len(p.conductor.books)]
	return p.list[b.phaseAt(at)*p.groups+b.plan.group(i)]
}

// Lost implements fleet.Net.
func (p *paths) Lost(i int, at clock.Instant) {
	b := p.conductor.books[i%len(p.conductor.books)]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tally(i, at).counts[cImpairLost]++
}
