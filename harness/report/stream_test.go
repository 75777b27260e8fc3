package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/harness/timeline"
)

func TestStreamIsOneEventALine(t *testing.T) {
	var buf bytes.Buffer
	s, run := NewStream(&buf), sample()
	s.Begin(run, len(run.Results))
	s.Check(time.Second, "handshake/connects")
	for _, r := range run.Results {
		s.Result(2*time.Second, r)
	}
	s.Timeline(timeline.Event{At: 1, Lane: "/dev/ttyACM0", Kind: timeline.Serial, Text: "boot"})
	s.Timeline(timeline.Event{At: 1, Lane: "x", Kind: timeline.Packet, Text: "too many"})
	s.End(run)
	var events []string
	for line := range strings.Lines(buf.String()) {
		var e StreamEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, e.Event)
		switch e.Event {
		case "begin":
			if e.Format != StreamVersion || e.Seed != 42 || e.Checks != 4 {
				t.Errorf("%+v", e)
			}
		case "end":
			if *e.Verdict != Fail || *e.ExitCode != ExitFailures || e.Counts["pass"] != 2 || e.Counts["fail"] != 1 {
				t.Errorf("%+v", e)
			}
		}
	}
	if got := strings.Join(events, " "); got != "begin check result result result result timeline end" {
		t.Errorf("got %s", got)
	}
	if s.Err() != nil {
		t.Error(s.Err())
	}
}

// A full disk is told once, at the end, and ends no run.
func TestStreamKeepsItsFirstError(t *testing.T) {
	s := NewStream(fullDisk{})
	s.Check(0, "a")
	s.Check(0, "b")
	if !errors.Is(s.Err(), errFull) {
		t.Errorf("got %v", s.Err())
	}
	var none *Stream
	none.Check(0, "a")
	none.End(sample())
	if none.Err() != nil {
		t.Error(none.Err())
	}
}

var errFull = errors.New("no space left")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }
