package fleet

import "github.com/muster/muster/protocol/clock"

// A deadlines orders the members of a shard by when they want attention. It is a
// 4-ary heap, and each member knows its place in it.
//
// An entry may be too early, because a device's deadline moves away with each
// packet: it is looked at again when it comes up. It is never too late.
type deadlines struct{ entries []deadline }

type deadline struct {
	at clock.Instant
	m  *member
}

// arity makes the heap half as deep as a binary one, with the children of an
// entry side by side.
const arity = 4

// before orders entries of one instant by index, so that they are not at the
// mercy of the heap.
func (a deadline) before(b deadline) bool {
	return a.at < b.at || a.at == b.at && a.m.index < b.m.index
}

// next returns when the first member wants attention.
func (h *deadlines) next() clock.Instant {
	if len(h.entries) == 0 {
		return clock.Never
	}
	return h.entries[0].at
}

// arm sees to it that m comes up at the given time at the latest.
func (h *deadlines) arm(m *member, at clock.Instant) {
	switch {
	case at == clock.Never:
	case m.place == 0:
		h.entries = append(h.entries, deadline{})
		h.up(len(h.entries)-1, deadline{at, m})
	case at < h.entries[m.place-1].at:
		h.up(int(m.place-1), deadline{at, m})
	}
}

// pop removes the first member. There must be one.
func (h *deadlines) pop() *member {
	m := h.entries[0].m
	m.place = 0
	last := h.entries[len(h.entries)-1]
	h.entries[len(h.entries)-1] = deadline{}
	h.entries = h.entries[:len(h.entries)-1]
	if len(h.entries) > 0 {
		h.down(last)
	}
	return m
}

func (h *deadlines) put(i int, d deadline) {
	h.entries[i] = d
	d.m.place = int32(i + 1)
}

// up puts d where it belongs, from the free place i towards the first.
func (h *deadlines) up(i int, d deadline) {
	for i > 0 {
		parent := (i - 1) / arity
		if !d.before(h.entries[parent]) {
			break
		}
		h.put(i, h.entries[parent])
		i = parent
	}
	h.put(i, d)
}

// down puts d where it belongs, from the free first place.
func (h *deadlines) down(d deadline) {
	i := 0
	for {
		first := arity*i + 1
		if first >= len(h.entries) {
			break
		}
		least := first
		for c := first + 1; c < min(first+arity, len(h.entries)); c++ {
			if h.entries[c].before(h.entries[least]) {
				least = c
			}
		}
		if !h.entries[least].before(d) {
			break
		}
		h.put(i, h.entries[least])
		i = least
	}
	h.put(i, d)
}
