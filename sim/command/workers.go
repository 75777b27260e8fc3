package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/show"
	"github.com/muster/muster/sim/workers"
)

// checkWorkers refuses what cannot work with workers.
func (s *settings) checkWorkers() error {
	if err := s.workers.Check(); err != nil || s.workers.URL == "" {
		return err
	}
	switch {
	case s.keys == "":
		return errors.New("with --nats every worker needs the keys of its devices: give --keys seed:NUMBER, or --keys DIR with a folder that every worker has at that place (\"muster fleet keys\" makes one)")
	case len(s.sources) > 0:
		return errors.New("--source is for the workers: give it to \"muster fleet worker\"")
	}
	return nil
}

// onWorkers runs a job on the workers of a NATS server.
func (s *settings) onWorkers(ctx context.Context, j job, file string, stdout io.Writer, say *console) error {
	f, err := s.fleetOf(ctx, j, file, say)
	if err != nil {
		return &fleet.UsageError{Err: err}
	}
	b, err := workers.Dial(ctx, s.workers.Server, "muster fleet run", func(text string) { say.say("%s", text) })
	if err != nil {
		return &fleet.UsageError{Err: err}
	}
	defer b.Close()
	say.say("This is run %s: if this process is killed, the same command with --run-id %s goes on with it.", f.ID, f.ID)
	clean := func() {}
	r, err := s.watched(ctx, stdout, say, func(ctx context.Context, sink loadtest.Sink, _ func() *record.Self) (*record.Run, error) {
		f.Sink = sink
		r, done, err := f.Run(ctx, b)
		if err == nil {
			clean = done
			r.Command = repeating(r.Command, r.Seed)
		}
		return r, err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &fleet.UsageError{Err: err}
	}
	clean() // the record is written
	if s.jsonl == "-" {
		stdout = say.w // not between the lines of the run
	}
	summarize(stdout, r)
	changes(stdout, r)
	return exit(r)
}

// changesShown is how many of the things that happened to workers are told in the
// summary: all are in the report.
const changesShown = 8

// changes tells what was taken over, and what is missing.
func changes(w io.Writer, r *record.Run) {
	shown, more := 0, 0
	for _, n := range r.Notes {
		switch {
		case n.Kind != "worker" || n.Count == 0:
		case shown < changesShown:
			shown++
			fmt.Fprintf(w, "  ! %s  %s\n", show.Clock(n.At), n.Text)
		default:
			more++
		}
	}
	if more > 0 {
		fmt.Fprintf(w, "  ! and %d more like these: they are in the report (--out)\n", more)
	}
}

// fleetOf says what the workers are to run.
func (s *settings) fleetOf(ctx context.Context, j job, file string, say *console) (*workers.Fleet, error) {
	secret, err := s.workers.Secret()
	if err != nil {
		return nil, err
	}
	if s.register != "" {
		if _, _, err := s.keysFor(ctx, j.scenario, say); err != nil {
			return nil, err
		}
	}
	profiles, err := j.scenario.Profiles()
	if err != nil {
		return nil, err
	}
	list := make([]fleet.Member, j.scenario.Devices())
	for i := range list {
		list[i].Profile = profiles(i) // ids are the workers' business
	}
	cloud, err := s.where(ctx, j.scenario, list)
	if err != nil {
		return nil, err
	}
	files, err := filesOf(j.scenario, j.folder)
	if err != nil {
		return nil, err
	}
	from := s.keys
	if !s.seeded() {
		if from, err = filepath.Abs(from); err != nil {
			return nil, fmt.Errorf("--keys %s: %w", s.keys, err)
		}
	}
	f := &workers.Fleet{
		ID: s.workers.ID, Scenario: j.scenario, File: file, Cloud: cloud, Files: files, Seed: s.seed, Secret: secret,
		Keys:    workers.KeySource{From: from, RSAKeys: s.rsaMax},
		Workers: s.workers.Workers, Parts: s.workers.Parts, Wait: s.workers.Wait, Lease: s.workers.Lease,
		Muster: workers.Version(), Command: redacted(os.Args),
	}
	if f.ID == "" {
		f.ID = workers.RunID(j.scenario.Name, time.Now())
	}
	return f, nil
}

// filesOf reads the files that a scenario names.
func filesOf(sc *scenario.Scenario, folder string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	for i := range sc.Campaigns {
		name := sc.Campaigns[i].File
		if name == "" {
			continue
		}
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("campaign %s: the file %s is not below the folder of the scenario: it cannot go to workers", sc.Campaigns[i].Name, name)
		}
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, fmt.Errorf("campaign %s: %w", sc.Campaigns[i].Name, err)
		}
		files[name] = b
	}
	return files, nil
}
