package selfwatch

import (
	"fmt"
	"time"

	"github.com/muster/muster/sim/record"
)

// The limits of the judge. Each is where what the generator adds would be seen in
// what it measures: the quickest thing that a cloud does for a device over a real
// network takes some 20 ms.
const (
	// LagMax is how late an arrival may begin.
	LagMax = 100 * time.Millisecond
	// WaitMax is how long a goroutine may wait for a core, as the 99th percentile
	// of an interval.
	WaitMax = 20 * time.Millisecond
	// PauseMax is how long the garbage collector may stop everything.
	PauseMax = 50 * time.Millisecond
	// TooSlow is how long work may wait before devices give up or repeat themselves,
	// so that not only times are wrong but counts too: Device OS repeats a message
	// after four seconds.
	TooSlow = 2 * time.Second
	// LateShare is which share of the arrivals of a phase may be late.
	LateShare = 0.01
	// LostShare is which share of a phase's datagrams the kernel may drop at our
	// sockets, or refuse to send.
	LostShare = 0.001
	// SpoiltShare is which share of a phase's intervals may have a symptom.
	SpoiltShare = 0.1

	// BusyShare of the cores in use makes the processor the cause of a symptom.
	BusyShare = 0.9
	// CollectShare of the process's time spent on collecting garbage makes that the
	// cause.
	CollectShare = 0.25
	// MemoryShare of the machine's memory in use makes that the cause.
	MemoryShare = 0.9
)

// A Strain is how loaded a generator is.
type Strain int

// The strains, in order.
const (
	Calm       Strain = iota
	Busy              // it uses what it has, and all is in time
	Bottleneck        // what it measures is no longer the cloud's doing alone
)

// String returns the name.
func (s Strain) String() string {
	switch s {
	case Busy:
		return "busy"
	case Bottleneck:
		return "bottleneck"
	default:
		return "calm"
	}
}

// Look judges one interval, for a live view and for charts, and says in a few words
// why, or "". It does not know how many datagrams there were, so that any dropped
// one counts.
func Look(s *record.Self) (Strain, string) {
	switch {
	case s.Lag > LagMax:
		return Bottleneck, fmt.Sprintf("arrivals begin %s late", short(s.Lag))
	case s.SocketDrops > 0:
		return Bottleneck, fmt.Sprintf("%d datagrams dropped by this machine", s.SocketDrops)
	case s.SchedDelay > WaitMax:
		return Bottleneck, fmt.Sprintf("%s of waiting for a core", short(s.SchedDelay))
	case s.GCPause > PauseMax:
		return Bottleneck, fmt.Sprintf("stopped for %s by the garbage collector", short(s.GCPause))
	case s.Cores > 0 && max(s.CPU, s.MachineCPU) >= BusyShare*float64(s.Cores):
		return Busy, fmt.Sprintf("%.1f of %d cores in use", min(max(s.CPU, s.MachineCPU), float64(s.Cores)), s.Cores)
	case s.GCCPU >= CollectShare:
		return Busy, fmt.Sprintf("%.0f %% of the time goes to the garbage collector", 100*s.GCCPU)
	}
	return Calm, ""
}

// short rounds a duration to what a reader can use.
func short(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}
