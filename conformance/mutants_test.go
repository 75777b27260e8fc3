package conformance

import (
	"context"
	"testing"

	"github.com/muster/muster/conformance/mutants"
)

// TestMutants proves the suites that run in virtual time: each mutant must fail
// the checks that its row names, and no others. "muster mutants" runs the mutants
// that need sockets too.
func TestMutants(t *testing.T) {
	t.Parallel() // virtual time does not pass because others wait
	table := mutants.All()
	if testing.Short() {
		table = nil
		for i, m := range mutants.All() {
			if i%5 == 0 {
				table = append(table, m)
			}
		}
	}
	kills, err := RunMutants(t.Context(), table, MutantOptions{Stages: true, AtOnce: 4})
	if err != nil {
		t.Fatal(err)
	}
	if len(kills) == 0 {
		t.Fatal("no mutant ran")
	}
	for i := range kills {
		judgeKill(t, &kills[i])
	}
}

// TestMutantOnSockets runs one of those that need them.
func TestMutantOnSockets(t *testing.T) {
	t.Parallel() // it waits most of the time
	kills, err := RunMutants(t.Context(), mutants.All(), MutantOptions{Select: []string{"cloud/calls-anything"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range kills {
		judgeKill(t, &kills[i])
	}
}

// TestMutantThatCannotRun: what is wrong is told to programs too.
func TestMutantThatCannotRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	kills, err := RunMutants(ctx, mutants.All(), MutantOptions{Select: []string{"cloud/calls-anything"}})
	if err != nil {
		t.Fatal(err)
	}
	if k := &kills[0]; k.Err == nil || k.Error != k.Err.Error() || k.Ok() {
		t.Errorf("interrupted before it began: %v, %q", k.Err, k.Error)
	}
}

func judgeKill(t *testing.T, k *Kill) {
	t.Helper()
	t.Run(k.Name, func(t *testing.T) {
		if k.Err != nil {
			t.Fatal(k.Err)
		}
		if k.Duration <= 0 || k.Attempts < 1 {
			t.Errorf("it took %v in %d attempts", k.Duration, k.Attempts)
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
