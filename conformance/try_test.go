package conformance

import (
	"os"
	"strings"
	"testing"

	"github.com/muster/muster/harness/target"
)

// TestTry runs suites on the profiles of MUSTER_TRY_ON.
func TestTry(t *testing.T) {
	sel := os.Getenv("TRY")
	if sel == "" {
		t.Skip()
	}
	on := strings.Fields(os.Getenv("ON"))
	o := Options{Select: strings.Fields(sel), Devices: len(on), Seed: 7, plain: true}
	o.Target = func(to *target.Options) {
		to.Memory = true
		for _, n := range on {
			to.Profiles = append(to.Profiles, target.Profile(n))
		}
	}
	run, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	run.WriteTerminal(os.Stdout, false)
	for _, r := range run.Results {
		t.Logf("%s/%s %s %s %v %v", r.Suite, r.Check, r.DeviceOS, r.Transport, r.Verdict, r.Duration)
	}
}
