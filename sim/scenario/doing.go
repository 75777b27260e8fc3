package scenario

import (
	"fmt"
	"strings"
	"time"
)

// The defaults of a scenario.
const (
	defaultInterval = time.Second
	defaultDrain    = 5 * time.Second
)

// Every returns the length of an interval of measurement.
func (s *Scenario) Every() time.Duration {
	if s.Interval <= 0 {
		return defaultInterval
	}
	return s.Interval
}

// Patience returns how long the end waits for what is unacknowledged.
func (s *Scenario) Patience() time.Duration {
	if s.Drain <= 0 {
		return defaultDrain
	}
	return s.Drain
}

// Doing says in a few words what a phase does.
func (p *Phase) Doing() string {
	var parts []string
	if a := p.Arrive; a != nil {
		parts = append(parts, "devices arrive "+a.how())
	}
	if p.Outage != "" {
		parts = append(parts, "outage of "+p.Outage)
	}
	if l := p.Load; l != nil {
		if l.From == l.To {
			parts = append(parts, fmt.Sprintf("load %.4g%%", 100*l.To))
		} else {
			parts = append(parts, fmt.Sprintf("load from %.4g%% to %.4g%%", 100*l.From, 100*l.To))
		}
	}
	if p.Network != nil {
		parts = append(parts, "another network")
	}
	return strings.Join(parts, ", ")
}

// how says how devices arrive.
func (a *Arrive) how() string {
	switch {
	case a.AtOnce:
		return "all at once"
	case a.Over > 0:
		return "over " + a.Over.String()
	case a.Ramp != nil:
		return fmt.Sprintf("at %g to %g/s", a.Ramp.From, a.Ramp.To)
	case a.Spike != nil:
		return fmt.Sprintf("at %g/s with a peak of %g/s", a.Spike.Base, a.Spike.Peak)
	}
	return fmt.Sprintf("at %g/s", a.Rate)
}
