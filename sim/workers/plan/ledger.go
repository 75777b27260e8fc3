package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/record"
)

// A Ledger adds up what workers measured. Batches may come in any order and more
// than once: each counts once. What it gives out is a sample for each interval,
// worker, group and phase, however many parts the worker has.
type Ledger struct {
	every    time.Duration
	parts    []Part
	owners   map[owner]*stream
	keys     map[string]bool // of the coordinator's own batches
	notes    map[saying]int  // that were told, and index+1 in counted of what has a count
	counted  []record.Note
	open     map[time.Duration]*interval
	given    time.Duration // intervals up to here were given out
	doubled  uint64
	refused  uint64
	lastSeen []time.Duration // by part: its latest interval, by any owner
	stands   []stand         // by part: where its devices are
	told     map[place]bool  // of which places levels were given out
	phase    string          // the latest of which they were
}

// An owner is one holder of a part.
type owner struct{ part, epoch int }

// A saying is a note without its time: workers notice the same things.
type saying struct{ kind, text string }

// A stream is what came of one owner.
type stream struct {
	worker string
	next   uint64          // all before have come
	ahead  map[uint64]bool // and these
	over   bool            // the last has come
	last   uint64          // its number, when over
	told   []span          // of what time, in order and apart
	torn   []span          // of what time a piece has come, and not the rest
	counts record.Tally    // Counts only
}

// A span is a stretch of time, by offsets from the beginning of the run.
type span struct{ from, until time.Duration }

// join adds a span to others.
func join(list []span, s span) []span {
	list = append(list, s)
	slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	kept := list[:1]
	for _, x := range list[1:] {
		if end := &kept[len(kept)-1]; x.from <= end.until {
			end.until = max(end.until, x.until)
		} else {
			kept = append(kept, x)
		}
	}
	return kept
}

func within(list []span, at time.Duration) bool {
	return slices.ContainsFunc(list, func(s span) bool { return s.from < at && at <= s.until })
}

// An interval is gathered until all parts have told of it.
type interval struct {
	cells  map[cell]*record.Sample
	levels []standing
}

// A standing is what an owner told of where its devices are.
type standing struct {
	owner
	phase, group, worker string
	levels               map[record.Level]int64
}

// A stand is where the devices of a part are, as far as is known.
type stand struct {
	epoch  int
	worker string
	at     time.Duration // the interval that told
	groups map[string]map[record.Level]int64
}

// standKeep is how long devices of a part that is over stand where they stood: the
// parts of a run do not end in the same interval.
const standKeep = 30 * time.Second

type cell struct{ phase, group, worker string }

// A place is where devices are: their levels are told for it.
type place struct{ group, worker string }

// NewLedger returns an empty ledger for parts that tell of intervals of a length.
func NewLedger(parts []Part, every time.Duration) *Ledger {
	return &Ledger{
		every: every, parts: parts, owners: make(map[owner]*stream), keys: make(map[string]bool), notes: make(map[saying]int),
		open: make(map[time.Duration]*interval), lastSeen: make([]time.Duration, len(parts)), stands: make([]stand, len(parts)), told: make(map[place]bool),
	}
}

// Add takes a batch. The samples and notes that it lets go are appended to out; the
// result is false when it was there already or belongs to no part.
func (l *Ledger) Add(b *Batch, out *Out) bool {
	if b.Key != "" {
		if l.keys[b.Key] {
			l.doubled++
			return false
		}
		l.keys[b.Key] = true
		out.Notes = append(out.Notes, b.Notes...)
		return true
	}
	if b.Part < 0 || b.Part >= len(l.parts) || b.Epoch < 1 {
		l.refused++
		return false
	}
	s := l.owners[owner{b.Part, b.Epoch}]
	if s == nil {
		s = &stream{worker: b.Worker, ahead: make(map[uint64]bool)}
		l.owners[owner{b.Part, b.Epoch}] = s
	}
	if b.Seq < s.next || s.ahead[b.Seq] {
		l.doubled++
		return false
	}
	s.ahead[b.Seq] = true
	for s.ahead[s.next] {
		delete(s.ahead, s.next)
		s.next++
	}
	if b.Last {
		s.over, s.last = true, b.Seq
	}
	for i := range b.Samples {
		l.sample(b, s, &b.Samples[i], out)
	}
	for _, n := range b.Notes {
		if n.Kind == kindCampaign { // each part has its own waves
			n.Text = fmt.Sprintf("worker %s, part %d: %s", b.Worker, b.Part, n.Text)
		}
		l.note(n, out)
	}
	return true
}

