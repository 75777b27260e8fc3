package fleetmetrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/selfwatch"
)

// An Exporter keeps what was counted since a run began. It is safe for concurrent
// use.
type Exporter struct {
	registry *prometheus.Registry

	mu     sync.Mutex
	run    record.Run // what is known at its beginning
	at     time.Duration
	phase  string
	groups map[string]*sums
	levels map[string]map[string]map[record.Level]int64 // by group and worker
	self   map[string]record.Self                       // by worker
	drops  map[string]uint64                            // by worker
}

// sums are the counters of a group.
type sums struct {
	counts map[record.Counter]uint64
	errors map[string]uint64
	bytes  map[record.Activity]record.Traffic
	times  map[record.Timing]*distribution
}

// A distribution is a histogram as Prometheus wants it.
type distribution struct {
	count   uint64
	sum     float64 // seconds
	buckets []uint64
}

// bounds are the upper bounds of the buckets, in seconds: from a call within a
// machine to an update over a slow modem.
var bounds = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900}

// New returns an exporter with a registry of its own.
func New() *Exporter {
	e := &Exporter{
		registry: prometheus.NewRegistry(), groups: make(map[string]*sums), levels: make(map[string]map[string]map[record.Level]int64),
		self: make(map[string]record.Self), drops: make(map[string]uint64),
	}
	e.registry.MustRegister(e, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return e
}

// Begin hears what the run is about.
func (e *Exporter) Begin(r *record.Run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run = record.Run{Name: r.Name, Seed: r.Seed, Cloud: r.Cloud, Muster: r.Muster, Phases: append([]record.Phase(nil), r.Phases...)}
	for _, g := range r.Groups {
		e.group(g.Name) // so that its counters begin at 0
	}
}

// Note implements the sink of a run.
func (e *Exporter) Note(record.Note) {}

// Sample adds what happened in an interval.
func (e *Exporter) Sample(s *record.Sample) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at = max(e.at, s.At)
	if e.place(s.Phase) >= e.place(e.phase) {
		e.phase = s.Phase
	}
	g := e.group(s.Group)
	for c, n := range s.Counts {
		g.counts[c] += n
	}
	for reason, n := range s.Errors {
		g.errors[reason] += n
	}
	for a, n := range s.Bytes {
		g.bytes[a] = g.bytes[a].Plus(n)
	}
	for name, h := range s.Times {
		if g.times[name] == nil {
			g.times[name] = &distribution{buckets: make([]uint64, len(bounds))}
		}
		g.times[name].add(h)
	}
	if s.Levels != nil {
		if e.levels[s.Group] == nil {
			e.levels[s.Group] = make(map[string]map[record.Level]int64)
		}
		e.levels[s.Group][s.Worker] = s.Levels
	}
	if s.Self != nil {
		e.self[s.Worker] = *s.Self
		e.drops[s.Worker] += s.Self.SocketDrops
	}
}

// place returns the number of a phase: what is acknowledged late is counted in the
// phase in which it began, which is over.
func (e *Exporter) place(phase string) int {
	for i, p := range e.run.Phases {
		if p.Name == phase {
			return i
		}
	}
	return -1
}

func (e *Exporter) group(name string) *sums {
	if e.groups[name] == nil {
		e.groups[name] = &sums{
			counts: make(map[record.Counter]uint64), errors: make(map[string]uint64),
			bytes: make(map[record.Activity]record.Traffic), times: make(map[record.Timing]*distribution),
		}
	}
	return e.groups[name]
}

func (d *distribution) add(h *record.Histogram) {
	if h.Count() == 0 {
		return
	}
	d.count += uint64(h.Count())
	d.sum += h.Mean().Seconds() * float64(h.Count())
	h.Each(func(t time.Duration, n int64) {
		for i, b := range bounds {
			if t.Seconds() <= b*1.001 { // three digits: what is told as the bound is it
				d.buckets[i] += uint64(n)
				return
			}
		}
	})
}

// cumulative returns the counts up to each bound.
func (d *distribution) cumulative() map[float64]uint64 {
	out := make(map[float64]uint64, len(bounds))
	sum := uint64(0)
	for i, b := range bounds {
		sum += d.buckets[i]
		out[b] = sum
	}
	return out
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("muster_fleet_"+name, help, labels, nil)
}

