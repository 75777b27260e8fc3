package conformance

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/evidence"
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
	// Shuffle runs suites, and the checks of each, in an order drawn from the seed.
	Shuffle bool
	// Patience bounds each check, and each preparation of a suite. 60 s.
	Patience time.Duration
	// Progress hears what is being done, with a fraction from 0 to 1.
	Progress func(fraction float64, what string)
	// Spec says what is judged; nil: the reference cloud and simulated devices.
	Spec *target.Spec
	// Level is the least binding level of requirements whose violation is a failure:
	// "MUST", "SHOULD" and so on. What is below is a remark. Empty: all are.
	Level string
	// DeviceOS is a range of Device OS versions, such as ">= 2.0, < 4". Empty: all.
	DeviceOS string
	// Shard is the part of the checks that runs, "2/4" for the second of four. The
	// parts of one selection do not overlap, and together are all of it. Empty: all.
	Shard string
	// Baseline, if not nil, is what the results are expected to be.
	Baseline *Baseline
	// Retries is how often a check that does not pass is tried again on the same
	// generation. FlakeBudget is how many results may pass only then; those beyond
	// are failures.
	Retries, FlakeBudget int
	// Timeout bounds the whole run; what it leaves out is reported as not run. 0:
	// no bound.
	Timeout time.Duration
	// Log takes what programs and boards say, a line each. Nil: it is lost.
	Log target.BoardLog
	// Target changes what is judged, for tests and mutants.
	Target func(*target.Options)

	// flags are what else the command line said, to repeat it.
	flags string
	// evidence says what is kept of the run, collector keeps it, and stream tells of it
	// while it goes on.
	evidence  evidenceOptions
	collector *evidence.Collector
	stream    *report.Stream

	// ended hears of the result.
	ended func(*report.Run)

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

// selects reports whether a check was asked for, by its name, its suite, or a
// requirement that it judges.
func (o *Options) selects(suite string, c *Check) bool {
	if len(o.Select) == 0 {
		return true
	}
	names := append([]string{suite, suite + "/" + c.Name}, c.Requirements...)
	for _, pattern := range o.Select {
		for _, name := range names {
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
		if !slices.ContainsFunc(suites, one.selectsAny) {
			return fmt.Errorf("no check and no requirement is called %q; muster conform --list shows them all", pattern)
		}
	}
	if o.Devices < 1 || o.Devices > 20_000 {
		return fmt.Errorf("%d devices: from 1 to 20000 are possible", o.Devices)
	}
	if o.Retries < 0 || o.FlakeBudget < 0 || o.Timeout < 0 {
		return errors.New("--retries, --flake-budget and --timeout must not be negative")
	}
	if _, err := target.ParseDeviceOS(o.DeviceOS); o.DeviceOS != "" && err != nil {
		return err
	}
	_, err := parseShard(o.Shard)
	return errors.Join(err, checkLevel(o.Level))
}

func (o *Options) selectsAny(s Suite) bool {
	return slices.ContainsFunc(s.Checks, func(c Check) bool { return o.selects(s.Name, &c) })
}

func (o *Options) progress(suite, what string) {
	fraction := 0.0
	if o.total > 0 {
		fraction = float64(o.done) / float64(o.total)
	}
	o.Progress(min(fraction, 1), suite+": "+what)
}

// goesOn says from time to time that a check goes on, and for how long it has, until
// stop: before a board some take minutes.
func (o *Options) goesOn(suite, check string) (stop func()) {
	began, ended, quit := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-quit:
				return
			case <-time.After(time.Second):
			}
			if took := time.Since(began).Round(time.Second); took >= longCheck {
				o.progress(suite, fmt.Sprintf("%s, for %v now", check, took))
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// longCheck is after what time a check counts as long.
const longCheck = 5 * time.Second

// repeat is the command that runs one check again.
func (o *Options) repeat(name string) string {
	command := "muster conform"
	if name != "" {
		command += " " + name
	}
	return fmt.Sprintf("%s%s --devices %d --seed %d", command, o.flags, o.Devices, o.Seed)
}

// tool is the name of the program in reports.
const tool = "muster conform"

// errTimeout ends a run whose time is over.
var errTimeout = errors.New("the time limit of the run was over")

// Run judges what the options say and returns what was found. The error means that
// nothing could be run, or not be cleaned up.
func Run(ctx context.Context, options Options) (*report.Run, error) {
	o := options.defaults()
	suites := Suites()
	verify(suites)
	if err := o.check(suites); err != nil {
		return nil, err
	}
	catalogue, err := requirements.Load()
	if err != nil {
		return nil, err
	}
	chosen := o.plan(suites, catalogue)
	if o.Shuffle {
		if o.Seed == 0 {
			o.Seed = target.DrawSeed()
		}
		chosen.suites = shuffled(chosen.suites, o.Seed)
	}
	began, interrupted := time.Now(), ctx
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
		defer cancel()
	}
	o.Progress(0, "starting "+o.Spec.Title())
	env, err := target.Start(ctx, o.target(chosen.suites))
	switch {
	case err != nil && interrupted.Err() != nil:
		return &report.Run{
			Tool: tool, Seed: o.Seed, Started: began, Duration: time.Since(began), Interrupted: true,
			Repeat: o.repeat(strings.Join(o.Select, " ")),
		}, nil
	case err != nil:
		return nil, err
	}
	o.Seed = env.Seed()
	o.total = count(chosen.suites) * len(env.Groups())
	began = env.Began()
	head := env.Report()
	head.Tool, head.Seed, head.Started = tool, o.Seed, began
	o.stream.Begin(head, o.total)
	s := &shell{env: env, suites: chosen.suites, options: &o, catalogue: catalogue, silent: chosen.silent}
	results := s.run(ctx)
	run := env.Report()
	run.Tool, run.Seed, run.Started, run.Duration = tool, o.Seed, began, time.Since(began)
	run.Results, run.Interrupted = results, interrupted.Err() != nil
	run.Repeat = o.repeat(strings.Join(o.Select, " "))
	if o.Shuffle {
		run.Order = orderOf(chosen.suites)
		run.Notes = append(run.Notes, fmt.Sprintf("The checks ran in an order drawn from the seed (--shuffle): report.json has it, and --seed %d repeats it.", o.Seed))
	}
	run.Shard, run.Capabilities = o.Shard, s.capabilities
	run.Omissions = append(chosen.omissions, absences(results, o.Spec.Judged() != "")...)
	run.Requirements = cited(catalogue, results)
	o.settleFlakes(run)
	if o.Baseline != nil {
		o.Baseline.compare(run, env.Title(), time.Now())
	}
	o.stream.End(run)
	kept := o.finish(env, run)
	if err := errors.Join(kept, env.Stop()); err != nil {
		return run, fmt.Errorf("stopping: %w", err)
	}
	return run, nil
}

// staged reports whether the checks of all suites bring stages of their own.
func staged(suites []Suite) bool {
	return !slices.ContainsFunc(suites, func(s Suite) bool { return s.Prepare != nil })
}

// target is what the options say of the target.
func (o *Options) target(suites []Suite) target.Options {
	t := target.Options{
		Devices: o.Devices, Seed: o.Seed, Spec: o.Spec, DeviceOS: o.DeviceOS, Log: o.Log, Stages: o.Spec.Judged() == "" && staged(suites),
		Progress: func(what string) { o.progress(targetSuite, what) }, Evidence: o.collector,
	}
	if o.Target != nil {
		o.Target(&t)
	}
	return t
}

func count(suites []Suite) int {
	n := 0
	for _, s := range suites {
		n += len(s.Checks)
	}
	return n
}
