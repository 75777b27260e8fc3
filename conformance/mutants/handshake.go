package mutants

import (
	"fmt"

	"github.com/muster/muster/harness/target"
)

// What the suite handshake judges, broken.
var handshakeMutants = []Mutant{
	{
		Name: "cloud/no-hello-answer", Text: "leaves the Hello unanswered",
		Breaks: []string{"C-1", "C-2"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.NoHelloAnswer = true },
		On:     both, Run: []string{"handshake/connects"}, Fails: []string{"handshake/connects"},
	},
	{
		Name: "cloud/no-cookie", Text: "lets every ClientHello in without a cookie",
		Breaks: []string{"R-22", "R-92"},
		Cloud:  func(c *target.CloudConfig) { c.GateFaults.Admit = true },
		Run:    []string{"handshake", "hostile/bad-hellos"},
		Fails:  []string{"handshake/cookie", "hostile/bad-hellos"},
		Also:   []string{"handshake/client-hello", "handshake/server-flight"},
	},
	{
		Name: "cloud/long-cookie", Text: "gives a cookie that makes its answer larger than the ClientHello",
		Breaks: []string{"R-92"},
		Cloud: func(c *target.CloudConfig) {
			c.GateFaults.Cookie = make([]byte, 100)
			c.GateFaults.AcceptAnyCookie = true
		},
		Run: []string{"handshake"}, Fails: []string{"handshake/cookie"}, Also: []string{"handshake/client-hello"},
	},
	{
		Name: "device/more-suites", Text: "offers a suite that its release does not have",
		Breaks: []string{"R-42"},
		Device: faulty(func(f *target.DeviceFaults) { f.Handshake.CipherSuites = []uint16{0xc0ae, 0xc0ac, 0x00ff} }),
		On:     threeOf, Run: []string{"handshake"}, Fails: []string{"handshake/client-hello"},
	},
	{
		Name: "cloud/certificate", Text: "sends a Certificate",
		Breaks: []string{"R-27"},
		Cloud:  func(c *target.CloudConfig) { c.ServerFaults.SendCertificate = true },
		Device: faulty(func(f *target.DeviceFaults) { f.Handshake.AcceptCertificate = true }),
		Run:    []string{"handshake"}, Fails: []string{"handshake/server-flight"},
	},
	{
		Name: "cloud/short-connection-id", Text: "gives connection ids of four bytes",
		Breaks: []string{"R-25"},
		Cloud:  func(c *target.CloudConfig) { c.ServerFaults.CIDLength = 4 },
		Device: faulty(func(f *target.DeviceFaults) { f.Handshake.AcceptAnyCID = true }),
		Run:    []string{"handshake/connection-id"}, Fails: []string{"handshake/connection-id"},
	},
	{
		Name: "cloud/fixed-nonce", Text: "begins every TCP connection with the same nonce",
		Breaks: []string{"R-1"},
		Cloud:  func(c *target.CloudConfig) { c.LightFaults.FixedNonce = true },
		On:     tcp, Run: []string{"handshake"}, Fails: []string{"handshake/tcp-exchange"},
	},
	{
		Name: "cloud/speaks-first", Text: "asks for the describe before it has acknowledged the Hello",
		Breaks: []string{"C-1"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.RequestBeforeHelloAck = true },
		On:     modern, Run: []string{"handshake/hello-first"}, Fails: []string{"handshake/hello-first"},
	},
	{
		Name: "cloud/silent-events", Text: "does not acknowledge events",
		Breaks: []string{"C-6"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.SilentEvents = true },
		On:     modern, Run: []string{"handshake/everything-acknowledged"}, Fails: []string{"handshake/everything-acknowledged"},
	},
	{
		Name: "cloud/wrong-time", Text: "tells a time that is an hour off",
		Breaks: []string{"C-11"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.WrongTime = true },
		On:     threeOf, Run: []string{"handshake"}, Fails: []string{"handshake/time"},
	},
	{
		Name: "cloud/time-with-option", Text: "puts a Content-Format into the time",
		Breaks: []string{"C-11"},
		Cloud:  func(c *target.CloudConfig) { c.App.Faults.TimeWithOption = true },
		On:     threeOf, Run: []string{"handshake"}, Fails: []string{"handshake/time"},
	},
	{
		Name: "device/wordy", Text: "has a describe that takes more than a connect may",
		Breaks: []string{"S6"},
		Device: func(c *target.DeviceConfig) {
			app := *c.App
			for i := range 400 {
				app.Functions = append(app.Functions, target.Function{
					Name: fmt.Sprintf("function%03d", i), Call: func(target.DeviceID, []byte) int32 { return 0 },
				})
			}
			c.App = &app
		},
		Run: []string{"handshake"}, Fails: []string{"handshake/cost"},
	},
	{
		Name: "cloud/any-device", Text: "lets devices in whose key nobody registered",
		Breaks: []string{"R-32", "R-4"},
		Cloud:  func(c *target.CloudConfig) { c.Faults.AcceptUnknownKey = true; c.LightFaults.AcceptAnyKey = true },
		On:     both, Run: []string{"handshake"}, Fails: []string{"handshake/stranger"},
	},
	{
		Name: "device/any-cloud", Text: "does not check what proves the cloud's key",
		Breaks: []string{"R-43", "R-16"},
		Device: faulty(func(f *target.DeviceFaults) {
			f.Handshake.AcceptAnySignature = true
			f.Stream.AcceptAnySignature = true
		}),
		On: both, Run: []string{"handshake"}, Fails: []string{"handshake/impostor-cloud"},
	},
}
