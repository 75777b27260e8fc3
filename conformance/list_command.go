package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/report"
)

// A listing is what "muster list" was asked for.
type listing struct {
	globs  []string
	level  string
	role   string
	suite  string
	checks bool
	json   bool
}

func listCommand() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:   "list [ID | CHECK | GLOB]…",
		Short: "List requirements, or the checks that judge them",
		Long: `List the requirements of the catalogue, or the checks that judge them.

An argument is the id of a requirement or the name of a check, with *, ? and […]
as in a shell. A check stands for the requirements that it judges.`,
		Example: `  muster list                          all requirements
  muster list 'R-7*' C-13              some
  muster list --level SHOULD           those that need not be met
  muster list --role device --checks   the checks that judge devices
  muster list --suite resume --json    for programs`,
		SilenceUsage:      true,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			l.globs = args
			if err := l.write(cmd.OutOrStdout()); err != nil {
				return told(cmd, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&l.level, "level", "", "only this level: MUST, SHOULD, MAY or OBSERVED")
	cmd.Flags().StringVar(&l.role, "role", "", "only what binds this role: cloud or device")
	cmd.Flags().StringVar(&l.suite, "suite", "", "only what this suite judges")
	cmd.Flags().BoolVar(&l.checks, "checks", false, "list the checks instead")
	cmd.Flags().BoolVar(&l.json, "json", false, "write JSON")
	_ = cmd.RegisterFlagCompletionFunc("level", fixed(requirements.Levels()))
	_ = cmd.RegisterFlagCompletionFunc("role", fixed(requirements.Roles()))
	_ = cmd.RegisterFlagCompletionFunc("suite", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return suiteNames(Suites()), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// fixed completes a flag that has few values.
func fixed[T ~string](values []T) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, v := range values {
			names = append(names, string(v))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func suiteNames(suites []Suite) []string {
	var names []string
	for _, s := range suites {
		names = append(names, s.Name)
	}
	return names
}

// told prints an error about the arguments, and returns the exit code of one.
func told(cmd *cobra.Command, err error) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", cmd.CommandPath(), err)
	return &ExitError{report.ExitUsage}
}

// check reports what is wrong with the filters.
func (l *listing) check(v *Coverage, suites []Suite) error {
	if l.level != "" && !slices.Contains(requirements.Levels(), requirements.Level(strings.ToUpper(l.level))) {
		return fmt.Errorf("--level %s: want one of %v", l.level, requirements.Levels())
	}
	if l.role != "" && !slices.Contains(requirements.Roles(), requirements.Role(l.role)) {
		return fmt.Errorf("--role %s: want one of %v", l.role, requirements.Roles())
	}
	if names := suiteNames(suites); l.suite != "" && !slices.Contains(names, l.suite) {
		return fmt.Errorf("--suite %s: want one of %v", l.suite, names)
	}
	for _, glob := range l.globs {
		if _, err := path.Match(glob, ""); err != nil {
			return fmt.Errorf("%q is no name with wildcards: %w", glob, err)
		}
		known := slices.ContainsFunc(v.Requirements, func(r CoveredRequirement) bool { return fitsGlob(glob, r.ID) }) ||
			slices.ContainsFunc(v.Checks, func(c CoveredCheck) bool { return fitsGlob(glob, c.Name) })
		if !known {
			return fmt.Errorf("%q is neither a requirement nor a check; muster list shows them all", glob)
		}
	}
	return nil
}

// fitsGlob reports whether a pattern fits an id or the name of a check or its
// suite.
func fitsGlob(glob, name string) bool {
	if ok, _ := path.Match(strings.ToUpper(glob), name); ok {
		return true
	}
	suite, _, isCheck := strings.Cut(name, "/")
	if ok, _ := path.Match(glob, name); ok {
		return true
	}
	ok, _ := path.Match(glob, suite)
	return ok && isCheck
}

// wants reports whether a requirement was asked for.
func (l *listing) wants(r *CoveredRequirement) bool {
	if l.level != "" && string(r.Level) != strings.ToUpper(l.level) || l.role != "" && !r.Binds(requirements.Role(l.role)) {
		return false
	}
	if l.suite != "" && !slices.ContainsFunc(r.Checks, func(name string) bool { return strings.HasPrefix(name, l.suite+"/") }) {
		return false
	}
	return len(l.globs) == 0 || slices.ContainsFunc(l.globs, func(glob string) bool {
		return fitsGlob(glob, r.ID) || slices.ContainsFunc(r.Checks, func(name string) bool { return fitsGlob(glob, name) })
	})
}

// wantsCheck reports whether a check was asked for, by its name or through one of
// the requirements that were.
func (l *listing) wantsCheck(c *CoveredCheck, asked map[string]bool) bool {
	if l.suite != "" && !strings.HasPrefix(c.Name, l.suite+"/") {
		return false
	}
	named := slices.ContainsFunc(l.globs, func(glob string) bool { return fitsGlob(glob, c.Name) })
	judges := slices.ContainsFunc(c.Requirements, func(id string) bool { return asked[id] })
	if len(l.globs) > 0 && !named {
		// Named by a requirement, not by a check beside it that judges the same.
		return slices.ContainsFunc(c.Requirements, func(id string) bool {
			return asked[id] && slices.ContainsFunc(l.globs, func(glob string) bool { return fitsGlob(glob, id) })
		})
	}
	return judges
}

func (l *listing) write(w io.Writer) error {
	c, suites, table, err := everything()
	if err != nil {
		return err
	}
	v := Cover(c, suites, table)
	if err := l.check(v, suites); err != nil {
		return err
	}
	asked := make(map[string]bool)
	var rows []CoveredRequirement
	for i := range v.Requirements {
		if r := &v.Requirements[i]; l.wants(r) {
			rows = append(rows, *r)
			asked[r.ID] = true
		}
	}
	var checks []CoveredCheck
	for i := range v.Checks {
		if l.wantsCheck(&v.Checks[i], asked) {
			checks = append(checks, v.Checks[i])
		}
	}
	switch {
	case l.json && l.checks:
		return writeJSON(w, checks)
	case l.json:
		return writeJSON(w, rows)
	case l.checks:
		return writeChecks(w, checks, newIndex(c, suites, table))
	}
	return writeRequirements(w, rows)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// sentences is the column of a table for text, as wide as a terminal leaves room
// for.
const sentences = 72

func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options.SeparateColumns = false
	style.Options.DrawBorder = false
	t.SetStyle(style)
	t.AppendHeader(table.Row(header))
	return t
}

func writeRequirements(w io.Writer, rows []CoveredRequirement) error {
	t := newTable("ID", "Level", "Role", "Applies to", "Checks", "Mutants", "What is required")
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 5, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 6, Align: text.AlignRight, AlignHeader: text.AlignRight},
		wrapped(7, sentences),
	})
	for _, r := range rows {
		t.AppendRow(table.Row{r.ID, r.Level, roles(r.Requirement), appliesTo(r.Requirement), len(r.Checks), len(r.Mutants), r.Text})
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", t.Render(), counted(len(rows), "requirement"))
	return err
}

