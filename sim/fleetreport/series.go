package fleetreport

import (
	"slices"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/selfwatch"
)

// A slot is what all groups and workers did in one interval.
type slot struct {
	counts [len(charted)]float64
	up     float64 // bytes
	down   float64
	errors map[string]float64
	took   map[string]float64                // seconds that were counted, by phase, group and worker
	levels map[string]map[record.Level]int64 // by group and worker
	self   *record.Self                      // of the most loaded worker in each respect
	strain selfwatch.Strain
	why    string
}

// charted are the counters that charts show over time.
var charted = [...]record.Counter{
	record.Handshakes, record.Resumes, record.Offline, record.Publishes, record.Published, record.PublishFailed, record.PublishRefused,
	record.EventsReceived, record.Pings, record.Calls, record.CallsFailed, record.UpdatesApplied, record.UpdatesFailed, record.Arrivals,
}

// column returns the place of a charted counter.
func column(c record.Counter) int { return slices.Index(charted[:], c) }

// binsMax is how many points a chart has at most, twice what a wide screen shows
// apart. It is even.
const binsMax = 1200

// A series gathers samples. Numbers are kept for each interval; histograms, which
// are large, for each of at most binsMax bins, which double their width when there
// are more. Merging histograms loses nothing, so the percentiles of a bin are exact.
type series struct {
	axis  record.Axis     // a slot is an interval of it
	slots map[int64]*slot // by number of the interval
	last  int64
	width int64 // slots in a bin
	bins  []map[record.Timing]record.Sparse
	judge selfwatch.Judge
}

func (s *series) add(sample *record.Sample) {
	if sample.Every <= 0 || sample.At < 0 {
		return
	}
	if s.slots == nil {
		s.axis, s.slots, s.width = record.NewAxis(s.axis.Every, sample.Every), make(map[int64]*slot), 1
	}
	s.judge.Add(sample)
	first, n := s.axis.Place(sample)
	for k := first; k < first+n; k++ {
		s.last = max(s.last, k)
		p := s.slots[k]
		if p == nil {
			p = &slot{took: make(map[string]float64)}
			s.slots[k] = p
		}
		p.add(sample, 1/float64(n))
	}
	for name, h := range sample.Times {
		s.merge(first, name, h)
	}
}

// add adds a share of a sample.
func (p *slot) add(s *record.Sample, share float64) {
	key := s.Group + "\x00" + s.Worker
	p.took[s.Phase+"\x00"+key] += s.Every.Seconds() * share
	for i, c := range charted {
		p.counts[i] += float64(s.Counts[c]) * share
	}
	wire := s.Traffic()
	p.up += float64(wire.Up) * share
	p.down += float64(wire.Down) * share
	for reason, n := range s.Errors {
		if p.errors == nil {
			p.errors = make(map[string]float64)
		}
		p.errors[reason] += float64(n) * share
	}
	if s.Levels != nil {
		if p.levels == nil {
			p.levels = make(map[string]map[record.Level]int64)
		}
		p.levels[key] = s.Levels
	}
	if s.Self != nil {
		p.load(s.Self)
	}
}

// rate returns a number a second.
func (p *slot) rate(n float64) float64 {
	seconds := 0.0
	for _, t := range p.took {
		seconds = max(seconds, t)
	}
	if seconds <= 0 {
		return 0
	}
	return n / seconds
}

// load keeps the worst of several workers.
func (p *slot) load(s *record.Self) {
	if strain, why := selfwatch.Look(s); strain > p.strain {
		p.strain, p.why = strain, why
	}
	if p.self == nil {
		c := *s
		p.self = &c
		return
	}
	w := p.self
	if s.Cores > 0 && s.CPU/float64(s.Cores) > w.CPU/float64(max(1, w.Cores)) {
		w.CPU, w.MachineCPU, w.Cores = s.CPU, s.MachineCPU, s.Cores
	}
	w.SchedDelay, w.GCPause, w.Lag = max(w.SchedDelay, s.SchedDelay), max(w.GCPause, s.GCPause), max(w.Lag, s.Lag)
	w.GCCPU, w.Heap, w.Resident = max(w.GCCPU, s.GCCPU), max(w.Heap, s.Heap), max(w.Resident, s.Resident)
	w.SocketDrops += s.SocketDrops
}

// merge adds a histogram to the bin of a slot.
func (s *series) merge(n int64, name record.Timing, h *record.Histogram) {
	if h.Count() == 0 {
		return
	}
	for n/s.width >= binsMax {
		s.halve()
	}
	i := int(n / s.width)
	for len(s.bins) <= i {
		s.bins = append(s.bins, nil)
	}
	if s.bins[i] == nil {
		s.bins[i] = make(map[record.Timing]record.Sparse)
	}
	if s.bins[i][name] == nil {
		s.bins[i][name] = make(record.Sparse)
	}
	s.bins[i][name].Add(h)
}

// halve makes bins twice as wide.
func (s *series) halve() {
	s.width *= 2
	for i := 0; i < len(s.bins); i += 2 {
		to := s.bins[i]
		if i+1 < len(s.bins) {
			if to == nil {
				to = s.bins[i+1]
			} else {
				for name, from := range s.bins[i+1] {
					if to[name] == nil {
						to[name] = from
					} else {
						to[name].Merge(from)
					}
				}
			}
		}
		s.bins[i/2] = to
	}
	half := (len(s.bins) + 1) / 2
	clear(s.bins[half:])
	s.bins = s.bins[:half]
}
