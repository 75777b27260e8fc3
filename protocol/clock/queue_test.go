package clock

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Against a list that is sorted stably, with many equal times.
func TestQueue(t *testing.T) {
	type thing struct {
		at     Instant
		number int
	}
	r := rand.New(rand.NewPCG(1, 2))
	var q Queue[thing]
	var want []thing
	if q.Len() != 0 || q.Next() != Never {
		t.Fatalf("an empty queue has %d things, the next at %v", q.Len(), q.Next())
	}
	for number := range 5000 {
		if r.IntN(3) > 0 {
			x := thing{Instant(r.IntN(40)), number}
			q.Push(x.at, x)
			want = append(want, x)
			slices.SortStableFunc(want, func(a, b thing) int { return int(a.at - b.at) })
		} else if len(want) > 0 {
			if got := q.Pop(); got != want[0] {
				t.Fatalf("got %v, want %v", got, want[0])
			}
			want = want[1:]
		}
		if q.Len() != len(want) || len(want) > 0 && q.Next() != want[0].at {
			t.Fatalf("%d things, the next at %v, want %d", q.Len(), q.Next(), len(want))
		}
	}
	for _, x := range want {
		if got := q.Pop(); got != x {
			t.Fatalf("got %v, want %v", got, x)
		}
	}
	if q.Len() != 0 {
		t.Errorf("%d things are left", q.Len())
	}
}
