package conformance

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster/muster/conformance/mutants"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

// MutantOptions say which mutants to run. Zero fields mean the default that is
// stated.
type MutantOptions struct {
	// Select are names of mutants with wildcards: "cloud/*". None: all.
	Select []string
	// Seed of everything random that is not secret. 7.
	Seed uint64
	// Patience bounds each check that waits for sockets. 10 s. A mutant for which
	// that was not enough, or too much was found, is run again with more: a busy
	// machine is slow, and what is slow is not broken. Virtual time needs none.
	Patience time.Duration
	// Stages leaves out the mutants that need sockets.
	Stages bool
	// AtOnce is how many mutants run side by side: they wait most of the time. 12.
	AtOnce int
	// Progress hears what is being done, with a fraction from 0 to 1.
	Progress func(fraction float64, what string)
}

func (o MutantOptions) defaults() MutantOptions {
	if o.Seed == 0 {
		o.Seed = 7
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.AtOnce == 0 {
		o.AtOnce = 12
	}
	if o.Progress == nil {
		o.Progress = func(float64, string) {}
	}
	return o
}

// A Kill is what became of a mutant.
type Kill struct {
	Mutant *mutants.Mutant `json:"-"`
	Name   string          `json:"mutant"`
	Breaks []string        `json:"breaks"`
	// Killed are the checks that had to fail and did, with what they found.
	Killed map[string]string `json:"killed"`
	// Survived are those that had to fail and did not, with their verdicts.
	Survived map[string]string `json:"survived,omitempty"`
	// Unrelated are those that failed and are not named in the mutant's row, with
	// what they found.
	Unrelated map[string]string `json:"unrelated,omitempty"`
	// Attempts is how often it was run: 1, but for mutants on sockets that were
	// not in order the first time.
	Attempts int `json:"attempts"`
	// Err says that the mutant could not be run, Error the same in words.
	Err      error         `json:"-"`
	Error    string        `json:"error,omitempty"`
	Duration time.Duration `json:"duration_ns"`
}

// Ok reports whether the mutant was found by the checks that had to, and by no
// others.
func (k *Kill) Ok() bool { return k.Err == nil && len(k.Survived) == 0 && len(k.Unrelated) == 0 }

// RunMutants runs the suites against mutants and returns what became of each, in
// their order. The error is about the options.
func RunMutants(ctx context.Context, table []mutants.Mutant, options MutantOptions) ([]Kill, error) {
	o := options.defaults()
	chosen, err := selectMutants(table, o.Select)
	if err != nil {
		return nil, err
	}
	if o.Stages {
		chosen = slices.DeleteFunc(slices.Clone(chosen), func(m mutants.Mutant) bool { return !onStages(&m) })
	}
	kills := make([]Kill, len(chosen))
	slots := make(chan struct{}, o.AtOnce)
	var done sync.WaitGroup
	var mu sync.Mutex
	finished := 0
	for i := range chosen {
		slots <- struct{}{}
		done.Go(func() {
			defer func() { <-slots }()
			kills[i] = runMutant(ctx, &chosen[i], o)
			mu.Lock()
			defer mu.Unlock()
			finished++
			o.Progress(float64(finished)/float64(len(chosen)), "mutants: "+chosen[i].Name)
		})
	}
	done.Wait()
	return kills, nil
}

func selectMutants(table []mutants.Mutant, patterns []string) ([]mutants.Mutant, error) {
	if len(patterns) == 0 {
		return table, nil
	}
	var chosen []mutants.Mutant
	used := make(map[string]bool)
	for _, m := range table {
		role, _, _ := strings.Cut(m.Name, "/")
		fits := false
		for _, p := range patterns {
			byName, err := path.Match(p, m.Name)
			if err != nil {
				return nil, fmt.Errorf("%q is not a name of a mutant with wildcards: %w", p, err)
			}
			if byName || p == role {
				fits, used[p] = true, true
			}
		}
		if fits {
			chosen = append(chosen, m)
		}
	}
	for _, p := range patterns {
		if !used[p] {
			return nil, fmt.Errorf("no mutant is called %q; muster mutants --list shows them all", p)
		}
	}
	return chosen, nil
}

// onStages reports whether all checks of a mutant run in virtual time.
func onStages(m *mutants.Mutant) bool {
	o := Options{Select: m.Run}
	return staged(slices.DeleteFunc(Suites(), func(s Suite) bool { return !o.selectsAny(s) }))
}

// moreAttempts is how often a mutant on sockets is run again, moreTime how much
// more time its checks have each time.
const (
	moreAttempts = 2
	moreTime     = 4
)

// stagePatience bounds a check in virtual time, which waits for nothing.
const stagePatience = 10 * time.Minute

// runMutant runs one mutant against the checks of its row.
func runMutant(ctx context.Context, m *mutants.Mutant, o MutantOptions) Kill {
	if onStages(m) {
		o.Patience = stagePatience
		k := runMutantOnce(ctx, m, o)
		k.Attempts = 1
		return k
	}
	if m.Patience != 0 {
		o.Patience = m.Patience
	}
	for attempt := 1; ; attempt++ {
		k := runMutantOnce(ctx, m, o)
		k.Attempts = attempt
		if k.Ok() || attempt > moreAttempts || ctx.Err() != nil {
			return k
		}
		o.Patience *= moreTime
	}
}

func runMutantOnce(ctx context.Context, m *mutants.Mutant, o MutantOptions) (k Kill) {
	k = Kill{Mutant: m, Name: m.Name, Breaks: m.Breaks}
	began := time.Now()
	defer func() {
		k.Duration = time.Since(began)
		if k.Err != nil {
			k.Error = k.Err.Error()
		}
	}()
	run, err := Run(ctx, mutated(m, o))
	switch {
	case err != nil:
		k.Err = err
		return k
	case run.Interrupted:
		k.Err = context.Cause(ctx)
		return k
	}
	failed := make(map[string]string)
	for _, r := range run.Results {
		if name := r.Suite + "/" + r.Check; r.Verdict == report.Fail && failed[name] == "" {
			failed[name] = fmt.Sprintf("on Device OS %s over %s: %s", r.DeviceOS, r.Transport, r.Findings[0].Text)
		}
	}
	for _, name := range m.Fails {
		if why := failed[name]; why != "" {
			set(&k.Killed, name, why)
		} else {
			set(&k.Survived, name, strings.Join(verdicts(run, name), "; "))
		}
	}
	for name, why := range failed {
		if !slices.Contains(m.Fails, name) && !slices.Contains(m.Also, name) {
			set(&k.Unrelated, name, why)
		}
	}
	return k
}

func set(m *map[string]string, key, value string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = value
}

// mutated are the options of a run with a mutant.
func mutated(m *mutants.Mutant, o MutantOptions) Options {
	run := Options{Seed: o.Seed, Select: m.Run, Patience: o.Patience, plain: true}
	on := m.Profiles()
	run.Devices = 2 * len(on) // one of each account
	run.Target = func(t *target.Options) {
		for _, name := range on {
			t.Profiles = append(t.Profiles, target.Profile(name))
		}
		t.Device = m.Device
		t.Memory = !slices.ContainsFunc(m.Run, func(name string) bool {
			return strings.HasPrefix(name, "resume") || name == "api/stored-tokens" // what is on the disk
		})
		if m.Cloud != nil {
			t.Cloud = func(c *target.CloudConfig, again bool) {
				if again || !m.Again {
					m.Cloud(c)
				}
			}
		}
	}
	return run
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
