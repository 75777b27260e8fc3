package fleetreport

import (
	"slices"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/selfwatch"
)

// A slot is what all groups and workers did in one interval.
type slot struct {
	counts [len(charted)]uint64
	up     uint64 // bytes
	down   uint64
	errors map[string]uint64
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
	every time.Duration   // of the first sample: the length of a slot
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
	if s.every == 0 {
		s.every, s.slots, s.width = sample.Every, make(map[int64]*slot), 1
	}
	s.judge.Add(sample)
	// An interval that a phase's end cut short belongs to the slot in which it
	// ended.
	n := int64(max(0, sample.At-1) / s.every)
	s.last = max(s.last, n)
	p := s.slots[n]
	if p == nil {
		p = &slot{}
		s.slots[n] = p
	}
	p.add(sample)
	for name, h := range sample.Times {
		s.merge(n, name, h)
	}
}

func (p *slot) add(s *record.Sample) {
	for i, c := range charted {
		p.counts[i] += s.Counts[c]
	}
	wire := s.Traffic()
	p.up += wire.Up
	p.down += wire.Down
	for reason, n := range s.Errors {
		if p.errors == nil {
			p.errors = make(map[string]uint64)
		}
		p.errors[reason] += n
	}
	if s.Levels != nil {
		if p.levels == nil {
			p.levels = make(map[string]map[record.Level]int64)
		}
		p.levels[s.Group+"\x00"+s.Worker] = s.Levels
	}
	if s.Self != nil {
		p.load(s.Self)
	}
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
