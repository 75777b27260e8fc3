package conformance

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
)

// A mutant is the reference cloud or the simulated devices with one fault.
type mutant struct {
	name   string
	cloud  func(c *target.CloudConfig)
	device func(c *target.DeviceConfig)
	// again gives the cloud the fault only when it is restarted.
	again bool
	// on are the profiles that it is run with; nil: modern.
	on []string
	// run are the checks that it is run against: fails, if nil.
	run []string
	// fails are the checks that must fail, on at least one generation; also those
	// that may, because they look at the same.
	fails, also []string
	// patience bounds each check; 0: patience.
	patience time.Duration
}

// The profiles of mutants: one of each transport and generation that matters.
var (
	modern  = []string{"boron@6.2.0"}
	middle  = []string{"boron@2.3.1"}
	old     = []string{"electron@1.4.4"}
	tcp     = []string{"photon@3.1.0"}
	both    = []string{"boron@6.2.0", "photon@3.1.0"}
	threeOf = []string{"boron@6.2.0", "electron@1.4.4", "photon@3.1.0"}
)

// faulty gives devices faults.
func faulty(f func(*target.DeviceFaults)) func(*target.DeviceConfig) {
	return func(c *target.DeviceConfig) {
		if c.Faults == nil {
			c.Faults = new(target.DeviceFaults)
		}
		f(c.Faults)
	}
}

// exchange gives the message layer of the cloud faults.
func exchangeFaults(f coap.Faults) func(*target.CloudConfig) {
	return func(c *target.CloudConfig) { c.ExchangeFaults = &f }
}

