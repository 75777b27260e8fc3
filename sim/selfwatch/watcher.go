package selfwatch

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/muster/muster/sim/record"
)

// The runtime's metrics that a Watcher reads.
const (
	schedLatencies = "/sched/latencies:seconds"
	gcPauses       = "/sched/pauses/total/gc:seconds"
	gcSeconds      = "/cpu/classes/gc/total:cpu-seconds"
	gcIdleSeconds  = "/cpu/classes/gc/mark/idle:cpu-seconds" // taken from nobody
	heapBytes      = "/memory/classes/heap/objects:bytes"
)

// A Watcher measures how loaded this process is. It is safe for concurrent use.
type Watcher struct {
	mu        sync.Mutex
	samples   []metrics.Sample
	at        time.Time
	process   float64 // seconds of processor time so far
	machine   float64
	gc        float64
	latest    record.Self // when these were measured
	sched     []uint64    // counts of the histograms so far
	pauses    []uint64
	overslept []time.Duration // how late the probe woke in this interval
}

// New returns a Watcher whose first interval begins now.
func New() *Watcher {
	w := &Watcher{}
	for _, name := range []string{schedLatencies, gcPauses, gcSeconds, gcIdleSeconds, heapBytes} {
		w.samples = append(w.samples, metrics.Sample{Name: name})
	}
	w.Read()
	return w
}

const (
	probeEvery = 10 * time.Millisecond // how often the probe wakes
	probesMax  = 6000                  // of an interval that nobody reads
)

// Run wakes a goroutine a hundred times a second and notes how late it comes, until
// ctx ends. It notices what the runtime cannot: that the kernel gave the cores to
// somebody else.
func (w *Watcher) Run(ctx context.Context) {
	t := time.NewTicker(probeEvery)
	defer t.Stop()
	for {
		asked := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		late := max(0, time.Since(asked)-probeEvery)
		w.mu.Lock()
		if len(w.overslept) < probesMax {
			w.overslept = append(w.overslept, late)
		}
		w.mu.Unlock()
	}
}

// Read returns how loaded the generator was since the call before, and begins the
// next interval. SocketDrops and Lag are for the caller to fill in.
func (w *Watcher) Read() record.Self {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := record.Self{Cores: runtime.GOMAXPROCS(0)}
	metrics.Read(w.samples)
	w.measure(&s)
	s.Heap = w.sample(heapBytes).Uint64()
	s.SchedDelay = max(quantile(w.delta(schedLatencies, &w.sched), 0.99), worst(w.overslept, 0.99))
	s.GCPause = quantile(w.delta(gcPauses, &w.pauses), 1)
	w.overslept = w.overslept[:0]
	return s
}

// shortest is the shortest time over which the use of cores can be told: the kernel
// counts it in hundredths of a second.
const shortest = 250 * time.Millisecond

// measure fills in the use of cores since it was measured before. Too soon after that it
// is what it was.
func (w *Watcher) measure(s *record.Self) {
	now, used := time.Now(), readUsage()
	s.Resident = used.resident
	took := now.Sub(w.at)
	if took < shortest && !w.at.IsZero() {
		s.CPU, s.MachineCPU, s.GCCPU = w.latest.CPU, w.latest.MachineCPU, w.latest.GCCPU
		return
	}
	spent, gc := max(0, used.process-w.process), w.float(gcSeconds)-w.float(gcIdleSeconds)
	s.CPU = spent / took.Seconds()
	s.MachineCPU = max(s.CPU, (used.machine-w.machine)/took.Seconds())
	if spent > 0 {
		s.GCCPU = min(1, max(0, gc-w.gc)/spent)
	}
	w.at, w.process, w.machine, w.gc, w.latest = now, used.process, used.machine, gc, *s
}

func (w *Watcher) sample(name string) metrics.Value {
	for i := range w.samples {
		if w.samples[i].Name == name {
			return w.samples[i].Value
		}
	}
	panic("selfwatch: no metric " + name)
}

func (w *Watcher) float(name string) float64 { return w.sample(name).Float64() }

// A tally is what a histogram of the runtime counted in an interval.
type tally struct {
	counts []uint64
	edges  []float64 // seconds, one more than counts
}

// delta returns what a histogram counted since the call before.
func (w *Watcher) delta(name string, before *[]uint64) tally {
	h := w.sample(name).Float64Histogram()
	d := tally{counts: make([]uint64, len(h.Counts)), edges: h.Buckets}
	for i, n := range h.Counts {
		d.counts[i] = n
		if i < len(*before) {
			d.counts[i] -= (*before)[i]
		}
	}
	*before = append((*before)[:0], h.Counts...)
	return d
}
