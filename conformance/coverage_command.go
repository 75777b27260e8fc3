package conformance

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/muster/muster/harness/report"
)

func coverageCommand() *cobra.Command {
	var asJSON, gapsOnly bool
	cmd := &cobra.Command{
		Use:   "coverage",
		Short: "Show which checks and mutants each requirement has, and the other way round",
		Long: `Show which checks judge each requirement and which mutants break it, which
requirements each check judges and which mutants make it fail, and what cannot be
tested, with the reason.

The exit code is 1 when there is a gap: a requirement without a check or without a
mutant and without a reason, a check that no mutant fails, a mutant that nothing
finds.`,
		Example: `  muster coverage            both tables
  muster coverage --gaps     only what is missing
  muster coverage --json     for programs`,
		Args:              cobra.NoArgs,
		SilenceUsage:      true,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, suites, table, err := everything()
			if err != nil {
				return err
			}
			v := Cover(c, suites, table)
			write := v.write
			switch {
			case asJSON:
				write = func(w io.Writer) error { return writeJSON(w, v) }
			case gapsOnly:
				write = v.writeGaps
			}
			if err := write(cmd.OutOrStdout()); err != nil {
				return err
			}
			if v.Gaps() > 0 {
				return &ExitError{report.ExitFailures}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	cmd.Flags().BoolVar(&gapsOnly, "gaps", false, "show only what is missing")
	cmd.MarkFlagsMutuallyExclusive("json", "gaps")
	return cmd
}

func (v *Coverage) write(w io.Writer) error {
	t := newTable("Requirement", "Level", "Role", "Judged by", "Broken by")
	t.SetColumnConfigs([]table.ColumnConfig{wrapped(4, 60), wrapped(5, 60)})
	for _, r := range v.Requirements {
		t.AppendRow(table.Row{r.ID, r.Level, roles(r.Requirement), strings.Join(r.Checks, " "), strings.Join(r.Mutants, " ")})
	}
	back := newTable("Check", "Judges", "Fails on")
	back.SetColumnConfigs([]table.ColumnConfig{wrapped(2, 40), wrapped(3, 80)})
	for _, c := range v.Checks {
		back.AppendRow(table.Row{c.Name, strings.Join(c.Requirements, " "), strings.Join(c.Mutants, " ")})
	}
	if _, err := fmt.Fprintf(w, "%s\n\n%s\n\n", t.Render(), back.Render()); err != nil {
		return err
	}
	if err := v.writeReasons(w); err != nil {
		return err
	}
	return v.writeGaps(w)
}

// writeReasons lists what cannot be tested or broken, and why.
func (v *Coverage) writeReasons(w io.Writer) error {
	for _, r := range v.Requirements {
		for what, reason := range inOrder(map[string]string{"not tested": r.Untested, "no mutant": r.Unbroken}) {
			if reason == "" {
				continue
			}
			if _, err := fmt.Fprintf(w, "%s %s: %s\n", r.ID, what, reason); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeGaps lists the gaps, and adds up.
func (v *Coverage) writeGaps(w io.Writer) error {
	var b strings.Builder
	gap := func(what string, gaps []string) {
		for _, g := range gaps {
			fmt.Fprintf(&b, "gap: %s: %s\n", what, g)
		}
	}
	judged, broken, excused := 0, 0, 0
	for _, r := range v.Requirements {
		gap(r.ID, r.Gaps)
		switch {
		case r.Untested != "":
			excused++
		case len(r.Checks) > 0:
			judged++
		}
		if len(r.Mutants) > 0 {
			broken++
		}
	}
	for _, c := range v.Checks {
		gap(c.Name, c.Gaps)
	}
	for _, m := range v.Mutants {
		gap(m.Name, m.Gaps)
	}
	fmt.Fprintf(&b, "%s: %d judged, %d broken by a mutant, %d not testable; %s, %s; %s\n",
		counted(len(v.Requirements), "requirement"), judged, broken, excused,
		counted(len(v.Checks), "check"), counted(len(v.Mutants), "mutant"), counted(v.Gaps(), "gap"))
	_, err := io.WriteString(w, b.String())
	return err
}
