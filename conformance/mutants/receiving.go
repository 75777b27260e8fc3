package mutants

import "github.com/muster/muster/harness/target"

// updating gives devices faults of their updates.
func updating(f func(*target.UpdateFaults)) func(*target.DeviceConfig) {
	return faulty(func(all *target.DeviceFaults) { f(&all.Updates) })
}

// What the suite receiving judges, broken.
var receivingMutants = []Mutant{
	{
		Name: "device/applies-at-once", Text: "applies an image before its answer to Finish is acknowledged",
		Breaks: []string{"D-16"},
		Device: faulty(func(f *target.DeviceFaults) { f.ApplyUnacknowledged = true }),
		Run:    []string{"receiving"}, Fails: []string{"receiving/update"}, Also: []string{"receiving/interrupted"},
	},
	{
		Name: "device/silent-chunks", Text: "acknowledges no chunk",
		Breaks: []string{"D-14", "D-15", "N-27"},
		Device: faulty(func(f *target.DeviceFaults) { f.NoChunkAcks = true }),
		Run:    []string{"receiving"}, Fails: []string{"receiving/acks", "receiving/chunks"},
	},
	{
		Name: "device/accepts-any-start", Text: "accepts every update that is offered in good form",
		Breaks: []string{"N-25"},
		Device: updating(func(f *target.UpdateFaults) { f.AcceptsAnyStart = true }),
		Run:    []string{"receiving"}, Fails: []string{"receiving/start-impossible"},
	},
	{
		Name: "device/forgets-partial", Text: "begins every transfer anew",
		Breaks: []string{"N-26", "N-28", "N-35", "N-36", "N-37", "N-38"},
		Device: updating(func(f *target.UpdateFaults) { f.ForgetsPartial = true }),
		Run:    []string{"receiving"},
		Fails: []string{
			"receiving/second-start", "receiving/finish-early", "receiving/cancel", "receiving/interrupted", "receiving/stalled", "receiving/resume",
		},
	},
	{
		Name: "device/accepts-any-image", Text: "finds every image valid",
		Breaks: []string{"D-18", "N-29", "N-30", "N-31", "N-32", "N-33"},
		Device: faulty(func(f *target.DeviceFaults) { f.AcceptAnyImage = true }),
		Run:    []string{"receiving"}, Fails: []string{"receiving/bad-images"},
	},
	{
		Name: "device/skips-file-hash", Text: "applies an image with another hash than the announced one",
		Breaks: []string{"N-29"},
		Device: updating(func(f *target.UpdateFaults) { f.SkipsFileHash = true }),
		Run:    []string{"receiving"}, Fails: []string{"receiving/other-file"},
	},
	{
		Name: "device/never-safe-mode", Text: "starts its application whatever that lacks",
		Breaks: []string{"N-32"},
		Device: updating(func(f *target.UpdateFaults) { f.NeverSafeMode = true }),
		Run:    []string{"receiving"}, Fails: []string{"receiving/missing-dependency"},
	},
	{
		Name: "device/never-stalls", Text: "waits for chunks without an end",
		Breaks: []string{"N-37"},
		Device: updating(func(f *target.UpdateFaults) { f.NoStall = true }),
		Run:    []string{"receiving"}, Fails: []string{"receiving/stalled"},
	},
	{
		Name: "device/answers-nothing", Text: "answers no request at once",
		Breaks: []string{"N-34"},
		Device: faulty(func(f *target.DeviceFaults) { f.CoAP.NoReply = true }),
		Run:    []string{"receiving/finish-early"}, Fails: []string{"receiving/finish-early"},
	},
}
