package mutants

import (
	"github.com/muster/muster/harness/target"
)

// What the suite functions judges, broken.
var functionsMutants = []Mutant{
	{
		Name: "cloud/forwards-requests", Text: "passes a function call of a device on to the others",
		Breaks: []string{"S11"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.ForwardRequests = true }),
		On: []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"functions/between-devices"}, Fails: []string{"functions/between-devices"},
	},
	{
		Name: "device/no-result", Text: "runs functions and keeps the result",
		Breaks: []string{"D-7"},
		Device: faulty(func(f *target.DeviceFaults) { f.NoResult = true }),
		On:     both, Run: []string{"functions"}, Fails: []string{"functions/call", "functions/arguments"},
	},
	{
		Name: "device/cuts-arguments", Text: "cuts arguments to 60 bytes",
		Breaks: []string{"D-7"},
		Device: func(c *target.DeviceConfig) {
			app := *c.App
			app.Functions = append([]target.Function(nil), app.Functions...)
			app.Functions[0].Call = func(_ target.DeviceID, b []byte) int32 { return target.Sum(string(b[:min(len(b), 60)])) }
			c.App = &app
		},
		On: threeOf, Run: []string{"functions"}, Fails: []string{"functions/arguments"},
	},
	{
		Name: "cloud/no-argument", Text: "leaves out an empty argument",
		Breaks: []string{"C-33"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.NoArgument = true },
		On:     both, Run: []string{"functions/request-form"}, Fails: []string{"functions/request-form"}, Also: []string{"functions/arguments"},
	},
	{
		Name: "cloud/long-token", Text: "uses tokens of two bytes",
		Breaks: []string{"C-9"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.LongToken = true },
		On:     old, Run: []string{"functions/request-form"}, Fails: []string{"functions/request-form"},
		Also: []string{"functions/arguments"},
	},
	{
		Name: "cloud/calls-anything", Text: "asks for functions and variables that the describe does not list",
		Breaks: []string{"C-22"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.CallUnknown = true },
		On:     both, Run: []string{"functions/unknown", "variables/unknown"}, Fails: []string{"functions/unknown", "variables/unknown"},
	},
}
