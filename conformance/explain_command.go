package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/muster/muster/conformance/mutants"
	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/report"
)

func explainCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "explain ID…",
		Short: "Explain a requirement, a check or a mutant",
		Long: `Explain a requirement, a check or a mutant: what is required and where that is
written, how it is provoked and observed, which checks judge it, which mutants
break it, and what the last run found, if its report is still there.`,
		Example: `  muster explain R-71              a requirement
  muster explain resume/bytes      a check
  muster explain cloud/any-tag     a mutant
  muster explain S6 --out nightly  with the verdicts of another run`,
		Args:              cobra.MinimumNArgs(1),
		SilenceUsage:      true,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := newExplainer(filepath.Join(out, "report.json"))
			if err != nil {
				return told(cmd, err)
			}
			for i, name := range args {
				if i > 0 {
					x.line("")
				}
				if err := x.explain(name); err != nil {
					return told(cmd, err)
				}
			}
			_, err = io.WriteString(cmd.OutOrStdout(), x.b.String())
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "out", "folder with the report of the last run")
	return cmd
}

// An explainer writes about requirements, checks and mutants.
type explainer struct {
	b         strings.Builder
	index     *index
	catalogue *requirements.Catalogue
	mutants   []mutants.Mutant
	last      *report.Run // nil: none
}

// newExplainer reads the report of the last run, if there is one.
func newExplainer(path string) (*explainer, error) {
	c, suites, table, err := everything()
	if err != nil {
		return nil, err
	}
	x := &explainer{index: newIndex(c, suites, table), catalogue: c, mutants: table}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return x, nil
	case err != nil:
		return nil, fmt.Errorf("reading the last report: %w", err)
	}
	x.last = new(report.Run)
	if err := json.Unmarshal(data, x.last); err != nil {
		return nil, fmt.Errorf("%s is no report that this program understands: %w; run muster conform again, or name another folder with --out", path, err)
	}
	return x, nil
}

func (x *explainer) explain(name string) error {
	if r := x.catalogue.Get(strings.ToUpper(name)); r != nil {
		x.requirement(r)
		return nil
	}
	if check := x.index.checks[name]; check != nil {
		x.check(name, check)
		return nil
	}
	if i := slices.IndexFunc(x.mutants, func(m mutants.Mutant) bool { return m.Name == name }); i >= 0 {
		x.mutant(&x.mutants[i])
		return nil
	}
	return fmt.Errorf("%q is neither a requirement, a check nor a mutant; muster list shows them", name)
}

// explained is the width of text, margin that of the names before it.
const (
	explained = 96
	margin    = 14
)

// line writes a line.
func (x *explainer) line(s string) { x.b.WriteString(strings.TrimRight(s, " ") + "\n") }

// field writes a name and a text behind it, wrapped.
func (x *explainer) field(name, value string) {
	if value == "" {
		return
	}
	for line := range strings.Lines(text.WrapSoft(value, explained-margin)) {
		x.line(fmt.Sprintf("  %-*s%s", margin-2, name, strings.TrimSpace(line)))
		name = ""
	}
}

func (x *explainer) requirement(r *requirements.Requirement) {
	x.line(fmt.Sprintf("%s (%s, %s, %s)", r.ID, r.Level, roles(r), appliesTo(r)))
	x.field("", r.Text)
	x.field("source", r.Source)
	for _, p := range r.Parents {
		x.field("proves", p+" "+x.catalogue.Get(p).Text)
	}
	x.field("not tested", r.Untested)
	x.field("no mutant", r.Unbroken)
	if children := x.catalogue.Children(r.ID); len(children) > 0 {
		var ids []string
		for _, c := range children {
			ids = append(ids, c.ID)
		}
		x.field("proven by", strings.Join(ids, " "))
	}
	for _, name := range x.index.judges[r.ID] {
		x.line("")
		x.check(name, x.index.checks[name])
	}
	var broken []string
	for i := range x.mutants {
		if m := &x.mutants[i]; slices.Contains(m.Breaks, r.ID) {
			broken = append(broken, fmt.Sprintf("%s, a %s that %s", m.Name, m.Role(), m.Text))
		}
	}
	if len(broken) > 0 {
		x.line("")
		x.line("broken by")
		for _, m := range broken {
			x.field("", m)
		}
	}
}

func (x *explainer) check(name string, c *Check) {
	x.line("check " + name)
	x.field("", c.Text)
	x.field("judges", strings.Join(c.Requirements, " "))
	x.field("provoked", c.Provoke)
	x.field("observed", c.Observe)
	x.field("fails on", strings.Join(x.index.killers[name], " "))
	x.verdicts(name)
}

func (x *explainer) mutant(m *mutants.Mutant) {
	x.line("mutant " + m.Name)
	x.field("", fmt.Sprintf("a %s that %s", m.Role(), m.Text))
	for _, id := range m.Breaks {
		x.field("breaks", id+" "+x.catalogue.Get(id).Text)
	}
	x.field("must fail", strings.Join(m.Fails, " "))
	x.field("may fail", strings.Join(m.Also, " "))
	x.field("run on", strings.Join(m.Profiles(), " "))
}

// verdicts tells what the last run found, by generation.
func (x *explainer) verdicts(name string) {
	if x.last == nil {
		return
	}
	suite, check, _ := strings.Cut(name, "/")
	by := make(map[report.Verdict][]string)
	var why []string
	for _, r := range x.last.Results {
		if r.Suite != suite || r.Check != check {
			continue
		}
		g := report.Generation{DeviceOS: r.DeviceOS, Transport: r.Transport}.String()
		by[r.Verdict] = append(by[r.Verdict], g)
		if len(r.Findings) > 0 {
			f := r.Findings[0]
			why = append(why, fmt.Sprintf("%s: %s (expected %s, actual %s)", g, f.Text, f.Expected, f.Actual))
		}
	}
	label := "last run"
	for v := report.Fail + 1; v > 0; v-- {
		if list := by[v-1]; len(list) > 0 {
			x.field(label, fmt.Sprintf("%s %s: %s", (v-1).Mark(), v-1, strings.Join(list, ", ")))
			label = ""
		}
	}
	for _, w := range why {
		x.field("", w)
	}
	if label == "" {
		x.field("", "on "+x.last.Started.Format("2006-01-02 15:04")+fmt.Sprintf(", seed %d", x.last.Seed))
	}
}
