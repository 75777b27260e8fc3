package mutants

import (
	"time"

	"github.com/muster/muster/harness/target"
)

// sends gives the cloud faults of its updates.
func sends(f func(*target.SendFaults)) func(*target.CloudConfig) {
	return wrong(func(all *target.CloudFaults) { f(&all.Sends) })
}

// legacy are profiles without OTA protocol v3.
var legacy = []string{"electron@1.4.4", "photon@3.1.0"}

// What the suite sending judges, broken.
var sendingMutants = []Mutant{
	{
		Name: "cloud/large-chunks", Text: "sends chunks that the device has no room for",
		Breaks: []string{"C-40"},
		Cloud:  sends(func(f *target.SendFaults) { f.LargeChunks = true }),
		Run:    []string{"sending"}, Fails: []string{"sending/start"},
	},
	{
		Name: "cloud/from-the-start", Text: "begins every transfer at byte 0",
		Breaks: []string{"C-41", "C-42"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.IgnoreOffset = true }),
		Run:    []string{"sending/offset"}, Fails: []string{"sending/offset"},
	},
	{
		Name: "cloud/never-empty", Text: "sends an image again that the device has whole",
		Breaks: []string{"C-42"},
		Cloud:  sends(func(f *target.SendFaults) { f.NeverEmpty = true }),
		Run:    []string{"sending/offset"}, Fails: []string{"sending/offset"},
	},
	{
		Name: "cloud/resends-all", Text: "sends everything again when a chunk is missing",
		Breaks: []string{"C-43", "C-46"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.ResendAll = true }),
		On:     []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"sending/lossy", "sending/legacy"}, Fails: []string{"sending/lossy", "sending/legacy"},
	},
	{
		Name: "cloud/finishes-early", Text: "ends a transfer before all is in",
		Breaks: []string{"C-44"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.FinishEarly = true }),
		Run:    []string{"sending"}, Fails: []string{"sending/lossy"}, Also: []string{"sending/offset", "sending/finish", "sending/refused", "sending/interrupted"},
	},
	{
		Name: "cloud/hopes", Text: "reports an update as done without looking",
		Breaks: []string{"C-44"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.ClaimSuccess = true }),
		Run:    []string{"sending"}, Fails: []string{"sending/finish"},
	},
	{
		Name: "cloud/tries-again", Text: "sends an image again that the device refused",
		Breaks: []string{"C-45"},
		Cloud:  sends(func(f *target.SendFaults) { f.TriesAgain = true }),
		Run:    []string{"sending/refused"}, Fails: []string{"sending/refused"},
	},
	{
		Name: "cloud/eager", Text: "does not wait for UpdateReady",
		Breaks: []string{"C-46"},
		Cloud:  sends(func(f *target.SendFaults) { f.Eager = true }),
		On:     legacy, Run: []string{"sending/legacy"}, Fails: []string{"sending/legacy"},
	},
	{
		Name: "cloud/more-than-missing", Text: "sends a chunk again that is not missing",
		Breaks: []string{"C-46"},
		Cloud:  sends(func(f *target.SendFaults) { f.AllMissing = true }),
		On:     legacy, Run: []string{"sending"}, Fails: []string{"sending/legacy"},
	},
	{
		Name: "cloud/twice-accepted", Text: "sends a chunk again that was accepted",
		Breaks: []string{"C-47"},
		Cloud:  sends(func(f *target.SendFaults) { f.TwiceAccepted = true }),
		On:     legacy, Run: []string{"sending"}, Fails: []string{"sending/legacy-slow"},
	},
	{
		Name: "cloud/ignores-done", Text: "takes no notice of a device that ends the update itself",
		Breaks: []string{"C-48"},
		Cloud:  sends(func(f *target.SendFaults) { f.IgnoresDone = true }),
		On:     []string{"electron@0.5.3", "photon@0.5.3"}, Run: []string{"sending"}, Fails: []string{"sending/legacy-own-done"}, Also: []string{"sending/legacy"},
	},
	{
		Name: "cloud/never-again", Text: "gives an update up whose connection is lost",
		Breaks: []string{"N-36"},
		Cloud:  sends(func(f *target.SendFaults) { f.NeverAgain = true }),
		Run:    []string{"sending"}, Fails: []string{"sending/interrupted"},
	},
	{
		Name: "cloud/never-again-legacy", Text: "gives a legacy update up whose connection is lost",
		Breaks: []string{"N-46"},
		Cloud:  sends(func(f *target.SendFaults) { f.NeverAgain = true }),
		On:     legacy, Run: []string{"sending/interrupted", "ota/interrupted"}, Fails: []string{"sending/interrupted", "ota/interrupted"},
		Patience: 25 * time.Second,
	},
	{
		Name: "cloud/noisy", Text: "asks and delivers while it updates",
		Breaks: []string{"C-49"},
		Cloud:  sends(func(f *target.SendFaults) { f.Noisy = true }),
		On:     threeOf, Run: []string{"sending"}, Fails: []string{"sending/quiet"},
	},
	{
		Name: "cloud/never-held", Text: "updates devices whose application does not allow it",
		Breaks: []string{"C-50"},
		Cloud:  sends(func(f *target.SendFaults) { f.NeverHeld = true }),
		On:     threeOf, Run: []string{"sending"}, Fails: []string{"sending/held"},
	},
}
