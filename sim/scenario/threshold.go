package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/muster/muster/sim/record"
)

// A Threshold is a condition on what a run measured.
type Threshold struct {
	Expr  string `yaml:"expr" doc:"the condition, such as p99(publish) < 500ms" need:"yes"`
	Phase string `yaml:"phase" doc:"phase that it is about; absent: the whole run"`
	Group string `yaml:"group" doc:"group that it is about; absent: all devices"`
}

// A condition is a threshold that was read.
type condition struct {
	function string
	quantile float64 // of p…
	args     []string
	op       string
	limit    float64
	unit     string // of value and limit, as in record.Threshold
}

// A function is what can stand in a condition.
type function struct {
	args    int // 1, 2; 0: one or none
	unit    string
	names   func() []string // of its arguments; nil: any
	meaning string
}

// functions are those of conditions, but for p50, p99.9 and so on.
var functions = map[string]function{
	"min":    {1, "duration", timingNames, "shortest time"},
	"max":    {1, "duration", timingNames, "longest time"},
	"mean":   {1, "duration", timingNames, "mean time"},
	"count":  {1, "number", counterNames, "how many"},
	"rate":   {1, "rate", counterNames, "how many per second"},
	"ratio":  {2, "share", counterNames, "the first counter as a share of the second"},
	"errors": {0, "number", nil, "connections and attempts that ended, and calls that failed, for that reason or any"},
	"bytes":  {0, "bytes", activityNames, "bytes on the wire for one of that activity (bytes(resume): a resume), or a device's for all of them"},
	"share":  {1, "share", levelNames, "share of the devices that are so at the end of the run"},
}

var percentile = regexp.MustCompile(`^p([0-9]{1,2}(\.[0-9]+)?|100)$`)

func timingNames() []string {
	return []string{
		string(record.ConnectTime), string(record.HandshakeTime), string(record.ResumeTime), string(record.PublishTime),
		string(record.PublishService), string(record.DeliveryTime), string(record.CallTime), string(record.UpdateTime),
	}
}

func counterNames() []string {
	return []string{
		string(record.Arrivals), string(record.Attempts), string(record.Handshakes), string(record.Resumes), string(record.Connected),
		string(record.Offline), string(record.Late), string(record.Publishes), string(record.Published), string(record.PublishFailed),
		string(record.PublishRefused), string(record.EventsReceived), string(record.FunctionsCalled), string(record.VariablesRead),
		string(record.Pings), string(record.Sleeps), string(record.Moves), string(record.UpdatesBegun), string(record.UpdatesApplied),
		string(record.UpdatesFailed), string(record.Calls), string(record.CallsFailed), string(record.Ignored), string(record.Stray),
		string(record.ImpairLost), string(record.SocketDrops), string(record.SendFailed),
	}
}

func activityNames() []string {
	return []string{
		string(record.ActHandshake), string(record.ActResume), string(record.ActKeepAlive), string(record.ActPublish),
		string(record.ActUpdate), string(record.ActOther),
	}
}

func levelNames() []string {
	return []string{
		string(record.Online), string(record.Connecting), string(record.Sleeping), string(record.Updating), string(record.Off),
	}
}

func functionNames() []string {
	names := []string{"p50", "p95", "p99", "p99.9"}
	for name := range functions {
		names = append(names, name)
	}
	slices.Sort(names[4:])
	return names
}

// wrong is what is wrong in a condition, and where: an index of its text.
type wrong struct {
	at   int
	text string
}

var form = regexp.MustCompile(`^\s*([a-z0-9.]+)\s*\(([^()]*)\)\s*(<=|>=|==|!=|<|>)\s*(\S.*?)\s*$`)

// parse reads a condition.
func (t *Threshold) parse() (c condition, bad *wrong) {
	m := form.FindStringSubmatchIndex(t.Expr)
	if m == nil {
		return c, &wrong{0, fmt.Sprintf("%q is no condition: want something like p99(publish) < 500ms, rate(published) > 800/s, ratio(published, publishes) > 99.9%%, errors(\"ping timeout\") < 10 or bytes(resume) <= 200", t.Expr)}
	}
	part := func(i int) string { return t.Expr[m[2*i]:m[2*i+1]] }
	c.function, c.op = part(1), part(3)
	f, known := functions[c.function]
	if p := percentile.FindStringSubmatch(c.function); p != nil {
		f, known = function{1, "duration", timingNames, ""}, true
		c.quantile, _ = strconv.ParseFloat(p[1], 64)
		c.quantile /= 100
	}
	if !known {
		return c, &wrong{m[2], fmt.Sprintf("there is no function %s: %s", c.function, meant(c.function, functionNames()))}
	}
	if c.args, bad = arguments(c.function, f, part(2), m[4]); bad != nil {
		return c, bad
	}
	var ok bool
	if c.limit, ok = units[f.unit].parse(part(4)); !ok {
		return c, &wrong{m[8], fmt.Sprintf("%s is compared with %s, not %q", c.function, units[f.unit].allowed, part(4))}
	}
	c.unit = map[string]string{"duration": "s", "rate": "/s", "share": "%", "bytes": "B"}[f.unit]
	if c.unit == "%" {
		c.limit *= 100
	}
	return c, nil
}

// arguments reads what stands between the parentheses of a function.
func arguments(name string, f function, text string, at int) (args []string, bad *wrong) {
	for _, a := range strings.Split(text, ",") {
		a = strings.TrimSpace(a)
		if q, err := strconv.Unquote(a); err == nil {
			a = q
		}
		if a != "" {
			args = append(args, a)
		}
	}
	if want := max(f.args, 1); len(args) > want || len(args) < f.args {
		return nil, &wrong{at, fmt.Sprintf("%s takes %d in its parentheses, not %d", name, want, len(args))}
	}
	if f.names == nil {
		return args, nil
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "-", "_")
		if names := f.names(); !slices.Contains(names, args[i]) {
			return nil, &wrong{at + max(strings.Index(text, a), 0), fmt.Sprintf("%s knows no %s: %s", name, a, meant(args[i], names))}
		}
	}
	return args, nil
}

func (s *Scenario) checkThreshold(t *Threshold, path string, problem problemFunc) {
	c, bad := t.parse()
	if bad != nil {
		problem(path+".expr", "character %d: %s", bad.at+1, bad.text)
	}
	s.checkName(problem, path+".phase", "phase", t.Phase, s.phaseNames())
	s.checkName(problem, path+".group", "group", t.Group, s.groupNames())
	if bad == nil && c.function == "share" && t.Phase != "" {
		problem(path+".phase", "share is that at the end of the run: leave phase out")
	}
}
