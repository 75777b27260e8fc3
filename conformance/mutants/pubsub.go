package mutants

import (
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
)

// What the suite pubsub judges, broken.
var pubsubMutants = []Mutant{
	{
		// This release does not wait for acknowledgements to be online.
		Name: "cloud/silent-events-early", Text: "does not acknowledge events of a release that does not wait for it",
		Breaks: []string{"C-6"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.SilentEvents = true },
		On:     []string{"electron@0.5.3"}, Run: []string{"pubsub/publish"}, Fails: []string{"pubsub/publish"},
	},
	{
		Name: "cloud/double-replies", Text: "sends every reply twice",
		Breaks: []string{"S7", "R-71"},
		Cloud:  exchangeFaults(coap.Faults{DoubleReply: true}),
		Run:    []string{"pubsub", "resume"}, Fails: []string{"pubsub/publish-cost", "resume/bytes"},
	},
	{
		Name: "cloud/shared-accounts", Text: "delivers events to the devices of every account",
		Breaks: []string{"S9", "S14"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.ShareAccounts = true },
		On:     both, Run: []string{"pubsub"}, Fails: []string{"pubsub/deliver", "pubsub/across"},
		Also: []string{"pubsub/prefix", "pubsub/claim", "pubsub/too-long"},
	},
	{
		Name: "cloud/no-filters", Text: "delivers every event to every subscriber",
		Breaks: []string{"S9", "C-27"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.IgnoreFilters = true },
		On:     both, Run: []string{"pubsub"}, Fails: []string{"pubsub/prefix"},
	},
	{
		Name: "cloud/format-in-deliveries", Text: "puts a Content-Format into deliveries to old releases",
		Breaks: []string{"C-25"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.DeliverWithFormat = true },
		On:     old, Run: []string{"pubsub/delivery-form"}, Fails: []string{"pubsub/delivery-form"}, Also: []string{"pubsub/deliver"},
	},
	{
		Name: "cloud/swapped-reliability", Text: "delivers Confirmable over TCP and Non-confirmable over UDP",
		Breaks: []string{"C-55"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.SwapReliability = true },
		On:     both, Run: []string{"pubsub/delivery-form"}, Fails: []string{"pubsub/delivery-form"}, Also: []string{"pubsub/deliver"},
	},
	{
		Name: "cloud/first-segment", Text: "takes the first segment of an event's name for all of it",
		Breaks: []string{"C-24"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.FirstSegment = true },
		On:     threeOf, Run: []string{"pubsub/name"}, Fails: []string{"pubsub/name"}, Patience: 4 * time.Second,
	},
	{
		Name: "cloud/no-limits", Text: "sends arguments and events of any length",
		Breaks: []string{"C-29"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.NoLimits = true },
		On:     old, Run: []string{"pubsub/too-long", "functions/too-long"}, Fails: []string{"pubsub/too-long", "functions/too-long"},
	},
	{
		Name: "cloud/silent-claims", Text: "takes a claim code and does not tell the device",
		Breaks: []string{"C-31"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.SilentClaims = true },
		On:     both, Run: []string{"pubsub"}, Fails: []string{"pubsub/claim"},
	},
}
