package fleetlines

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/muster/muster/sim/record"
)

// A Writer is a sink that writes lines. It is for one goroutine at a time. After an
// error it writes no more; End returns it.
type Writer struct {
	enc *json.Encoder
	err error
}

// New returns a Writer of lines to w.
func New(w io.Writer) *Writer { return &Writer{enc: json.NewEncoder(w)} }

func (w *Writer) write(v any) {
	if w.err == nil {
		w.err = w.enc.Encode(v)
	}
}

// Begin writes what the run is about.
func (w *Writer) Begin(r *record.Run) {
	w.write(struct {
		Event string `json:"event"`
		*record.Run
		// There is none yet.
		Cells   *struct{} `json:"cells,omitempty"`
		Levels  *struct{} `json:"levels,omitempty"`
		Verdict *struct{} `json:"verdict,omitempty"`
	}{Event: "begin", Run: r})
}

// Quantiles is a distribution for those who cannot read its histogram. Durations are
// in seconds.
type Quantiles struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

func quantilesOf(h *record.Histogram) Quantiles {
	q := func(share float64) float64 { return h.Quantile(share).Seconds() }
	return Quantiles{h.Count(), h.Mean().Seconds(), q(0.5), q(0.95), q(0.99), q(0.999), h.Max().Seconds()}
}

// Sample writes a sample.
func (w *Writer) Sample(s *record.Sample) {
	var all map[record.Timing]Quantiles
	for name, h := range s.Times {
		if h.Count() > 0 {
			if all == nil {
				all = make(map[record.Timing]Quantiles)
			}
			all[name] = quantilesOf(h)
		}
	}
	w.write(struct {
		Event string `json:"event"`
		*record.Sample
		Quantiles map[record.Timing]Quantiles `json:"quantiles,omitempty"`
	}{"sample", s, all})
}

// Note writes a note.
func (w *Writer) Note(n record.Note) {
	w.write(struct {
		Event string `json:"event"`
		record.Note
	}{"note", n})
}

// End writes what came of the run.
func (w *Writer) End(r *record.Run) error {
	w.write(struct {
		Event       string             `json:"event"`
		Verdict     record.Verdict     `json:"verdict"`
		Why         string             `json:"why,omitempty"`
		Interrupted bool               `json:"interrupted,omitempty"`
		Thresholds  []record.Threshold `json:"thresholds,omitempty"`
	}{"end", r.Verdict, r.Why, r.Interrupted, r.Thresholds})
	if w.err != nil {
		return fmt.Errorf("fleetlines: writing: %w", w.err)
	}
	return nil
}
