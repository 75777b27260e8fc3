package conformance

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

// patience bounds each check of a mutant: what does not come is waited for so
// long.
const patience = 10 * time.Second

// mutantsAtOnce is how many mutants run side by side: they wait most of the time.
const mutantsAtOnce = 12

// TestMutants proves the suites: each mutant must fail the checks that its row
// names, and no others.
func TestMutants(t *testing.T) {
	var table []mutant
	for i, m := range mutants {
		if wanted(m.name) && (!testing.Short() || i%3 == 0) {
			table = append(table, m)
		}
	}
	results := make([]func() *report.Run, len(table))
	slots := make(chan struct{}, mutantsAtOnce)
	var started sync.WaitGroup
	for i := range table {
		results[i] = sync.OnceValue(func() *report.Run {
			slots <- struct{}{}
			defer func() { <-slots }()
			return table[i].judge(t)
		})
		started.Go(func() { results[i]() })
	}
	for i, m := range table {
		t.Run(m.name, func(t *testing.T) { m.check(t, results[i]()) })
	}
	started.Wait()
}

// wanted reports whether -run asks for a mutant: they are begun before their
// subtests are.
func wanted(name string) bool {
	_, pattern, narrowed := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	if !narrowed {
		return true
	}
	parts := strings.SplitN(pattern, "/", 2)
	for i, half := range strings.SplitN(name, "/", 2) {
		if i < len(parts) && !regexp.MustCompile(parts[i]).MatchString(half) {
			return false
		}
	}
	return true
}

// judge runs the mutant.
func (m *mutant) judge(t *testing.T) *report.Run {
	o := Options{Seed: 7, Select: m.run, Patience: m.patience, plain: true}
	if o.Patience == 0 {
		o.Patience = patience
	}
	on := m.on
	if on == nil {
		on = modern
	}
	o.Devices = 2 * len(on) // one of each account
	o.Target = func(t *target.Options) {
		for _, name := range on {
			t.Profiles = append(t.Profiles, target.Profile(name))
		}
		t.Device = m.device
		t.Memory = !slices.ContainsFunc(m.run, func(name string) bool { return strings.HasPrefix(name, "resume") })
		if m.cloud != nil {
			t.Cloud = func(c *target.CloudConfig, again bool) {
				if again || !m.again {
					m.cloud(c)
				}
			}
		}
	}
	run, err := Run(t.Context(), o)
	if err != nil {
		t.Errorf("%s: %v", m.name, err)
	}
	return run
}

// check compares what failed with what must.
func (m *mutant) check(t *testing.T, run *report.Run) {
	if run == nil {
		t.Fatal("the mutant did not run")
	}
	failed := make(map[string]string)
	for _, r := range run.Results {
		if name := r.Suite + "/" + r.Check; r.Verdict == report.Fail && failed[name] == "" {
			failed[name] = fmt.Sprintf("on Device OS %s over %s: %s", r.DeviceOS, r.Transport, r.Findings[0].Text)
		}
	}
	for _, name := range m.fails {
		if failed[name] == "" {
			t.Errorf("%s did not fail: %s", name, strings.Join(verdicts(run, name), "; "))
			continue
		}
		t.Logf("%s failed, as it must, %s", name, failed[name])
	}
	for name, why := range failed {
		if !slices.Contains(m.fails, name) && !slices.Contains(m.also, name) {
			t.Errorf("%s failed too, %s", name, why)
		}
	}
}

// verdicts tells what became of a check.
func verdicts(run *report.Run, name string) []string {
	var list []string
	for _, r := range run.Results {
		if r.Suite+"/"+r.Check == name {
			text := fmt.Sprintf("%s %s: %v %s", r.DeviceOS, r.Transport, r.Verdict, r.Reason)
			for _, f := range r.Findings {
				text += ", " + f.Text
			}
			list = append(list, text)
		}
	}
	return list
}

// TestEveryCheckHasAMutant fails for a check that no mutant can fail: it would
// prove nothing.
func TestEveryCheckHasAMutant(t *testing.T) {
	killers := make(map[string][]string)
	for _, m := range mutants {
		for _, name := range m.fails {
			killers[name] = append(killers[name], m.name)
		}
	}
	for _, s := range Suites() {
		for _, c := range s.Checks {
			name := s.Name + "/" + c.Name
			if len(killers[name]) == 0 {
				t.Errorf("no mutant fails %s", name)
			}
			delete(killers, name)
		}
	}
	for name, by := range killers {
		t.Errorf("%v must fail %s, which is no check", by, name)
	}
}
