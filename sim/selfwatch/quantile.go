package selfwatch

import (
	"math"
	"slices"
	"time"
)

// quantile returns what a share q of all does not exceed, as exactly as the bounds
// of the histogram allow, or 0 when nothing was counted.
func quantile(t tally, q float64) time.Duration {
	var total uint64
	for _, n := range t.counts {
		total += n
	}
	if total == 0 {
		return 0
	}
	left := uint64(math.Ceil(q * float64(total)))
	for i, n := range t.counts {
		if n >= left {
			edge := t.edges[i+1]
			if math.IsInf(edge, 0) {
				edge = t.edges[i]
			}
			return time.Duration(edge * float64(time.Second))
		}
		left -= n
	}
	return 0
}

// worst is the same of a list, which it sorts.
func worst(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(len(list)-1, int(math.Ceil(q*float64(len(list))))-1)]
}
