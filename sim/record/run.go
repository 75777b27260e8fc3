package record

import "time"

// Format is the version of the files of a run. Readers refuse a newer one.
const Format = 1

// A Run is what is known of a run of a fleet.
type Run struct {
	Format   int       `json:"format"`
	Muster   string    `json:"muster"`             // version of the program
	Name     string    `json:"name"`               // of the scenario
	Began    time.Time `json:"began"`              // of the first phase
	Seed     uint64    `json:"seed"`               // of the workload and the devices' jitter
	Scenario string    `json:"scenario,omitempty"` // the file as it was run, without secrets
	Cloud    string    `json:"cloud"`
	Command  []string  `json:"command,omitempty"` // that repeats it, without secrets
	// Every is how long intervals are planned to be; 0: it is not known.
	Every  time.Duration `json:"every,omitempty"`
	Hosts  []Host        `json:"hosts"`
	Groups []Group       `json:"groups"`
	Phases []Phase       `json:"phases"`
	Cells  []Cell        `json:"cells"`
	// Levels are those at the end, by group.
	Levels     map[string]map[Level]int64 `json:"levels"`
	Thresholds []Threshold                `json:"thresholds,omitempty"`
	Notes      []Note                     `json:"notes,omitempty"`
	Verdict    Verdict                    `json:"verdict"`
	// Why is one sentence that a person reads beside the verdict.
	Why string `json:"why,omitempty"`
	// Interrupted says that the run ended before its last phase did.
	Interrupted bool `json:"interrupted,omitempty"`
}

// A Host is a machine that took part.
type Host struct {
	Name   string `json:"name"`
	Worker string `json:"worker,omitempty"` // "" when the run had no workers
	OS     string `json:"os"`
	Kernel string `json:"kernel,omitempty"`
	Go     string `json:"go"`
	Cores  int    `json:"cores"`
	Memory uint64 `json:"memory"` // bytes
}

// A Group is devices that behave alike.
type Group struct {
	Name     string   `json:"name"`
	Profiles []string `json:"profiles"` // such as boron@6.2.0
	First    int      `json:"first"`    // index of its first device in the fleet
	Devices  int      `json:"devices"`
	// RSAKeys is how many RSA keys its devices over TCP share; 0: each has its own.
	RSAKeys int `json:"rsa_keys,omitempty"`
}

// A Phase is a part of a run. Offsets are from Began.
type Phase struct {
	Name  string        `json:"name"`
	Start time.Duration `json:"start"`
	End   time.Duration `json:"end"`
	Doing string        `json:"doing,omitempty"` // a few words for people
}

// A Cell is what a group did in a phase.
type Cell struct {
	Phase string `json:"phase"`
	Group string `json:"group"`
	Tally
}

// A Sample is what a group did in one interval. Samples of workers for the same
// interval and group add up.
type Sample struct {
	At     time.Duration `json:"at"`    // the end of the interval, from Began
	Every  time.Duration `json:"every"` // its length
	Worker string        `json:"worker,omitempty"`
	Phase  string        `json:"phase"`
	Group  string        `json:"group"`
	Tally
	Levels map[Level]int64 `json:"levels,omitempty"`
	// Self is how the generator itself was, in one sample of each interval and
	// worker (that of no group).
	Self *Self `json:"self,omitempty"`
}

// Self is how loaded the generator was in an interval.
type Self struct {
	CPU         float64       `json:"cpu"`          // cores that this process used
	MachineCPU  float64       `json:"machine_cpu"`  // cores that all processes used
	Cores       int           `json:"cores"`        // that there are for it
	SchedDelay  time.Duration `json:"sched_delay"`  // p99 of how long goroutines waited for a core
	GCPause     time.Duration `json:"gc_pause"`     // longest
	GCCPU       float64       `json:"gc_cpu"`       // share of the process's time, 0 to 1
	Heap        uint64        `json:"heap"`         // bytes
	Resident    uint64        `json:"resident"`     // bytes
	SocketDrops uint64        `json:"socket_drops"` // datagrams the kernel dropped at our sockets
	Lag         time.Duration `json:"lag"`          // how late the latest arrival of the interval was begun
}

// A Threshold is a condition that decides the exit code, and what came of it.
type Threshold struct {
	Text    string  `json:"text"` // as in the scenario: "p99(publish) < 500ms"
	Phase   string  `json:"phase,omitempty"`
	Group   string  `json:"group,omitempty"`
	Value   float64 `json:"value"` // durations in seconds
	Limit   float64 `json:"limit"`
	Unit    string  `json:"unit,omitempty"` // "s", "/s", "%", ""
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"` // such as: nothing was measured
}

// A Note is something worth knowing that happened once.
type Note struct {
	At   time.Duration `json:"at"`
	Kind string        `json:"kind"` // "phase", "worker", "generator", "cloud", "campaign"
	Text string        `json:"text"`
	// Count is how often it happened, if more than once.
	Count uint64 `json:"count,omitempty"`
}

// A Verdict is what a run came to.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive" // the generator was the bottleneck, or nothing was measured
)

// Cell returns the cell of a phase and group, making it when there is none.
func (r *Run) Cell(phase, group string) *Cell {
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Phase == phase && c.Group == group {
			return c
		}
	}
	r.Cells = append(r.Cells, Cell{Phase: phase, Group: group})
	return &r.Cells[len(r.Cells)-1]
}

// Sum returns the tally of a phase and group; "" means all of them.
func (r *Run) Sum(phase, group string) (t Tally) {
	for i := range r.Cells {
		if c := &r.Cells[i]; (phase == "" || c.Phase == phase) && (group == "" || c.Group == group) {
			t.Add(&c.Tally)
		}
	}
	return t
}
