package mutants

import (
	"crypto/rand"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
)

// What the suite timers judges, broken.
var timersMutants = []Mutant{
	{
		Name: "cloud/ping-reset", Text: "answers pings with Reset, as RFC 7252 has it",
		Breaks: []string{"R-82"},
		Cloud:  exchangeFaults(coap.Faults{AnswerPingWithReset: true}),
		Run:    []string{"timers/keep-alive", "resume/bytes"}, Fails: []string{"timers/keep-alive", "resume/bytes"},
	},
	{
		Name: "device/handshake-timeout", Text: "does not double the timeout of its flights",
		Breaks: []string{"R-47"},
		Device: faulty(func(f *target.DeviceFaults) { f.Handshake.KeepTimeout = true }),
		Run:    []string{"timers"}, Fails: []string{"timers/handshake-retransmission"},
	},
	{
		Name: "device/no-ping", Text: "never pings",
		Breaks: []string{"R-87", "R-21", "D-13"},
		Device: faulty(func(f *target.DeviceFaults) { f.NoPing = true }),
		On:     threeOf, Run: []string{"timers"}, Fails: []string{"timers/keep-alive", "timers/silent-cloud"},
	},
	{
		Name: "device/keeps-timeout", Text: "does not double the timeout of its messages",
		Breaks: []string{"D-2"},
		Device: faulty(func(f *target.DeviceFaults) { f.CoAP.KeepTimeout = true }),
		Run:    []string{"timers"}, Fails: []string{"timers/retransmission"}, Also: []string{"timers/expiry"},
	},
	{
		Name: "device/resumes-forever", Text: "keeps a session whatever happens to it",
		Breaks: []string{"R-76", "R-77"},
		Device: faulty(func(f *target.DeviceFaults) { f.ResumeForever = true }),
		On:     []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"timers"}, Fails: []string{"timers/expiry"},
	},
	{
		Name: "device/unseeded", Text: "draws from a source that no seed decides",
		Breaks: []string{"D-1"},
		Device: func(c *target.DeviceConfig) { c.Rand = rand.Reader },
		On:     both, Run: []string{"timers"}, Fails: []string{"timers/same-seed"},
	},
}
