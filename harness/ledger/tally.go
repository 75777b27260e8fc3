package ledger

import (
	"cmp"
	"slices"

	"github.com/muster/muster/harness/report"
)

// A Cost is what one occurrence of a phase cost, both ways.
type Cost struct{ Up, Down report.Cost }

// Bytes returns all bytes, headers included.
func (c Cost) Bytes() int { return c.Up.Bytes() + c.Down.Bytes() }

// Packets returns the number of packets, both ways.
func (c Cost) Packets() int { return c.Up.Packets + c.Down.Packets }

// valuesMax bounds the different costs that a tally keeps of one phase of one
// device. Beyond it only the extremes are kept exactly.
const valuesMax = 1024

// A tally counts how often a phase cost what.
type tally struct {
	values map[Cost]int
	count  int
	data   int // of the largest event
}

func (t *tally) add(c Cost, data int) { t.addN(c, 1, data) }

func (t *tally) addN(c Cost, n, data int) {
	if t.values == nil {
		t.values = map[Cost]int{}
	}
	t.count += n
	t.data = max(t.data, data)
	if _, ok := t.values[c]; !ok && len(t.values) >= valuesMax {
		low, high := t.extremes()
		if c.Bytes() >= low && c.Bytes() <= high {
			c = t.at(0.5)
		}
	}
	t.values[c] += n
}

func (t *tally) merge(other *tally) {
	for c, n := range other.values {
		t.addN(c, n, other.data)
	}
}

func (t *tally) extremes() (low, high int) {
	first := true
	for c := range t.values {
		b := c.Bytes()
		if first {
			low, high, first = b, b, false
		}
		low, high = min(low, b), max(high, b)
	}
	return low, high
}

// at returns the cost at a place between 0 and 1 in the order of bytes.
func (t *tally) at(place float64) Cost {
	all := make([]Cost, 0, len(t.values))
	total := 0
	for c, n := range t.values {
		all = append(all, c)
		total += n
	}
	slices.SortFunc(all, compareCosts)
	rank := int(place * float64(total-1))
	for _, c := range all {
		if rank -= t.values[c]; rank < 0 {
			return c
		}
	}
	return Cost{}
}

// compareCosts orders by bytes, and then by anything, so that equal inputs give
// equal reports.
func compareCosts(a, b Cost) int {
	return cmp.Or(
		cmp.Compare(a.Bytes(), b.Bytes()), cmp.Compare(a.Up.Payload, b.Up.Payload), cmp.Compare(a.Up.Packets, b.Up.Packets),
		cmp.Compare(a.Down.Payload, b.Down.Payload), cmp.Compare(a.Down.Packets, b.Down.Packets),
		cmp.Compare(a.Up.Headers, b.Up.Headers), cmp.Compare(a.Down.Headers, b.Down.Headers),
	)
}
