package record

import (
	"slices"
	"time"
)

// A Sparse is a distribution that holds only what occurs: how often, by duration.
// Where many are kept it takes a hundredth of the memory of Histograms, and
// percentiles of it are the same. Make it with make.
type Sparse map[time.Duration]int64

// Add adds what a histogram counted.
func (s Sparse) Add(h *Histogram) {
	h.Each(func(d time.Duration, n int64) { s[d] += n })
}

// Merge adds what another one counted.
func (s Sparse) Merge(o Sparse) {
	for d, n := range o {
		s[d] += n
	}
}

// Count is how many durations were added.
func (s Sparse) Count() (total int64) {
	for _, n := range s {
		total += n
	}
	return total
}

// Quantiles returns what shares of all, 0 to 1 in rising order, do not exceed; 0
// when nothing was added.
func (s Sparse) Quantiles(shares ...float64) []time.Duration {
	values := make([]time.Duration, 0, len(s))
	for d := range s {
		values = append(values, d)
	}
	slices.Sort(values)
	total := s.Count()
	found := make([]time.Duration, len(shares))
	var seen int64
	i := 0
	for k, q := range shares {
		need := max(1, int64(q*float64(total)+0.5)) // as HdrHistogram rounds
		for i < len(values) && seen+s[values[i]] < need {
			seen += s[values[i]]
			i++
		}
		if i < len(values) {
			found[k] = values[i]
		}
	}
	return found
}
