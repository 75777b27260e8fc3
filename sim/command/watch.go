package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/muster/muster/sim/fleetlines"
	"github.com/muster/muster/sim/fleetmetrics"
	"github.com/muster/muster/sim/fleetreport"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/selfwatch"
	"github.com/muster/muster/sim/view"
)

// watchFlags are those about who watches a run.
type watchFlags struct {
	out, view, metrics, jsonl string
}

func (f *watchFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "folder for the record of the run: run.json, samples.jsonl and report.html")
	flags.StringVar(&f.view, "view", string(view.Auto), "how to show the run: screen, lines, none, or auto (the whole screen of a terminal, else lines)")
	flags.StringVar(&f.metrics, "metrics", "", "address at which to answer Prometheus, such as 127.0.0.1:9464 or :9464")
	flags.StringVar(&f.jsonl, "jsonl", "", "file to write the run to as it goes on, an object a line; - for the standard output, and the summary then goes to standard error")
	_ = cmd.RegisterFlagCompletionFunc("view", cobra.FixedCompletions([]string{"auto", "screen", "lines", "none"}, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses what cannot work.
func (f *watchFlags) check() error {
	if !slices.Contains(view.Modes, view.Mode(f.view)) {
		return fmt.Errorf("--view %s: want screen, lines, none or auto", f.view)
	}
	return nil
}

// A watch is everybody who watches a run.
type watch struct {
	flags  *watchFlags
	sinks  loadtest.Sinks
	judge  *overload
	folder *recorder
	view   *view.View
	say    *console // that the view speaks for; nil: it does not
	lines  *fleetlines.Writer
	file   io.Closer // of the lines
	server *fleetmetrics.Server
}

// start begins to watch. stop ends the run in an orderly way.
func (f *watchFlags) start(stop func(), stdout io.Writer, say *console) (*watch, error) {
	w := &watch{flags: f, judge: &overload{}}
	w.sinks = loadtest.Sinks{w.judge}
	if err := w.openLines(stdout); err != nil {
		return nil, err
	}
	if f.metrics != "" {
		exporter := fleetmetrics.New()
		server, err := exporter.Serve(f.metrics)
		if err != nil {
			return nil, err
		}
		w.server = server
		w.sinks = append(w.sinks, exporter)
		say.say("Metrics are at %s.", server.URL())
	}
	if f.out != "" {
		folder, err := record.Create(f.out)
		if err != nil {
			return nil, err
		}
		_ = os.Remove(filepath.Join(f.out, fleetreport.File)) // of an earlier run
		w.folder = &recorder{writer: folder}
		w.sinks = append(w.sinks, w.folder)
	}
	mode := view.Mode(f.view)
	if say.quiet {
		mode = view.None
	}
	w.view = view.Start(view.Options{Mode: mode, Out: say.w, Stop: stop, Leave: func() { os.Exit(exitInterrupted) }})
	w.sinks = append(w.sinks, w.view)
	if w.view.Live() {
		w.say = say
		say.screen.Store(w.view)
	}
	return w, nil
}

func (w *watch) openLines(stdout io.Writer) error {
	switch w.flags.jsonl {
	case "":
		return nil
	case "-":
		w.lines = fleetlines.New(stdout)
	default:
		file, err := os.Create(w.flags.jsonl)
		if err != nil {
			return fmt.Errorf("--jsonl: %w", err)
		}
		w.file, w.lines = file, fleetlines.New(file)
	}
	w.sinks = append(w.sinks, w.lines)
	return nil
}

// end ends the watching of a run that has results: it settles what the generator
// spoilt, and writes what is to be written.
func (w *watch) end(r *record.Run, say *console) error {
	w.close()
	selfwatch.Settle(r, w.judge.Findings())
	var errs []error
	if w.lines != nil {
		errs = append(errs, w.lines.End(r))
	}
	if w.file != nil {
		errs = append(errs, w.file.Close())
	}
	if w.folder != nil {
		err := w.folder.close(r)
		if report := filepath.Join(w.flags.out, fleetreport.File); err == nil {
			if err = fleetreport.WriteFile(w.flags.out, report); err == nil {
				say.say("The report is %s.", report)
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// close gives the terminal back and stops answering Prometheus.
func (w *watch) close() {
	w.view.Close()
	if w.say != nil {
		w.say.screen.Store(nil)
	}
	if w.server != nil {
		_ = w.server.Close()
	}
}

// watched runs something with everybody watching, and with this process watching
// itself. An error of run means that there are no results.
func (f *watchFlags) watched(ctx context.Context, stdout io.Writer, say *console, run func(context.Context, loadtest.Sink, func() *record.Self) (*record.Run, error)) (*record.Run, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w, err := f.start(stop, stdout, say)
	if err != nil {
		return nil, err
	}
	self := selfwatch.New()
	watching, enough := context.WithCancel(context.Background())
	defer enough()
	go self.Run(watching)
	r, err := run(ctx, w.sinks, func() *record.Self {
		s := self.Read()
		return &s
	})
	if err != nil {
		w.close()
		return nil, err
	}
	return r, w.end(r, say)
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
