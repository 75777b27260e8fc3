package mutants

import (
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
)

// What the suite network judges, broken.
var networkMutants = []Mutant{
	{
		Name: "device/sends-once", Text: "never repeats a message",
		Breaks: []string{"D-2", "N-20", "N-21"},
		Device: faulty(func(f *target.DeviceFaults) { f.CoAP.NeverRetransmit = true }),
		On:     []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"network/lost", "network/reordered", "timers/retransmission"},
		Fails: []string{"network/lost", "network/reordered", "timers/retransmission"},
	},
	{
		Name: "cloud/takes-copies", Text: "takes copies of records and of messages",
		Breaks: []string{"R-52", "N-19", "C-7"},
		Cloud: func(c *target.CloudConfig) {
			c.RecordFaults = dtls.FaultAcceptReplay
			c.ExchangeFaults = &coap.Faults{NoDedupe: true}
		},
		On: []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"network"}, Fails: []string{"network/doubled"}, Also: []string{"network/reordered"},
	},
	{
		Name: "device/no-chunk-acks", Text: "does not acknowledge chunks",
		Breaks: []string{"D-15", "N-39"},
		Device: faulty(func(f *target.DeviceFaults) { f.NoChunkAcks = true }),
		On:     modern, Run: []string{"network/ota"}, Fails: []string{"network/ota"},
	},
}
