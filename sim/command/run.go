package command

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/show"
)

// A job is what to run.
type job struct {
	scenario *scenario.Scenario
	folder   string // of its file
	endless  bool   // an interrupt is its end
}

// keysFor makes or loads the devices of a scenario and writes what is to be written.
func (s *settings) keysFor(ctx context.Context, sc *scenario.Scenario, say *console) (*fleet.Keys, []fleet.Member, error) {
	keys, list, err := s.members(ctx, sc, say)
	if err == nil {
		err = s.export(ctx, keys, list, say)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		err = &fleet.UsageError{Err: err}
	}
	return keys, list, err
}

// run runs a job, if there is a cloud, and says how it went.
func (s *settings) run(ctx context.Context, j job, stdout io.Writer, say *console) error {
	keys, list, err := s.keysFor(ctx, j.scenario, say)
	if err != nil || s.cloud == "" {
		return err
	}
	cloud, err := s.where(ctx, j.scenario, list)
	if err != nil {
		return &fleet.UsageError{Err: err}
	}
	sources, err := s.sourcesOf()
	if err != nil {
		return &fleet.UsageError{Err: err}
	}
	s.preflight(list, cloud, sources, say)
	o := loadtest.Options{
		Scenario: j.scenario, Cloud: cloud, Keys: keys, Member: func(i int) fleet.Member { return list[i] },
		Seed: s.seed, Sources: sources, Folder: j.folder, Muster: version(), Command: redacted(os.Args),
	}
	r, err := s.watched(ctx, stdout, say, func(ctx context.Context, sink loadtest.Sink, self func() *record.Self) (*record.Run, error) {
		o.Sink, o.Self = sink, self
		if len(list) >= prepareMany {
			say.say("Preparing %s.", show.Count(len(list), "device"))
		}
		r, err := loadtest.Run(ctx, o)
		if err == nil {
			r.Interrupted = r.Interrupted && !j.endless
			r.Command = repeating(r.Command, r.Seed)
		}
		return r, err
	})
	if err != nil {
		return &fleet.UsageError{Err: err}
	}
	if s.jsonl == "-" {
		stdout = say.w
	}
	summarize(stdout, r)
	return exit(r)
}

// prepareMany is how many devices take a while to get ready, which is then told.
const prepareMany = 50_000

// redacted returns a command line without what opens doors: the number that all keys
// follow from, and passwords in addresses.
func redacted(args []string) []string {
	list := slices.Clone(args)
	for i, a := range list {
		if at := strings.Index(a, seedPrefix); at == 0 || at > 0 && a[at-1] == '=' {
			a = a[:at] + seedPrefix + "…"
		}
		if u, err := url.Parse(a[strings.Index(a, "=")+1:]); err == nil && u.User != nil {
			u.User = url.User("xxxxx") // a name alone is a token of NATS
			a = a[:strings.Index(a, "=")+1] + u.String()
		}
		list[i] = a
	}
	return list
}

// repeating returns the command line that repeats a run with its seed, which may have
// been drawn.
func repeating(args []string, seed uint64) []string {
	list := slices.Clone(args)
	if len(list) > 0 {
		list[0] = filepath.Base(list[0])
	}
	if slices.ContainsFunc(list, func(a string) bool { return a == "--seed" || strings.HasPrefix(a, "--seed=") }) {
		return list
	}
	return append(list, "--seed", strconv.FormatUint(seed, 10))
}

// exit returns what the verdict of a run means to a shell.
func exit(r *record.Run) error {
	switch {
	case r.Interrupted:
		return &fleet.ExitError{Code: exitInterrupted}
	case r.Verdict == record.Fail:
		return &fleet.ExitError{Code: exitFailed}
	case r.Verdict == record.Inconclusive:
		return &fleet.ExitError{Code: exitInconclusive}
	}
	return nil
}

// version returns that of this program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
