package selfwatch

import (
	"fmt"
	"strings"
	"time"

	"github.com/muster/muster/sim/record"
)

// A Finding says that a generator was the bottleneck in a phase.
type Finding struct {
	Phase  string
	Worker string // "" when the run had no workers
	// Late says that less was asked of the cloud, or later, than the scenario says:
	// not even what went well is proven. The other symptoms make results worse
	// than they are, never better.
	Late bool
	// Slow says that it only made times longer: what was counted stands.
	Slow bool
	What string // what was seen, and why: one sentence without its point
	Do   string // what to change
}

// String returns the finding as sentences.
func (f Finding) String() string { return f.What + ": " + f.Do }

// A Judge finds out in which phases a generator was the bottleneck. Give it each
// sample of a run, in the order of time. The zero value is ready.
type Judge struct {
	// Hosts are the machines, by worker; of unknown ones only Self is known.
	Hosts []record.Host
	spans []*span // in the order in which they began
}

// A span is what one generator did in one phase.
type span struct {
	phase, worker   string
	arrivals, late  uint64
	received, lost  uint64 // datagrams to devices; dropped ones counted by sockets
	lostBySelf      uint64 // the same as counted by Self
	sent, refused   uint64
	intervals       int
	lagging         int // intervals
	waiting, paused int
	lag, wait       time.Duration // longest
	pause           time.Duration
	spoilt          int // intervals with any symptom, for the averages below
	cpu, machine    float64
	collecting      float64
	cores           int
	resident        uint64
}

// Add takes a sample into account.
func (j *Judge) Add(s *record.Sample) {
	p := j.span(s.Phase, s.Worker)
	p.arrivals += s.Counts[record.Arrivals]
	p.late += s.Counts[record.Late]
	p.lost += s.Counts[record.SocketDrops]
	p.refused += s.Counts[record.SendFailed]
	wire := s.Traffic()
	p.received += wire.DownPackets
	p.sent += wire.UpPackets
	if s.Self != nil {
		p.self(s.Self)
	}
}

func (j *Judge) span(phase, worker string) *span {
	for i := len(j.spans) - 1; i >= 0; i-- {
		if p := j.spans[i]; p.phase == phase && p.worker == worker {
			return p
		}
	}
	p := &span{phase: phase, worker: worker}
	j.spans = append(j.spans, p)
	return p
}

func (p *span) self(s *record.Self) {
	p.intervals++
	p.lostBySelf += s.SocketDrops
	p.lag, p.wait, p.pause = max(p.lag, s.Lag), max(p.wait, s.SchedDelay), max(p.pause, s.GCPause)
	p.resident, p.cores = max(p.resident, s.Resident), max(p.cores, s.Cores)
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	count(&p.lagging, s.Lag > LagMax)
	count(&p.waiting, s.SchedDelay > WaitMax)
	count(&p.paused, s.GCPause > PauseMax)
	if strain, _ := Look(s); strain == Bottleneck {
		p.spoilt++
		p.cpu += s.CPU
		p.machine += s.MachineCPU
		p.collecting += s.GCCPU
	}
}

// Findings returns what was found so far.
func (j *Judge) Findings() (list []Finding) {
	for _, p := range j.spans {
		seen, late, lossy := p.symptoms()
		if len(seen) == 0 {
			continue
		}
		who := ""
		if p.worker != "" {
			who = " worker " + p.worker + ":"
		}
		why, do := p.cause(j.host(p.worker))
		list = append(list, Finding{
			Phase: p.phase, Worker: p.worker, Late: late, Do: do,
			Slow: !late && !lossy && max(p.wait, p.pause) < TooSlow,
			What: fmt.Sprintf("in phase %s the generator was the bottleneck:%s %s, %s", p.phase, who, and(seen), why),
		})
	}
	return list
}

func (j *Judge) host(worker string) record.Host {
	for _, h := range j.Hosts {
		if h.Worker == worker {
			return h
		}
	}
	return record.Host{}
}

// often reports whether n intervals of a phase are too many: more than a tenth, and
// not just one of several.
func (p *span) often(n int) bool {
	return n > 0 && (n == p.intervals || n > 1 && float64(n) > SpoiltShare*float64(p.intervals))
}

// symptoms lists what was wrong with a phase. late says that arrivals were late, lossy
// that datagrams were lost.
func (p *span) symptoms() (seen []string, late, lossy bool) {
	say := func(format string, args ...any) { seen = append(seen, fmt.Sprintf(format, args...)) }
	switch {
	case p.often(p.lagging):
		late = true
		say("arrivals began up to %s late", short(p.lag))
	case over(p.late, p.arrivals, LateShare):
		late = true
		say("%d of %d arrivals began late", p.late, p.arrivals)
	}
	if lost := max(p.lost, p.lostBySelf); over(lost, p.received+lost, LostShare) {
		lossy = true
		say("this machine dropped %d of %d datagrams from the cloud", lost, p.received+lost)
	}
	if over(p.refused, p.sent+p.refused, LostShare) {
		lossy = true
		say("this machine refused to send %d of %d datagrams", p.refused, p.sent+p.refused)
	}
	if p.often(p.waiting) {
		say("work waited up to %s for a core", short(p.wait))
	}
	if p.often(p.paused) {
		say("the garbage collector stopped everything for up to %s", short(p.pause))
	}
	return seen, late, lossy
}

// over reports whether part is more than a share of all.
func over(part, all uint64, share float64) bool { return float64(part) > share*float64(all) }

// cause says why, and what to change.
func (p *span) cause(h record.Host) (why, do string) {
	n := float64(max(1, p.spoilt))
	cpu, machine, collecting := p.cpu/n, p.machine/n, p.collecting/n
	mine, all := float64(p.cores), float64(max(p.cores, h.Cores))
	if h.Memory > 0 && float64(p.resident) > MemoryShare*float64(h.Memory) {
		return fmt.Sprintf("while it held %s of the %s of memory", bytesText(p.resident), bytesText(h.Memory)),
			"use fewer devices, a machine with more memory, or more workers on other machines"
	}
	switch {
	case p.intervals == 0 || p.spoilt == 0:
		return "and its processor was not the cause", "raise its receive buffers (muster doctor says how), or lower the rates"
	case collecting >= CollectShare:
		return fmt.Sprintf("while it spent %.0f %% of its time on collecting garbage", 100*collecting),
			"give it more memory to grow into (GOGC=200 or more in the environment), or use fewer devices"
	case cpu >= BusyShare*mine:
		return fmt.Sprintf("while it used %.1f of %d cores", cpu, p.cores),
			"lower the rates, use a machine with more cores, or spread the devices over more workers on other machines"
	case machine >= BusyShare*all:
		return fmt.Sprintf("while this machine was full: %.1f of %d cores in use, %.1f of them by other programs", min(machine, all), int(all), max(0, min(machine, all)-cpu)),
			"stop what else runs there, give the cloud a machine of its own, or lower the rates"
	}
	return fmt.Sprintf("though it used only %.1f of %d cores", cpu, p.cores),
		"look for what holds this machine up (a throttled container, swapping, a noisy neighbour), or raise its receive buffers (muster doctor says how)"
}

// and joins parts of a sentence.
func and(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

// bytesText is a size for people.
func bytesText(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
