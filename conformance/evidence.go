package conformance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/evidence"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/harness/timeline"
	"github.com/muster/muster/protocol/clock"
)

// bundleName is the folder of the evidence, in that of the reports.
const bundleName = "bundle"

// Kinds of evidence.
const (
	evidenceAuto = "auto" // of virtual networks those whose checks did not pass
	evidenceAll  = "all"  // of all virtual networks
	evidenceNone = "none"
)

// evidenceOptions say what is kept of a run. The zero value means auto, with
// secrets, of the default size.
type evidenceOptions struct {
	kind      string
	noSecrets bool
	limit     int // in MiB; 0: the default
	// jsonl is where events go while the run goes on: a file, "-" for standard
	// output, or nothing.
	jsonl string
	// arguments repeat the run, withheld are flags that are not among them because
	// they hold secrets.
	arguments, withheld []string
}

// add adds the flags.
func (o *evidenceOptions) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.kind, "evidence", evidenceAuto, "what the bundle keeps: auto, all (every virtual network too), none")
	flags.BoolVar(&o.noSecrets, "evidence-no-secrets", false, "leave the secrets of sessions, and what they said, out of the bundle")
	flags.IntVar(&o.limit, "evidence-limit", evidence.DefaultLimit>>20, "how large the bundle may become, in MiB, about")
	flags.StringVar(&o.jsonl, "jsonl", "", "write each event as a line of JSON to this file while the run goes on, - for standard output")
	_ = cmd.RegisterFlagCompletionFunc("evidence", cobra.FixedCompletions([]string{evidenceAuto, evidenceAll, evidenceNone}, cobra.ShellCompDirectiveNoFileComp))
}

// check reports what is wrong.
func (o *evidenceOptions) check() error {
	if !slices.Contains([]string{"", evidenceAuto, evidenceAll, evidenceNone}, o.kind) {
		return fmt.Errorf("--evidence %s: it is auto, all or none", o.kind)
	}
	if o.limit < 0 {
		return fmt.Errorf("--evidence-limit %d: it is a number of MiB", o.limit)
	}
	return nil
}

// collect returns the Collector for a run with reports in a folder, nil for none.
func (o *evidenceOptions) collect(out string) (*evidence.Collector, error) {
	if o.kind == evidenceNone {
		return nil, nil
	}
	return evidence.New(evidence.Config{
		Dir: filepath.Join(out, bundleName), Start: time.Now(), Limit: int64(o.limit) << 20,
		Secrets: !o.noSecrets, All: o.kind == evidenceAll,
	})
}

// stream returns where events go, the writer for what people read, and what closes
// the stream. It is nil if nobody asked for events.
func (o *evidenceOptions) stream(stdout, stderr io.Writer) (s *report.Stream, people io.Writer, finish func() error, err error) {
	switch o.jsonl {
	case "":
		return nil, stdout, func() error { return nil }, nil
	case "-":
		s = report.NewStream(stdout)
		return s, stderr, s.Err, nil
	}
	f, err := os.Create(o.jsonl)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("--jsonl: %w", err)
	}
	s = report.NewStream(f)
	return s, stdout, func() error { return errors.Join(s.Err(), f.Close()) }, nil
}

// notReplayed are flags that a replay sets itself.
var notReplayed = []string{"out", "seed", "list", "jsonl", "evidence", "evidence-no-secrets", "evidence-limit"}

// remember notes the arguments that repeat the run, but for its seed.
func (o *evidenceOptions) remember(cmd *cobra.Command, args []string) {
	o.arguments, o.withheld = slices.Clone(args), nil
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case slices.Contains(notReplayed, f.Name):
		case secretFlag(f.Name):
			o.withheld = append(o.withheld, "--"+f.Name)
		default:
			o.arguments = append(o.arguments, flagArguments(f)...)
		}
	})
}

// flagArguments returns a flag as it is said on the command line.
func flagArguments(f *pflag.Flag) (list []string) {
	if many, ok := f.Value.(pflag.SliceValue); ok {
		for _, v := range many.GetSlice() {
			list = append(list, "--"+f.Name+"="+v)
		}
		return list
	}
	return []string{"--" + f.Name + "=" + f.Value.String()}
}

// secretFlag reports whether a flag holds a secret itself, and not the name of a
// file.
func secretFlag(name string) bool {
	for _, word := range []string{"token", "password", "secret"} {
		if strings.HasSuffix(name, word) {
			return true
		}
	}
	return false
}

