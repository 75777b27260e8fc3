package mutants

import (
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/dtls"
)

// server gives the cloud faults of its side of the DTLS handshake.
func server(f dtls.ServerFaults) func(*target.CloudConfig) {
	return func(c *target.CloudConfig) { c.ServerFaults = f }
}

// records gives the cloud faults of its records.
func records(f dtls.RecordFaults) func(*target.CloudConfig) {
	return func(c *target.CloudConfig) { c.RecordFaults = f }
}

// node gives the cloud faults of its front.
func node(f func(c *target.CloudConfig)) func(*target.CloudConfig) { return f }

// What the suite dtls judges, broken.
var dtlsMutants = []Mutant{
	{
		Name: "cloud/admits", Text: "needs no cookie",
		Breaks: []string{"R-22", "R-92"}, Cloud: node(func(c *target.CloudConfig) { c.GateFaults.Admit = true }),
		Run: []string{"dtls/gate"}, Fails: []string{"dtls/gate"},
	},
	{
		Name: "cloud/cookies-of-others", Text: "takes a cookie from whoever has one",
		Breaks: []string{"R-23"}, Cloud: node(func(c *target.CloudConfig) { c.GateFaults.AcceptAnyCookie = true }),
		Run: []string{"dtls"}, Fails: []string{"dtls/gate"},
	},
	{
		Name: "cloud/no-certificate-type", Text: "does not say that it takes raw public keys",
		Breaks: []string{"R-24"}, Cloud: server(dtls.ServerFaults{Extensions: []uint16{254, 11, 20}}),
		Run: []string{"dtls/flight"}, Fails: []string{"dtls/flight"},
	},
	{
		Name: "cloud/four-byte-id", Text: "gives connection ids of four bytes",
		Breaks: []string{"R-25"}, Cloud: server(dtls.ServerFaults{CIDLength: 4}),
		Run: []string{"dtls/flight"}, Fails: []string{"dtls/flight"},
	},
	{
		Name: "cloud/unasked-id", Text: "gives a connection id to releases that want none",
		Breaks: []string{"R-26"}, Cloud: server(dtls.ServerFaults{Extensions: []uint16{254, 11, 19, 20}}),
		On: old, Run: []string{"dtls/flight"}, Fails: []string{"dtls/flight"},
	},
	{
		Name: "cloud/certificate-in-flight", Text: "sends its key in a Certificate",
		Breaks: []string{"R-27"}, Cloud: server(dtls.ServerFaults{SendCertificate: true}),
		Run: []string{"dtls/flight"}, Fails: []string{"dtls/flight"},
	},
	{
		Name: "cloud/no-certificate-request", Text: "asks no device for its key",
		Breaks: []string{"R-28"}, Cloud: server(dtls.ServerFaults{OmitCertificateRequest: true}),
		Run: []string{"dtls/flight"}, Fails: []string{"dtls/flight"},
	},
	{
		Name: "cloud/one-ephemeral", Text: "uses one ephemeral key for ever",
		Breaks: []string{"R-29"}, Cloud: server(dtls.ServerFaults{ReuseEphemeral: true}),
		Run: []string{"dtls"}, Fails: []string{"dtls/flight"},
	},
	{
		Name: "cloud/signs-another-random", Text: "signs its key exchange for another client random",
		Breaks: []string{"R-29"}, Cloud: server(dtls.ServerFaults{WrongSignature: true}),
		Run: []string{"dtls"}, Fails: []string{"dtls/flight"},
	},
	{
		Name: "cloud/any-client-proof", Text: "does not check CertificateVerify",
		Breaks: []string{"R-30"}, Cloud: server(dtls.ServerFaults{AcceptBadCertificateVerify: true}),
		Run: []string{"dtls"}, Fails: []string{"dtls/bad-proofs"},
	},
	{
		Name: "cloud/no-client-key", Text: "lets devices without a key in",
		Breaks: []string{"R-31"}, Cloud: node(func(c *target.CloudConfig) {
			c.ServerFaults.AcceptEmptyCertificate = true
			c.Faults.AcceptUnknownKey = true
		}),
		Run: []string{"dtls/bad-proofs"}, Fails: []string{"dtls/bad-proofs"},
	},
	{
		Name: "cloud/any-client-key", Text: "lets devices whose key nobody registered in",
		Breaks: []string{"R-32"}, Cloud: node(func(c *target.CloudConfig) {
			c.Faults.AcceptUnknownKey = true
			c.Faults.AckBeforeStore = true
			c.App.Faults.AcceptForeignHello = true
		}),
		Run: []string{"dtls/unknown-key"}, Fails: []string{"dtls/unknown-key"},
	},
	{
		Name: "cloud/any-finished", Text: "does not check the device's Finished",
		Breaks: []string{"R-33"}, Cloud: server(dtls.ServerFaults{AcceptBadFinished: true}),
		Run: []string{"dtls"}, Fails: []string{"dtls/bad-proofs"},
	},
	{
		Name: "cloud/in-order-only", Text: "drops handshake messages that come before their turn",
		Breaks: []string{"R-34"}, Cloud: server(dtls.ServerFaults{InOrderOnly: true}),
		Run: []string{"dtls"}, Fails: []string{"dtls/packing"},
	},
	{
		Name: "cloud/no-fragments", Text: "drops fragments of handshake messages",
		Breaks: []string{"R-35"}, Cloud: server(dtls.ServerFaults{NoFragments: true}),
		Run: []string{"dtls"}, Fails: []string{"dtls/packing"},
	},
	{
		Name: "cloud/reuses-final", Text: "repeats its last flight under the sequence of the first time",
		Breaks: []string{"R-36"}, Cloud: records(dtls.FaultReuseFinal),
		Run: []string{"dtls"}, Fails: []string{"dtls/repeated-flight"},
	},
	{
		Name: "cloud/any-hello", Text: "goes on without a common suite, curve or kind of certificate",
		Breaks: []string{"R-37"}, Cloud: server(dtls.ServerFaults{AcceptAnyHello: true}),
		Run: []string{"dtls"}, Fails: []string{"dtls/weak-hellos"},
	},
	{
		Name: "cloud/dtls-1.0", Text: "goes on with a ClientHello of DTLS 1.0",
		Breaks: []string{"R-48"}, Cloud: node(func(c *target.CloudConfig) {
			c.GateFaults.AcceptVersion10 = true
			c.ServerFaults.AcceptVersion10 = true
		}),
		Run: []string{"dtls"}, Fails: []string{"dtls/weak-hellos"},
	},
	{
		Name: "cloud/strict-client-hello", Text: "refuses a ClientHello with an extension that it does not know",
		Breaks: []string{"R-38"}, Cloud: server(dtls.ServerFaults{StrictHello: true}),
		Run: []string{"dtls"}, Fails: []string{"dtls/odd-hellos"},
	},
	{
		Name: "cloud/foreign-hello", Text: "takes a Hello that names another device",
		Breaks: []string{"R-39"}, Cloud: node(func(c *target.CloudConfig) { c.App.Faults.AcceptForeignHello = true }),
		Run: []string{"dtls"}, Fails: []string{"dtls/foreign-hello"},
	},
	{
		Name: "cloud/drops-on-hello", Text: "ends a session when a handshake begins at its address",
		Breaks: []string{"R-40"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.DropOnHello = true }),
		Run: []string{"dtls"}, Fails: []string{"dtls/parallel"},
	},
	{
		Name: "cloud/two-sessions", Text: "keeps the old session beside a new one",
		Breaks: []string{"R-73"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.TwoSessions = true }),
		Run: []string{"dtls"}, Fails: []string{"dtls/parallel"},
	},
	{
		Name: "cloud/one-face", Text: "answers from one address, whichever was addressed",
		Breaks: []string{"R-41"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.OneFace = true }),
		Run: []string{"dtls"}, Fails: []string{"dtls/source"},
	},
	{
		Name: "cloud/keeps-half-open", Text: "lets a handshake go on whenever it likes",
		Breaks: []string{"R-46"}, Cloud: node(func(c *target.CloudConfig) { c.Faults.KeepHalfOpen = true }),
		Run: []string{"dtls"}, Fails: []string{"dtls/half-open"},
	},
	{
		Name: "device/other-suites", Text: "offers a suite that its release does not have",
		Breaks: []string{"R-42"}, Device: faulty(func(f *target.DeviceFaults) { f.Handshake.CipherSuites = []uint16{0xc0ae, 0xc0ac, 0x00ff} }),
		Run: []string{"dtls"}, Fails: []string{"dtls/client-hello-bytes"},
	},
	{
		Name: "device/any-key-exchange", Text: "does not check ServerKeyExchange",
		Breaks: []string{"R-43"}, Device: faulty(func(f *target.DeviceFaults) { f.Handshake.AcceptAnySignature = true }),
		Run: []string{"dtls"}, Fails: []string{"dtls/pinned-key"},
	},
	{
		Name: "device/any-connection-id", Text: "goes on without a usable connection id",
		Breaks: []string{"R-44"}, Device: faulty(func(f *target.DeviceFaults) { f.Handshake.AcceptAnyCID = true }),
		Run: []string{"dtls"}, Fails: []string{"dtls/unusable-id"},
	},
	{
		Name: "device/takes-certificate", Text: "takes a Certificate of the cloud",
		Breaks: []string{"R-45"}, Device: faulty(func(f *target.DeviceFaults) { f.Handshake.AcceptCertificate = true }),
		Run: []string{"dtls"}, Fails: []string{"dtls/certificate"},
	},
}
