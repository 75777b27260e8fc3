package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/fleetreport"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/selfwatch"
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
		err = s.export(keys, list, say)
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
	o := loadtest.Options{
		Scenario: j.scenario, Cloud: cloud, Keys: keys, Member: func(i int) fleet.Member { return list[i] },
		Seed: s.seed, Sources: sources, Folder: j.folder, Muster: version(), Command: os.Args,
	}
	r, err := s.conduct(ctx, o, say)
	if err != nil {
		return &fleet.UsageError{Err: err}
	}
	if j.endless && r.Interrupted {
		r.Interrupted = false
	}
	summarize(stdout, r)
	return exit(r)
}

// conduct runs and records.
func (s *settings) conduct(ctx context.Context, o loadtest.Options, say *console) (*record.Run, error) {
	judge := &overload{}
	sinks := loadtest.Sinks{judge, &progress{say: say}}
	var folder *recorder
	if s.out != "" {
		w, err := record.Create(s.out)
		if err != nil {
			return nil, err
		}
		folder = &recorder{writer: w}
		sinks = append(sinks, folder)
	}
	watch := selfwatch.New()
	watching, stop := context.WithCancel(context.Background())
	defer stop()
	go watch.Run(watching)
	o.Self = func() *record.Self {
		self := watch.Read()
		return &self
	}
	o.Sink = sinks
	r, err := loadtest.Run(ctx, o)
	say.clear()
	if err != nil {
		return nil, err
	}
	selfwatch.Settle(r, judge.Findings())
	if folder != nil {
		if err := folder.close(r); err != nil {
			return nil, err
		}
		report := filepath.Join(s.out, fleetreport.File)
		if err := fleetreport.WriteFile(s.out, report); err != nil {
			return nil, err
		}
		say.say("The report is %s.", report)
	}
	return r, nil
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

// An overload finds out whether this machine was the bottleneck.
type overload struct{ selfwatch.Judge }

// Begin implements loadtest.Beginner.
func (o *overload) Begin(r *record.Run) { o.Hosts = r.Hosts }

// Sample implements loadtest.Sink.
func (o *overload) Sample(s *record.Sample) { o.Add(s) }

// Note implements loadtest.Sink.
func (o *overload) Note(record.Note) {}

// A recorder writes samples into the folder of a run.
type recorder struct {
	writer *record.Writer
	err    error
}

// Sample implements loadtest.Sink.
func (r *recorder) Sample(s *record.Sample) {
	if r.err == nil {
		r.err = r.writer.Add(s)
	}
	if r.err == nil && s.Group == "" { // the last of its interval
		r.err = r.writer.Flush()
	}
}

// Note implements loadtest.Sink: notes are in the run.
func (r *recorder) Note(record.Note) {}

func (r *recorder) close(run *record.Run) error { return errors.Join(r.err, r.writer.Close(run)) }

// A progress shows how a run stands, in one line.
type progress struct {
	say   *console
	run   *record.Run
	sum   record.Tally
	level map[string]map[record.Level]int64
}

// Begin implements loadtest.Beginner.
func (p *progress) Begin(r *record.Run) { p.run, p.level = r, make(map[string]map[record.Level]int64) }

// Sample implements loadtest.Sink.
func (p *progress) Sample(s *record.Sample) {
	for c, n := range s.Counts {
		p.sum.Count(c, n)
	}
	if s.Levels != nil {
		p.level[s.Group] = s.Levels
	}
	if s.Group != "" {
		return
	}
	at := func(l record.Level) (n int64) {
		for _, levels := range p.level {
			n += levels[l]
		}
		return n
	}
	end := p.run.Phases[len(p.run.Phases)-1].End
	p.say.progress("%s of %s  %s  online %d of %d  connecting %d  handshakes %d  resumes %d  lost %d  published %d",
		clockOf(s.At), clockOf(end), s.Phase, at(record.Online), at(record.Devices), at(record.Connecting)+at(record.Queued),
		p.sum.Counts[record.Handshakes], p.sum.Counts[record.Resumes], p.sum.Counts[record.Offline], p.sum.Counts[record.Published])
}

// Note implements loadtest.Sink.
func (p *progress) Note(n record.Note) {
	if n.Count == 0 {
		p.say.say("%s", line(n))
	}
}

// line writes a note.
func line(n record.Note) string {
	text := fmt.Sprintf("%s  %s: %s", clockOf(n.At), n.Kind, n.Text)
	if n.Count > 1 {
		text += fmt.Sprintf(" (%d times)", n.Count)
	}
	return text
}
