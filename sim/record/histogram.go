package record

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of a Histogram: three significant digits from a microsecond to an hour.
const (
	Finest  = time.Microsecond
	Longest = time.Hour
	digits  = 3
)

// A Histogram is a distribution of durations with three significant digits. All
// histograms have the same bounds, so that merging them loses nothing. The zero
// value is empty and ready. It is not safe for concurrent use.
type Histogram struct{ h *hdrhistogram.Histogram }

func newHDR() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, Longest.Microseconds(), digits)
}

// Add counts a duration. What is shorter than a microsecond counts as one, what
// is longer than an hour as an hour.
func (h *Histogram) Add(d time.Duration) {
	if h.h == nil {
		h.h = newHDR()
	}
	_ = h.h.RecordValue(max(1, min(d, Longest).Microseconds())) // in range
}

// Merge adds what another histogram counted.
func (h *Histogram) Merge(from *Histogram) {
	if from == nil || from.h == nil {
		return
	}
	if h.h == nil {
		h.h = newHDR()
	}
	h.h.Merge(from.h)
}

// Reset makes it empty and keeps its memory.
func (h *Histogram) Reset() {
	if h.h != nil {
		h.h.Reset()
	}
}

// Clone returns an independent copy.
func (h *Histogram) Clone() *Histogram {
	c := &Histogram{}
	c.Merge(h)
	return c
}

// Count is how many durations were added.
func (h *Histogram) Count() int64 {
	if h == nil || h.h == nil {
		return 0
	}
	return h.h.TotalCount()
}

// Quantile returns the duration that a share q of all does not exceed, 0 to 1;
// 0 when nothing was added.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.h.ValueAtQuantile(q*100)) * time.Microsecond
}

// Min returns the shortest; like Mean and Max it is 0 when nothing was added.
func (h *Histogram) Min() time.Duration { return h.of((*hdrhistogram.Histogram).Min) }

// Max returns the longest.
func (h *Histogram) Max() time.Duration { return h.of((*hdrhistogram.Histogram).Max) }

// Mean returns the arithmetic mean.
func (h *Histogram) Mean() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.h.Mean() * float64(time.Microsecond))
}

func (h *Histogram) of(f func(*hdrhistogram.Histogram) int64) time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(f(h.h)) * time.Microsecond
}

// Over returns the share of durations that are longer than d, 0 to 1, those that the
// histogram does not tell from d by less than a thousandth included.
func (h *Histogram) Over(d time.Duration) float64 {
	if h.Count() == 0 {
		return 0
	}
	var over int64
	h.Each(func(longest time.Duration, n int64) {
		if longest > d {
			over += n
		}
	})
	return float64(over) / float64(h.h.TotalCount())
}

// Each calls f with each duration that was added and how often, from the shortest
// to the longest: the longest of those that the histogram does not tell apart.
// Equal durations of different histograms are equal exactly.
func (h *Histogram) Each(f func(d time.Duration, n int64)) {
	if h.Count() == 0 {
		return
	}
	for i, n := range h.h.Export().Counts { // Distribution does the same fifteen times slower
		if n > 0 {
			f(longestOf(i), n)
		}
	}
}

// longestOf returns the longest of the durations that are counted in one place: of
// a histogram from 1 with three digits, whose places are as wide as half of their
// number in bits above the first 2048.
func longestOf(place int) time.Duration {
	const half = 1024 // places of one width
	shift := max(0, place/half-1)
	first := place - shift*half
	return time.Duration(first<<shift+1<<shift-1) * time.Microsecond
}

// MarshalJSON writes the form that HdrHistogram's tools read: V2, compressed,
// base64. An empty histogram is null.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	if h.Count() == 0 {
		return []byte("null"), nil
	}
	b, err := h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("record: encoding a histogram: %w", err)
	}
	return json.Marshal(string(b))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	h.h = nil
	var text string
	if err := json.Unmarshal(b, &text); err != nil || text == "" {
		return err
	}
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		return fmt.Errorf("record: a histogram is not base64: %w", err)
	}
	read, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return fmt.Errorf("record: reading a histogram: %w", err)
	}
	if read.LowestTrackableValue() != 1 || read.HighestTrackableValue() != Longest.Microseconds() || read.SignificantFigures() != digits {
		return fmt.Errorf("record: a histogram has other bounds than ours: %d to %d with %d digits",
			read.LowestTrackableValue(), read.HighestTrackableValue(), read.SignificantFigures())
	}
	h.h = read
	return nil
}
