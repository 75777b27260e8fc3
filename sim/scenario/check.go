package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/sim/workload"
)

// problemFunc notes what is wrong with a field.
type problemFunc func(path, format string, args ...any)

// The bounds of scenarios.
const (
	devicesMost  = 16 << 20
	durationMost = 30 * 24 * time.Hour
	intervalLow  = 100 * time.Millisecond
	groupsMost   = 64
	phasesMost   = 1000
	// publishLeast is the mean interval of events below which devices refuse them.
	publishLeast = 1.0
)

// Check finds what makes no sense in a scenario that was not read from a file. The
// error is a [Problems].
func (s *Scenario) Check() error {
	var list Problems
	s.check(func(path, format string, args ...any) {
		list = append(list, Problem{File: "scenario", Field: path, Text: fmt.Sprintf(format, args...)})
	})
	if len(list) == 0 {
		return nil
	}
	return list
}

// check finds what makes no sense together.
func (s *Scenario) check(problem problemFunc) {
	if len(s.Groups) == 0 || len(s.Phases) == 0 {
		problem("", "a scenario needs at least one group and one phase")
		return
	}
	if len(s.Groups) > groupsMost {
		problem("groups", "%d are too many: at most %d", len(s.Groups), groupsMost)
	}
	if len(s.Phases) > phasesMost {
		problem("phases", "%d are too many: at most %d", len(s.Phases), phasesMost)
	}
	if n := s.Devices(); n > devicesMost {
		problem("groups", "%d devices are too many: at most %d", n, devicesMost)
	}
	if s.Interval != 0 && s.Interval < intervalLow {
		problem("interval", "%v is too short: want at least %v", s.Interval, intervalLow)
	}
	unique(problem, "groups", len(s.Groups), func(i int) string { return s.Groups[i].Name })
	unique(problem, "phases", len(s.Phases), func(i int) string { return s.Phases[i].Name })
	unique(problem, "callers", len(s.Callers), func(i int) string { return s.Callers[i].Name })
	unique(problem, "campaigns", len(s.Campaigns), func(i int) string { return s.Campaigns[i].Name })
	for i := range s.Groups {
		s.Groups[i].check(fmt.Sprintf("groups[%d]", i), problem)
	}
	s.checkPhases(problem)
	for i := range s.Callers {
		s.checkCaller(&s.Callers[i], fmt.Sprintf("callers[%d]", i), problem)
	}
	for i := range s.Campaigns {
		s.checkCampaign(&s.Campaigns[i], fmt.Sprintf("campaigns[%d]", i), problem)
	}
	for i := range s.Thresholds {
		s.checkThreshold(&s.Thresholds[i], fmt.Sprintf("thresholds[%d]", i), problem)
	}
}

// unique finds names that are there twice.
func unique(problem problemFunc, path string, n int, name func(int) string) {
	seen := make(map[string]bool)
	for i := range n {
		at := fmt.Sprintf("%s[%d].name", path, i)
		switch one := name(i); {
		case one == "":
			problem(at, "is empty")
		case seen[one]:
			problem(at, "there is another one named %s", one)
		default:
			seen[one] = true
		}
	}
}

func (g *Group) check(path string, problem problemFunc) {
	kinds, err := g.Kinds()
	if err != nil {
		for i, name := range g.Profiles {
			if _, err := profile.Lookup(name); err != nil && name != mix {
				problem(fmt.Sprintf("%s.profiles[%d]", path, i), "%v; or mix, for all generations", err)
			}
		}
	}
	if g.Devices < 1 {
		problem(path+".devices", "want at least 1")
	}
	for i := range g.Publish {
		g.Publish[i].check(fmt.Sprintf("%s.publish[%d]", path, i), kinds, g.Devices, problem)
	}
	if r := g.Reconnect; r != nil {
		exactlyOne(problem, path+".reconnect", map[string]bool{"every": !r.Every.Zero(), "rate": r.Rate > 0})
		every := r.Interval(max(g.Devices, 1))
		often(problem, path+".reconnect", "a restart", every.Mean())
	}
	if s := g.Sleep; s != nil {
		often(problem, path+".sleep", "a time awake", s.Awake.Mean())
		often(problem, path+".sleep", "a sleep", s.Asleep.Mean())
	}
	if n := g.Network; n != nil {
		n.check(path+".network", problem)
		if !n.Rebind.Zero() {
			often(problem, path+".network.rebind", "a rebinding", n.Rebind.Mean())
		}
		if !n.Reset.Zero() {
			often(problem, path+".network.reset", "a reset", n.Reset.Mean())
		}
	}
	unique(problem, path+".functions", len(g.Functions), func(i int) string { return g.Functions[i].Name })
	unique(problem, path+".variables", len(g.Variables), func(i int) string { return g.Variables[i].Name })
	for _, k := range kinds {
		for i := range g.Functions {
			if limit := k.Dialect().Limits().Name; len(g.Functions[i].Name) > limit {
				problem(fmt.Sprintf("%s.functions[%d].name", path, i), "is longer than the %d characters of %s", limit, k)
				return
			}
		}
	}
}

