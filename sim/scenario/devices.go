package scenario

import (
	"fmt"

	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/sim/workload"
)

// mix is the profile that stands for all generations.
const mix = "mix"

// Kinds returns the profiles of a group, which its devices have in turn.
func (g *Group) Kinds() ([]*profile.Profile, error) {
	names := g.Profiles
	if len(names) == 0 {
		names = []string{mix}
	}
	var list []*profile.Profile
	for _, name := range names {
		if name == mix {
			list = append(list, profile.Mix()...)
			continue
		}
		p, err := profile.Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("scenario: group %s: %w", g.Name, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// Profiles returns the profile of each device of the fleet, in order, 0 to
// Devices()-1.
func (s *Scenario) Profiles() (func(device int) *profile.Profile, error) {
	kinds := make([][]*profile.Profile, len(s.Groups))
	for i := range s.Groups {
		list, err := s.Groups[i].Kinds()
		if err != nil {
			return nil, err
		}
		kinds[i] = list
	}
	return func(device int) *profile.Profile {
		for g := range s.Groups {
			if device < s.Groups[g].Devices {
				return kinds[g][device%len(kinds[g])]
			}
			device -= s.Groups[g].Devices
		}
		panic("scenario: no such device")
	}, nil
}

// Interval returns the intervals between the events of one of n devices, in
// seconds.
func (p *Publish) Interval(n int) workload.Spread { return interval(p.Every, p.Rate, p.Spacing, n) }

// Interval returns the intervals between the restarts of one of n devices, in
// seconds.
func (r *Reconnect) Interval(n int) workload.Spread {
	return interval(r.Every, r.Rate, workload.Exponential, n)
}

func interval(every workload.Spread, rate float64, spacing workload.Kind, n int) workload.Spread {
	if rate > 0 {
		return workload.Spread{Kind: spacing, A: float64(n) / rate}
	}
	return every
}
