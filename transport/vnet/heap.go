package vnet

import "github.com/muster/muster/protocol/clock"

// The heaps are 4-ary: half the depth of a binary heap, and the four children
// of an entry lie side by side.
const arity = 4

// An alarmHeap orders the nodes by their deadlines. It is indexed, so that the
// deadline of a node changes in O(log n). Nodes without a deadline are not in
// it.
type alarmHeap struct {
	entries  []alarm
	position []int32 // of each node in entries, -1 when absent
}

type alarm struct {
	at   clock.Instant
	node int32
}

// before orders alarms of one instant by node, so that a run repeats.
func (a alarm) before(b alarm) bool { return a.at < b.at || a.at == b.at && a.node < b.node }

// add makes room for one more node.
func (h *alarmHeap) add() { h.position = append(h.position, -1) }

// next returns the earliest alarm; at clock.Never when there is none.
func (h *alarmHeap) next() alarm {
	if len(h.entries) == 0 {
		return alarm{at: clock.Never}
	}
	return h.entries[0]
}

// set gives a node a deadline, clock.Never to take it away.
func (h *alarmHeap) set(node int32, at clock.Instant) {
	i := h.position[node]
	switch {
	case at == clock.Never && i < 0:
	case at == clock.Never:
		h.remove(int(i))
	case i < 0:
		h.entries = append(h.entries, alarm{})
		h.up(len(h.entries)-1, alarm{at, node})
	case h.entries[i].at != at:
		h.settle(int(i), alarm{at, node})
	}
}

func (h *alarmHeap) remove(i int) {
	h.position[h.entries[i].node] = -1
	last := h.entries[len(h.entries)-1]
	h.entries = h.entries[:len(h.entries)-1]
	if i < len(h.entries) {
		h.settle(i, last)
	}
}

// settle puts a where it belongs, starting from the free place i.
func (h *alarmHeap) settle(i int, a alarm) {
	if i > 0 && a.before(h.entries[(i-1)/arity]) {
		h.up(i, a)
	} else {
		h.down(i, a)
	}
}

func (h *alarmHeap) place(i int, a alarm) {
	h.entries[i] = a
	h.position[a.node] = int32(i)
}

func (h *alarmHeap) up(i int, a alarm) {
	for i > 0 {
		parent := (i - 1) / arity
		if !a.before(h.entries[parent]) {
			break
		}
		h.place(i, h.entries[parent])
		i = parent
	}
	h.place(i, a)
}

func (h *alarmHeap) down(i int, a alarm) {
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
		if !h.entries[least].before(a) {
			break
		}
		h.place(i, h.entries[least])
		i = least
	}
	h.place(i, a)
}

// An eventHeap orders what is on its way, events of one instant in the order
// of their scheduling.
type eventHeap struct {
	entries []due
	events  []event
	free    []int32 // slots of events
	count   uint64  // events ever scheduled
}

type due struct {
	at    clock.Instant
	order uint64
	slot  int32
}

func (a due) before(b due) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

// next returns when the earliest event is due, clock.Never when there is none.
func (h *eventHeap) next() clock.Instant {
	if len(h.entries) == 0 {
		return clock.Never
	}
	return h.entries[0].at
}

// push schedules e.
func (h *eventHeap) push(at clock.Instant, e event) {
	slot := int32(len(h.events))
	if n := len(h.free); n > 0 {
		slot = h.free[n-1]
		h.free = h.free[:n-1]
		h.events[slot] = e
	} else {
		h.events = append(h.events, e)
	}
	h.count++
	d := due{at, h.count, slot}
	h.entries = append(h.entries, d)
	i := len(h.entries) - 1
	for i > 0 {
		parent := (i - 1) / arity
		if !d.before(h.entries[parent]) {
			break
		}
		h.entries[i] = h.entries[parent]
		i = parent
	}
	h.entries[i] = d
}

// pop removes the earliest event. There must be one.
func (h *eventHeap) pop() event {
	slot := h.entries[0].slot
	last := h.entries[len(h.entries)-1]
	h.entries = h.entries[:len(h.entries)-1]
	if len(h.entries) > 0 {
		h.down(last)
	}
	e := h.events[slot]
	h.events[slot] = event{} // let go of what it points to
	h.free = append(h.free, slot)
	return e
}

// down puts d where it belongs, starting from the free first place.
func (h *eventHeap) down(d due) {
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
		h.entries[i] = h.entries[least]
		i = least
	}
	h.entries[i] = d
}
