package conformance_test

import (
	"flag"
	"strings"
	"testing"

	"github.com/muster/muster/conformance"
	"github.com/muster/muster/harness/target"
)

// A test of somebody else's project that judges a cloud, or a device, with all that
// it takes:
//
//	package cloud_test
//
//	import (
//		"testing"
//
//		"github.com/muster/muster/conformance"
//		"github.com/muster/muster/harness/target"
//	)
//
//	func TestConformance(t *testing.T) {
//		spec, err := target.LoadSpec("testdata/cloud.yaml")
//		if err != nil {
//			t.Fatal(err)
//		}
//		conformance.Test(t, conformance.Options{Spec: spec, Level: "MUST"})
//	}
func ExampleTest() {
	var t *testing.T // yours
	conformance.Test(t, conformance.Options{
		Select:  []string{"functions", "R-71"},
		Spec:    &target.Spec{Device: &target.DeviceSpec{Profile: "boron@6.2.0"}},
		Devices: 4,
	})
}

// TestEmbedded does what the example shows.
func TestEmbedded(t *testing.T) {
	t.Parallel() // it waits most of the time
	run := conformance.Test(t, conformance.Options{
		Select:  []string{"functions", "D-8"},
		Spec:    &target.Spec{Device: &target.DeviceSpec{Profile: "boron@6.2.0"}},
		Devices: 2,
	})
	if len(run.Results) < 4 {
		t.Errorf("%d results", len(run.Results))
	}
}

func TestNobodySeesGinkgo(t *testing.T) {
	flag.VisitAll(func(f *flag.Flag) {
		if strings.HasPrefix(f.Name, "ginkgo.") {
			t.Errorf("there is a flag -%s", f.Name)
		}
	})
	if flag.Lookup("test.run") == nil {
		t.Error("the flags of the test itself are gone")
	}
}