// finish writes the bundle.
func (o *Options) finish(env *target.Env, run *report.Run) error {
	arguments := append(slices.Clone(o.evidence.arguments), fmt.Sprintf("--seed=%d", run.Seed))
	return o.collector.Finish(run, evidence.Manifest{Arguments: arguments, Withheld: o.evidence.withheld}, env.Ledger())
}

// keepConsole puts what programs and boards say into the bundle too.
func (o *Options) keepConsole(log target.BoardLog) target.BoardLog {
	if o.collector == nil {
		return log
	}
	return func(source, line string) {
		log(source, line)
		t := o.collector.Timeline()
		t.Add(timeline.Event{At: t.Instant(time.Now()), Lane: source, Kind: kindOf(source), Text: line})
		fmt.Fprintf(o.collector.Log("console"), "%v %s %s\n", t.Instant(time.Now()), source, line)
	}
}

// kindOf says what the sources of a target.BoardLog tell of.
func kindOf(source string) timeline.Kind {
	switch source {
	case target.USBSource:
		return timeline.USB
	case target.PowerSource:
		return timeline.Power
	case target.RigSource, target.HarnessSource:
		return timeline.Note
	}
	return timeline.Serial
}

// preparing notes that a suite is prepared.
func (s *shell) preparing(suite string) (done func(error)) {
	began := s.env.Now()
	return func(err error) {
		e := timeline.Event{At: began, For: s.env.Now().Sub(began), Lane: "run", Kind: timeline.Step, Text: "prepare " + suite}
		if err != nil {
			e.Text, e.Level = e.Text+": "+err.Error(), timeline.Bad
		}
		s.tell(e)
	}
}

// checking notes that a check begins, and at its end what it found.
func (s *shell) checking(name string) (done func([]report.Result)) {
	began := s.env.Now()
	s.options.collector.Check(name)
	s.options.stream.Check(time.Duration(began), name)
	return func(results []report.Result) {
		now := s.env.Now()
		s.options.collector.Checked(name, results)
		s.tell(timeline.Event{At: began, For: now.Sub(began), Lane: "run", Kind: timeline.Step, Text: name, Check: name})
		for _, r := range results {
			s.options.stream.Result(time.Duration(now), r)
			if e, worth := verdictEvent(now, &r); worth {
				s.tell(e)
			}
		}
	}
}

// verdictEvent is a result on the timeline. Of what does not apply there is too much.
func verdictEvent(now clock.Instant, r *report.Result) (e timeline.Event, worth bool) {
	e = timeline.Event{At: now, Lane: "verdicts", Kind: timeline.Verdict, Check: r.Name()}
	if r.Began > 0 {
		e.At = clock.Instant(r.Began + r.Duration)
	}
	e.Text = fmt.Sprintf("%s on Device OS %s: %v", r.Name(), report.Generation{DeviceOS: r.DeviceOS, Transport: r.Transport}, r.Verdict)
	switch r.Verdict {
	case report.Pass:
		e.Level = timeline.Good
	case report.PassWithRemark, report.Inconclusive:
		e.Level = timeline.Warn
	case report.Fail:
		e.Level = timeline.Bad
	case report.NotRun, report.Disabled, report.Unsupported:
		return e, false
	}
	if len(r.Findings) > 0 {
		e.Text += ": " + r.Findings[0].Line()
	}
	return e, true
}

// tell puts an event on the timeline, and on the stream.
func (s *shell) tell(e timeline.Event) {
	s.options.collector.Timeline().Add(e)
	s.options.stream.Timeline(e)
}

// cited returns the requirements that results judge, for the reader of a report.
func cited(catalogue *requirements.Catalogue, results []report.Result) []report.Requirement {
	seen := make(map[string]bool)
	var list []report.Requirement
	for _, r := range results {
		for _, id := range r.Requirements {
			q := catalogue.Get(id)
			if seen[id] || q == nil {
				continue
			}
			seen[id] = true
			roles := make([]string, len(q.Roles))
			for i, role := range q.Roles {
				roles[i] = string(role)
			}
			list = append(list, report.Requirement{ID: id, Level: string(q.Level), Role: strings.Join(roles, ", "), Text: q.Text, Source: q.Source})
		}
	}
	return list
}
