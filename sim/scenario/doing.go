package scenario

import (
	"fmt"
	"math"
	"slices"
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

// During reports whether a caller calls in a phase.
func (c *Caller) During(phase string) bool {
	return len(c.Phases) == 0 || slices.Contains(c.Phases, phase)
}

// Words says what a group does, a few words for each thing.
func (g *Group) Words() []string {
	profiles := strings.Join(g.Profiles, ", ")
	if profiles == "" {
		profiles = mix
	}
	words := []string{fmt.Sprintf("%d of %s", g.Devices, profiles)}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	for i := range g.Publish {
		p := &g.Publish[i]
		when := "when online"
		if p.On == "" {
			every := p.Interval(g.Devices)
			when = "every " + every.String(showSeconds)
		}
		size := p.Size.String(units["bytes"].show)
		if p.Data != "" {
			size = fmt.Sprintf("%d bytes", len(p.Data))
		}
		add("%s %s, %s", p.Event, when, size)
	}
	if s := g.Sleep; s != nil {
		add("awake %s, asleep %s", s.Awake.String(showSeconds), s.Asleep.String(showSeconds))
	}
	if r := g.Reconnect; r != nil {
		every := r.Interval(g.Devices)
		add("restarts every %s, %.4g%% with a full handshake", every.String(showSeconds), 100*r.Full)
	}
	if n := g.Network; n != nil {
		add("network: %s", n.words())
	}
	return words
}

func (n *Network) words() string {
	var parts []string
	if n.Loss > 0 {
		parts = append(parts, fmt.Sprintf("loss %.4g%%", 100*n.Loss))
	}
	switch {
	case n.Delay > 0 && n.Jitter == 0:
		parts = append(parts, "delay "+n.Delay.String())
	case n.Jitter > 0:
		parts = append(parts, fmt.Sprintf("delay %v to %v", n.Delay, n.Delay+n.Jitter))
	}
	if !n.Rebind.Zero() {
		parts = append(parts, "NAT rebinds every "+n.Rebind.String(showSeconds))
	}
	if !n.Reset.Zero() {
		parts = append(parts, "TCP is reset every "+n.Reset.String(showSeconds))
	}
	if n.MTU > 0 {
		parts = append(parts, fmt.Sprintf("MTU %d", n.MTU))
	}
	if len(parts) == 0 {
		return "perfect"
	}
	return strings.Join(parts, ", ")
}

// Words says what a campaign does.
func (c *Campaign) Words() string {
	waves := make([]string, len(c.Waves))
	for i, w := range c.Waves {
		waves[i] = fmt.Sprintf("%.4g%%", 100*w)
	}
	what := fmt.Sprintf("application version %d, %d bytes", c.Version, c.Size)
	if c.File != "" {
		what = c.File
	}
	return fmt.Sprintf("%s: %s to %s in %s, in waves of %s at %g/s; stops when more than %.4g%% fail",
		c.Name, what, c.Group, c.Phase, strings.Join(waves, ", "), c.Rate, 100*c.FailureBudget())
}

// Words is the condition and what it is about.
func (t *Threshold) Words() string {
	text := t.Expr
	if t.Phase != "" {
		text += ", in " + t.Phase
	}
	if t.Group != "" {
		text += ", of " + t.Group
	}
	return text
}

// Scale changes how many devices there are, in the proportions of the groups. What
// the groups do as a whole (rate) stays what it is.
func (s *Scenario) Scale(devices int) error {
	if devices < len(s.Groups) {
		return fmt.Errorf("scenario: %d devices are fewer than there are groups (%d)", devices, len(s.Groups))
	}
	all, left := s.Devices(), devices
	for i := range s.Groups {
		g := &s.Groups[i]
		of := all
		all -= g.Devices
		share := int(math.Round(float64(left) * float64(g.Devices) / float64(of)))
		g.Devices = min(max(share, 1), left-(len(s.Groups)-1-i))
		left -= g.Devices
	}
	return s.Check()
}