// note passes on what a worker noticed, once, however many notice it. What has a
// count is added up until the end.
func (l *Ledger) note(n record.Note, out *Out) {
	key := saying{n.Kind, n.Text}
	if n.Count > 0 {
		key.text += "\x00count"
		if i := l.notes[key]; i > 0 {
			l.counted[i-1].Count += n.Count
			return
		}
		l.counted = append(l.counted, n)
		l.notes[key] = len(l.counted)
		return
	}
	if l.notes[key] == 0 {
		l.notes[key] = 1
		out.Notes = append(out.Notes, n)
	}
}

// Counted returns the notes that have a count, added up.
func (l *Ledger) Counted() []record.Note { return l.counted }

func (l *Ledger) sample(b *Batch, s *stream, x *record.Sample, out *Out) {
	if took := (span{x.At - x.Every, x.At}); b.More && x.At == b.Samples[len(b.Samples)-1].At {
		s.torn = join(s.torn, took)
	} else {
		s.told = join(s.told, took)
		s.torn = slices.DeleteFunc(s.torn, func(t span) bool { return took.from <= t.from && t.until <= took.until })
	}
	s.counts.Add(&record.Tally{Counts: x.Counts})
	at := l.round(x.At)
	l.lastSeen[b.Part] = max(l.lastSeen[b.Part], at)
	if at <= l.given {
		// Late: it counts, but where devices stood then has been told. Where they are at
		// the end may be known by it alone.
		if len(x.Levels) > 0 && b.Epoch >= l.stands[b.Part].epoch && at >= l.stands[b.Part].at {
			phase := l.phase
			l.stand(standing{owner{b.Part, b.Epoch}, x.Phase, x.Group, b.Worker, x.Levels}, at)
			l.phase = phase
		}
		late := *x
		late.At, late.Worker, late.Levels = at, b.Worker, nil
		out.Samples = append(out.Samples, late)
		return
	}
	i := l.open[at]
	if i == nil {
		i = &interval{cells: make(map[cell]*record.Sample)}
		l.open[at] = i
	}
	i.add(b, x, at, l.every)
}

// round returns the end of the interval that a time is nearest to: workers end theirs
// a little late, as timers do.
func (l *Ledger) round(at time.Duration) time.Duration { return max(l.every, at.Round(l.every)) }

// add merges a sample into the interval.
func (i *interval) add(b *Batch, x *record.Sample, at, every time.Duration) {
	key := cell{x.Phase, x.Group, b.Worker}
	sum := i.cells[key]
	if sum == nil {
		sum = &record.Sample{At: at, Every: every, Phase: x.Phase, Group: x.Group, Worker: b.Worker}
		i.cells[key] = sum
	}
	sum.Add(&x.Tally)
	if len(x.Levels) > 0 {
		i.levels = append(i.levels, standing{owner{b.Part, b.Epoch}, x.Phase, x.Group, b.Worker, x.Levels})
	}
	switch {
	case x.Self == nil:
	case sum.Self == nil:
		self := *x.Self
		sum.Self = &self
	default:
		worst(sum.Self, x.Self)
	}
}

