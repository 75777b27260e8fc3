package fleetreport

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/muster/muster/sim/fleet"
)

// Command returns the sub-command "report" of "muster fleet".
func Command() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "report DIR", Short: "Make the HTML report of a run again from its folder", Args: cobra.ExactArgs(1), SilenceUsage: true,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		Long: `Make the report of a run again from its folder: run.json and samples.jsonl.

A run that was killed has a report too, of what it measured until then.

Exit codes: 0 the report is written, 2 wrong usage or no folder of a run.`,
		Example: `  muster fleet report out/storm                  writes out/storm/report.html
  muster fleet report out/storm --out storm.html  elsewhere; "-" is the standard output`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "-" {
				r, err := Read(args[0])
				if err != nil {
					return &fleet.UsageError{Err: err}
				}
				return r.WriteHTML(cmd.OutOrStdout())
			}
			path := out
			if path == "" {
				path = filepath.Join(args[0], File)
			}
			if err := WriteFile(args[0], path); err != nil {
				return &fleet.UsageError{Err: err}
			}
			fmt.Fprintln(cmd.OutOrStdout(), path)
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "where to write it (default: report.html in the folder)")
	return cmd
}

// WriteFile reads the run in a folder and writes its report.
func WriteFile(dir, path string) error {
	r, err := Read(dir)
	if err != nil {
		return err
	}
	f, err := os.Create(path + ".new")
	if err != nil {
		return fmt.Errorf("fleetreport: %w", err)
	}
	err = r.WriteHTML(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("fleetreport: writing %s: %w", path, err)
	}
	return nil
}