func (p *Publish) check(path string, kinds []*profile.Profile, devices int, problem problemFunc) {
	exactlyOne(problem, path, map[string]bool{"every": !p.Every.Zero(), "rate": p.Rate > 0, "on": p.On != ""})
	every := p.Interval(max(devices, 1))
	if p.On == "" && every.Mean() > 0 && every.Mean() < publishLeast {
		problem(path, "an event each %s is too often: devices publish once a second at most; want more devices or fewer events", showSeconds(every.Mean()))
	}
	largest := max(largestOf(&p.Size), float64(len(p.Data)))
	for _, k := range kinds {
		limits := k.Dialect().Limits()
		if len(p.Event) > limits.EventName {
			problem(path+".event", "is longer than the %d characters of %s", limits.EventName, k)
			return
		}
		if int(largest) > limits.EventData {
			problem(path+".size", "%.0f bytes are more than the %d of %s", largest, limits.EventData, k)
			return
		}
	}
	if p.Data == "" && (p.Size.Kind == workload.Exponential || p.Size.Kind == workload.LogNormal || p.Size.Kind == workload.Normal) && p.Size.Most == 0 {
		problem(path+".size", "has no bound: give most, such as most: 600, because devices refuse what is too long")
	}
}

// often refuses what a device cannot do so often: it takes a second to boot.
func often(problem problemFunc, path, what string, mean float64) {
	if mean > 0 && mean < 1 || mean == 0 && !strings.HasSuffix(path, "reconnect") {
		problem(path, "%s of %s is too short: want at least a second", what, showSeconds(mean))
	}
}

// largestOf returns the largest value that is drawn, but of a distribution without
// a bound.
func largestOf(s *workload.Spread) float64 {
	if s.Most > 0 {
		return s.Most
	}
	largest := s.A
	if s.Kind == workload.Uniform {
		largest = s.B
	}
	for _, v := range s.Values {
		largest = max(largest, v)
	}
	return largest
}

func (n *Network) check(path string, problem problemFunc) {
	if n.MTU != 0 && n.MTU < 576 {
		problem(path+".mtu", "want at least 576")
	}
}

// exactlyOne sees to it that one of some fields is given.
func exactlyOne(problem problemFunc, path string, given map[string]bool) {
	var have, names []string
	for name, is := range given {
		names = append(names, name)
		if is {
			have = append(have, name)
		}
	}
	slices.Sort(names)
	slices.Sort(have)
	switch len(have) {
	case 0:
		problem(path, "want one of %s", list(names))
	case 1:
	default:
		problem(path, "there are %s: want one of %s", list(have), list(names))
	}
}

