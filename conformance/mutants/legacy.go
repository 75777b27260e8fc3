package mutants

import "github.com/muster/muster/harness/target"

// What the suite legacy judges, broken.
var legacyMutants = []Mutant{
	{
		Name: "device/disabled-updates", Text: "refuses every update",
		Breaks: []string{"D-17"},
		Device: func(c *target.DeviceConfig) { c.UpdatesDisabled = true },
		On:     legacy, Run: []string{"legacy/update"}, Fails: []string{"legacy/update"},
	},
	{
		Name: "device/any-chunk", Text: "stores chunks whose checksum is wrong",
		Breaks: []string{"N-40", "N-41"},
		Device: updating(func(f *target.UpdateFaults) { f.AnyChunk = true }),
		On:     legacy, Run: []string{"legacy"}, Fails: []string{"legacy/bad-checksum"},
	},
	{
		Name: "device/takes-stray-chunks", Text: "ignores a chunk without an update, as a later release does",
		Breaks: []string{"N-42"},
		Device: func(c *target.DeviceConfig) { c.Profile = target.Profile("electron@0.7.0") },
		On:     []string{"electron@0.5.3"}, Run: []string{"legacy/stray"}, Fails: []string{"legacy/stray"},
	},
	{
		Name: "device/forgets-missing", Text: "calls a transfer complete that is not",
		Breaks: []string{"D-17", "N-40", "N-43", "N-46"},
		Device: updating(func(f *target.UpdateFaults) { f.ForgetsMissing = true }),
		On:     legacy, Run: []string{"legacy"}, Fails: []string{"legacy/all-lost", "legacy/bad-checksum", "legacy/interrupted"},
	},
	{
		Name: "device/begins-anything", Text: "accepts every UpdateBegin",
		Breaks: []string{"N-44"},
		Device: updating(func(f *target.UpdateFaults) { f.AcceptsAnyStart = true }),
		On:     legacy, Run: []string{"legacy"}, Fails: []string{"legacy/refusals"},
	},
	{
		Name: "device/any-legacy-image", Text: "finds every image valid",
		Breaks: []string{"N-45"},
		Device: faulty(func(f *target.DeviceFaults) { f.AcceptAnyImage = true }),
		On:     legacy, Run: []string{"legacy/bad-image"}, Fails: []string{"legacy/bad-image"},
	},
	{
		Name: "device/keeps-legacy", Text: "goes on with a transfer whose connection was lost",
		Breaks: []string{"N-46"},
		Device: updating(func(f *target.UpdateFaults) { f.KeepsLegacy = true }),
		On:     tcp, Run: []string{"legacy/interrupted"}, Fails: []string{"legacy/interrupted"},
	},
	{
		Name: "device/answers-other", Text: "answers messages of the update protocol that it does not speak",
		Breaks: []string{"N-47"},
		Device: updating(func(f *target.UpdateFaults) { f.AnswersOther = true }),
		On:     threeOf, Run: []string{"legacy"}, Fails: []string{"legacy/other-protocol"},
	},
}
