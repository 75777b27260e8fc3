package conformance

import (
	"testing"

	"github.com/muster/muster/conformance/mutants"
)

// TestMutants proves the suites: each mutant must fail the checks that its row
// names, and no others. "muster mutants" runs all of them.
func TestMutants(t *testing.T) {
	var table []mutants.Mutant
	for i, m := range mutants.All() {
		if !testing.Short() || i%3 == 0 {
			table = append(table, m)
		}
	}
	kills, err := RunMutants(t.Context(), table, MutantOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range kills {
		k := &kills[i]
		t.Run(k.Name, func(t *testing.T) {
			if k.Err != nil {
				t.Fatal(k.Err)
			}
			for name, why := range k.Survived {
				t.Errorf("%s did not fail: %s", name, why)
			}
			for name, why := range k.Unrelated {
				t.Errorf("%s failed too, %s", name, why)
			}
			for name, why := range k.Killed {
				t.Logf("%s failed, as it must, %s", name, why)
			}
		})
	}
}
