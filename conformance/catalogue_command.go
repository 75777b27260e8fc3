package conformance

import (
	"github.com/spf13/cobra"

	"github.com/muster/muster/conformance/mutants"
	"github.com/muster/muster/conformance/requirements"
)

// CatalogueCommands returns the sub-commands that show what is required, and what
// proves it: "list", "explain", "coverage" and "mutants".
func CatalogueCommands() []*cobra.Command {
	return []*cobra.Command{listCommand(), explainCommand(), coverageCommand(), mutantsCommand()}
}

// everything is what the commands look at.
func everything() (*requirements.Catalogue, []Suite, []mutants.Mutant, error) {
	c, err := requirements.Load()
	return c, Suites(), mutants.All(), err
}

// completeIDs completes ids of requirements and names of checks and mutants.
func completeIDs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, suites, table, err := everything()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, r := range c.All() {
		names = append(names, r.ID+"\t"+r.Text)
	}
	for _, s := range suites {
		for _, check := range s.Checks {
			names = append(names, s.Name+"/"+check.Name+"\t"+check.Text)
		}
	}
	for _, m := range table {
		names = append(names, m.Name+"\t"+m.Text)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
