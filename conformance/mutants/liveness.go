package mutants

import (
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
)

// What the suite liveness judges, broken.
var livenessMutants = []Mutant{
	{
		Name: "cloud/resets-pings", Text: "answers pings with Reset, as RFC 7252 has it",
		Breaks: []string{"R-82"}, Cloud: exchangeFaults(coap.Faults{AnswerPingWithReset: true}),
		Run: []string{"liveness/pings"}, Fails: []string{"liveness/pings"},
	},
	{
		Name: "cloud/carries-out-twice", Text: "carries a message out every time that it comes",
		Breaks: []string{"R-83"}, Cloud: exchangeFaults(coap.Faults{NoDedupe: true}),
		Run: []string{"liveness"}, Fails: []string{"liveness/duplicates"},
	},
	{
		Name: "cloud/answers-once", Text: "answers a message only the first time",
		Breaks: []string{"R-83"}, Cloud: exchangeFaults(coap.Faults{DropDuplicates: true}),
		Run: []string{"liveness"}, Fails: []string{"liveness/duplicates"},
	},
	{
		Name: "cloud/never-repeats", Text: "never repeats a message of its own",
		Breaks: []string{"R-84"}, Cloud: exchangeFaults(coap.Faults{NeverRetransmit: true}),
		Run: []string{"liveness"}, Fails: []string{"liveness/own-messages"},
	},
	{
		Name: "cloud/keeps-timeout", Text: "repeats a message of its own at intervals that stay the same",
		Breaks: []string{"R-84"}, Cloud: exchangeFaults(coap.Faults{KeepTimeout: true}),
		Run: []string{"liveness"}, Fails: []string{"liveness/own-messages"},
	},
	{
		Name: "cloud/echoes-nothing", Text: "ignores reachability probes",
		Breaks: []string{"R-85"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.NoProbe = true }),
		Run: []string{"liveness"}, Fails: []string{"liveness/probes"},
	},
	{
		Name: "cloud/echoes-anything", Text: "echoes malformed probes, and as many as come",
		Breaks: []string{"R-86"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.EchoAnything = true }),
		Run: []string{"liveness"}, Fails: []string{"liveness/probes"}, Also: []string{"liveness/noise"},
	},
	{
		Name: "cloud/small-records", Text: "drops records with more than 512 bytes inside",
		Breaks: []string{"R-95"}, Cloud: records(dtls.FaultSmallRecords),
		Run: []string{"liveness"}, Fails: []string{"liveness/largest"},
	},
	{
		Name: "cloud/shaken-by-noise", Text: "takes records whatever their tag, so that noise ends sessions",
		Breaks: []string{"R-94"}, Cloud: records(dtls.FaultAcceptBadTag),
		Run: []string{"liveness"}, Fails: []string{"liveness/noise"},
	},
}
