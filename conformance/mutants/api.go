package mutants

import (
	"time"

	"github.com/muster/muster/harness/target"
)

// apiFault gives the REST API a fault.
func apiFault(f func(*target.APIFaults)) func(*target.CloudConfig) {
	return func(c *target.CloudConfig) { f(&c.Faults.API) }
}

// What the suite api judges, broken.
var apiMutants = []Mutant{
	{
		Name: "cloud/nobody-is-somebody", Text: "takes who has no token for the first account",
		Breaks: []string{"A-1"}, Cloud: apiFault(func(f *target.APIFaults) { f.NobodyIsSomebody = true }),
		Run: []string{"api/tokens"}, Fails: []string{"api/tokens"},
	},
	{
		Name: "cloud/any-token", Text: "takes any token for the first account's",
		Breaks: []string{"A-2"}, Cloud: apiFault(func(f *target.APIFaults) { f.AnyToken = true }),
		Run: []string{"api/tokens"}, Fails: []string{"api/tokens"},
	},
	{
		Name: "cloud/keeps-revoked-tokens", Text: "keeps a revoked token good",
		Breaks: []string{"A-3"}, Cloud: apiFault(func(f *target.APIFaults) { f.KeepRevoked = true }),
		Run: []string{"api/tokens"}, Fails: []string{"api/tokens"},
	},
	{
		Name: "cloud/shares-devices", Text: "lets every account have every device",
		Breaks: []string{"A-4"}, Cloud: apiFault(func(f *target.APIFaults) { f.OtherDevices = true }),
		Run: []string{"api/strangers"}, Fails: []string{"api/strangers"},
	},
	{
		Name: "cloud/tells-of-others", Text: "says that a device belongs to someone else",
		Breaks: []string{"A-5"}, Cloud: apiFault(func(f *target.APIFaults) { f.TellOthers = true }),
		Run: []string{"api"}, Fails: []string{"api/strangers"},
	},
	{
		Name: "cloud/everybodys-events", Text: "tells every account the events of all",
		Breaks: []string{"A-6"}, Cloud: apiFault(func(f *target.APIFaults) { f.AllEvents = true }),
		Run: []string{"api/streams"}, Fails: []string{"api/streams"},
	},
	{
		Name: "cloud/empty-refusals", Text: "refuses without a body",
		Breaks: []string{"A-7"}, Cloud: apiFault(func(f *target.APIFaults) { f.EmptyAnswers = true }),
		Run: []string{"api/answers"}, Fails: []string{"api/answers"},
	},
	{
		Name: "cloud/takes-any-size", Text: "reads whatever is sent to it",
		Breaks: []string{"A-8"}, Cloud: apiFault(func(f *target.APIFaults) { f.Unbounded = true }),
		Run: []string{"api/bounds"}, Fails: []string{"api/bounds"},
	},
	{
		Name: "cloud/silent-streams", Text: "says nothing on a stream without events",
		Breaks: []string{"A-9"}, Cloud: apiFault(func(f *target.APIFaults) { f.NoKeepAlive = true }),
		Run: []string{"api/keep-alive"}, Fails: []string{"api/keep-alive"}, Patience: 30 * time.Second,
	},
	{
		Name: "cloud/plain-tokens", Text: "stores tokens as they are",
		Breaks: []string{"A-10"}, Cloud: apiFault(func(f *target.APIFaults) { f.PlainTokens = true }),
		Run: []string{"api/stored-tokens"}, Fails: []string{"api/stored-tokens"},
	},
	{
		Name: "cloud/patient-streams", Text: "keeps whatever a reader does not read",
		Breaks: []string{"A-11"}, Cloud: apiFault(func(f *target.APIFaults) { f.PatientStreams = true }),
		Run: []string{"api/slow-reader"}, Fails: []string{"api/slow-reader"}, Patience: 60 * time.Second,
	},
	{
		Name: "cloud/open-guard", Text: "lets webhooks reach its own API",
		Breaks: []string{"A-12"}, Cloud: apiFault(func(f *target.APIFaults) { f.OpenGuard = true }),
		Run: []string{"api/own-webhooks"}, Fails: []string{"api/own-webhooks"},
	},
	{
		Name: "cloud/shares-things", Text: "lets every account have the products, webhooks and clients of all",
		Breaks: []string{"A-15"}, Cloud: apiFault(func(f *target.APIFaults) { f.OtherThings = true }),
		Run: []string{"api/possessions"}, Fails: []string{"api/possessions"},
	},
	{
		Name: "cloud/takes-any-upload", Text: "takes uploads of any size and any number of parts",
		Breaks: []string{"A-16"}, Cloud: apiFault(func(f *target.APIFaults) { f.UnboundedUploads = true }),
		Run: []string{"api/uploads"}, Fails: []string{"api/uploads"},
	},
	{
		Name: "cloud/patient-callers", Text: "lets any number of calls wait for one device",
		Breaks: []string{"A-17"}, Cloud: func(c *target.CloudConfig) { c.App.Faults.Crowds = true },
		Run: []string{"calling/crowd"}, Fails: []string{"calling/crowd"},
	},
	{
		Name: "cloud/old-tls", Text: "serves the API to who speaks TLS 1.0",
		Breaks: []string{"A-13"}, Cloud: apiFault(func(f *target.APIFaults) { f.OldTLS = true }),
		Run: []string{"api/over-tls"}, Fails: []string{"api/over-tls"},
	},
}
