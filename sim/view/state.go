package view

import (
	"cmp"
	"slices"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/selfwatch"
)

// historyMax is how many intervals are remembered for the small curves.
const historyMax = 240

// A state is what is known of a run. It belongs to one goroutine at a time.
type state struct {
	run    *record.Run // as it was planned; nil: not known yet
	began  bool
	at     time.Duration // the end of the latest interval
	axis   record.Axis
	phase  string
	levels map[string]map[record.Level]int64 // by group and worker
	self   map[string]record.Self            // by worker

	slot    int64 // number of the interval that is being counted
	closed  bool  // it is complete
	now     record.Tally
	last    record.Tally // of the latest complete interval
	lasted  float64      // and its length in seconds
	span    time.Duration
	inPhase record.Tally // since the phase began
	whole   record.Tally // counts and errors of the run, without durations
	notes   []record.Note
	history history
}

// A history is one number for each interval, the latest last.
type history struct {
	rates map[record.Counter][]float64
	peaks map[record.Counter]float64
	times map[record.Timing][]float64 // 99th percentile, in seconds
	bytes []float64                   // on the wire, a second
	most  float64                     // of bytes
}

func newState() *state {
	return &state{
		levels: make(map[string]map[record.Level]int64), self: make(map[string]record.Self), slot: -1,
		history: history{rates: make(map[record.Counter][]float64), peaks: make(map[record.Counter]float64), times: make(map[record.Timing][]float64)},
	}
}

// begin hears of the plan.
func (s *state) begin(r *record.Run) { s.run = r }

// add takes a sample into account. Samples of several workers for an interval may
// come in any order; one that comes after the next interval has begun counts there.
func (s *state) add(x *record.Sample) {
	if x.Every <= 0 {
		return
	}
	if s.axis.Every == 0 {
		planned := time.Duration(0)
		if s.run != nil {
			planned = s.run.Every
		}
		s.axis = record.NewAxis(planned, x.Every)
	}
	if first, n := s.axis.Place(x); first+n-1 > s.slot || s.closed && x.At > s.at {
		s.close()
		s.slot, s.closed = max(s.slot, first+n-1), false
	}
	s.began = true
	s.at, s.span = max(s.at, x.At), max(s.span, x.Every)
	if x.Phase != s.phase && s.later(x.Phase) {
		s.phase, s.inPhase = x.Phase, record.Tally{}
	}
	s.now.Add(&x.Tally)
	if x.Phase == s.phase {
		s.inPhase.Add(&x.Tally)
	}
	s.whole.Add(&record.Tally{Counts: x.Counts, Errors: x.Errors, Bytes: x.Bytes})
	if x.Levels != nil {
		s.levels[x.Group+"\x00"+x.Worker] = x.Levels
	}
	if x.Self != nil {
		s.self[x.Worker] = *x.Self
		if x.Worker == "" { // of the only generator, the last sample of an interval
			s.close()
		}
	}
}

// later reports whether a phase comes after the present one: what is acknowledged
// late is counted in the phase in which it began.
func (s *state) later(phase string) bool { return s.number(phase) >= s.number(s.phase) }

// number returns the place of a phase, from 0; -1 of an unknown one.
func (s *state) number(phase string) int {
	if s.run == nil {
		return -1
	}
	return slices.IndexFunc(s.run.Phases, func(p record.Phase) bool { return p.Name == phase })
}

// close ends the interval that is being counted.
func (s *state) close() {
	if s.slot < 0 || s.closed {
		return
	}
	s.closed = true
	s.last, s.now = s.now, record.Tally{}
	seconds := max(s.span, time.Millisecond).Seconds()
	for _, r := range rates {
		v := 0.0
		for _, c := range r.counters {
			v += float64(s.last.Counts[c]) / seconds
		}
		key := r.counters[0]
		s.history.rates[key] = push(s.history.rates[key], v)
		s.history.peaks[key] = max(s.history.peaks[key], v)
	}
	wire := float64(s.last.Traffic().Total()) / seconds
	s.history.bytes, s.history.most = push(s.history.bytes, wire), max(s.history.most, wire)
	s.lasted = seconds
	for _, t := range timings {
		s.history.times[t.name] = push(s.history.times[t.name], s.last.Times[t.name].Quantile(0.99).Seconds())
	}
	s.span = 0
}

func push(list []float64, v float64) []float64 {
	if len(list) >= historyMax {
		list = append(list[:0], list[1:]...)
	}
	return append(list, v)
}

// note keeps the latest notes.
func (s *state) note(n record.Note) {
	const keep = 20
	if s.notes = append(s.notes, n); len(s.notes) > keep {
		s.notes = s.notes[len(s.notes)-keep:]
	}
}

// devices returns how many devices are at what. Those that update are online too,
// and counted once.
func (s *state) devices() map[record.Level]int64 {
	sum := make(map[record.Level]int64)
	for _, l := range s.levels {
		for name, n := range l {
			sum[name] += n
		}
	}
	if s.run != nil {
		planned := int64(0)
		for _, g := range s.run.Groups {
			planned += int64(g.Devices)
		}
		if missing := planned - sum[record.Devices]; missing > 0 { // of workers that have not reported
			sum[record.Devices] += missing
			sum[record.Off] += missing
		}
	}
	sum[record.Online] = max(0, sum[record.Online]-sum[record.Updating])
	return sum
}

// A reason is why connections ended, and how often.
type reason struct {
	text  string
	now   float64 // a second
	total uint64
}

// reasons lists them, the most frequent first.
func (s *state) reasons() (list []reason) {
	for text, n := range s.whole.Errors {
		list = append(list, reason{text, float64(s.last.Errors[text]) / max(s.lasted, 0.001), n})
	}
	slices.SortFunc(list, func(a, b reason) int {
		return cmp.Or(cmp.Compare(b.total, a.total), cmp.Compare(a.text, b.text))
	})
	return list
}

// worst returns the most loaded generator, its worker and why it is.
func (s *state) worst() (self record.Self, worker string, strain selfwatch.Strain, why string) {
	names := make([]string, 0, len(s.self))
	for name := range s.self {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		x := s.self[name]
		g, text := selfwatch.Look(&x)
		if i == 0 || g > strain || g == strain && x.CPU*float64(max(1, self.Cores)) > self.CPU*float64(max(1, x.Cores)) {
			self, worker, strain, why = x, name, g, text
		}
	}
	return self, worker, strain, why
}

// planned returns the phase that is going on, as it was planned.
func (s *state) planned() (p record.Phase, number, of int) {
	if s.run == nil {
		return record.Phase{Name: s.phase}, 0, 0
	}
	i := max(0, s.number(s.phase))
	if i >= len(s.run.Phases) {
		return record.Phase{Name: s.phase}, 0, 0
	}
	return s.run.Phases[i], i + 1, len(s.run.Phases)
}

// endless is how long a run is planned to take that goes on until it is interrupted, at
// least.
const endless = 14 * 24 * time.Hour

// end is when the run is planned to end; 0: not known, or never.
func (s *state) end() (end time.Duration) {
	if s.run != nil {
		for _, p := range s.run.Phases {
			end = max(end, p.End)
		}
	}
	if end >= endless {
		return 0
	}
	return end
}
