package scenario

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/workload"
)

var update = flag.Bool("update", false, "write the schema")

const folder = "../../fixtures/scenarios"

// The schema in the fixtures is the one of this package.
func TestSchemaFile(t *testing.T) {
	path := filepath.Join(folder, "scenario.schema.json")
	if *update {
		if err := os.WriteFile(path, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(have, Schema()) {
		t.Errorf("%s is old (%v): go test ./sim/scenario -run Schema -update", path, err)
	}
}

// The tables of fields in the documentation are those of this package.
func TestReferencePage(t *testing.T) {
	const path, mark = "../../docs/scenarios.md", "-run Reference -update -->\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, have, found := strings.Cut(string(b), mark)
	if !found {
		t.Fatalf("%s has no place for the tables", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(head+mark+Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != Reference() {
		t.Errorf("%s is old: go test ./sim/scenario -run Reference -update", path)
	}
}

// The example in the documentation is one.
func TestPageExample(t *testing.T) {
	b, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if _, err := Read("docs/scenarios.md", []byte(example)); err != nil {
		t.Error(err)
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("scenario.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("scenario.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bySchema is what the schema says of a file.
func bySchema(t *testing.T, schema *jsonschema.Schema, text []byte) error {
	t.Helper()
	var any map[string]any
	if err := yaml.Unmarshal(text, &any); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(any)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(doc)
}

// Every example is read, makes sense, and fits the schema.
func TestExamples(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if len(files) < 6 {
		t.Fatalf("%d examples", len(files))
	}
	schema := compiled(t)
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Read(filepath.Base(path), text)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := bySchema(t, schema, text); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if s.Source() != string(text) || s.Description == "" || len(s.Thresholds) == 0 {
			t.Errorf("%s: an example has a description and thresholds", path)
		}
	}
}

func TestReadValues(t *testing.T) {
	s, err := Read("x.yaml", []byte(`
name: x
x-rates: &slow {exponential: 1m30s, least: 2s}
groups:
  - name: a
    devices: 3
    profiles: boron@6.2.0
    publish:
      - every: *slow
      - {rate: 90/min, event: b, size: {lognormal: {median: 1KiB, sigma: 0.5}, most: 800}, ack: false}
    network: {loss: 2.5%, rebind: 5m, mtu: 1KiB}
phases:
  - {name: p, duration: 90s, arrive: {at-once: true}, load: 50%}
  - {name: q, duration: 1h, load: {from: 0, to: 250%}}
thresholds: [p99.9(connect) < 2s]
`))
	if err != nil {
		t.Fatal(err)
	}
	g := &s.Groups[0]
	if e := g.Publish[0].Every; e.Kind != workload.Exponential || e.A != 90 || e.Least != 2 {
		t.Errorf("every: %+v", e)
	}
	if p := g.Publish[0]; p.Event != "muster/fleet" || p.Size.A != 32 || !p.Acked() || p.Offline != "drop" {
		t.Errorf("defaults: %+v", p)
	}
	if p := g.Publish[1]; p.Rate != 1.5 || p.Size.Kind != workload.LogNormal || p.Size.A != 1024 || p.Size.B != 0.5 || p.Acked() {
		t.Errorf("%+v", p)
	}
	if e := g.Publish[1].Interval(3); e.Kind != workload.Exponential || e.A != 2 {
		t.Errorf("interval %+v", e)
	}
	if n := g.Network; n.Loss != 0.025 || n.Rebind.A != 300 || n.MTU != 1024 {
		t.Errorf("%+v", n)
	}
	if *s.Phases[0].Load != (Load{0.5, 0.5}) || *s.Phases[1].Load != (Load{0, 2.5}) || s.Duration() != time.Hour+90*time.Second {
		t.Errorf("%+v", s.Phases)
	}
	if s.Interval != time.Second || s.Drain != 5*time.Second || s.Thresholds[0].Expr != "p99.9(connect) < 2s" {
		t.Errorf("%+v", s)
	}
}

// good is a scenario that tests spoil.
const good = `name: x
groups:
  - name: borons
    devices: 10
    profiles: [boron@6.2.0]
    publish:
      - every: 10s
    functions: [{name: led}]
phases:
  - name: arrive
    duration: 10s
    arrive: {rate: 1/s}
`

// An error names line, column, field and what is allowed.
func TestProblems(t *testing.T) {
	schema := compiled(t)
	for _, c := range []struct {
		from, to string
		want     string
		schema   bool // finds it too
	}{
		{"every: 10s", "evry: 10s", `x.yaml:7:9: groups[0].publish[0].evry: there is no such field: did you mean every? (allowed: event, every,`, true},
		{"every: 10s", "every: 10", `x.yaml:7:16: groups[0].publish[0].every: want a duration such as 250ms, 30s, 23m or 1h30m, not "10": it has no unit`, true},
		{"every: 10s", "every: {poisson: 10s}", `7:17: groups[0].publish[0].every.poisson: there is no such distribution: allowed: constant`, true},
		{"every: 10s", "every: {uniform: [10s]}", "a list of two", true},
		{"every: 10s", "every: {uniform: [10s, 5s]}", "the second value is less", false},
		{"every: 10s", "every: {exponential: 0s}", "want a mean above 0", false},
		{"every: 10s", "every: 100ms", "devices publish once a second at most", false},
		{"every: 10s", "{every: 10s, rate: 1/s}", "there are every and rate: want one of every, on and rate", false},
		{"every: 10s", "event: a", "want one of every, on and rate", false},
		{"every: 10s", "{every: 10s, size: 5000}", "5000 bytes are more than", false},
		{"every: 10s", "{every: 10s, size: {exponential: 50}}", "has no bound", false},
		{"every: 10s", "{every: 10s, offline: kep}", `did you mean keep?`, true},
		{"devices: 10", "devices: ten", `x.yaml:4:14: groups[0].devices: want a number, not "ten"`, false},
		{"devices: 10", "devices: 0", "0 is too little: want at least 1", false},
		{"    devices: 10\n", "", "x.yaml:3:5: groups[0].devices: is missing: how many devices", true},
		{"boron@6.2.0", "borom@6.2.0", "x.yaml:5:16: groups[0].profiles[0]: ", false},
		{"rate: 1/s", "rate: 1/day", `want a rate such as 20/s`, true},
		{"rate: 1/s", "rte: 1/s", `did you mean rate?`, true},
		{"arrive: {rate: 1/s}", "groups: [boron]", `there is no group boron: did you mean borons?`, false},
		{"    arrive: {rate: 1/s}\n", "", "no device is ever switched on", false},
		{"duration: 10s", "duration: -1s", "want a duration", true},
		{"name: x", "name: x\nthresholds: ['p99(publsh) < 1s']", `x.yaml:2:14: thresholds[0].expr: character 5: p99 knows no publsh: did you mean publish?`, false},
		{"name: x", "name: x\nthresholds: ['p99(publish) < 5']", `p99 is compared with a duration such as`, false},
		{"name: x", "name: x\nthresholds: ['p999(publish) < 5s']", `there is no function p999`, false},
		{"name: x", "name: x\nthresholds: ['fast']", `is no condition: want something like`, false},
		{"name: x", "name: x\nthresholds: ['ratio(published) > 1%']", `ratio takes 2 in its parentheses, not 1`, false},
		{"name: x", "name: x\nthresholds: [{expr: count(pings) > 1, phase: arive}]", `there is no phase arive: did you mean arrive?`, false},
		{"name: x", "name: x\ncallers: [{name: c, do: function, group: borons, target: lad, rate: 1/s}]", `there is no function lad: did you mean led?`, false},
		{"name: x", "name: x\ncampaigns: [{name: c, group: borons, phase: arrive, waves: [50%, 10%]}]", `want more than the wave before`, false},
		{"name: x", "name: x\n bad: [", "x.yaml:2:1: this is no YAML", false},
		{"name: x", "name: x\ncampaigns: [{name: c, group: borons, phase: arrive, size: 9MiB}]", `x.yaml:2:59: campaigns[0].size: 9437184 bytes are more than the 262144`, false},
		{"devices: 10", "devices: 10\n    reconnect: {every: 10ms}", `a restart of 10ms is too short`, false},
		{"devices: 10", "devices: 10\n    network: {rebind: 10ms}", `a rebinding of 10ms is too short`, false},
		{"devices: 10", "devices: 10\n    network: {reset: 10ms}", `a reset of 10ms is too short`, false},
		{"arrive: {rate: 1/s}", "arrive: {rate: 1/s}\n    network: {reset: 10s}", `is possible for groups only`, false},
		{"devices: 10", "devices: 10\n    sleep: {awake: 0s, asleep: 10s}", `a time awake of 0s is too short`, false},
		{"name: borons", "name: ''", "is empty", false},
		{"name: borons", "name: &a [*a]", "", false},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("%q is not there", c.from)
		}
		_, err := Read("x.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v\nwant %s", c.to, err, c.want)
		}
		if c.schema && bySchema(t, schema, []byte(text)) == nil {
			t.Errorf("%s: the schema takes it", c.to)
		}
	}
	if _, err := Read("x.yaml", []byte(good)); err != nil {
		t.Error(err)
	}
	// All problems at once, in order.
	_, err := Read("x.yaml", []byte(strings.NewReplacer("every: 10s", "evry: 10s", "devices: 10", "devices: many", "rate: 1/s", "rat: 1/s").Replace(good)))
	if lines := strings.Split(err.Error(), "\n"); len(lines) < 3 || !strings.Contains(lines[0], ":4:") {
		t.Errorf("%v", err)
	}
	// What makes no sense together is told with them, but not what follows from them.
	_, err = Read("x.yaml", []byte(strings.NewReplacer("every: 10s", "evry: 10s", "devices: 10", "devices: many",
		"rate: 1/s", "rat: 1/s", "name: x", "name: x\nthresholds: ['p99(publsh) < 1s', {expr: count(pings) > 1, phase: arive}]").Replace(good)))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 5 || !strings.Contains(lines[0], "did you mean publish?") || !strings.Contains(lines[1], "did you mean arrive?") {
		t.Errorf("%v", err)
	}
}

// A short file cannot be endless.
func TestAliasesAreBounded(t *testing.T) {
	text := "name: x\nx-p: &p {every: 10s}\nx-l: &l [" + strings.Repeat("*p,", 1000) + "]\n" +
		"x-g: &g {name: a, devices: 1, publish: *l}\ngroups: [" + strings.Repeat("*g,", 10000) + "]\n" +
		"phases: [{name: p, duration: 1s, arrive: {at-once: true}}]\n"
	if _, err := Read("x", []byte(text)); err == nil || !strings.Contains(err.Error(), "too much") {
		t.Errorf("%v", err)
	}
	if _, err := Read("x", []byte("name: x\nrubbish: 1\n"+strings.Repeat("x", 10)+": 1\n")); err == nil {
		t.Error("taken")
	}
}

// No file makes the reader panic or hang.
func FuzzRead(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("a: &a [*a, *a]\n"))
	f.Add([]byte("name: &n {<<: *n}\n"))
	for _, path := range []string{"mixed-generations.yaml", "lossy-network.yaml", "ota-campaign.yaml"} {
		if b, err := os.ReadFile(filepath.Join(folder, path)); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Read("f", b)
		if (s == nil) == (err == nil) {
			t.Error("neither a scenario nor an error, or both")
		}
	})
}

// run is one that was measured.
func measured() *record.Run {
	r := &record.Run{
		Groups: []record.Group{{Name: "a", Devices: 10}, {Name: "b", Devices: 30}},
		Phases: []record.Phase{{Name: "p", End: 10 * time.Second}, {Name: "q", Start: 10 * time.Second, End: 30 * time.Second}},
		Levels: map[string]map[record.Level]int64{
			"a": {record.Devices: 10, record.Online: 10}, "b": {record.Devices: 30, record.Online: 20, record.Sleeping: 10}, "": {record.Queued: 3},
		},
	}
	for i := range 100 {
		r.Cell("p", "a").Time(record.PublishTime).Add(time.Duration(i+1) * time.Millisecond)
		r.Cell("q", "b").Time(record.PublishTime).Add(time.Duration(i+1) * 10 * time.Millisecond)
	}
	c := r.Cell("p", "a")
	c.Count(record.Publishes, 1000)
	c.Count(record.Published, 999)
	c.Count(record.Resumes, 4)
	c.Move(record.ActResume, record.Traffic{Up: 400, Down: 168})
	c.Move(record.ActOther, record.Traffic{Up: 232})
	c.Error("ping timeout", 9)
	c.Error("closed by the cloud", 2)
	return r
}

func TestThresholds(t *testing.T) {
	s := &Scenario{Groups: []Group{{Name: "a", Devices: 10}, {Name: "b", Devices: 30}}, Phases: []Phase{{Name: "p"}, {Name: "q"}}}
	for _, c := range []struct {
		expr, phase, group string
		value              float64
		want               record.Verdict
	}{
		{"p50(publish) < 60ms", "p", "", 0.05, record.Pass},
		{"p99(publish) < 60ms", "p", "", 0.099, record.Fail},
		{"p99(publish) < 60ms", "q", "a", 0, record.Inconclusive},
		{"max(publish) <= 1.1s", "", "", 1, record.Pass},
		{"min(publish) >= 2ms", "", "", 0.001, record.Fail},
		{"mean(publish) < 51ms", "p", "a", 0.0505, record.Pass},
		{"rate(published) > 99/s", "p", "", 99.9, record.Pass},
		{"rate(published) > 99/s", "", "", 33.3, record.Fail},
		{"ratio(published, publishes) > 99.9%", "", "", 99.9, record.Fail},
		{"ratio(published, publishes) >= 99.9%", "", "", 99.9, record.Pass},
		{"ratio(published, publishes) >= 0.5", "q", "", 0, record.Inconclusive},
		{`errors("ping timeout") < 10`, "", "", 9, record.Pass},
		{`errors() < 10`, "", "", 11, record.Fail},
		{"count(publishes) == 1000", "", "", 1000, record.Pass},
		{"count(publishes) != 1000", "", "", 1000, record.Fail},
		{"bytes(resume) <= 142", "p", "", 142, record.Pass},
		{"bytes(handshake) <= 5KiB", "p", "", 0, record.Inconclusive},
		{"bytes() < 100B", "p", "a", 80, record.Pass},
		{"share(online) >= 75%", "", "", 75, record.Pass},
		{"share(online) == 100%", "", "b", 66.67, record.Fail},
	} {
		s.Thresholds = []Threshold{{c.expr, c.phase, c.group}}
		if err := s.Thresholds[0].parseable(); err != nil {
			t.Fatal(err)
		}
		r := measured()
		Judge(s, r)
		got := r.Thresholds[0]
		if got.Verdict != c.want || r.Verdict != c.want || r.Why == "" || got.Value < c.value*0.998 || got.Value > c.value*1.002 {
			t.Errorf("%s (%s %s): %v %v, want %v %v (%s)", c.expr, c.phase, c.group, got.Value, got.Verdict, c.value, c.want, got.Why)
		}
		if c.want == record.Inconclusive && got.Why == "" {
			t.Errorf("%s: inconclusive without a reason", c.expr)
		}
	}
}

func (t *Threshold) parseable() error {
	if _, bad := t.parse(); bad != nil {
		return Problems{{Text: bad.text}}
	}
	return nil
}

// Without thresholds devices must be online, or asleep when they sleep.
func TestJudgeWithout(t *testing.T) {
	s := &Scenario{Groups: []Group{{Name: "a", Devices: 10}, {Name: "b", Devices: 30}}}
	r := measured()
	if Judge(s, r); r.Verdict != record.Fail {
		t.Errorf("%v", r.Verdict)
	}
	s.Groups[1].Sleep = &Sleep{}
	r = measured()
	if Judge(s, r); r.Verdict != record.Pass {
		t.Errorf("%v", r.Thresholds)
	}
	// What did not come to pass did not hold.
	text := strings.Replace(good, "name: x", "name: x\nthresholds: [{expr: count(pings) == 0, phase: arrive}, share(online) == 100%, count(pings) == 0]", 1)
	if s, err := Read("x.yaml", []byte(text)); err != nil {
		t.Error(err)
	} else {
		r = &record.Run{Interrupted: true, Levels: map[string]map[record.Level]int64{"borons": {record.Devices: 10}}}
		Judge(s, r)
		for i, want := range []record.Verdict{record.Inconclusive, record.Inconclusive, record.Pass} {
			if got := r.Thresholds[i]; got.Verdict != want || want == record.Inconclusive && !strings.Contains(got.Why, "interrupted") {
				t.Errorf("%+v", got)
			}
		}
	}
	// A threshold that is there already counts.
	r = measured()
	r.Thresholds = []record.Threshold{{Text: "campaign", Verdict: record.Fail}}
	if Judge(s, r); r.Verdict != record.Fail {
		t.Errorf("%v", r.Thresholds)
	}
}

// A campaign is judged by what all parts of a fleet did.
func TestJudgeCampaign(t *testing.T) {
	text := strings.Replace(good, "name: x", "name: x\ncampaigns: [{name: two, group: borons, phase: arrive, budget: 20%}]", 1)
	s, err := Read("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		parts []record.Campaign
		want  record.Verdict
		why   string
	}{
		{nil, record.Inconclusive, "no update was begun"},
		{[]record.Campaign{{Begun: 5, Applied: 5, Done: 5}, {Begun: 5, Applied: 5, Done: 5}}, record.Pass, ""},
		{[]record.Campaign{{Begun: 5, Applied: 4, Failed: 1, Done: 5}, {Begun: 5, Applied: 4, Failed: 1, Done: 5}}, record.Pass, ""},
		{[]record.Campaign{{Begun: 5, Applied: 5, Done: 5}, {Begun: 5, Applied: 1, Failed: 4, Stopped: 5}}, record.Fail, ""},
		{[]record.Campaign{{Begun: 5, Applied: 5, Done: 5}, {Begun: 1, Failed: 1, Stopped: 5}}, record.Inconclusive, "it stopped for 5 of 10 devices"},
		{[]record.Campaign{{Begun: 5, Applied: 5, Done: 5}, {Begun: 3, Applied: 2}}, record.Inconclusive, "with 7 of 10 updates applied"},
	} {
		r := &record.Run{}
		for i, p := range c.parts {
			r.Cell([]string{"arrive", "all"}[i], "").Campaign("two", p)
		}
		Judge(s, r)
		if got := r.Thresholds[0]; got.Verdict != c.want || !strings.Contains(got.Why, c.why) {
			t.Errorf("%+v: %+v", c.parts, got)
		}
	}
}

func TestQuick(t *testing.T) {
	for _, q := range []Quick{
		{Devices: 5, Profiles: []string{"mix"}, Rate: 50, Duration: time.Minute, Publish: 10 * time.Second},
		{Devices: 5, Duration: time.Minute},
	} {
		if err := q.Scenario().Check(); err != nil {
			t.Error(err)
		}
	}
}
