package mutants

import (
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/dtls"
)

// What the suite restore judges, broken.
var restoreMutants = []Mutant{
	{
		Name: "cloud/stays-put", Text: "keeps sending to the address of the handshake",
		Breaks: []string{"R-64", "R-65"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.NeverMove = true }),
		On: []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"restore"}, Fails: []string{"restore/moves"},
	},
	{
		Name: "cloud/follows-old-records", Text: "follows authentic records that are not the newest",
		Breaks: []string{"R-67"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.MoveOld = true }),
		Run: []string{"restore"}, Fails: []string{"restore/moves"},
	},
	{
		Name: "cloud/follows-forgeries", Text: "follows any record of a session to its address",
		Breaks: []string{"R-66", "R-67"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.MoveUnproven = true }),
		On: []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"restore"}, Fails: []string{"restore/moves", "restore/trailers"},
	},
	{
		Name: "cloud/keeps-revoked", Text: "lets a session outlive the key of its device",
		Breaks: []string{"R-72"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.KeepRevoked = true }),
		Run: []string{"restore"}, Fails: []string{"restore/new-key"},
	},
	{
		Name: "cloud/tells-nobody", Text: "lets early releases find out by themselves that their session is gone",
		Breaks: []string{"R-81"}, Cloud: node(func(c *target.CloudConfig) { c.ClassicStale = false }),
		On: old, Run: []string{"restore"}, Fails: []string{"restore/told-stale"},
	},
	{
		Name: "device/skips-ids-in-resumes", Text: "leaves gaps between its message ids",
		Breaks: []string{"R-74"}, Device: faulty(func(f *target.DeviceFaults) { f.CoAP.SkipID = true }),
		Run: []string{"restore"}, Fails: []string{"restore/resume"},
	},
	{
		Name: "device/resumes-without-end", Text: "keeps a session that nobody answers",
		Breaks: []string{"R-76"}, Device: faulty(func(f *target.DeviceFaults) { f.ResumeForever = true }),
		Run: []string{"restore"}, Fails: []string{"restore/fourth"},
	},
	{
		Name: "device/outlives-reset", Text: "keeps its session when it gets a Reset",
		Breaks: []string{"R-79"}, Device: faulty(func(f *target.DeviceFaults) { f.CoAP.IgnoreReset = true }),
		Run: []string{"restore"}, Fails: []string{"restore/reset"},
	},
	{
		Name: "device/any-session", Text: "restores a session of another size, key or server",
		Breaks: []string{"R-78"}, Device: faulty(func(f *target.DeviceFaults) { f.AnySession = true }),
		Run: []string{"restore"}, Fails: []string{"restore/foreign-session"}, Also: []string{"restore/fourth"},
	},
	{
		Name: "device/always-hello", Text: "says Hello at every resume",
		Breaks: []string{"R-80"}, Device: faulty(func(f *target.DeviceFaults) { f.AlwaysHello = true }),
		Run: []string{"restore"}, Fails: []string{"restore/hello-or-ping"},
	},
	{
		Name: "device/never-hello", Text: "resumes without Hello though its state has changed",
		Breaks: []string{"R-80"}, Device: faulty(func(f *target.DeviceFaults) { f.NeverHello = true }),
		Run: []string{"restore"}, Fails: []string{"restore/hello-or-ping"},
	},
	{
		Name: "device/unmarked-resume", Text: "resumes without a mark, so that no cloud finds its session behind another port",
		Breaks: []string{"R-88"}, Device: faulty(func(f *target.DeviceFaults) { f.Records = dtls.FaultNoMark }),
		On: middle, Run: []string{"network/nat-change"}, Fails: []string{"network/nat-change"},
	},
}
