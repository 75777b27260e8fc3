package mutants

import (
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
)

// What the suite hostile judges, broken.
var hostileMutants = []Mutant{
	{
		Name: "cloud/any-cookie", Text: "takes any cookie",
		Breaks: []string{"R-23"},
		Cloud:  func(c *target.CloudConfig) { c.GateFaults.AcceptAnyCookie = true },
		Run:    []string{"handshake", "hostile"}, Fails: []string{"hostile/bad-hellos"},
	},
	{
		Name: "cloud/old-version", Text: "lets a ClientHello of DTLS 1.0 in",
		Breaks: []string{"R-48"},
		Cloud: func(c *target.CloudConfig) {
			c.GateFaults.AcceptVersion10 = true
			c.ServerFaults.AcceptVersion10 = true
		},
		Run: []string{"handshake", "hostile"}, Fails: []string{"hostile/bad-hellos"},
	},
	{
		Name: "cloud/any-tag", Text: "takes records whatever their tag",
		Breaks: []string{"R-54"},
		Cloud:  func(c *target.CloudConfig) { c.RecordFaults = dtls.FaultAcceptBadTag },
		Run:    []string{"hostile"}, Fails: []string{"hostile/forged-records"}, Also: []string{"hostile/plaintext"},
	},
	{
		Name: "cloud/moves-to-anybody", Text: "follows any record to its address",
		Breaks: []string{"R-67"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.MoveUnproven = true },
		Run:    []string{"hostile"}, Fails: []string{"hostile/forged-records"}, Also: []string{"hostile/plaintext"},
	},
	{
		Name: "cloud/alerts", Text: "answers unknown connection ids with an alert",
		Breaks: []string{"R-68"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.AlertUnknown = true },
		Run:    []string{"hostile"}, Fails: []string{"hostile/unknown-sessions"},
	},
	{
		Name: "cloud/obeys-plaintext", Text: "obeys alerts and data without protection",
		Breaks: []string{"R-58"},
		Cloud:  func(c *target.CloudConfig) { c.RecordFaults = dtls.FaultAcceptPlaintext },
		Run:    []string{"hostile"}, Fails: []string{"hostile/plaintext"},
	},
	{
		Name: "cloud/no-probe", Text: "ignores reachability probes",
		Breaks: []string{"R-85"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.NoProbe = true },
		Run:    []string{"hostile/probe"}, Fails: []string{"hostile/probe"}, Patience: 3 * time.Second,
	},
	{
		Name: "cloud/answers-refused", Text: "sends a byte to devices that it refuses",
		Breaks: []string{"R-4"},
		Cloud:  func(c *target.CloudConfig) { c.LightFaults.AnswerRefused = true },
		On:     tcp, Run: []string{"hostile"}, Fails: []string{"hostile/bad-streams"},
	},
	{
		Name: "cloud/any-frame", Text: "takes frames of any form",
		Breaks: []string{"R-10"},
		Cloud:  func(c *target.CloudConfig) { c.LightFaults.Frames = lightssl.FaultAcceptBadFrames },
		On:     tcp, Run: []string{"hostile"}, Fails: []string{"hostile/bad-frames"},
	},
}
