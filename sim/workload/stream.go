package workload

import (
	"math"

	"github.com/muster/muster/protocol/clock"
)

// Range is devices of a fleet by index: those of First..First+Count-1 that are
// Offset modulo Step, as a shard has them. Step 0 is all of them.
type Range struct{ First, Count, Offset, Step int }

// first returns the first device and the distance between two.
func (r Range) first() (i, step int) {
	step = max(r.Step, 1)
	return r.First + ((r.Offset-r.First)%step+step)%step, step
}

// An item is one device in a stream.
type item struct {
	at     clock.Instant
	amount float64 // of the shape, at
	device uint32
	n      uint32 // draws so far
}

// A Stream is something that each device of a range does, once or again and again.
// It is a heap of times.
type Stream struct {
	heap   []item
	source Source
	every  Spread // 0: once
	shape  *Shape
	base   clock.Instant
	number uint64 // added to an index to name the device
}

// Options say what a stream is about.
type Options struct {
	Source Source
	Range  Range
	// Number is added to a device's index to name it for draws: the number of the
	// first device of a part of a fleet.
	Number int
	// Shape says how much happens when: of Once, amounts are devices; of Again, a
	// rate of 1 is the usual load, of 2 twice that.
	Shape *Shape
	// Base is when the shape begins.
	Base clock.Instant
	// From is when the stream begins to matter: what was due before is left out.
	From clock.Instant
}

// Once returns a stream in which each device has one turn, in order, at the times
// at which the shape yields it: the first device at once, device k of the range
// when k have been yielded. With random, each device has its turn at a random
// time instead, so that turns are a Poisson process with the shape's rate.
// Devices that the shape does not yield have none.
//
// place returns the place of a device in that order, and how many there are,
// those of other parts of the fleet included.
func Once(o Options, random bool, place func(device int) (k, of int)) *Stream {
	s := &Stream{source: o.Source, shape: o.Shape, base: o.Base, number: uint64(o.Number)}
	i, step := o.Range.first()
	for ; i < o.Range.First+o.Range.Count; i += step {
		k, of := place(i)
		amount := float64(k)
		if random {
			d := s.source.Roll(s.number+uint64(i), 0)
			amount = min(float64(of), o.Shape.Total()) * d.Float()
			if o.Shape.Total() < float64(of) && d.Float() >= o.Shape.Total()/float64(of) {
				continue
			}
		}
		if after, ok := o.Shape.When(amount); ok {
			// What was due before From is still to be done: the device is not there.
			s.heap = append(s.heap, item{at: o.Base.Add(after), device: uint32(i)})
		}
	}
	s.init()
	return s
}

// Again returns a stream in which each device has a turn again and again, with
// intervals drawn from every, in seconds, while the shape is 1. Where the shape is
// 2 intervals are half as long; where it is 0 there are none. The first turn is
// somewhere within an interval, so that devices do not march in step.
func Again(o Options, every Spread) *Stream {
	s := &Stream{source: o.Source, every: every, shape: o.Shape, base: o.Base, number: uint64(o.Number)}
	i, step := o.Range.first()
	for ; i < o.Range.First+o.Range.Count; i += step {
		it := item{device: uint32(i)}
		d := s.source.Roll(s.number+uint64(i), 0)
		it.n, it.amount = 1, s.interval(&d)*d.Float()
		if every.Kind == Exponential { // has no memory: any wait is a whole one
			it.amount = s.interval(&d)
		}
		for ok := s.place(&it); ok; ok = s.forth(&it) {
			if it.at >= o.From {
				s.heap = append(s.heap, it)
				break
			}
		}
	}
	s.init()
	return s
}

// shortest is the shortest interval in seconds, so that a spread that yields
// zeros does not stop time.
const shortest = 1e-3

func (s *Stream) interval(d *Dice) float64 { return max(s.every.Draw(d), shortest) }

// place finds the time of an item, and reports false when it has none.
func (s *Stream) place(it *item) bool {
	after, ok := s.shape.When(it.amount)
	it.at = s.base.Add(after)
	return ok
}

// forth moves an item to its next turn.
func (s *Stream) forth(it *item) bool {
	if it.n == math.MaxUint32 {
		return false
	}
	d := s.source.Roll(s.number+uint64(it.device), uint64(it.n))
	it.amount += s.interval(&d)
	it.n++
	return s.place(it)
}

// Due returns when the next device has its turn, clock.Never when none has.
func (s *Stream) Due() clock.Instant {
	if len(s.heap) == 0 {
		return clock.Never
	}
	return s.heap[0].at
}

// Len returns how many devices have a turn yet.
func (s *Stream) Len() int { return len(s.heap) }

// A Turn is a device's, at a time.
type Turn struct {
	At     clock.Instant
	Device int
	N      uint32 // how many turns it had before
}

// Next returns the next turn, which there must be.
func (s *Stream) Next() Turn {
	it := &s.heap[0]
	t := Turn{At: it.at, Device: int(it.device), N: max(it.n, 1) - 1}
	if s.every.Zero() || !s.forth(it) {
		last := len(s.heap) - 1
		s.heap[0] = s.heap[last]
		s.heap = s.heap[:last]
	}
	s.down(0)
	return t
}

// Dice returns the dice for what a device does in a turn.
func (s *Stream) Dice(t Turn) Dice {
	return s.source.Roll(s.number+uint64(t.Device), 1<<40+uint64(t.N))
}

// Skip gives up turns that are due before t, with the devices' later ones kept.
func (s *Stream) Skip(t clock.Instant) {
	for s.Due() < t {
		s.Next()
	}
}

func (s *Stream) less(a, b *item) bool {
	return a.at < b.at || a.at == b.at && a.device < b.device
}

func (s *Stream) init() {
	for i := len(s.heap)/2 - 1; i >= 0; i-- {
		s.down(i)
	}
}

func (s *Stream) down(i int) {
	h := s.heap
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && s.less(&h[right], &h[child]) {
			child = right
		}
		if !s.less(&h[child], &h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
