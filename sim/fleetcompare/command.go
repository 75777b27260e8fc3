package fleetcompare

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/muster/muster/sim/fleet"
)

// Command returns the sub-command "compare" of "muster fleet".
func Command() *cobra.Command {
	var html string
	var all bool
	percent := 5.0
	cmd := &cobra.Command{
		Use: "compare A B", Short: "Say what changed between two runs, and what is noise", Args: cobra.ExactArgs(2), SilenceUsage: true,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		Long: `Put two runs beside each other, A before and B after: rates, percentiles, failures and
bytes of each phase and group, thresholds, and what was not the same.

A change is told when it is above the tolerance and at least four times its own standard
error over ten pieces of the phase; what is not is "within the noise". That is noise
within a run: repeat both runs to see how much one differs from the next. In a phase in
which a generator was the bottleneck nothing is called better or worse.

Exit codes: 0 nothing is worse in B, 2 wrong usage or no folder of a run, 3 nothing that
can be compared is worse, but not all can be, 4 something is worse, or a threshold fails
that held.`,
		Example: `  muster fleet compare out/monday out/tuesday
  muster fleet compare out/monday out/tuesday --html compare.html
  muster fleet compare before after --tolerance 10 --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if percent < 0 || percent > 1000 {
				return &fleet.UsageError{Err: fmt.Errorf("--tolerance %v: want a number of percent, 0 to 1000", percent)}
			}
			var sides [2]*Side
			for i, dir := range args {
				side, err := Read(dir)
				if err != nil {
					return &fleet.UsageError{Err: err}
				}
				sides[i] = side
			}
			c := Compare(sides[0], sides[1], percent/100)
			if err := c.WriteText(cmd.OutOrStdout(), all, coloured(cmd.OutOrStdout())); err != nil {
				return err
			}
			if html != "" {
				if err := writePage(html, c); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), html)
			}
			if code := c.ExitCode(); code != exitAlike {
				return &fleet.ExitError{Code: code}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&html, "html", "", "write a page with both runs' curves, too")
	cmd.Flags().BoolVar(&all, "all", false, "show every number, also what did not change")
	cmd.Flags().Float64Var(&percent, "tolerance", percent, "changes up to this many percent do not matter")
	return cmd
}

// coloured reports whether to write in colours.
func coloured(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

func writePage(path string, c *Comparison) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("fleetcompare: %w", err)
	}
	err = c.Pair().WriteHTML(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("fleetcompare: writing %s: %w", path, err)
	}
	return nil
}
