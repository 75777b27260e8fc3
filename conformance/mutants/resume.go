package mutants

import (
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/dtls"
)

// What the suite resume judges, broken.
var resumeMutants = []Mutant{
	{
		Name: "cloud/forgets-sessions", Text: "forgets its sessions when it restarts",
		Breaks: []string{"R-69", "R-93"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.ForgetSessions = true },
		On:     []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"resume/no-handshake", "resume/storm"}, Fails: []string{"resume/no-handshake", "resume/storm"},
	},
	{
		Name: "device/no-mark", Text: "never marks a record as moved",
		Breaks: []string{"R-75"},
		Device: faulty(func(f *target.DeviceFaults) { f.Records = dtls.FaultNoMark }),
		On:     modern, Run: []string{"resume/marks"}, Fails: []string{"resume/marks"},
	},
	{
		Name: "device/keeps-mark", Text: "marks records as moved for ever",
		Breaks: []string{"R-75"},
		Device: faulty(func(f *target.DeviceFaults) { f.Records = dtls.FaultKeepMark }),
		On:     modern, Run: []string{"resume"}, Fails: []string{"resume/marks"},
	},
	{
		Name: "cloud/rewinds-sequence", Text: "begins its record sequence anew when it restarts",
		Breaks: []string{"R-63"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.RewindSequence = true },
		On:     []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"resume/sequence"}, Fails: []string{"resume/sequence"},
	},
	{
		Name: "cloud/forgets-state", Text: "restores sessions without functions and variables",
		Breaks: []string{"R-70", "C-13"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.ForgetState = true },
		On:     modern, Run: []string{"resume"}, Fails: []string{"resume/state"},
		Also: []string{"resume/marks"}, // it calls a function after a resume, too
	},
	{
		Name: "cloud/no-hello-answer-later", Text: "leaves the Hello unanswered once it has restarted",
		Breaks: []string{"C-2"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.NoHelloAnswer = true }, Again: true,
		On: tcp, Run: []string{"resume/reconnect"}, Fails: []string{"resume/reconnect"},
	},
}
