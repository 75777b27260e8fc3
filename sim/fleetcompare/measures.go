package fleetcompare

import (
	"math"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/show"
)

// A measure is a number that both runs have.
type measure struct {
	name string
	// better is 1 when more is better, -1 when less is, 0 when it depends.
	better int
	write  func(float64) string
	// get returns the number of a piece or of all of them; NaN when it has none. least
	// says that few durations are enough, as for the whole.
	get func(p *piece, least bool) float64
	// extreme says that it is made by a single event, so that nothing can be said of
	// its noise.
	extreme bool
}

// measures are all of them, in the order in which they are shown.
var measures = func() (list []measure) {
	rate := func(name string, better int, c record.Counter) {
		list = append(list, measure{name: name, better: better, write: show.Rate, get: func(p *piece, _ bool) float64 {
			if p.seconds <= 0 {
				return math.NaN()
			}
			return float64(p.counts[c]) / p.seconds
		}})
	}
	share := func(name string, part, of record.Counter) {
		list = append(list, measure{name: name, better: -1, write: show.Percent, get: func(p *piece, _ bool) float64 {
			if p.counts[of] == 0 {
				return math.NaN()
			}
			return float64(p.counts[part]) / float64(p.counts[of])
		}})
	}
	rate("handshakes", 0, record.Handshakes)
	rate("resumes", 0, record.Resumes)
	rate("connections and attempts ended", -1, record.Offline)
	rate("events acknowledged", 1, record.Published)
	share("events failed", record.PublishFailed, record.Publishes)
	share("calls failed", record.CallsFailed, record.Calls)
	rate("updates applied", 1, record.UpdatesApplied)
	for _, t := range []struct {
		name  string
		timer record.Timing
	}{
		{"to connect", record.ConnectTime}, {"an event", record.PublishTime}, {"a delivery", record.DeliveryTime}, {"a call", record.CallTime}, {"an update", record.UpdateTime},
	} {
		for _, q := range []struct {
			name  string
			share float64
		}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}} {
			list = append(list, measure{
				name: t.name + ", " + q.name, better: -1, write: show.Seconds, extreme: q.share == 1,
				get: func(p *piece, least bool) float64 {
					h := p.times[t.timer]
					n := h.Count()
					if n == 0 || !least && float64(n)*(1-q.share) < tailLeast {
						return math.NaN()
					}
					return h.Quantiles(q.share)[0].Seconds()
				},
			})
		}
	}
	for _, c := range []struct {
		name     string
		activity record.Activity
		per      record.Counter
	}{
		{"bytes of a handshake", record.ActHandshake, record.Handshakes},
		{"bytes of a resume", record.ActResume, record.Resumes},
		{"bytes of an event", record.ActPublish, record.Published},
		{"bytes of a keep-alive", record.ActKeepAlive, record.Pings},
		{"bytes of an update", record.ActUpdate, record.UpdatesApplied},
	} {
		list = append(list, measure{name: c.name, better: -1, write: show.Bytes, get: func(p *piece, _ bool) float64 {
			if p.counts[c.per] == 0 {
				return math.NaN()
			}
			return float64(p.bytes[c.activity]) / float64(p.counts[c.per])
		}})
	}
	return append(list, measure{name: "bytes a device", better: -1, write: show.Bytes, get: func(p *piece, _ bool) float64 {
		if p.devices == 0 {
			return math.NaN()
		}
		sum := uint64(0)
		for _, n := range p.bytes {
			sum += n
		}
		return float64(sum) / p.devices
	}})
}()

// tailLeast is how many durations beyond a percentile a piece must have for it to
// say anything.
const tailLeast = 5
