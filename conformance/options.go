package conformance

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

// Options say what to run. Zero fields mean the default that is stated.
type Options struct {
	// Select are names of checks with wildcards, as in path.Match: "resume/*",
	// "*/connects", "ota". None: all.
	Select []string
	// Devices is how many devices to simulate. 1000.
	Devices int
	// Seed of everything random that is not secret. 0: drawn.
	Seed uint64
	// Patience bounds each check, and each preparation of a suite. 60 s.
	Patience time.Duration
	// Progress hears what is being done, with a fraction from 0 to 1.
	Progress func(fraction float64, what string)
	// Target changes what is judged, for tests and mutants.
	Target func(*target.Options)

	// plain runs the checks without Ginkgo, of which there is one in a process.
	plain bool

	done, total int
}

func (o Options) defaults() Options {
	if o.Devices == 0 {
		o.Devices = 1000
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Progress == nil {
		o.Progress = func(float64, string) {}
	}
	return o
}

// selects reports whether a check was asked for.
func (o *Options) selects(suite, check string) bool {
	if len(o.Select) == 0 {
		return true
	}
	for _, pattern := range o.Select {
		for _, name := range []string{suite, suite + "/" + check} {
			if ok, err := path.Match(pattern, name); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// check reports what is wrong with the options.
func (o *Options) check(suites []Suite) error {
	for _, pattern := range o.Select {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%q is not a name of a check with wildcards: %w", pattern, err)
		}
		one := Options{Select: []string{pattern}}
		if len(one.filter(suites)) == 0 {
			return fmt.Errorf("no check is called %q; muster conform --list shows them all", pattern)
		}
	}
	if o.Devices < 1 || o.Devices > 20_000 {
		return fmt.Errorf("%d devices: from 1 to 20000 are possible", o.Devices)
	}
	return nil
}

// filter returns the suites with the checks that were asked for.
func (o *Options) filter(suites []Suite) []Suite {
	var list []Suite
	for _, s := range suites {
		needed := make(map[string]bool)
		for _, c := range s.Checks {
			if o.selects(s.Name, c.Name) {
				needed[c.Name] = true
				for _, n := range c.Needs {
					needed[n] = true
				}
			}
		}
		var checks []Check
		for _, c := range s.Checks {
			if needed[c.Name] {
				checks = append(checks, c)
			}
		}
		if s.Checks = checks; len(checks) > 0 {
			list = append(list, s)
		}
	}
	return list
}

func (o *Options) progress(suite, what string) {
	fraction := 0.0
	if o.total > 0 {
		fraction = float64(o.done) / float64(o.total)
	}
	o.Progress(min(fraction, 1), suite+": "+what)
}

// repeat is the command that runs one check again.
func (o *Options) repeat(name string) string {
	command := "muster conform"
	if name != "" {
		command += " " + name
	}
	return fmt.Sprintf("%s --devices %d --seed %d", command, o.Devices, o.Seed)
}

// tool is the name of the program in reports.
const tool = "muster conform"

// Run runs the suites against the reference cloud and simulated devices, and
// returns what was found. The error means that nothing could be run.
func Run(ctx context.Context, options Options) (*report.Run, error) {
	o := options.defaults()
	suites := Suites()
	verify(suites)
	if err := o.check(suites); err != nil {
		return nil, err
	}
	suites = o.filter(suites)
	began := time.Now()
	o.Progress(0, "starting the reference cloud and the devices")
	t := target.Options{Devices: o.Devices, Seed: o.Seed, Progress: func(what string) { o.progress("target", what) }}
	t.Stages = staged(suites)
	if options.Target != nil {
		options.Target(&t)
	}
	env, err := target.Start(ctx, t)
	switch {
	case err != nil && ctx.Err() != nil:
		return &report.Run{
			Tool: tool, Seed: o.Seed, Started: began, Duration: time.Since(began), Interrupted: true,
			Repeat: o.repeat(strings.Join(o.Select, " ")),
		}, nil
	case err != nil:
		return nil, err
	}
	o.Seed = env.Seed()
	o.total = count(suites) * len(env.Groups())
	s := &shell{env: env, suites: suites, options: &o}
	results := s.run(ctx)
	run := env.Report()
	run.Tool, run.Seed, run.Started, run.Duration = tool, o.Seed, began, time.Since(began)
	run.Results, run.Interrupted = results, ctx.Err() != nil
	run.Repeat = o.repeat(strings.Join(o.Select, " "))
	if err := env.Stop(); err != nil {
		return run, fmt.Errorf("stopping: %w", err)
	}
	return run, nil
}

// staged reports whether the checks of all suites bring stages of their own.
func staged(suites []Suite) bool {
	return !slices.ContainsFunc(suites, func(s Suite) bool { return s.Prepare != nil })
}

func count(suites []Suite) int {
	n := 0
	for _, s := range suites {
		n += len(s.Checks)
	}
	return n
}
