package endpoint

import (
	"container/heap"
	"sync"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A timed is anything with a deadline: a device, a half-open handshake, a TCP
// connection that is not secured yet.
type timed interface {
	// fire does what is due at now, and returns the next deadline.
	fire(now clock.Instant, w *work) clock.Instant
	slot() *timerSlot
}

// A timerSlot is where its owner stands in the heap.
type timerSlot struct {
	at    clock.Instant
	index int // 1 + position in the heap, 0: not in it
}

// timers is a heap of deadlines. An entry is moved only when its deadline comes
// nearer; one that moved away is found out when it fires. Most deadlines move
// away with every packet, so most packets leave the heap alone.
type timers struct {
	mu   sync.Mutex
	heap timerHeap
}

// arm sees to it that x fires at the given time at the latest. It reports whether x
// is now the first, so that whoever waits for the first must wake earlier.
func (t *timers) arm(x timed, at clock.Instant) (first bool) {
	if at == clock.Never {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := x.slot()
	switch {
	case s.index == 0:
		s.at = at
		heap.Push(&t.heap, x)
	case at < s.at:
		s.at = at
		heap.Fix(&t.heap, s.index-1)
	default:
		return false
	}
	return s.index == 1
}

// remove forgets the deadline of x.
func (t *timers) remove(x timed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := x.slot(); s.index != 0 {
		heap.Remove(&t.heap, s.index-1)
	}
}

// arm sets the timer of x, and wakes the driver if it would sleep too long.
func (n *Node) arm(x timed, at clock.Instant) {
	if n.timers.arm(x, at) {
		n.c.Wake()
	}
}

// due takes one entry out whose time has come, nil if there is none.
func (t *timers) due(now clock.Instant) timed {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 || t.heap[0].slot().at > now {
		return nil
	}
	return heap.Pop(&t.heap).(timed)
}

func (t *timers) next() clock.Instant {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 {
		return clock.Never
	}
	return t.heap[0].slot().at
}

type timerHeap []timed

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].slot().at < h[j].slot().at }

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot().index, h[j].slot().index = i+1, j+1
}

// Push is for package heap.
func (h *timerHeap) Push(x any) {
	*h = append(*h, x.(timed))
	x.(timed).slot().index = len(*h)
}

// Pop is for package heap.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	x.slot().index = 0
	return x
}

// Advance does what is due.
func (n *Node) Advance(now clock.Instant, out *transport.Out) {
	w := n.work(out)
	defer n.release(w)
	for {
		x := n.timers.due(now)
		if x == nil {
			break
		}
		n.timers.arm(x, x.fire(now, w))
	}
	n.drain(now, w)
}

// Deadline returns when Advance is due.
func (n *Node) Deadline() clock.Instant {
	if !n.jobs.empty() {
		return 0 // at once
	}
	return n.timers.next()
}
