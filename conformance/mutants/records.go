package mutants

import (
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/dtls"
)

// What the suite records judges, broken.
var recordsMutants = []Mutant{
	{
		Name: "cloud/rfc9146-records", Text: "opens records by the rules of RFC 9146",
		Breaks: []string{"R-49", "R-51"}, Cloud: records(dtls.FaultRFC9146AAD),
		Run: []string{"records/connection-id"}, Fails: []string{"records/connection-id"},
	},
	{
		Name: "cloud/type-253-as-such", Text: "authenticates records of type 253 as such",
		Breaks: []string{"R-50"}, Cloud: records(dtls.FaultTypeInAAD),
		Run: []string{"records"}, Fails: []string{"records/connection-id"},
	},
	{
		Name: "cloud/takes-replays", Text: "takes records again, and messages too",
		Breaks: []string{"R-52"}, Cloud: node(func(c *target.CloudConfig) { c.RecordFaults = dtls.FaultAcceptReplay }),
		Run: []string{"records"}, Fails: []string{"records/replay"}, Also: []string{"records/window"},
	},
	{
		Name: "cloud/narrow-window", Text: "takes the 32 newest sequences only",
		Breaks: []string{"R-53"}, Cloud: records(dtls.FaultNarrowWindow),
		Run: []string{"records"}, Fails: []string{"records/window"},
	},
	{
		Name: "cloud/alerts-bad-records", Text: "answers bad records with an alert",
		Breaks: []string{"R-54", "R-55"}, Cloud: records(dtls.FaultAlertBadRecord),
		Run: []string{"records"}, Fails: []string{"records/mutations", "records/nothing-inside"},
		Also: []string{"records/connection-id", "records/replay", "records/window", "records/unprotected", "records/several", "records/device-closes"},
	},
	{
		Name: "cloud/any-record", Text: "takes records whatever their tag",
		Breaks: []string{"R-54"}, Cloud: records(dtls.FaultAcceptBadTag),
		Run: []string{"records"}, Fails: []string{"records/mutations"}, Also: []string{"records/connection-id"},
	},
	{
		Name: "cloud/answers-short", Text: "answers datagrams that are too short for a record",
		Breaks: []string{"R-59", "R-89"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.AnswerShort = true }),
		Run: []string{"records"}, Fails: []string{"records/mutations"},
	},
	{
		Name: "cloud/ids-down", Text: "puts the connection id into the records to the device",
		Breaks: []string{"R-56"}, Cloud: records(dtls.FaultCIDDown),
		Run: []string{"records/down"}, Fails: []string{"records/down"},
	},
	{
		Name: "cloud/larger-than-announced", Text: "sends events of any length",
		Breaks: []string{"R-96"}, Cloud: node(func(c *target.CloudConfig) { c.App.Faults.NoLimits = true }),
		Run: []string{"records"}, Fails: []string{"records/down"},
	},
	{
		Name: "cloud/first-record-only", Text: "takes the first record of a datagram only",
		Breaks: []string{"R-57"}, Cloud: records(dtls.FaultFirstRecordOnly),
		Run: []string{"records"}, Fails: []string{"records/several"}, Also: []string{"records/unprotected"},
	},
	{
		Name: "cloud/takes-plaintext", Text: "obeys what has no protection",
		Breaks: []string{"R-58"}, Cloud: records(dtls.FaultAcceptPlaintext),
		On: old, Run: []string{"records"}, Fails: []string{"records/unprotected"},
	},
	{
		Name: "cloud/ignores-close", Text: "keeps a session that its device closed",
		Breaks: []string{"R-62"}, Cloud: records(dtls.FaultIgnoreClose),
		Run: []string{"records"}, Fails: []string{"records/device-closes"},
	},
	{
		Name: "device/takes-replays", Text: "takes records again, and messages too",
		Breaks: []string{"R-60"}, Device: faulty(func(f *target.DeviceFaults) { f.Records = dtls.FaultAcceptReplay }),
		Run: []string{"records"}, Fails: []string{"records/noise"},
	},
	{
		Name: "device/obeys-plaintext", Text: "obeys alerts without protection",
		Breaks: []string{"R-60"}, Device: faulty(func(f *target.DeviceFaults) { f.Records = dtls.FaultAcceptPlaintext }),
		Run: []string{"records"}, Fails: []string{"records/noise"},
	},
	{
		Name: "device/ignores-close", Text: "keeps a session that its cloud closed",
		Breaks: []string{"R-61"}, Device: faulty(func(f *target.DeviceFaults) { f.Records = dtls.FaultIgnoreClose }),
		Run: []string{"records"}, Fails: []string{"records/cloud-closes"},
	},
}
