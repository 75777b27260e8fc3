// Command muster is a hardware-in-the-loop simulator and conformance harness for
// the Particle Device Cloud: a reference cloud, simulated devices, and the suites
// that judge either.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/conformance"
	"github.com/muster/muster/harness/fakerig"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/rigs"
	"github.com/muster/muster/sim/command"
	"github.com/muster/muster/sim/preflight"
)

func main() {
	target.MainIfAsked()  // to be the network of a program
	fakerig.MainIfAsked() // to be the dfu-util of a fake bench
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run does what the arguments say and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	started := false // what fails later than this is not the command line's syntax
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	code, tell := exitCode(err, started)
	if tell {
		fmt.Fprintln(stderr, "muster:", err)
		if code == report.ExitUsage {
			fmt.Fprintf(stderr, "See %q.\n", cmd.CommandPath()+" --help")
		}
	}
	return code
}

// rootCommand lists the sub-commands; each lives beside its component.
func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "muster",
		Short: "Proves that connected devices and their cloud work",
		Long:  "Muster simulates Particle devices and their cloud, and judges real and simulated ones from the wire.",
		Example: `  muster conform                     is everything right? (about a minute)
  muster cloud                       run the reference cloud
  muster fleet --help                how to bring up devices against a cloud`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	rig := rigs.Command()
	rig.AddCommand(fakerig.Command())
	root.AddCommand(conformance.Command(), conformance.ReplayCommand(), conformance.JudgeCommand(), conformance.DiffCommand())
	root.AddCommand(cloudref.Command(), command.Command(), rig, preflight.Command())
	root.AddCommand(conformance.CatalogueCommands()...)
	return root
}

// exitCode returns the exit code for an error, and whether the error is still to
// be told.
func exitCode(err error, started bool) (code int, tell bool) {
	var exit interface{ ExitCode() int }
	var usage interface{ Usage() }
	switch {
	case err == nil:
		return report.ExitClean, false
	case errors.As(err, &exit):
		return exit.ExitCode(), false
	case !started, errors.As(err, &usage):
		return report.ExitUsage, true
	}
	return report.ExitFailures, true
}
