package mutants

import (
	"github.com/muster/muster/harness/target"
)

// What puppet clouds find out about devices, broken: the suites dispatch, connect,
// publishing and asking.
var deviceMutants = []Mutant{
	{
		Name: "device/touchy", Text: "ends the connection over anything that is malformed",
		Breaks: []string{"N-1", "N-2"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.Touchy = true }),
		Run:    []string{"dispatch"}, Fails: []string{"dispatch/short", "dispatch/version"},
	},
	{
		Name: "device/forgiving", Text: "goes on where a handler's failure ends the connection",
		Breaks: []string{"N-2", "N-3", "N-4", "N-5", "N-14", "N-24", "N-27"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.Forgiving = true }),
		Run:    []string{"dispatch", "asking", "receiving"},
		Fails: []string{
			"dispatch/version", "dispatch/options", "dispatch/tokens", "asking/describe-nothing", "receiving/start-refusals", "receiving/chunks",
		},
	},
	{
		Name: "device/forgiving-early", Text: "goes on after an event without a name, before 6.2",
		Breaks: []string{"N-12"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.Forgiving = true }),
		On:     middle, Run: []string{"dispatch/event-forms"}, Fails: []string{"dispatch/event-forms"},
	},
	{
		Name: "device/touchy-early", Text: "ends the connection over an option that does not end, before 6.2",
		Breaks: []string{"N-3"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.Touchy = true }),
		On:     middle, Run: []string{"dispatch/options"}, Fails: []string{"dispatch/options"},
	},
	{
		Name: "device/answers-unknown", Text: "answers requests that nobody defined",
		Breaks: []string{"N-6", "N-9"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.AnswersUnknown = true }),
		On:     both, Run: []string{"dispatch"}, Fails: []string{"dispatch/unknown"},
	},
	{
		Name: "device/refuses-critical", Text: "refuses critical options that it does not know",
		Breaks: []string{"N-7"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.RefusesCritical = true }),
		Run:    []string{"dispatch"}, Fails: []string{"dispatch/critical-option"},
	},
	{
		Name: "device/any-length", Text: "runs a newer release, whose buffer is larger",
		Breaks: []string{"N-11", "N-12", "N-13"},
		Device: func(c *target.DeviceConfig) { c.Profile = target.Profile("boron@6.2.0") },
		On:     middle, Run: []string{"dispatch/event-forms"}, Fails: []string{"dispatch/event-forms"},
	},
	{
		Name: "device/ignores-pings", Text: "does not answer a ping",
		Breaks: []string{"D-21"},
		Device: faulty(func(f *target.DeviceFaults) { f.CoAP.IgnorePing = true }),
		On:     both, Run: []string{"dispatch/signal"}, Fails: []string{"dispatch/signal"},
	},
	{
		Name: "device/takes-copies", Text: "executes a request that comes twice, twice",
		Breaks: []string{"D-3", "N-19"},
		Device: faulty(func(f *target.DeviceFaults) { f.CoAP.NoDedupe = true }),
		On:     threeOf, Run: []string{"dispatch"}, Fails: []string{"dispatch/duplicate"},
	},
	{
		Name: "device/keeps-session", Text: "keeps its session over a key change",
		Breaks: []string{"N-50"},
		Device: faulty(func(f *target.DeviceFaults) { f.ResumeForever = true }),
		On:     threeOf, Run: []string{"dispatch"}, Fails: []string{"dispatch/discard"},
	},
	{
		Name: "device/ignores-resets", Text: "takes no notice of a Reset",
		Breaks: []string{"D-4"},
		Device: faulty(func(f *target.DeviceFaults) { f.CoAP.IgnoreReset = true }),
		On:     threeOf, Run: []string{"dispatch"}, Fails: []string{"dispatch/reset"},
	},

	{
		Name: "device/skips-ids", Text: "leaves a gap between message IDs",
		Breaks: []string{"D-1"},
		Device: faulty(func(f *target.DeviceFaults) { f.CoAP.SkipID = true }),
		On:     both, Run: []string{"connect"}, Fails: []string{"connect/hello"},
	},
	{
		Name: "device/events-first", Text: "publishes what it says of updates before everything else",
		Breaks: []string{"D-19"},
		Device: faulty(func(f *target.DeviceFaults) { f.Connects.EventsFirst = true }),
		On:     threeOf, Run: []string{"connect"}, Fails: []string{"connect/order"},
	},
	{
		Name: "device/early-online", Text: "calls itself connected before everything is acknowledged",
		Breaks: []string{"D-5"},
		Device: faulty(func(f *target.DeviceFaults) { f.EarlyOnline = true }),
		Run:    []string{"connect"}, Fails: []string{"connect/withheld"},
	},
	{
		Name: "device/new-ids", Text: "gives the copy of a message an ID of its own",
		Breaks: []string{"N-22"},
		Device: faulty(func(f *target.DeviceFaults) { f.CoAP.NewIDOnRetransmit = true }),
		Run:    []string{"connect"}, Fails: []string{"connect/lost-acks"},
	},
	{
		Name: "device/ignores-refusals", Text: "takes a refused subscription for an accepted one",
		Breaks: []string{"D-11"},
		Device: faulty(func(f *target.DeviceFaults) { f.Connects.IgnoresRefusals = true }),
		Run:    []string{"connect"}, Fails: []string{"connect/subscriptions"},
	},
	{
		Name: "device/asks-again", Text: "asks for the time while it waits for it",
		Breaks: []string{"D-12"},
		Device: faulty(func(f *target.DeviceFaults) { f.Connects.AsksAgain = true }),
		On:     both, Run: []string{"connect"}, Fails: []string{"connect/time"},
	},
	{
		Name: "device/not-deaf", Text: "hears requests before its Hello is acknowledged",
		Breaks: []string{"N-23"},
		Device: faulty(func(f *target.DeviceFaults) { f.Connects.NotDeaf = true }),
		Run:    []string{"connect"}, Fails: []string{"connect/deaf"},
	},
	{
		Name: "device/waits-forever", Text: "waits for the cloud's Hello without an end",
		Breaks: []string{"N-48"},
		Device: faulty(func(f *target.DeviceFaults) { f.Connects.WaitsForever = true }),
		On:     tcp, Run: []string{"connect"}, Fails: []string{"connect/no-server-hello"},
	},

	{
		Name: "device/unlimited", Text: "publishes as fast as it can, and during updates",
		Breaks: []string{"D-6", "D-22"},
		Device: faulty(func(f *target.DeviceFaults) { f.UnlimitedRate = true }),
		Run:    []string{"publishing", "receiving"}, Fails: []string{"publishing/burst", "receiving/quiet"},
	},
	{
		Name: "device/old-events", Text: "publishes as a release before it does",
		Breaks: []string{"D-6"},
		Device: func(c *target.DeviceConfig) { c.Profile = target.Profile("boron@6.1.1") },
		Run:    []string{"publishing"}, Fails: []string{"publishing/encoding"},
	},
	{
		Name: "device/patient-publish", Text: "waits for the acknowledgement of an event without an end",
		Breaks: []string{"D-6"},
		Device: faulty(func(f *target.DeviceFaults) { f.Connects.PatientPublish = true }),
		On:     both, Run: []string{"publishing"}, Fails: []string{"publishing/timeout"},
	},
	{
		Name: "device/ignores-commands", Text: "does nothing about the events that mean something to it",
		Breaks: []string{"D-20"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.IgnoresCommands = true }),
		On:     threeOf, Run: []string{"publishing"}, Fails: []string{"publishing/reset", "publishing/forced", "publishing/claimed"},
	},

	{
		Name: "device/no-results", Text: "runs functions and keeps the result",
		Breaks: []string{"D-7"},
		Device: faulty(func(f *target.DeviceFaults) { f.NoResult = true }),
		On:     threeOf, Run: []string{"asking"}, Fails: []string{"asking/functions"},
	},
	{
		Name: "device/double-values", Text: "tells a value twice",
		Breaks: []string{"D-8"},
		Device: faulty(func(f *target.DeviceFaults) { f.DoubleResult = true }),
		On:     both, Run: []string{"asking"}, Fails: []string{"asking/variables"}, Also: []string{"asking/functions"},
	},
	{
		Name: "device/old-describe", Text: "describes itself as a release before it does",
		Breaks: []string{"D-9"},
		Device: func(c *target.DeviceConfig) { c.Profile = target.Profile("boron@1.4.4") },
		On:     middle, Run: []string{"asking/describe"}, Fails: []string{"asking/describe"},
	},
	{
		Name: "device/no-refusals", Text: "leaves wrong requests without an answer",
		Breaks: []string{"D-9", "N-15", "N-24"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.NoRefusals = true }),
		Run:    []string{"asking", "receiving/start-refusals"}, Fails: []string{"asking/describe-refusals", "receiving/start-refusals"},
	},
	{
		Name: "device/new-etags", Text: "gives every block an ETag of its own",
		Breaks: []string{"D-10"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.NewETags = true }),
		Run:    []string{"asking"}, Fails: []string{"asking/describe-blocks"},
	},
	{
		Name: "device/moves-anywhere", Text: "follows a ServerMoved that nobody signed",
		Breaks: []string{"N-16"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.MovesAnywhere = true }),
		Run:    []string{"asking"}, Fails: []string{"asking/moved"},
	},
}
