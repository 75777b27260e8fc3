package mutants

import (
	"time"

	"github.com/muster/muster/harness/target"
)

// What the suite ota judges, broken.
var otaMutants = []Mutant{
	{
		Name: "device/refuses-updates", Text: "has updates switched off",
		Breaks: []string{"D-14"},
		Device: func(c *target.DeviceConfig) { c.UpdatesDisabled = true },
		On:     modern, Run: []string{"ota/update"}, Fails: []string{"ota/update"},
	},
	{
		Name: "cloud/claims-success", Text: "reports an update as applied without looking",
		Breaks: []string{"C-44"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.ClaimSuccess = true },
		On:     both, Run: []string{"ota/update"}, Fails: []string{"ota/update"},
	},
	{
		Name: "cloud/wrong-update-protocol", Text: "updates by the protocol that the Hello rules out",
		Breaks: []string{"C-38"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.SwapUpdateProtocol = true },
		On:     both, Run: []string{"ota/protocol"}, Fails: []string{"ota/protocol", "ota/update"},
	},
	{
		Name: "cloud/sends-any-image", Text: "sends images without looking at them",
		Breaks: []string{"C-39"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.SkipImageChecks = true },
		On:     both, Run: []string{"ota/bad-image"}, Fails: []string{"ota/bad-image"},
	},
	{
		Name: "cloud/ignores-offset", Text: "begins every transfer at byte 0",
		Breaks: []string{"C-41"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.IgnoreOffset = true },
		On:     modern, Run: []string{"ota"}, Fails: []string{"ota/interrupted"}, Patience: 25 * time.Second,
	},
}