// worst keeps the worst of what the parts of a worker say of the one program that
// runs them all.
func worst(a, b *record.Self) {
	a.CPU, a.MachineCPU, a.Cores = max(a.CPU, b.CPU), max(a.MachineCPU, b.MachineCPU), max(a.Cores, b.Cores)
	a.SchedDelay, a.GCPause, a.GCCPU = max(a.SchedDelay, b.SchedDelay), max(a.GCPause, b.GCPause), max(a.GCCPU, b.GCCPU)
	a.Heap, a.Resident = max(a.Heap, b.Heap), max(a.Resident, b.Resident)
	a.SocketDrops, a.Lag = a.SocketDrops+b.SocketDrops, max(a.Lag, b.Lag) // each part has sockets of its own
}

// Give gives out the intervals up to and including one.
func (l *Ledger) Give(until time.Duration, out *Out) {
	var due []time.Duration
	for at := range l.open {
		if at <= until {
			due = append(due, at)
		}
	}
	slices.Sort(due)
	for _, at := range due {
		l.giveOne(l.open[at], at, out)
		delete(l.open, at)
	}
	l.given = max(l.given, until)
}

func (l *Ledger) giveOne(i *interval, at time.Duration, out *Out) {
	for _, s := range i.levels {
		l.stand(s, at)
	}
	levels := l.levels(at)
	for place := range l.told { // of whoever tells no more nothing is there any more
		if levels[place] == nil {
			levels[place] = make(map[record.Level]int64)
		}
	}
	clear(l.told)
	list := make([]*record.Sample, 0, len(i.cells))
	for key, s := range i.cells {
		if p := (place{key.group, key.worker}); key.phase == l.phase && levels[p] != nil {
			s.Levels = levels[p]
			l.told[p] = len(s.Levels) > 0
			delete(levels, p)
		}
		list = append(list, s)
	}
	for p, some := range levels {
		list = append(list, &record.Sample{At: at, Every: l.every, Phase: l.phase, Group: p.group, Worker: p.worker, Levels: some})
		l.told[p] = len(some) > 0
	}
	maps.DeleteFunc(l.told, func(_ place, some bool) bool { return !some })
	slices.SortFunc(list, func(a, b *record.Sample) int {
		// That of no group is the last of a worker's.
		last := func(s *record.Sample) int {
			if s.Group == "" {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.Worker, b.Worker), cmp.Compare(last(a), last(b)), cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Group, b.Group))
	})
	for _, s := range list {
		out.Samples = append(out.Samples, *s)
	}
}

// stand notes where the devices of a part are.
func (l *Ledger) stand(s standing, at time.Duration) {
	st := &l.stands[s.part]
	if s.epoch < st.epoch {
		return
	}
	if s.epoch > st.epoch || st.groups == nil {
		*st = stand{epoch: s.epoch, worker: s.worker, groups: make(map[string]map[record.Level]int64)}
	}
	st.at, l.phase = at, s.phase
	st.groups[s.group] = s.levels
}

// levels returns where devices are in an interval: those of parts that tell, and of
// parts that are over.
func (l *Ledger) levels(at time.Duration) map[place]map[record.Level]int64 {
	sums := make(map[place]map[record.Level]int64)
	for part := range l.stands {
		st := &l.stands[part]
		over := l.complete(part, st.epoch) && at-st.at <= standKeep
		if st.at != at && !over {
			continue
		}
		for group, levels := range st.groups {
			p := place{group, st.worker}
			if sums[p] == nil {
				sums[p] = make(map[record.Level]int64)
			}
			for name, n := range levels {
				sums[p][name] += n
			}
		}
	}
	return sums
}

// End returns where the devices of each group are at the end: those of parts that
// are over, and of those that have told of the newest interval.
func (l *Ledger) End() map[string]map[record.Level]int64 {
	newest := slices.Max(l.lastSeen)
	sums := make(map[string]map[record.Level]int64)
	for part := range l.stands {
		st := &l.stands[part]
		if !l.complete(part, st.epoch) && st.at < newest {
			continue // nobody knows
		}
		for group, levels := range st.groups {
			if sums[group] == nil {
				sums[group] = make(map[record.Level]int64)
			}
			for name, n := range levels {
				sums[group][name] += n
			}
		}
	}
	return sums
}