// mutants is the table. A check that is in no row's fails is a defect.
var mutants = []mutant{
	{
		name: "cloud/no-hello-answer", cloud: func(c *target.CloudConfig) { c.App.Faults.NoHelloAnswer = true },
		on: both, run: []string{"handshake/connects"}, fails: []string{"handshake/connects"},
	},
	{
		name: "cloud/no-cookie", cloud: func(c *target.CloudConfig) { c.GateFaults.Admit = true },
		run:   []string{"handshake", "hostile/bad-hellos"},
		fails: []string{"handshake/cookie", "hostile/bad-hellos"},
		also:  []string{"handshake/client-hello", "handshake/server-flight"},
	},
	{
		name: "cloud/any-cookie", cloud: func(c *target.CloudConfig) { c.GateFaults.AcceptAnyCookie = true },
		run: []string{"handshake", "hostile"}, fails: []string{"hostile/bad-hellos"},
	},
	{
		name: "cloud/long-cookie", cloud: func(c *target.CloudConfig) {
			c.GateFaults.Cookie = make([]byte, 100)
			c.GateFaults.AcceptAnyCookie = true
		},
		run: []string{"handshake"}, fails: []string{"handshake/cookie"}, also: []string{"handshake/client-hello"},
	},
	{
		name: "cloud/old-version", cloud: func(c *target.CloudConfig) {
			c.GateFaults.AcceptVersion10 = true
			c.ServerFaults.AcceptVersion10 = true
		},
		run: []string{"handshake", "hostile"}, fails: []string{"hostile/bad-hellos"},
	},
	{
		name: "device/more-suites", device: faulty(func(f *target.DeviceFaults) { f.Handshake.CipherSuites = []uint16{0xc0ae, 0xc0ac, 0x00ff} }),
		on: threeOf, run: []string{"handshake"}, fails: []string{"handshake/client-hello"},
	},
	{
		name: "cloud/certificate", cloud: func(c *target.CloudConfig) { c.ServerFaults.SendCertificate = true },
		device: faulty(func(f *target.DeviceFaults) { f.Handshake.AcceptCertificate = true }),
		run:    []string{"handshake"}, fails: []string{"handshake/server-flight"},
	},
	{
		name: "cloud/short-connection-id", cloud: func(c *target.CloudConfig) { c.ServerFaults.CIDLength = 4 },
		device: faulty(func(f *target.DeviceFaults) { f.Handshake.AcceptAnyCID = true }),
		run:    []string{"handshake/connection-id"}, fails: []string{"handshake/connection-id"},
	},
	{
		name: "cloud/fixed-nonce", cloud: func(c *target.CloudConfig) { c.LightFaults.FixedNonce = true },
		on: tcp, run: []string{"handshake"}, fails: []string{"handshake/tcp-exchange"},
	},
	{
		name: "cloud/speaks-first", cloud: func(c *target.CloudConfig) { c.App.Faults.RequestBeforeHelloAck = true },
		on: modern, run: []string{"handshake/hello-first"}, fails: []string{"handshake/hello-first"},
	},
	{
		name: "cloud/ping-reset", cloud: exchangeFaults(coap.Faults{AnswerPingWithReset: true}),
		run: []string{"timers/keep-alive", "resume/bytes"}, fails: []string{"timers/keep-alive", "resume/bytes"},
	},
	{
		name: "cloud/silent-events", cloud: func(c *target.CloudConfig) { c.App.Faults.SilentEvents = true },
		on: modern, run: []string{"handshake/everything-acknowledged"}, fails: []string{"handshake/everything-acknowledged"},
	},
	{
		// This release does not wait for acknowledgements to be online.
		name: "cloud/silent-events-early", cloud: func(c *target.CloudConfig) { c.App.Faults.SilentEvents = true },
		on: []string{"electron@0.5.3"}, run: []string{"pubsub/publish"}, fails: []string{"pubsub/publish"},
	},
	{
		name: "cloud/wrong-time", cloud: func(c *target.CloudConfig) { c.App.Faults.WrongTime = true },
		on: threeOf, run: []string{"handshake"}, fails: []string{"handshake/time"},
	},
	{
		name: "cloud/time-with-option", cloud: func(c *target.CloudConfig) { c.App.Faults.TimeWithOption = true },
		on: threeOf, run: []string{"handshake"}, fails: []string{"handshake/time"},
	},
	{
		name: "device/wordy", device: func(c *target.DeviceConfig) {
			app := *c.App
			for i := range 400 {
				app.Functions = append(app.Functions, target.Function{
					Name: fmt.Sprintf("function%03d", i), Call: func(target.DeviceID, []byte) int32 { return 0 },
				})
			}
			c.App = &app
		},
		run: []string{"handshake"}, fails: []string{"handshake/cost"},
	},
	{
		name: "cloud/any-device", cloud: func(c *target.CloudConfig) { c.Faults.AcceptUnknownKey = true; c.LightFaults.AcceptAnyKey = true },
		on: both, run: []string{"handshake"}, fails: []string{"handshake/stranger"},
	},
	{
		name: "device/any-cloud", device: faulty(func(f *target.DeviceFaults) {
			f.Handshake.AcceptAnySignature = true
			f.Stream.AcceptAnySignature = true
		}),
		on: both, run: []string{"handshake"}, fails: []string{"handshake/impostor-cloud"},
	},

	{
		name: "cloud/double-replies", cloud: exchangeFaults(coap.Faults{DoubleReply: true}),
		run: []string{"pubsub", "resume"}, fails: []string{"pubsub/publish-cost", "resume/bytes"},
	},
	{
		name: "cloud/shared-accounts", cloud: func(c *target.CloudConfig) { c.Faults.ShareAccounts = true },
		on: both, run: []string{"pubsub"}, fails: []string{"pubsub/deliver", "pubsub/across"},
		also: []string{"pubsub/prefix", "pubsub/claim", "pubsub/too-long"},
	},
	{
		name: "cloud/no-filters", cloud: func(c *target.CloudConfig) { c.App.Faults.IgnoreFilters = true },
		on: both, run: []string{"pubsub"}, fails: []string{"pubsub/prefix"},
	},
	{
		name: "cloud/format-in-deliveries", cloud: func(c *target.CloudConfig) { c.App.Faults.DeliverWithFormat = true },
		on: old, run: []string{"pubsub/delivery-form"}, fails: []string{"pubsub/delivery-form"}, also: []string{"pubsub/deliver"},
	},
	{
		name: "cloud/swapped-reliability", cloud: func(c *target.CloudConfig) { c.App.Faults.SwapReliability = true },
		on: both, run: []string{"pubsub/delivery-form"}, fails: []string{"pubsub/delivery-form"}, also: []string{"pubsub/deliver"},
	},
	{
		name: "cloud/first-segment", cloud: func(c *target.CloudConfig) { c.App.Faults.FirstSegment = true },
		on: threeOf, run: []string{"pubsub/name"}, fails: []string{"pubsub/name"}, patience: 4 * time.Second,
	},
	{
		name: "cloud/no-limits", cloud: func(c *target.CloudConfig) { c.App.Faults.NoLimits = true },
		on: old, run: []string{"pubsub/too-long", "functions/too-long"}, fails: []string{"pubsub/too-long", "functions/too-long"},
	},
	{
		name: "cloud/silent-claims", cloud: func(c *target.CloudConfig) { c.App.Faults.SilentClaims = true },
		on: both, run: []string{"pubsub"}, fails: []string{"pubsub/claim"},
	},

	{
		name: "device/no-result", device: faulty(func(f *target.DeviceFaults) { f.NoResult = true }),
		on: both, run: []string{"functions"}, fails: []string{"functions/call", "functions/arguments"},
	},
	{
		name: "device/cuts-arguments", device: func(c *target.DeviceConfig) {
			app := *c.App
			app.Functions = append([]target.Function(nil), app.Functions...)
			app.Functions[0].Call = func(_ target.DeviceID, b []byte) int32 { return target.Sum(string(b[:min(len(b), 60)])) }
			c.App = &app
		},
		on: threeOf, run: []string{"functions"}, fails: []string{"functions/arguments"},
	},
	{
		name: "cloud/no-argument", cloud: func(c *target.CloudConfig) { c.App.Faults.NoArgument = true },
		on: both, run: []string{"functions/request-form"}, fails: []string{"functions/request-form"}, also: []string{"functions/arguments"},
	},
	{
		name: "cloud/long-token", cloud: func(c *target.CloudConfig) { c.App.Faults.LongToken = true },
		on: old, run: []string{"functions/request-form"}, fails: []string{"functions/request-form"},
		also: []string{"functions/arguments"},
	},
	{
		name: "cloud/calls-anything", cloud: func(c *target.CloudConfig) { c.App.Faults.CallUnknown = true },
		on: both, run: []string{"functions/unknown", "variables/unknown"}, fails: []string{"functions/unknown", "variables/unknown"},
	},

	{
		name: "cloud/double-in-wrong-order", cloud: func(c *target.CloudConfig) { c.App.Faults.BigEndianDouble = true },
		on: threeOf, run: []string{"variables"}, fails: []string{"variables/read"},
	},
	{
		name: "device/old-value-form", device: func(c *target.DeviceConfig) { c.Profile = target.Profile("boron@1.4.4") },
		on: middle, run: []string{"variables/response-form"}, fails: []string{"variables/response-form"}, also: []string{"variables/read"},
	},
	{
		name: "device/double-results", device: faulty(func(f *target.DeviceFaults) { f.DoubleResult = true }),
		on: both, run: []string{"variables"}, fails: []string{"variables/only-when-asked"},
	},

	{
		name: "device/refuses-updates", device: func(c *target.DeviceConfig) { c.UpdatesDisabled = true },
		on: modern, run: []string{"ota/update"}, fails: []string{"ota/update"},
	},
	{
		name: "cloud/claims-success", cloud: func(c *target.CloudConfig) { c.App.Faults.ClaimSuccess = true },
		on: both, run: []string{"ota/update"}, fails: []string{"ota/update"},
	},
	{
		name: "cloud/wrong-update-protocol", cloud: func(c *target.CloudConfig) { c.App.Faults.SwapUpdateProtocol = true },
		on: both, run: []string{"ota/protocol"}, fails: []string{"ota/protocol", "ota/update"},
	},
	{
		name: "cloud/sends-any-image", cloud: func(c *target.CloudConfig) { c.App.Faults.SkipImageChecks = true },
		on: both, run: []string{"ota/bad-image"}, fails: []string{"ota/bad-image"},
	},
	{
		name: "cloud/ignores-offset", cloud: func(c *target.CloudConfig) { c.App.Faults.IgnoreOffset = true },
		on: modern, run: []string{"ota"}, fails: []string{"ota/interrupted"}, patience: 25 * time.Second,
	},

	{
		name: "cloud/forgets-sessions", cloud: func(c *target.CloudConfig) { c.Faults.ForgetSessions = true },
		on: []string{"boron@6.2.0", "electron@1.4.4"}, run: []string{"resume/no-handshake"}, fails: []string{"resume/no-handshake"},
	},
	{
		name: "device/no-mark", device: faulty(func(f *target.DeviceFaults) { f.Records = dtls.FaultNoMark }),
		on: modern, run: []string{"resume/marks"}, fails: []string{"resume/marks"},
	},
	{
		name: "device/keeps-mark", device: faulty(func(f *target.DeviceFaults) { f.Records = dtls.FaultKeepMark }),
		on: modern, run: []string{"resume"}, fails: []string{"resume/marks"},
	},
	{
		name: "cloud/rewinds-sequence", cloud: func(c *target.CloudConfig) { c.Faults.RewindSequence = true },
		on: []string{"boron@6.2.0", "electron@1.4.4"}, run: []string{"resume/sequence"}, fails: []string{"resume/sequence"},
	},
	{
		name: "cloud/forgets-state", cloud: func(c *target.CloudConfig) { c.Faults.ForgetState = true },
		on: modern, run: []string{"resume"}, fails: []string{"resume/state"},
		also: []string{"resume/marks"}, // it calls a function after a resume, too
	},
	{
		name: "cloud/no-hello-answer-later", cloud: func(c *target.CloudConfig) { c.App.Faults.NoHelloAnswer = true }, again: true,
		on: tcp, run: []string{"resume/reconnect"}, fails: []string{"resume/reconnect"},
	},
	{
		name: "cloud/never-moves", cloud: func(c *target.CloudConfig) { c.Faults.NeverMove = true },
		on: modern, run: []string{"session/new-address", "network/nat-change"}, fails: []string{"session/new-address", "network/nat-change"},
	},
	{
		name: "device/no-goodbye", device: faulty(func(f *target.DeviceFaults) { f.NoGoodbye = true }),
		on: modern, run: []string{"session"}, fails: []string{"session/goodbye"}, patience: 30 * time.Second,
	},

	{
		name: "cloud/any-tag", cloud: func(c *target.CloudConfig) { c.RecordFaults = dtls.FaultAcceptBadTag },
		run: []string{"hostile"}, fails: []string{"hostile/forged-records"}, also: []string{"hostile/plaintext"},
	},
	{
		name: "cloud/moves-to-anybody", cloud: func(c *target.CloudConfig) { c.Faults.MoveUnproven = true },
		run: []string{"hostile"}, fails: []string{"hostile/forged-records"}, also: []string{"hostile/plaintext"},
	},
	{
		name: "cloud/alerts", cloud: func(c *target.CloudConfig) { c.Faults.AlertUnknown = true },
		run: []string{"hostile"}, fails: []string{"hostile/unknown-sessions"},
	},
	{
		name: "cloud/obeys-plaintext", cloud: func(c *target.CloudConfig) { c.RecordFaults = dtls.FaultAcceptPlaintext },
		run: []string{"hostile"}, fails: []string{"hostile/plaintext"},
	},
	{
		name: "cloud/no-probe", cloud: func(c *target.CloudConfig) { c.Faults.NoProbe = true },
		run: []string{"hostile/probe"}, fails: []string{"hostile/probe"}, patience: 3 * time.Second,
	},
	{
		name: "cloud/answers-refused", cloud: func(c *target.CloudConfig) { c.LightFaults.AnswerRefused = true },
		on: tcp, run: []string{"hostile"}, fails: []string{"hostile/bad-streams"},
	},
	{
		name: "cloud/any-frame", cloud: func(c *target.CloudConfig) { c.LightFaults.Frames = lightssl.FaultAcceptBadFrames },
		on: tcp, run: []string{"hostile"}, fails: []string{"hostile/bad-frames"},
	},

	{
		name: "device/handshake-timeout", device: faulty(func(f *target.DeviceFaults) { f.Handshake.KeepTimeout = true }),
		run: []string{"timers"}, fails: []string{"timers/handshake-retransmission"},
	},
	{
		name: "device/no-ping", device: faulty(func(f *target.DeviceFaults) { f.NoPing = true }),
		on: threeOf, run: []string{"timers"}, fails: []string{"timers/keep-alive", "timers/silent-cloud"},
	},
	{
		name: "device/keeps-timeout", device: faulty(func(f *target.DeviceFaults) { f.CoAP.KeepTimeout = true }),
		run: []string{"timers"}, fails: []string{"timers/retransmission"}, also: []string{"timers/expiry"},
	},
	{
		name: "device/resumes-forever", device: faulty(func(f *target.DeviceFaults) { f.ResumeForever = true }),
		on: []string{"boron@6.2.0", "electron@1.4.4"}, run: []string{"timers"}, fails: []string{"timers/expiry"},
	},
	{
		name: "device/unseeded", device: func(c *target.DeviceConfig) { c.Rand = rand.Reader },
		on: both, run: []string{"timers"}, fails: []string{"timers/same-seed"},
	},

	{
		name: "device/sends-once", device: faulty(func(f *target.DeviceFaults) { f.CoAP.NeverRetransmit = true }),
		on: []string{"boron@6.2.0", "electron@1.4.4"}, run: []string{"network/lost", "network/reordered", "timers/retransmission"},
		fails: []string{"network/lost", "network/reordered", "timers/retransmission"},
	},
	{
		name: "cloud/takes-copies", cloud: func(c *target.CloudConfig) {
			c.RecordFaults = dtls.FaultAcceptReplay
			c.ExchangeFaults = &coap.Faults{NoDedupe: true}
		},
		on: []string{"boron@6.2.0", "electron@1.4.4"}, run: []string{"network"}, fails: []string{"network/doubled"},
	},
	{
		name: "device/no-chunk-acks", device: faulty(func(f *target.DeviceFaults) { f.NoChunkAcks = true }),
		on: modern, run: []string{"network/ota"}, fails: []string{"network/ota"},
	},
}
