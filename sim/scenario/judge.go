package scenario

import (
	"fmt"
	"slices"

	"github.com/muster/muster/sim/record"
)

// Judge holds what a run measured against the budgets of its campaigns and the
// thresholds of its scenario, and writes what comes of it into the run: after the
// thresholds that are there already, which count too. A scenario without
// thresholds passes when all devices are online in the end; those of a group that
// sleeps may be asleep or on their way.
func Judge(s *Scenario, r *record.Run) {
	sum := r.Sum("", "")
	for i := range s.Campaigns {
		r.Thresholds = append(r.Thresholds, s.Campaigns[i].judge(s, sum.Campaigns[s.Campaigns[i].Name]))
	}
	list := s.Thresholds
	if len(list) == 0 {
		list = []Threshold{{Expr: awakeOnline}}
	}
	for i := range list {
		r.Thresholds = append(r.Thresholds, list[i].judge(s, r))
	}
	failed, unknown := 0, 0
	for _, t := range r.Thresholds {
		switch t.Verdict {
		case record.Fail:
			failed++
		case record.Inconclusive:
			unknown++
		case record.Pass:
		}
	}
	switch n := len(r.Thresholds); {
	case failed > 0:
		r.Verdict, r.Why = record.Fail, fmt.Sprintf("%d of %d thresholds failed", failed, n)
	case unknown > 0:
		r.Verdict, r.Why = record.Inconclusive, fmt.Sprintf("%d of %d thresholds could not be judged", unknown, n)
	default:
		r.Verdict, r.Why = record.Pass, fmt.Sprintf("%d of %d thresholds hold", n, n)
	}
	if r.Interrupted {
		r.Why += "; the run was interrupted"
	}
}

// awakeOnline is what must be true when a scenario says nothing.
const awakeOnline = "share(online) >= 100%"

// judge evaluates one threshold.
func (t *Threshold) judge(s *Scenario, r *record.Run) record.Threshold {
	out := record.Threshold{Text: t.Expr, Phase: t.Phase, Group: t.Group}
	c, bad := t.parse()
	if bad != nil {
		out.Verdict, out.Why = record.Inconclusive, bad.text
		return out
	}
	out.Limit, out.Unit = c.limit, c.unit
	value, why := c.value(t, s, r)
	if early := c.tooEarly(t, r); early != "" {
		why = early
	}
	if why != "" {
		out.Verdict, out.Why = record.Inconclusive, why
		return out
	}
	out.Value, out.Verdict = value, record.Fail
	if c.holds(value) {
		out.Verdict = record.Pass
	}
	return out
}

// judge holds what became of a campaign against its budget: of all parts of the fleet
// together, as each of them has seen to its own only.
func (c *Campaign) judge(s *Scenario, n record.Campaign) record.Threshold {
	budget := 100 * c.FailureBudget()
	t := record.Threshold{
		Text: fmt.Sprintf("campaign %s: failed <= %.4g%%", c.Name, budget), Group: c.Group,
		Limit: budget, Unit: "%", Verdict: record.Inconclusive,
	}
	devices := uint64(s.Groups[s.Group(c.Group)].Devices)
	if n.Begun > 0 {
		t.Value = 100 * float64(n.Failed) / float64(n.Begun)
	}
	switch {
	case n.Begun == 0:
		t.Why = "no update was begun"
	case t.Value > budget:
		t.Verdict = record.Fail
	case n.Stopped > 0:
		t.Why = fmt.Sprintf("it stopped for %d of %d devices: in their parts of the fleet more than %.4g%% failed, in all %.4g%%", n.Stopped, devices, budget, t.Value)
	case n.Done < devices:
		t.Why = fmt.Sprintf("the run ended before the campaign, with %d of %d updates applied", n.Applied, devices)
	default:
		t.Verdict = record.Pass
	}
	return t
}

// tooEarly says why an interrupted run cannot tell, "" when it can: what did not come
// to pass did not hold.
func (c *condition) tooEarly(t *Threshold, r *record.Run) string {
	switch {
	case !r.Interrupted:
	case t.Phase != "" && !slices.ContainsFunc(r.Phases, func(p record.Phase) bool { return p.Name == t.Phase }):
		return "the run was interrupted before phase " + t.Phase
	case c.function == "share":
		return "the run was interrupted: this is about its end"
	}
	return ""
}

