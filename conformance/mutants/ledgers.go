package mutants

import (
	"time"

	"github.com/muster/muster/harness/target"
)

// ledgers gives the cloud faults of its ledgers.
func ledgers(f func(*target.LedgerFaults)) func(*target.CloudConfig) {
	return wrong(func(all *target.CloudFaults) { f(&all.Ledgers) })
}

// What the suites ledgers and safemode judge, broken.
var ledgersMutants = []Mutant{
	{
		Name: "cloud/ledger-not-found", Text: "answers with 4.04 that there is no such ledger",
		Breaks: []string{"C-51"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.LedgerNotFound = true }),
		Run:    []string{"ledgers/info"}, Fails: []string{"ledgers/info"},
	},
	{
		Name: "cloud/ledger-content", Text: "answers ledger requests with 2.05",
		Breaks: []string{"C-10", "N-10"},
		Cloud:  ledgers(func(f *target.LedgerFaults) { f.Content = true }),
		Run:    []string{"ledgers"}, Fails: []string{"ledgers/info", "ledgers/fields", "ledgers/download"}, Also: []string{"ledgers/upload"},
	},
	{
		Name: "cloud/resets-all-ledgers", Text: "tells devices without ledgers to ask again which there are",
		Breaks: []string{"A-14"},
		Cloud:  ledgers(func(f *target.LedgerFaults) { f.ResetsAll = true }),
		Run:    []string{"api/reclaimed"}, Fails: []string{"api/reclaimed"}, Patience: 40 * time.Second,
	},
	{
		Name: "cloud/no-continue", Text: "answers every block with 2.04",
		Breaks: []string{"C-52"},
		Cloud:  ledgers(func(f *target.LedgerFaults) { f.NoContinue = true }),
		Run:    []string{"ledgers"}, Fails: []string{"ledgers/upload"},
	},
	{
		Name: "cloud/new-etags", Text: "gives every block of an answer an ETag of its own",
		Breaks: []string{"C-53"},
		Cloud:  ledgers(func(f *target.LedgerFaults) { f.NewETags = true }),
		Run:    []string{"ledgers"}, Fails: []string{"ledgers/download"},
	},
	{
		Name: "cloud/mixes-tags", Text: "puts blocks of different requests together",
		Breaks: []string{"C-52"},
		Cloud:  ledgers(func(f *target.LedgerFaults) { f.MixesTags = true }),
		Run:    []string{"ledgers"}, Fails: []string{"ledgers/upload"},
	},
	{
		Name: "cloud/unordered", Text: "puts the result behind the other fields",
		Breaks: []string{"C-54"},
		Cloud:  ledgers(func(f *target.LedgerFaults) { f.Unordered = true }),
		Run:    []string{"ledgers"}, Fails: []string{"ledgers/fields"},
	},
	{
		Name: "device/no-ledgers", Text: "knows nothing of ledgers",
		Breaks: []string{"N-18"},
		Device: func(c *target.DeviceConfig) { c.Profile = target.Profile("boron@5.3.2") },
		Run:    []string{"ledgers/synced"}, Fails: []string{"ledgers/synced"},
	},
	{
		Name: "device/takes-ledgers", Text: "takes a notification of any form",
		Breaks: []string{"N-17"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.TakesLedgers = true }),
		Run:    []string{"ledgers"}, Fails: []string{"ledgers/notify"},
	},
	{
		Name: "device/no-ledger-retry", Text: "never tries again what failed about its ledgers",
		Breaks: []string{"N-18"},
		Device: faulty(func(f *target.DeviceFaults) { f.Answers.NoLedgerRetry = true }),
		Run:    []string{"ledgers"}, Fails: []string{"ledgers/faults"},
	},
	{
		Name: "cloud/ignores-safe-mode", Text: "does nothing for a device in safe mode",
		Breaks: []string{"C-32"},
		Cloud:  wrong(func(f *target.CloudFaults) { f.Events.IgnoresSafeMode = true }),
		On:     both, Run: []string{"safemode"}, Fails: []string{"safemode/rescue"},
	},
}