// latest returns the latest interval of which every one of the parts has told, among
// those for which tells is true.
func (l *Ledger) latest(tells func(part int) bool) time.Duration {
	until := time.Duration(-1)
	for i, at := range l.lastSeen {
		if tells(i) && (until < 0 || at < until) {
			until = at
		}
	}
	return until
}

// complete reports whether all batches of an owner have come, the last included.
func (l *Ledger) complete(part, epoch int) bool {
	s := l.owners[owner{part, epoch}]
	return s != nil && s.over && s.next > s.last
}

// Twice returns how many batches came more than once, and were counted once.
func (l *Ledger) Twice() uint64 { return l.doubled }

// A Gap is intervals of a part that never arrived.
type Gap struct {
	Part  Part
	From  time.Duration // offsets from the beginning of the run
	Until time.Duration
	Count uint64 // intervals
	After string // the worker whose intervals came before; "": none
}

// Gaps returns what is missing up to a time, in order of parts and time. An interval
// of which only a piece came is missing too.
func (l *Ledger) Gaps(until time.Duration) (list []Gap) {
	if l.every <= 0 {
		return nil
	}
	for _, p := range l.parts {
		var gap *Gap
		after := ""
		for at := l.every; at <= until; at += l.every {
			if w, ok := l.whole(p.Index, at); ok {
				after, gap = w, nil
				continue
			}
			if gap == nil {
				list = append(list, Gap{Part: p, From: at - l.every, After: after})
				gap = &list[len(list)-1]
			}
			gap.Until, gap.Count = at, gap.Count+1
		}
	}
	return list
}

// whole returns who told of an interval of a part, if somebody did wholly.
func (l *Ledger) whole(part int, at time.Duration) (worker string, ok bool) {
	for epoch := l.epochs(part); epoch >= 1; epoch-- {
		middle := at - l.every/2
		if s := l.owners[owner{part, epoch}]; s != nil && within(s.told, middle) && !within(s.torn, middle) {
			return s.worker, true
		}
	}
	return "", false
}

// epochs returns the highest epoch of a part of which anything came.
func (l *Ledger) epochs(part int) (most int) {
	for o := range l.owners {
		if o.part == part {
			most = max(most, o.epoch)
		}
	}
	return most
}

// Shares returns a note for each worker of what it did.
func (l *Ledger) Shares() (list []record.Note) {
	type share struct {
		parts map[int]bool
		tally record.Tally
	}
	of := make(map[string]*share)
	var workers []string
	for o, s := range l.owners {
		if of[s.worker] == nil {
			of[s.worker] = &share{parts: make(map[int]bool)}
			workers = append(workers, s.worker)
		}
		of[s.worker].parts[o.part] = true
		of[s.worker].tally.Add(&s.counts)
	}
	slices.Sort(workers)
	for _, w := range workers {
		devices := 0
		for p := range of[w].parts {
			devices += l.parts[p].Count
		}
		c := of[w].tally.Counts
		list = append(list, record.Note{Kind: kindWorker, Text: fmt.Sprintf(
			"worker %s ran %s of the fleet with %s: %d handshakes, %d resumes, %d events acknowledged",
			w, plural(len(of[w].parts), "part"), plural(devices, "device"), c[record.Handshakes], c[record.Resumes], c[record.Published])})
	}
	return list
}

// overlap returns for how long an owner went on telling after the next owner began,
// which leases rule out but for a machine that stood still.
func (l *Ledger) overlap(part, epoch int) time.Duration {
	s, next := l.owners[owner{part, epoch}], l.owners[owner{part, epoch + 1}]
	if s == nil || next == nil || len(s.told) == 0 || len(next.told) == 0 {
		return 0
	}
	return max(0, s.told[len(s.told)-1].until-next.told[0].from)
}

const (
	kindWorker   = "worker"
	kindCampaign = "campaign"
)

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// at is a time of a run as an offset for notes.
func offset(begin, now clock.Instant) time.Duration {
	if begin == clock.Never || now < begin {
		return 0
	}
	return now.Sub(begin)
}
