package mutants

import (
	"time"

	"github.com/muster/muster/harness/target"
)

// What the suite session judges, broken.
var sessionMutants = []Mutant{
	{
		Name: "cloud/never-moves", Text: "keeps sending to the address of the handshake",
		Breaks: []string{"R-64"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.NeverMove = true },
		On:     modern, Run: []string{"session/new-address", "network/nat-change"}, Fails: []string{"session/new-address", "network/nat-change"},
	},
	{
		Name: "device/no-goodbye", Text: "leaves without a word",
		Breaks: []string{"C-14"},
		Device: faulty(func(f *target.DeviceFaults) { f.NoGoodbye = true }),
		On:     modern, Run: []string{"session"}, Fails: []string{"session/goodbye"}, Patience: 30 * time.Second,
	},
}
