package fleet

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/muster/muster/protocol/clock"
)

// Members come up in the order of their deadlines, whatever is armed in between.
func TestDeadlines(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h deadlines
	members := make([]member, 500)
	want := make(map[int32]clock.Instant)
	for i := range members {
		members[i].index = int32(i)
	}
	for range 3000 {
		m := &members[rng.IntN(len(members))]
		at := clock.Instant(rng.IntN(10000))
		h.arm(m, at)
		if old, armed := want[m.index]; !armed || at < old {
			want[m.index] = at
		}
	}
	h.arm(&members[0], clock.Never)
	var got []clock.Instant
	for h.next() != clock.Never {
		at := h.next()
		m := h.pop()
		if want[m.index] != at || m.place != 0 {
			t.Fatalf("member %d came up at %v, want %v", m.index, at, want[m.index])
		}
		delete(want, m.index)
		got = append(got, at)
	}
	if len(want) != 0 || !slices.IsSorted(got) {
		t.Errorf("%d members never came up, or out of order", len(want))
	}
}
