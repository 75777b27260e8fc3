package fleet

import (
	"math"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
)

// A Ramp does something to one device after the other, at a steady rate.
type Ramp struct {
	// First is the first device and Count how many there are; 0: up to the last.
	First, Count int
	// Rate is how many devices per second, in the whole fleet; 0: as fast as the
	// shards can.
	Rate float64
	// Do is what is done; nil: power on.
	Do Action
}

// withDefaults completes r for a fleet of n devices.
func (r Ramp) withDefaults(n int) Ramp {
	if r.Count == 0 {
		r.Count = n - r.First
	}
	if r.Do == nil {
		r.Do = powerOn
	}
	if r.First < 0 || r.Count < 0 || r.First+r.Count > n {
		panic("fleet: a ramp over devices that there are not")
	}
	return r
}

// at returns when device k of the ramp has its turn.
func (r *Ramp) at(start clock.Instant, k int) clock.Instant {
	if r.Rate <= 0 {
		return start
	}
	return start.Add(time.Duration(math.Round(float64(k) / r.Rate * float64(time.Second))))
}

// A ramp is the part of a Ramp that one shard does.
type ramp struct {
	Ramp
	start   clock.Instant
	k, step int // next device and distance to the one after, from First
}

// next returns when the next device has its turn.
func (r *ramp) next() clock.Instant { return r.at(r.start, r.k) }

// runRamps does what is due of the ramps, a batch at most of each.
func (s *shard) runRamps(now clock.Instant, out *transport.Out) {
	for i := 0; i < len(s.ramps); {
		r := &s.ramps[i]
		for n := 0; n < batch && r.k < r.Count && r.next() <= now; n++ {
			m := s.fleet.table.get(r.First + r.k)
			r.k += r.step
			r.Do(now, m.device, &s.out)
			s.act(now, m, out)
		}
		if r.k < r.Count {
			i++
			continue
		}
		s.ramps = append(s.ramps[:i], s.ramps[i+1:]...)
	}
}

// powerOn is PowerOn in the order of arguments of an Action.
func powerOn(now clock.Instant, d *device.Device, out *device.Out) { d.PowerOn(now, out) }