func list(names []string) string {
	text := ""
	for i, n := range names {
		switch {
		case i > 0 && i == len(names)-1:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += n
	}
	return text
}

func (s *Scenario) checkPhases(problem problemFunc) {
	arrives := false
	for i := range s.Phases {
		p, path := &s.Phases[i], fmt.Sprintf("phases[%d]", i)
		if p.Duration <= 0 {
			problem(path+".duration", "want more than 0")
		}
		s.checkNames(problem, path+".groups", "group", p.Groups, s.groupNames())
		if a := p.Arrive; a != nil {
			arrives = true
			exactlyOne(problem, path+".arrive", map[string]bool{
				"rate": a.Rate > 0, "over": a.Over > 0, "ramp": a.Ramp != nil, "spike": a.Spike != nil, "at-once": a.AtOnce,
			})
			if a.Ramp != nil && a.Ramp.From+a.Ramp.To <= 0 {
				problem(path+".arrive.ramp", "from and to are both 0")
			}
		}
		if p.Network != nil {
			p.Network.check(path+".network", problem)
			if !p.Network.Rebind.Zero() {
				problem(path+".network.rebind", "is possible for groups only")
			}
			if !p.Network.Reset.Zero() {
				problem(path+".network.reset", "is possible for groups only")
			}
			if p.Network.MTU != 0 {
				problem(path+".network.mtu", "is possible for groups only: devices know of it")
			}
		}
	}
	if !arrives {
		problem("phases", "no device is ever switched on: give a phase arrive, such as arrive: {rate: 20/s}")
	}
	if d := s.Duration(); d > durationMost {
		problem("phases", "%v is too long: at most %v", d, durationMost)
	}
}

// checkNames finds names that nobody has.
func (s *Scenario) checkNames(problem problemFunc, path, what string, names, known []string) {
	for i, name := range names {
		if !slices.Contains(known, name) {
			problem(fmt.Sprintf("%s[%d]", path, i), "there is no %s %s: %s", what, name, meant(name, known))
		}
	}
}

// checkName finds a name that nobody has; empty is none.
func (s *Scenario) checkName(problem problemFunc, path, what, name string, known []string) bool {
	if name == "" || slices.Contains(known, name) {
		return true
	}
	problem(path, "there is no %s %s: %s", what, name, meant(name, known))
	return false
}

func (s *Scenario) groupNames() (names []string) {
	for i := range s.Groups {
		names = append(names, s.Groups[i].Name)
	}
	return names
}

func (s *Scenario) phaseNames() (names []string) {
	for i := range s.Phases {
		names = append(names, s.Phases[i].Name)
	}
	return names
}

// Group returns the index of a group, -1 when there is none of that name.
func (s *Scenario) Group(name string) int { return slices.Index(s.groupNames(), name) }

// Phase returns the index of a phase, -1 when there is none of that name.
func (s *Scenario) Phase(name string) int { return slices.Index(s.phaseNames(), name) }

func (s *Scenario) checkCaller(c *Caller, path string, problem problemFunc) {
	if c.Rate <= 0 {
		problem(path+".rate", "want more than 0")
	}
	s.checkNames(problem, path+".phases", "phase", c.Phases, s.phaseNames())
	if !s.checkName(problem, path+".group", "group", c.Group, s.groupNames()) {
		return
	}
	g := s.Group(c.Group)
	if g < 0 {
		return
	}
	var names []string
	switch c.Do {
	case "function":
		for i := range s.Groups[g].Functions {
			names = append(names, s.Groups[g].Functions[i].Name)
		}
	case "variable":
		for i := range s.Groups[g].Variables {
			names = append(names, s.Groups[g].Variables[i].Name)
		}
	case "publish":
		if c.Target == "" {
			problem(path+".target", "is missing: the name of the event")
		}
		return
	default: // a ping has no target
		return
	}
	switch {
	case len(names) == 0:
		problem(path+".group", "the devices of %s have no %ss", c.Group, c.Do)
	case c.Target == "":
		problem(path+".target", "is missing: the name of the %s; %s", c.Do, meant("", names))
	default:
		s.checkName(problem, path+".target", c.Do, c.Target, names)
	}
}

func (s *Scenario) checkCampaign(c *Campaign, path string, problem problemFunc) {
	s.checkName(problem, path+".group", "group", c.Group, s.groupNames())
	s.checkName(problem, path+".phase", "phase", c.Phase, s.phaseNames())
	if g := s.Group(c.Group); g >= 0 && c.File == "" {
		s.Groups[g].checkSlots(c, path, problem)
	}
	last := 0.0
	for i, w := range c.Waves {
		if w <= last {
			problem(fmt.Sprintf("%s.waves[%d]", path, i), "want more than the wave before: waves are shares of the whole group")
		}
		last = w
	}
	if len(c.Waves) == 0 {
		problem(path+".waves", "want at least one")
	}
	if c.Rate <= 0 {
		problem(path+".rate", "want more than 0")
	}
}

// checkSlots finds boards that have no place for the application of a campaign.
func (g *Group) checkSlots(c *Campaign, path string, problem problemFunc) {
	kinds, err := g.Kinds()
	if err != nil {
		return // told already
	}
	for _, k := range kinds {
		slots := k.Factory()
		i := slices.IndexFunc(slots, func(m profile.Module) bool { return m.Function == profile.UserPart })
		switch {
		case i < 0:
			problem(path+".group", "%s has no place for an application alone: give file, or another group", k)
			return
		case c.Size > int(slots[i].Size):
			problem(path+".size", "%d bytes are more than the %d of an application of %s", c.Size, slots[i].Size, k)
			return
		}
	}
}

// Remarks are what may not be meant, one sentence each.
func (s *Scenario) Remarks() (remarks []string) {
	for i := range s.Groups {
		g := &s.Groups[i]
		kinds, err := g.Kinds()
		if err != nil {
			continue
		}
		tcp := 0
		for _, k := range kinds {
			if !k.Board.UDP {
				tcp++
			}
		}
		if n := g.Network; n != nil && tcp > 0 && n.Loss > 0 {
			remarks = append(remarks, fmt.Sprintf("group %s: over TCP a loss is a delay, of a retransmission", g.Name))
		}
		if n := g.Network; n != nil && tcp == 0 && !n.Reset.Zero() {
			remarks = append(remarks, fmt.Sprintf("group %s: nothing is reset, as no device is over TCP", g.Name))
		}
		if tcp == len(kinds) && g.Reconnect != nil && g.Reconnect.Full < 1 {
			remarks = append(remarks, fmt.Sprintf("group %s: devices over TCP make a full handshake each time", g.Name))
		}
	}
	if len(s.Campaigns) > 0 {
		remarks = append(remarks, "on several workers each part of the fleet has waves of its own and stops by itself; the budget is judged for all of them")
	}
	if len(s.Thresholds) == 0 {
		remarks = append(remarks, "there are no thresholds: the run passes when its devices are online in the end")
	}
	return remarks
}
