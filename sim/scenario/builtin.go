package scenario

import (
	"time"

	"github.com/muster/muster/sim/workload"
)

// A Quick says what the scenario of a run without a file does.
type Quick struct {
	Devices  int
	Profiles []string
	// Rate is how many devices per second are switched on; 0: all at once.
	Rate float64
	// Duration is how long the run takes, above zero.
	Duration time.Duration
	// Publish is how often each device publishes an event; 0: never.
	Publish time.Duration
	// NoAck has events published that ask for no acknowledgement.
	NoAck bool
}

// Scenario returns it: one group and one phase, devices with a function length, a
// variable number and a subscription to fleet/, which pass when all are online in the
// end.
func (q Quick) Scenario() *Scenario {
	g := Group{
		Name: "devices", Devices: q.Devices, Profiles: q.Profiles,
		Functions: []Function{{Name: "length"}},
		Variables: []Variable{{Name: "number", Type: "int", Value: workload.Spread{Kind: workload.Uniform, A: 0, B: 1000}}},
		Subscribe: []string{"fleet/"},
	}
	if q.Publish > 0 {
		g.Publish = []Publish{{Event: "muster/fleet", Every: workload.Always(q.Publish.Seconds()), Size: workload.Always(32)}}
		if q.NoAck {
			g.Publish[0].Ack = new(bool)
		}
	}
	arrive := &Arrive{Rate: q.Rate}
	if q.Rate == 0 {
		arrive = &Arrive{AtOnce: true}
	}
	return &Scenario{
		Name: "quick run", Groups: []Group{g},
		Phases: []Phase{{Name: "run", Duration: q.Duration, Arrive: arrive}},
	}
}
