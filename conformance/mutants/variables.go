package mutants

import (
	"github.com/muster/muster/harness/target"
)

// What the suite variables judges, broken.
var variablesMutants = []Mutant{
	{
		Name: "cloud/unlimited-api", Text: "answers any number of calls",
		Breaks: []string{"S12"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.UnlimitedAPI = true },
		Run:    []string{"variables/too-often"}, Fails: []string{"variables/too-often"},
	},
	{
		Name: "cloud/double-in-wrong-order", Text: "reads doubles in the wrong byte order",
		Breaks: []string{"C-36"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.BigEndianDouble = true },
		On:     threeOf, Run: []string{"variables"}, Fails: []string{"variables/read"},
	},
	{
		Name: "device/old-value-form", Text: "answers variables as releases before it did",
		Breaks: []string{"D-8"},
		Device: func(c *target.DeviceConfig) { c.Profile = target.Profile("boron@1.4.4") },
		On:     middle, Run: []string{"variables/response-form"}, Fails: []string{"variables/response-form"}, Also: []string{"variables/read"},
	},
	{
		Name: "device/double-results", Text: "tells values twice",
		Breaks: []string{"S10"},
		Device: faulty(func(f *target.DeviceFaults) { f.DoubleResult = true }),
		On:     both, Run: []string{"variables"}, Fails: []string{"variables/only-when-asked"},
	},
}
