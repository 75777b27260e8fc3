package conformance

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/muster/muster/conformance/mutants"
	"github.com/muster/muster/harness/report"
)

func mutantsCommand() *cobra.Command {
	var (
		o            MutantOptions
		list, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "mutants [NAME | GLOB]…",
		Short: "Prove the suites: break cloud and devices, and see who finds it",
		Long: `Run the suites against the reference cloud and the simulated devices with one
fault each, and show for every requirement which mutant breaks it and which check
finds that.

The exit code is 1 when a mutant gets through, or when a check fails that the
mutant's row does not name.`,
		Example: `  muster mutants                  all
  muster mutants 'cloud/*cookie*' some
  muster mutants --list           what there is`,
		SilenceUsage: true,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, m := range mutants.All() {
				names = append(names, m.Name+"\t"+m.Text)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Select = args
			if list {
				chosen, err := selectMutants(mutants.All(), args)
				if err != nil {
					return told(cmd, err)
				}
				return listMutants(cmd.OutOrStdout(), chosen)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			line := newProgress(cmd.ErrOrStderr())
			o.Progress = line.show
			kills, err := RunMutants(ctx, mutants.All(), o)
			line.end()
			if err != nil {
				return told(cmd, err)
			}
			return showKills(ctx, cmd.OutOrStdout(), kills, asJSON)
		},
	}
	cmd.Flags().Uint64Var(&o.Seed, "seed", 7, "seed of the runs")
	cmd.Flags().DurationVar(&o.Patience, "patience", 10*time.Second, "how long one check on sockets may take at first")
	cmd.Flags().BoolVar(&o.Stages, "stages", false, "leave out the mutants that need sockets")
	cmd.Flags().IntVar(&o.AtOnce, "at-once", 12, "how many mutants run side by side")
	cmd.Flags().BoolVar(&list, "list", false, "list the mutants, and run nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func listMutants(w io.Writer, all []mutants.Mutant) error {
	t := newTable("Mutant", "Breaks", "What it does wrong")
	t.SetColumnConfigs([]table.ColumnConfig{wrapped(2, 24), wrapped(3, sentences)})
	for i := range all {
		m := &all[i]
		t.AppendRow(table.Row{m.Name, strings.Join(m.Breaks, " "), string(m.Role()) + " that " + m.Text})
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", t.Render(), counted(len(all), "mutant"))
	return err
}

// showKills writes the matrix and returns the exit code as an error.
func showKills(ctx context.Context, w io.Writer, kills []Kill, asJSON bool) error {
	if asJSON {
		if err := writeJSON(w, kills); err != nil {
			return err
		}
	} else if err := writeKills(w, kills); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return &ExitError{report.ExitInterrupted}
	case slices.ContainsFunc(kills, func(k Kill) bool { return !k.Ok() }):
		return &ExitError{report.ExitFailures}
	}
	return nil
}

// writeKills writes one row for each requirement that a mutant breaks, and what
// went wrong behind the table.
func writeKills(w io.Writer, kills []Kill) error {
	type pair struct {
		id   string
		kill *Kill
	}
	var pairs []pair
	for i := range kills {
		for _, id := range kills[i].Breaks {
			pairs = append(pairs, pair{id, &kills[i]})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return byID(a.id, b.id) })
	x := newIndex(nil, Suites(), mutants.All())
	t := newTable("Requirement", "Mutant", "", "Checks")
	t.SetColumnConfigs([]table.ColumnConfig{wrapped(4, 96)})
	for _, p := range pairs {
		mark, checks := p.kill.against(p.id, x)
		t.AppendRow(table.Row{p.id, p.kill.Name, mark, checks})
	}
	var b strings.Builder
	b.WriteString(t.Render() + "\n\n")
	ok := 0
	for i := range kills {
		k := &kills[i]
		if k.Attempts > 1 {
			fmt.Fprintf(&b, "! %s took %d attempts: the machine is busy\n", k.Name, k.Attempts)
		}
		if k.Ok() {
			ok++
			continue
		}
		if k.Err != nil {
			fmt.Fprintf(&b, "✗ %s could not be run: %v\n", k.Name, k.Err)
		}
		for _, name := range slices.Sorted(maps.Keys(k.Survived)) {
			fmt.Fprintf(&b, "✗ %s was not found by %s: %s\n", k.Name, name, k.Survived[name])
		}
		for _, name := range slices.Sorted(maps.Keys(k.Unrelated)) {
			fmt.Fprintf(&b, "✗ %s made %s fail too, which its row does not name, %s\n", k.Name, name, k.Unrelated[name])
		}
	}
	fmt.Fprintf(&b, "%d of %s killed by the checks that their rows name, and by no others\n", ok, counted(len(kills), "mutant"))
	_, err := io.WriteString(w, b.String())
	return err
}

// against says whether the mutant was found by a check that judges a requirement
// which it breaks, and lists the checks that had to find it, with marks.
func (k *Kill) against(id string, x *index) (mark, checks string) {
	mark = "✗ survived"
	var list []string
	for _, name := range k.Mutant.Fails {
		judges := slices.Contains(x.judges[id], name)
		if _, killed := k.Killed[name]; killed {
			list = append(list, "✓ "+name)
			if judges {
				mark = "✓ killed"
			}
		} else {
			list = append(list, "✗ "+name)
		}
	}
	if k.Err != nil {
		mark = "? not run"
	}
	return mark, strings.Join(list, "  ")
}
