package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/muster/muster/harness/report"
)

// DiffCommand returns the sub-command "diff".
func DiffCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show what differs between two runs",
		Long: `Show what differs between two runs of "muster conform": verdicts, what was measured,
and the bytes of phases that have a budget. A and B are folders of reports, or
their report.json.

Exit codes: 0 no difference, 2 wrong usage, 4 there are differences.`,
		Example: `  muster diff out-before out-after
  muster diff before.json after.json --json | jq '.verdicts[] | select(.after == "fail")'`,
		Args:         cobra.ExactArgs(2),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			var runs [2]*report.Run
			for i := range runs {
				run, err := readRun(args[i])
				if err != nil {
					return told(cmd, err)
				}
				runs[i] = run
			}
			d := report.Compare(runs[0], runs[1])
			if err := writeDiff(cmd, d, asJSON); err != nil {
				return err
			}
			if d.Empty() {
				return nil
			}
			return &ExitError{report.ExitBaseline}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func writeDiff(cmd *cobra.Command, d *report.Diff, asJSON bool) error {
	w := cmd.OutOrStdout()
	if !asJSON {
		return d.WriteTerminal(w, isTerminal(w))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(d)
}

// readRun reads a report.json, or that of a folder.
func readRun(path string) (*report.Run, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "report.json")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a run: %w", err)
	}
	defer f.Close()
	run, err := report.ReadJSON(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w: want the report.json of muster conform", path, err)
	}
	return run, nil
}
