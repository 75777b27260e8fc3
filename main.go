// Command muster is a hardware-in-the-loop simulator and conformance harness for
// the Particle Device Cloud: a reference cloud, simulated devices, and the suites
// that judge either.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/muster/muster/conformance"
	"github.com/muster/muster/harness/report"
)

func main() {
	root := &cobra.Command{
		Use:           "muster",
		Short:         "Proves that connected devices and their cloud work",
		Long:          "Muster simulates Particle devices and their cloud, and judges real and simulated ones from the wire.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(conformance.Command())
	os.Exit(exitCode(root.Execute()))
}

// exitCode prints an error and returns the exit code for it.
func exitCode(err error) int {
	var exit *conformance.ExitError
	switch {
	case err == nil:
		return report.ExitClean
	case errors.As(err, &exit):
		return exit.Code
	}
	fmt.Fprintln(os.Stderr, "muster:", err)
	return report.ExitUsage
}
