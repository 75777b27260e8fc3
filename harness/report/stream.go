package report

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/muster/muster/harness/timeline"
)

// StreamVersion is the version of the form of a Stream. It grows when a field
// changes its meaning or goes; new fields and new events do not change it.
const StreamVersion = 1

// A StreamEvent is one line of a Stream. Event says which of the other fields it
// has:
//
//	begin     Format, Tool, Version, Seed, Started, Cloud, Device, Checks
//	check     At, Name: a check begins
//	result    At, Result: a check has judged one generation
//	timeline  Timeline: something else happened
//	end       At, Verdict, ExitCode, Counts, Repeat
type StreamEvent struct {
	Event string `json:"event"`
	// At is when, in nanoseconds since the run began.
	At time.Duration `json:"at_ns,omitempty"`

	Format  int        `json:"format,omitempty"`
	Tool    string     `json:"tool,omitempty"`
	Version string     `json:"version,omitempty"`
	Seed    uint64     `json:"seed,omitempty"`
	Started *time.Time `json:"started,omitempty"`
	Cloud   string     `json:"cloud,omitempty"`
	Device  string     `json:"device,omitempty"`
	Checks  int        `json:"checks,omitempty"` // results to come

	Name     string          `json:"name,omitempty"`
	Result   *Result         `json:"result,omitempty"`
	Timeline *timeline.Event `json:"timeline,omitempty"`

	Verdict  *Verdict       `json:"verdict,omitempty"`
	ExitCode *int           `json:"exit_code,omitempty"`
	Counts   map[string]int `json:"counts,omitempty"`
	Repeat   string         `json:"repeat,omitempty"`
}

// A Stream writes what happens in a run while it goes on, as lines of JSON. It is
// safe for concurrent use. A nil Stream writes nothing.
type Stream struct {
	mu  sync.Mutex
	w   *json.Encoder
	err error
}

// NewStream returns a Stream that writes to w.
func NewStream(w io.Writer) *Stream {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return &Stream{w: encoder}
}

// Write writes one event.
func (s *Stream) Write(e StreamEvent) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = s.w.Encode(e)
	}
}

// Begin writes the first line, with what is known of the run and how many results
// are to come.
func (s *Stream) Begin(run *Run, checks int) {
	s.Write(StreamEvent{
		Event: "begin", Format: StreamVersion, Tool: run.Tool, Version: run.Version, Seed: run.Seed, Started: &run.Started,
		Cloud: run.Cloud, Device: run.Device, Checks: checks,
	})
}

// Check writes that a check begins.
func (s *Stream) Check(at time.Duration, name string) {
	s.Write(StreamEvent{Event: "check", At: at, Name: name})
}

// Result writes a result.
func (s *Stream) Result(at time.Duration, r Result) {
	s.Write(StreamEvent{Event: "result", At: at, Result: &r})
}

// Timeline writes what else happened. Packets and what devices say of themselves are
// too many for it: the files of a bundle have them.
func (s *Stream) Timeline(e timeline.Event) {
	switch e.Kind {
	case timeline.Packet, timeline.Device, timeline.Verdict:
		return
	default: // is rare enough
	}
	s.Write(StreamEvent{Event: "timeline", Timeline: &e})
}

// End writes the last line.
func (s *Stream) End(run *Run) {
	verdict, code, counts := run.Verdict(), run.ExitCode(), make(map[string]int)
	for v, n := range run.Count() {
		counts[v.String()] = n
	}
	s.Write(StreamEvent{Event: "end", At: run.Duration, Verdict: &verdict, ExitCode: &code, Counts: counts, Repeat: run.Repeat})
}

// Err returns the first error there was.
func (s *Stream) Err() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
