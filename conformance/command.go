package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
)

// An ExitError carries the exit code that a run deserves.
type ExitError struct{ Code int }

// Error implements error. It is for main, which prints nothing for it: the
// report has said it all.
func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// ExitCode returns the exit code, 1 to 255.
func (e *ExitError) ExitCode() int { return e.Code }

const long = `Run the conformance suites.

Without flags it starts the reference cloud and 1,000 simulated devices on real
sockets of the loopback interface, a mix of Device OS 0.5.3, 1.4.4, 2.3.1, 3.1.0
and 6.2.0 over TCP and UDP, and judges handshake, session resume,
publish/subscribe, functions, variables and firmware updates from the wire.

With --cloud it judges a cloud that is not ours: simulated devices that it knows
connect to it, and the wire is read with the secrets of their sessions. With
--device it judges a device alone, simulated, a program or a board on a rig, and
the reference cloud provokes it. What a target lacks is unsupported, never passed.

Reports go to the folder --out: junit.xml, report.json, index.html, and the
evidence to the folder bundle in it: packets for Wireshark, the decoded trace, the
byte ledger, the timeline. "muster replay" runs a bundle again.

Exit codes: 0 all passed, 1 something failed, 2 wrong usage, 3 something could
not be judged, 4 differs from --baseline, 130 interrupted.`

// Command returns the sub-command "conform".
func Command() *cobra.Command { return command(func(*report.Run) {}) }

// command is Command for somebody who wants the result too.
func command(done func(*report.Run)) *cobra.Command {
	var (
		o    Options
		out  string
		list bool
		more targetFlags
	)
	cmd := &cobra.Command{
		Use:   "conform [SUITE | SUITE/CHECK | GLOB]…",
		Short: "Run the conformance suites",
		Long:  long,
		Example: `  muster conform                       everything, 1,000 devices
  muster conform resume 'ota/*'        two suites
  muster conform R-71 'C-3?'           what judges these requirements
  muster conform --devices 50 --seed 7 a small run that can be repeated
  muster conform --cloud cloud.example.org --cloud-key server-udp.der --keys fleet
                                       a cloud that is not ours
  muster conform --device sim:boron@6.2.0
                                       a simulated device alone
  muster conform --device 'process:./vdev' --profile gcc-udp@6.2.0
                                       a program that is a device
  muster conform --list                what there is`,
		SilenceUsage:      true,
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return writeList(cmd.OutOrStdout())
			}
			o.Select, o.ended = args, done
			o.evidence.remember(cmd, args)
			if err := more.complete(cmd, &o); err != nil {
				return told(cmd, err)
			}
			return conform(cmd.Context(), o, out, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().IntVar(&o.Devices, "devices", 1000, "how many devices to simulate, 1 to 20000")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "seed of the run, to repeat one (default: drawn)")
	cmd.Flags().BoolVar(&o.Shuffle, "shuffle", false, "run suites and their checks in an order drawn from the seed")
	cmd.Flags().DurationVar(&o.Patience, "patience", time.Minute, "how long one check may take (5m for boards on a rig)")
	cmd.Flags().StringVar(&out, "out", "out", "folder for the reports")
	o.evidence.add(cmd)
	cmd.Flags().BoolVar(&list, "list", false, "list suites and checks, and run nothing")
	more.add(cmd, &o)
	return cmd
}

func complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, s := range Suites() {
		names = append(names, s.Name+"\t"+s.Text)
		for _, c := range s.Checks {
			names = append(names, s.Name+"/"+c.Name+"\t"+c.Text)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func writeList(w io.Writer) error {
	var b strings.Builder
	for _, s := range Suites() {
		fmt.Fprintf(&b, "%s: %s\n", s.Name, s.Text)
		for _, c := range s.Checks {
			fmt.Fprintf(&b, "  %-34s %s [%s]\n", s.Name+"/"+c.Name, c.Text, strings.Join(c.Requirements, " "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func conform(ctx context.Context, o Options, out string, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	o = o.defaults()
	if err := errors.Join(o.check(Suites()), o.evidence.check()); err != nil {
		fmt.Fprintln(stderr, "muster conform:", err)
		return &ExitError{report.ExitUsage}
	}
	line := newProgress(stderr)
	o.Progress = line.show
	stream, people, finish, err := o.evidence.stream(stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "muster conform:", err)
		return &ExitError{report.ExitUsage}
	}
	o.stream = stream
	if o.collector, err = o.evidence.collect(out); err != nil {
		fmt.Fprintln(stderr, "muster conform:", err)
		return &ExitError{report.ExitUsage}
	}
	var closeLog func() error
	o.Log, closeLog = consoleLog{filepath.Join(out, "console.log")}.open()
	o.Log = o.keepConsole(o.Log)
	run, err := Run(ctx, o)
	line.end()
	err = errors.Join(err, closeLog(), finish())
	stdout = people
	if run == nil {
		err = errors.Join(err, o.collector.Discard())
		fmt.Fprintln(stderr, "muster conform:", err)
		return &ExitError{codeOf(err)}
	}
	if run.Evidence == nil {
		err = errors.Join(err, o.collector.Discard()) // it was broken off before there was any
	}
	if o.ended != nil {
		o.ended(run)
	}
	return conclude(run, out, err, stdout, stderr)
}

// conclude writes the reports of a run and tells its result, also when there is no
// room for the reports. What failed beside the checks is told last: a run with such
// an error is not clean.
func conclude(run *report.Run, out string, err error, stdout, stderr io.Writer) error {
	written := writeReports(run, out)
	if err := run.WriteTerminal(stdout, isTerminal(stdout)); err != nil {
		return errors.Join(written, err)
	}
	if written == nil {
		fmt.Fprintf(stdout, "reports: %s\n", filepath.Join(out, "index.html"))
	}
	if run.Evidence != nil {
		fmt.Fprintf(stdout, "evidence: %s, %d packets of %d devices; muster replay runs it again\n", filepath.Join(out, bundleName), run.Evidence.Packets, run.Evidence.Devices)
	}
	code := run.ExitCode()
	if err = errors.Join(written, err); err != nil {
		fmt.Fprintln(stderr, "muster conform:", err)
		if code == report.ExitClean {
			code = report.ExitInconclusive
		}
	}
	if code != report.ExitClean {
		return &ExitError{code}
	}
	return nil
}

// codeOf is the exit code for a run that could not begin.
func codeOf(err error) int {
	if spec := new(target.SpecError); errors.As(err, &spec) {
		return report.ExitUsage
	}
	return report.ExitInconclusive
}

// writeReports writes the run in every form to a folder, as many as can be.
func writeReports(run *report.Run, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder for the reports: %w", err)
	}
	var failed error
	for name, write := range inOrder(map[string]func(io.Writer) error{
		"report.json": run.WriteJSON,
		"junit.xml":   run.WriteJUnit,
		"index.html":  run.WriteHTML,
	}) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("writing a report: %w", err))
			continue
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			failed = errors.Join(failed, fmt.Errorf("writing %s: %w", f.Name(), err))
		}
	}
	return failed
}
