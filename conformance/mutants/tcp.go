package mutants

import (
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/lightssl"
)

// stream gives the cloud faults of the TCP transport.
func stream(f lightssl.ServerFaults) func(*target.CloudConfig) {
	return func(c *target.CloudConfig) { c.LightFaults = f }
}

// What the suite tcp judges, broken.
var tcpMutants = []Mutant{
	{
		Name: "cloud/short-nonce", Text: "says a nonce of 39 bytes",
		Breaks: []string{"R-1"}, Cloud: stream(lightssl.ServerFaults{NonceSize: 39}),
		On: tcp, Run: []string{"tcp/nonce"}, Fails: []string{"tcp/nonce"},
	},
	{
		Name: "cloud/whole-c1", Text: "takes C1 in one piece only",
		Breaks: []string{"R-2"}, Cloud: stream(lightssl.ServerFaults{WholeC1: true}),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/answer"},
	},
	{
		Name: "cloud/digest-info", Text: "signs with a DigestInfo",
		Breaks: []string{"R-3"}, Cloud: stream(lightssl.ServerFaults{DigestInfoInSignature: true}),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/answer"}, Also: []string{"tcp/core-form"},
	},
	{
		Name: "cloud/any-nonce", Text: "does not compare the nonce",
		Breaks: []string{"R-4"}, Cloud: stream(lightssl.ServerFaults{AcceptAnyNonce: true}),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/refusals"},
	},
	{
		Name: "cloud/no-core-form", Text: "refuses a C1 without a key",
		Breaks: []string{"R-5"}, Cloud: stream(lightssl.ServerFaults{RefuseCoreForm: true}),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/core-form"},
	},
	{
		Name: "cloud/adopts-keys", Text: "registers a key that is offered in place of the registered one",
		Breaks: []string{"R-6"}, Cloud: func(c *target.CloudConfig) { c.Faults.AdoptKeys = true },
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/registered-key"},
	},
	{
		Name: "cloud/last-block-chains", Text: "chains frames by their last block",
		Breaks: []string{"R-7"}, Cloud: stream(lightssl.ServerFaults{Frames: lightssl.FaultLastBlockIV}),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/frames"}, Also: []string{"tcp/hello", "tcp/whole-length"},
	},
	{
		Name: "device/last-block-chains", Text: "chains frames by their last block",
		Breaks: []string{"R-7"}, Device: faulty(func(f *target.DeviceFaults) { f.Stream.Frames = lightssl.FaultLastBlockIV }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/first-id"}, Also: []string{"tcp/silent-cloud"},
	},
	{
		Name: "cloud/no-padding", Text: "does not pad messages of a multiple of 16",
		Breaks: []string{"R-8"}, Cloud: stream(lightssl.ServerFaults{Frames: lightssl.FaultNoPadding}),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/frames"},
	},
	{
		Name: "cloud/splits-frames", Text: "sends the first byte of a frame by itself",
		Breaks: []string{"R-9"}, Cloud: func(c *target.CloudConfig) { c.Faults.SplitFrames = true },
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/whole-length"},
	},
	{
		Name: "cloud/lenient-frames", Text: "takes frames as a device does",
		Breaks: []string{"R-10"}, Cloud: stream(lightssl.ServerFaults{Frames: lightssl.FaultAcceptBadFrames}),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/bad-frames"},
	},
	{
		Name: "cloud/any-first-message", Text: "lets a connection begin with a ping",
		Breaks: []string{"R-11"}, Cloud: func(c *target.CloudConfig) { c.Faults.AnyFirstMessage = true },
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/first-message"},
	},
	{
		Name: "cloud/no-server-hello", Text: "leaves the Hello over TCP unanswered",
		Breaks: []string{"R-12"}, Cloud: func(c *target.CloudConfig) { c.App.Faults.NoHelloAnswer = true },
		On: tcp, Run: []string{"tcp/hello"}, Fails: []string{"tcp/hello"},
	},
	{
		Name: "cloud/wrong-ack-id", Text: "acknowledges with an id that is one too high",
		Breaks: []string{"R-13"}, Cloud: exchangeFaults(coap.Faults{WrongAckID: true}),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/hello"}, Also: []string{"tcp/frames"},
	},
	{
		Name: "cloud/waits-for-ever", Text: "gives a device over TCP all the time that it wants",
		Breaks: []string{"R-14"}, Cloud: stream(lightssl.ServerFaults{NoTimeout: true}),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/stalled-device"},
	},
	{
		Name: "device/fixed-padding", Text: "pads C1 with ones",
		Breaks: []string{"R-15"}, Device: faulty(func(f *target.DeviceFaults) { f.Stream.FixedPadding = true }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/c1"},
	},
	{
		Name: "device/any-s", Text: "does not check S",
		Breaks: []string{"R-16"}, Device: faulty(func(f *target.DeviceFaults) { f.Stream.AcceptAnySignature = true }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/cloud-proof"},
	},
	{
		Name: "device/digest-info", Text: "takes an S with a DigestInfo",
		Breaks: []string{"R-16"}, Device: faulty(func(f *target.DeviceFaults) { f.Stream.AcceptDigestInfo = true }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/cloud-proof"},
	},
	{
		Name: "device/stays-undecrypted", Text: "waits for another answer when C2 does not decrypt",
		Breaks: []string{"R-17"}, Device: faulty(func(f *target.DeviceFaults) { f.Stream.StayUndecrypted = true }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/cloud-proof"},
	},
	{
		Name: "device/skips-ids-over-tcp", Text: "leaves a gap before every message id",
		Breaks: []string{"R-18"}, Device: faulty(func(f *target.DeviceFaults) { f.CoAP.SkipID = true }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/first-id"},
	},
	{
		Name: "device/restarts-timeout", Text: "waits anew whenever a byte comes",
		Breaks: []string{"R-19"}, Device: faulty(func(f *target.DeviceFaults) { f.Stream.RestartTimeout = true }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/stalled-cloud"},
	},
	{
		Name: "device/no-stall", Text: "waits for the rest of a frame for ever",
		Breaks: []string{"R-19"}, Device: faulty(func(f *target.DeviceFaults) { f.Stream.Frames = lightssl.FaultNoStall }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/stalled-cloud"},
	},
	{
		Name: "device/waits-for-hello", Text: "waits for the cloud's Hello for ever",
		Breaks: []string{"R-20"}, Device: faulty(func(f *target.DeviceFaults) { f.Connects.WaitsForever = true }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/silent-cloud"},
	},
	{
		Name: "device/no-ping-over-tcp", Text: "never pings over TCP",
		Breaks: []string{"R-21"}, Device: faulty(func(f *target.DeviceFaults) { f.NoPing = true }),
		On: tcp, Run: []string{"tcp"}, Fails: []string{"tcp/silent-cloud"},
	},
}