// holds compares.
func (c *condition) holds(v float64) bool {
	switch c.op {
	case "<":
		return v < c.limit
	case "<=":
		return v <= c.limit
	case ">":
		return v > c.limit
	case ">=":
		return v >= c.limit
	case "==":
		return v == c.limit
	}
	return v != c.limit
}

// value returns what was measured, or why nothing was.
func (c *condition) value(t *Threshold, s *Scenario, r *record.Run) (v float64, why string) {
	sum := r.Sum(t.Phase, t.Group)
	switch c.function {
	case "errors":
		return errorsOf(&sum, c.args), ""
	case "count":
		return float64(sum.Counts[record.Counter(c.args[0])]), ""
	case "rate":
		seconds := 0.0
		for _, p := range r.Phases {
			if t.Phase == "" || p.Name == t.Phase {
				seconds += (p.End - p.Start).Seconds()
			}
		}
		if seconds == 0 {
			return 0, "the phase was not reached"
		}
		return float64(sum.Counts[record.Counter(c.args[0])]) / seconds, ""
	case "ratio":
		of := sum.Counts[record.Counter(c.args[1])]
		if of == 0 {
			return 0, fmt.Sprintf("%s is 0: there is nothing to compare with", c.args[1])
		}
		return 100 * float64(sum.Counts[record.Counter(c.args[0])]) / float64(of), ""
	case "bytes":
		return c.bytes(&sum, t, r)
	case "share":
		return c.share(t, s, r)
	}
	h := sum.Times[record.Timing(c.args[0])]
	if h.Count() == 0 {
		return 0, "nothing was measured"
	}
	switch c.function {
	case "min":
		return h.Min().Seconds(), ""
	case "max":
		return h.Max().Seconds(), ""
	case "mean":
		return h.Mean().Seconds(), ""
	}
	return h.Quantile(c.quantile).Seconds(), ""
}

func errorsOf(sum *record.Tally, args []string) (n float64) {
	for reason, k := range sum.Errors {
		if len(args) == 0 || reason == args[0] {
			n += float64(k)
		}
	}
	return n
}

// perOne is what bytes of an activity are divided by.
var perOne = map[record.Activity]record.Counter{
	record.ActHandshake: record.Handshakes, record.ActResume: record.Resumes, record.ActKeepAlive: record.Pings,
	record.ActPublish: record.Publishes, record.ActUpdate: record.UpdatesApplied,
}

// bytes returns the bytes for one of what an activity does, or for one device.
func (c *condition) bytes(sum *record.Tally, t *Threshold, r *record.Run) (float64, string) {
	bytes := float64(sum.Traffic().Total())
	of := uint64(0)
	for _, g := range r.Groups {
		if t.Group == "" || t.Group == g.Name {
			of += uint64(g.Devices)
		}
	}
	if len(c.args) > 0 {
		act := record.Activity(c.args[0])
		bytes = float64(sum.Bytes[act].Total())
		if counter, ok := perOne[act]; ok {
			if of = sum.Counts[counter]; of == 0 {
				return 0, fmt.Sprintf("%s is 0: there was none", counter)
			}
		}
	}
	if of == 0 {
		return 0, "there are no devices"
	}
	return bytes / float64(of), ""
}

// share returns the share of devices that are at a level in the end.
func (c *condition) share(t *Threshold, s *Scenario, r *record.Run) (float64, string) {
	var at, of int64
	for group, levels := range r.Levels {
		if group == "" || t.Group != "" && t.Group != group {
			continue
		}
		of += levels[record.Devices]
		if i := s.Group(group); t.Expr == awakeOnline && i >= 0 && s.Groups[i].Sleep != nil {
			at += levels[record.Devices] - levels[record.Off] // they come and go
			continue
		}
		at += levels[record.Level(c.args[0])]
	}
	if of == 0 {
		return 0, "no levels were measured"
	}
	return 100 * float64(at) / float64(of), ""
}
