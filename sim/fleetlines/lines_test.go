package fleetlines

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/record/recordtest"
)

// Every line is an object that says what it is, and the samples in it are those of
// the run.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	w := New(&out)
	var samples []record.Sample
	run := recordtest.Make(recordtest.Options{Seed: 1, Every: 20 * time.Second}, func(s *record.Sample) { samples = append(samples, *s) })
	w.Begin(run)
	for i := range samples {
		w.Sample(&samples[i])
	}
	w.Note(run.Notes[0])
	if err := w.End(run); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	var merged record.Histogram
	lines := json.NewDecoder(&out)
	for lines.More() {
		var line struct {
			Event     string
			Name      string
			Phases    []record.Phase
			Cells     []record.Cell
			Verdict   record.Verdict
			At        time.Duration
			Text      string
			Quantiles map[record.Timing]Quantiles
			record.Tally
		}
		if err := lines.Decode(&line); err != nil {
			t.Fatal(err)
		}
		seen[line.Event]++
		switch line.Event {
		case "begin":
			if line.Name != run.Name || len(line.Phases) != 5 || len(line.Cells) != 0 || line.Verdict != "" {
				t.Errorf("begin: %+v", line)
			}
		case "sample":
			if h := line.Times[record.PublishTime]; h.Count() > 0 {
				merged.Merge(h)
				if q := line.Quantiles[record.PublishTime]; q.Count != h.Count() || q.P99 != h.Quantile(0.99).Seconds() || q.Max != h.Max().Seconds() {
					t.Errorf("quantiles: %+v", q)
				}
			}
		case "note":
			if line.Text != run.Notes[0].Text {
				t.Errorf("note: %+v", line)
			}
		case "end":
			if line.Verdict != run.Verdict {
				t.Errorf("end: %+v", line)
			}
		}
	}
	sum := run.Sum("", "")
	if seen["begin"] != 1 || seen["sample"] != len(samples) || seen["note"] != 1 || seen["end"] != 1 || merged.Count() != sum.Times[record.PublishTime].Count() {
		t.Errorf("lines: %v, %d durations", seen, merged.Count())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestDiskFull(t *testing.T) {
	w := New(full{})
	w.Note(record.Note{Text: "x"})
	if err := w.End(&record.Run{}); err == nil {
		t.Error("written to a full disk")
	}
}
