package mutants

import (
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
)

// wrong gives the cloud faults of its application layer.
func wrong(f func(*target.CloudFaults)) func(*target.CloudConfig) {
	return func(c *target.CloudConfig) { f(&c.App.Faults) }
}

// patientSilence is longer than any check waits.
const patientSilence = 1000 * time.Hour

// What puppet devices find out about the cloud, broken: the suites hearing,
// describing, listening and calling.
var cloudMutants = []Mutant{
	{
		Name: "cloud/short-hello", Text: "refuses a Hello that is longer than the known ones",
		Breaks: []string{"C-3"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Hears.StrictHello = true }),
		On:     both, Run: []string{"hearing"}, Fails: []string{"hearing/hello-forms"},
	},
	{
		Name: "cloud/no-first-answer", Text: "does not answer a Hello",
		Breaks: []string{"C-1", "C-2"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.NoHelloAnswer = true }),
		On:     both, Run: []string{"hearing/hello-answer", "hearing/hello-forms"}, Fails: []string{"hearing/hello-answer", "hearing/hello-forms"},
	},
	{
		Name: "cloud/resets-unknown", Text: "answers what it does not know with a Reset",
		Breaks: []string{"C-4"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Hears.ResetUnknown = true }),
		On:     both, Run: []string{"hearing"}, Fails: []string{"hearing/never-reset"},
	},
	{
		Name: "cloud/resets-stray-acks", Text: "answers an acknowledgement of nothing with a Reset",
		Breaks: []string{"C-4", "N-8"},
		Cloud:  exchangeFaults(coap.Faults{ResetUnmatched: true}),
		On:     both, Run: []string{"hearing"}, Fails: []string{"hearing/never-reset"},
	},
	{
		Name: "cloud/ignores-pings", Text: "does not answer a ping",
		Breaks: []string{"C-5"},
		Cloud:  exchangeFaults(coap.Faults{IgnorePing: true}),
		On:     both, Run: []string{"hearing/never-reset"}, Fails: []string{"hearing/never-reset"},
	},
	{
		Name: "cloud/silent-responses", Text: "leaves separate responses unacknowledged",
		Breaks: []string{"C-6", "C-17", "C-34", "C-35", "C-37", "C-44"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Hears.SilentResponses = true }),
		Run:    []string{"hearing", "describing", "calling", "sending"},
		Fails: []string{
			"hearing/acknowledges", "describing/answers", "calling/late-ack", "calling/refused", "calling/not-found", "sending/finish", "sending/refused",
		},
	},
	{
		Name: "cloud/acknowledges-everything", Text: "acknowledges messages that are not Confirmable",
		Breaks: []string{"C-56", "C-57"},
		Cloud:  exchangeFaults(coap.Faults{AckNonConfirmable: true}),
		On:     both, Run: []string{"hearing/acknowledges"}, Fails: []string{"hearing/acknowledges"},
	},
	{
		Name: "cloud/takes-event-copies", Text: "takes an event that comes twice, twice",
		Breaks: []string{"C-7"},
		Cloud:  exchangeFaults(coap.Faults{NoDedupe: true}),
		Run:    []string{"hearing"}, Fails: []string{"hearing/copies"},
	},
	{
		Name: "cloud/ignores-copies", Text: "does not acknowledge a copy",
		Breaks: []string{"C-7"},
		Cloud:  exchangeFaults(coap.Faults{DropDuplicates: true}),
		Run:    []string{"hearing/copies", "describing/post"}, Fails: []string{"hearing/copies", "describing/post"},
	},
	{
		Name: "cloud/old-ids", Text: "takes an event for a copy of one in an earlier session",
		Breaks: []string{"C-8"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Hears.OldIDs = true }),
		Run:    []string{"hearing"}, Fails: []string{"hearing/copies"},
	},
	{
		Name: "cloud/new-ids", Text: "gives the copy of a request an ID of its own",
		Breaks: []string{"C-12"},
		Cloud:  exchangeFaults(coap.Faults{NewIDOnRetransmit: true}),
		Run:    []string{"hearing"}, Fails: []string{"hearing/retransmits"},
	},
	{
		Name: "cloud/sends-once", Text: "sends a request once",
		Breaks: []string{"C-12"},
		Cloud:  exchangeFaults(coap.Faults{NeverRetransmit: true}),
		Run:    []string{"hearing"}, Fails: []string{"hearing/retransmits"},
	},
	{
		Name: "cloud/never-offline", Text: "waits for a silent device without an end",
		Breaks: []string{"C-15"},
		Cloud: func(c *target.CloudConfig) {
			c.SilenceCellular, c.SilenceOther, c.SilenceTCP = patientSilence, patientSilence, patientSilence
		},
		On: both, Run: []string{"hearing"}, Fails: []string{"hearing/vanished"},
	},
	{
		Name: "cloud/blind-goodbye", Text: "does not read why a device leaves",
		Breaks: []string{"C-14"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Hears.BlindGoodbye = true }),
		On:     both, Run: []string{"hearing"}, Fails: []string{"hearing/goodbye"},
	},
	{
		Name: "cloud/any-time-token", Text: "tells the time with a token of any length",
		Breaks: []string{"N-51"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Hears.AnyTimeToken = true }),
		On:     both, Run: []string{"hearing"}, Fails: []string{"hearing/time"},
	},
	{
		Name: "cloud/swallows-gaps", Text: "neither takes what follows a gap in the message IDs nor closes the connection",
		Breaks: []string{"N-49"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Hears.SwallowsGaps = true }),
		On:     tcp, Run: []string{"hearing/gap"}, Fails: []string{"hearing/gap"},
	},
	{
		Name: "cloud/time-zone", Text: "tells the time an hour off",
		Breaks: []string{"C-11"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.WrongTime = true }),
		On:     both, Run: []string{"hearing"}, Fails: []string{"hearing/time"},
	},

	{
		Name: "cloud/combined-describe", Text: "asks for both describes at once",
		Breaks: []string{"C-16"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Describes.Combined = true }),
		Run:    []string{"describing/requests"}, Fails: []string{"describing/requests"},
	},
	{
		Name: "cloud/strict-fetch", Text: "gives up when a describe changes while it is fetched",
		Breaks: []string{"C-18"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Describes.Strict = true }),
		Run:    []string{"describing"}, Fails: []string{"describing/fetch"},
	},
	{
		Name: "cloud/small-blocks", Text: "asks for blocks of half the size",
		Breaks: []string{"C-18"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Describes.SmallBlocks = true }),
		Run:    []string{"describing"}, Fails: []string{"describing/fetch"},
	},
	{
		Name: "cloud/forgets-blocks", Text: "takes every block of a describe for a new one",
		Breaks: []string{"C-19"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Describes.ForgetsBlocks = true }),
		Run:    []string{"describing"}, Fails: []string{"describing/post"},
	},
	{
		Name: "cloud/needs-token", Text: "refuses describes without a token",
		Breaks: []string{"C-20"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Describes.NeedsToken = true }),
		Run:    []string{"describing"}, Fails: []string{"describing/forms"},
	},
	{
		Name: "cloud/json-only", Text: "reads no describe in protobuf",
		Breaks: []string{"C-20", "C-21"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Describes.JSONOnly = true }),
		Run:    []string{"describing"}, Fails: []string{"describing/forms", "describing/encodings", "describing/answers"},
	},

	{
		Name: "cloud/needs-payload", Text: "refuses an event that ends with a marker",
		Breaks: []string{"C-23"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Events.NeedsPayload = true }),
		On:     threeOf, Run: []string{"listening"}, Fails: []string{"listening/event-forms"},
	},
	{
		Name: "cloud/cuts-names", Text: "takes the first segment of an event's name for all of it",
		Breaks: []string{"C-24"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.FirstSegment = true }),
		On:     both, Run: []string{"listening/event-forms"}, Fails: []string{"listening/event-forms"},
	},
	{
		Name: "cloud/no-relabel", Text: "delivers structured data in the format that it was published in",
		Breaks: []string{"C-25"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Events.NoRelabel = true }),
		Run:    []string{"listening"}, Fails: []string{"listening/formats"},
	},
	{
		Name: "cloud/formats-for-all", Text: "delivers with a format to every release",
		Breaks: []string{"C-25"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.DeliverWithFormat = true }),
		On:     old, Run: []string{"listening/formats"}, Fails: []string{"listening/formats"},
	},
	{
		Name: "cloud/no-data", Text: "delivers what it says of updates without data",
		Breaks: []string{"C-26"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Events.NoData = true }),
		On:     both, Run: []string{"listening"}, Fails: []string{"listening/needs-data"},
	},
	{
		Name: "cloud/keeps-subscriptions", Text: "keeps the subscriptions of the session before",
		Breaks: []string{"C-27"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.KeepSubscriptions = true }),
		On:     both, Run: []string{"listening"}, Fails: []string{"listening/subscriptions"},
	},
	{
		Name: "cloud/reset-refusals", Text: "refuses a subscription with a Reset",
		Breaks: []string{"C-28"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Events.ResetRefusals = true }),
		Run:    []string{"listening"}, Fails: []string{"listening/refusals"},
	},
	{
		Name: "cloud/any-length", Text: "delivers events of any length",
		Breaks: []string{"C-29"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.NoLimits = true }),
		On:     threeOf, Run: []string{"listening"}, Fails: []string{"listening/limits"},
	},
	{
		Name: "cloud/no-requests", Text: "does not answer a device that asks for its name",
		Breaks: []string{"C-30"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Events.NoRequests = true }),
		On:     both, Run: []string{"listening"}, Fails: []string{"listening/requests"},
	},
	{
		Name: "cloud/unconfirmed-claims", Text: "takes claim codes and does not tell the device",
		Breaks: []string{"C-31"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.SilentClaims = true }),
		On:     both, Run: []string{"listening"}, Fails: []string{"listening/claim"},
	},

	{
		Name: "cloud/drops-argument", Text: "leaves out an empty argument",
		Breaks: []string{"C-33"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.NoArgument = true }),
		On:     both, Run: []string{"calling"}, Fails: []string{"calling/request"},
	},
	{
		Name: "cloud/two-byte-token", Text: "uses tokens of two bytes",
		Breaks: []string{"C-9"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.LongToken = true }),
		On:     both, Run: []string{"calling/request"}, Fails: []string{"calling/request"},
	},
	{
		Name: "cloud/needs-ack", Text: "ignores a result that comes before the acknowledgement",
		Breaks: []string{"C-34"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Calls.NeedsAck = true }),
		On:     both, Run: []string{"calling"}, Fails: []string{"calling/late-ack"},
	},
	{
		Name: "cloud/waits-on", Text: "takes a refusal in an acknowledgement for an acknowledgement",
		Breaks: []string{"C-35"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Calls.WaitsOn = true }),
		On:     both, Run: []string{"calling"}, Fails: []string{"calling/refused"},
	},
	{
		Name: "cloud/int-in-wrong-order", Text: "reads an int from the wrong end",
		Breaks: []string{"C-36"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Calls.LittleEndianInt = true }),
		On:     both, Run: []string{"calling"}, Fails: []string{"calling/values"},
	},
	{
		Name: "cloud/needs-value", Text: "fails the read of an empty string",
		Breaks: []string{"C-36"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Calls.NeedsValue = true }),
		On:     both, Run: []string{"calling"}, Fails: []string{"calling/values"},
	},
	{
		Name: "cloud/double-from-the-wrong-end", Text: "reads a double from the wrong end",
		Breaks: []string{"C-36"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.BigEndianDouble = true }),
		On:     both, Run: []string{"calling"}, Fails: []string{"calling/values"},
	},
	{
		Name: "cloud/not-found-is-refused", Text: "does not tell 4.04 from other errors",
		Breaks: []string{"C-37"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Calls.NotFoundIsRefused = true }),
		On:     both, Run: []string{"calling"}, Fails: []string{"calling/not-found"},
	},
	{
		Name: "cloud/oldest-call", Text: "gives every result to the call that waits longest",
		Breaks: []string{"C-34", "N-20"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Calls.OldestCall = true }),
		On:     both, Run: []string{"calling/crossed"}, Fails: []string{"calling/crossed"},
	},
}