func writeChecks(w io.Writer, checks []CoveredCheck, x *index) error {
	t := newTable("Check", "Judges", "Mutants", "What is required")
	t.SetColumnConfigs([]table.ColumnConfig{
		wrapped(2, 24),
		{Number: 3, Align: text.AlignRight, AlignHeader: text.AlignRight},
		wrapped(4, sentences),
	})
	for _, c := range checks {
		t.AppendRow(table.Row{c.Name, strings.Join(c.Requirements, " "), len(c.Mutants), x.checks[c.Name].Text})
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", t.Render(), counted(len(checks), "check"))
	return err
}

// counted returns a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func roles(r *requirements.Requirement) string {
	if len(r.Roles) == len(requirements.Roles()) {
		return "both"
	}
	return string(r.Roles[0])
}

// appliesTo returns transports and releases, "all" for no bound.
func appliesTo(r *requirements.Requirement) string {
	var parts []string
	if len(r.Transports) == 1 {
		parts = append(parts, strings.ToUpper(r.Transports[0]))
	}
	if r.Since != "" {
		parts = append(parts, "≥"+r.Since)
	}
	if r.Until != "" {
		parts = append(parts, "≤"+r.Until)
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, " ")
}

// wrapped is a column of text that is broken between words.
func wrapped(column, width int) table.ColumnConfig {
	return table.ColumnConfig{Number: column, WidthMax: width, WidthMaxEnforcer: text.WrapSoft}
}