var (
	descRun      = desc("run_info", "What is run.", "scenario", "cloud", "seed", "version")
	descPhase    = desc("phase", "1 for the phase that is going on, 0 for the others.", "phase")
	descElapsed  = desc("elapsed_seconds", "How long the run has been going on.")
	descPlanned  = desc("planned_seconds", "How long the run is planned to take.")
	descDevices  = desc("devices", "Devices, by what they are doing. Those that are being updated are online too.", "group", "state")
	descEnded    = desc("ended_total", "Connections and attempts that ended, by reason.", "group", "reason")
	descBytes    = desc("wire_bytes_total", "Bytes on the wire with IP, UDP and TCP headers, by what they were for.", "group", "activity", "direction")
	descPackets  = desc("wire_packets_total", "Datagrams, or protocol units over TCP, by what they were for.", "group", "activity", "direction")
	descDuration = desc("duration_seconds", "How long things took: connect, connect_handshake, connect_resume, publish (from when it was due), publish_service (from when it was sent), delivery, call, update.", "group", "what")
	descCPU      = desc("generator_cpu_cores", "Cores that the generator uses.", "worker")
	descMachine  = desc("generator_machine_cpu_cores", "Cores that all programs on the generator's machine use.", "worker")
	descCores    = desc("generator_cores", "Cores that there are for the generator.", "worker")
	descSched    = desc("generator_sched_delay_seconds", "99th percentile of how long work of the generator waited for a core in the latest interval.", "worker")
	descPause    = desc("generator_gc_pause_seconds", "Longest pause of the garbage collector in the latest interval.", "worker")
	descGC       = desc("generator_gc_cpu_ratio", "Share of the generator's time that went to collecting garbage.", "worker")
	descLag      = desc("generator_lag_seconds", "How late the latest arrival of the interval was begun.", "worker")
	descHeap     = desc("generator_heap_bytes", "Live memory of the generator.", "worker")
	descResident = desc("generator_resident_bytes", "Resident memory of the generator.", "worker")
	descDrops    = desc("generator_socket_drops_total", "Datagrams that the kernel dropped at the generator's sockets.", "worker")
	descStrain   = desc("generator_strain", "0: calm, 1: busy, 2: the generator is the bottleneck.", "worker")

	others = []*prometheus.Desc{
		descRun, descPhase, descElapsed, descPlanned, descDevices, descEnded, descBytes, descPackets, descDuration, descCPU, descMachine,
		descCores, descSched, descPause, descGC, descLag, descHeap, descResident, descDrops, descStrain,
	}
)

// counted are the counters by group.
var counted = []record.Counter{
	record.Attempts, record.Handshakes, record.Resumes, record.Connected, record.Offline, record.Arrivals, record.Late, record.Publishes,
	record.Published, record.PublishFailed, record.PublishRefused, record.EventsReceived, record.FunctionsCalled, record.VariablesRead,
	record.Pings, record.Sleeps, record.Moves, record.UpdatesBegun, record.UpdatesApplied, record.UpdatesFailed, record.Calls,
	record.CallsFailed, record.Ignored, record.Stray, record.ImpairLost, record.SocketDrops, record.SendFailed, record.SendRefused,
}

var countedDescs = func() map[record.Counter]*prometheus.Desc {
	list := make(map[record.Counter]*prometheus.Desc)
	for _, c := range counted {
		list[c] = desc(string(c)+"_total", record.Help[string(c)]+".", "group")
	}
	return list
}()

var stateNames = []record.Level{record.Online, record.Connecting, record.Queued, record.Sleeping, record.Updating, record.Off, record.Devices}

// Describe implements prometheus.Collector.
func (e *Exporter) Describe(to chan<- *prometheus.Desc) {
	for _, d := range others {
		to <- d
	}
	for _, d := range countedDescs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(to chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(descRun, 1, e.run.Name, e.run.Cloud, strconv.FormatUint(e.run.Seed, 10), e.run.Muster)
	planned := time.Duration(0)
	for _, p := range e.run.Phases {
		on := 0.0
		if p.Name == e.phase {
			on = 1
		}
		gauge(descPhase, on, p.Name)
		planned = max(planned, p.End)
	}
	gauge(descElapsed, e.at.Seconds())
	gauge(descPlanned, planned.Seconds())
	for name, g := range e.groups {
		for _, c := range counted {
			counter(countedDescs[c], g.counts[c], name)
		}
		for reason, n := range g.errors {
			counter(descEnded, n, name, reason)
		}
		for a, n := range g.bytes {
			counter(descBytes, n.Up, name, string(a), "up")
			counter(descBytes, n.Down, name, string(a), "down")
			counter(descPackets, n.UpPackets, name, string(a), "up")
			counter(descPackets, n.DownPackets, name, string(a), "down")
		}
		for what, d := range g.times {
			to <- prometheus.MustNewConstHistogram(descDuration, d.count, d.sum, d.cumulative(), name, string(what))
		}
	}
	for group, workers := range e.levels {
		sum := make(map[record.Level]int64)
		known := make(map[record.Level]bool)
		for _, l := range workers {
			for level, n := range l {
				sum[level] += n
				known[level] = true
			}
		}
		for _, level := range stateNames {
			if known[level] {
				gauge(descDevices, float64(sum[level]), group, stateLabel(level))
			}
		}
	}
	for worker, s := range e.self {
		strain, _ := selfwatch.Look(&s)
		gauge(descCPU, s.CPU, worker)
		gauge(descMachine, s.MachineCPU, worker)
		gauge(descCores, float64(s.Cores), worker)
		gauge(descSched, s.SchedDelay.Seconds(), worker)
		gauge(descPause, s.GCPause.Seconds(), worker)
		gauge(descGC, s.GCCPU, worker)
		gauge(descLag, s.Lag.Seconds(), worker)
		gauge(descHeap, float64(s.Heap), worker)
		gauge(descResident, float64(s.Resident), worker)
		gauge(descStrain, float64(strain), worker)
		counter(descDrops, e.drops[worker], worker)
	}
}

// stateLabel is the name of a level; that of all devices is "all".
func stateLabel(l record.Level) string {
	if l == record.Devices {
		return "all"
	}
	return string(l)
}
