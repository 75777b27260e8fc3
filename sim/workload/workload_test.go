package workload

import (
	"math"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// shapeOf is a rate that rises from 0 to 10 in ten seconds, stays there for ten, has
// a step of 20, rests for five seconds and falls from 4 to 0 in ten.
func shapeOf() *Shape {
	s := &Shape{}
	s.Line(10*time.Second, 0, 10)
	s.Line(10*time.Second, 10, 10)
	s.Step(20)
	s.Line(5*time.Second, 0, 0)
	s.Line(10*time.Second, 4, 0)
	return s
}

func TestShape(t *testing.T) {
	s := shapeOf()
	if s.Total() != 50+100+20+20 || s.End() != 35*time.Second {
		t.Fatalf("total %v until %v", s.Total(), s.End())
	}
	for _, c := range []struct {
		amount float64
		want   time.Duration
	}{
		{0, 0},
		{12.5, 5 * time.Second},
		{50, 10 * time.Second},
		{149, 19900 * time.Millisecond},
		{150, 20 * time.Second},
		{169.9, 20 * time.Second},
		{170, 25 * time.Second},
		{185, 30 * time.Second},
	} {
		got, ok := s.When(c.amount)
		if !ok || (got-c.want).Abs() > time.Millisecond {
			t.Errorf("%v is yielded at %v, %v; want %v", c.amount, got, ok, c.want)
		}
	}
	for _, never := range []float64{-1, 190, 1000} {
		if at, ok := s.When(never); ok {
			t.Errorf("%v is yielded at %v", never, at)
		}
	}
	for at, want := range map[time.Duration]float64{0: 0, 5 * time.Second: 12.5, 20 * time.Second: 170, 22 * time.Second: 170, time.Hour: 190} {
		if got := s.Amount(at); math.Abs(got-want) > 1e-6 {
			t.Errorf("%v until %v, want %v", got, at, want)
		}
	}
	if s.Rate(5*time.Second) != 5 || s.Rate(22*time.Second) != 0 || s.Rate(time.Hour) != 0 {
		t.Error("rates")
	}
	for _, amount := range []float64{0, 12.5, 60, 160, 185, 190, 500} {
		if cut := s.Until(amount); math.Abs(cut.Total()-min(amount, 190)) > 1e-6 {
			t.Errorf("until %v: %v", amount, cut.Total())
		}
	}
}

// The times of a shape and its amounts are the inverse of one another.
func TestWhenIsAmountInverted(t *testing.T) {
	s := shapeOf()
	for amount := 0.25; amount < s.Total(); amount += 0.5 {
		at, _ := s.When(amount)
		if got := s.Amount(at); got < amount-1e-6 || got > amount+1e-6 && at != 20*time.Second {
			t.Errorf("%v at %v: %v", amount, at, got)
		}
	}
}

func TestSpreads(t *testing.T) {
	for _, s := range []Spread{
		{A: 7},
		{Kind: Uniform, A: 2, B: 6},
		{Kind: Exponential, A: 3},
		{Kind: Normal, A: 10, B: 2},
		{Kind: LogNormal, A: 5, B: 0.5},
		{Kind: Choice, Values: []float64{1, 2, 6}},
	} {
		sum, low, high := 0.0, math.Inf(1), math.Inf(-1)
		const n = 200_000
		source := From(1, s.Kind.String())
		for i := range uint64(n) {
			d := source.Roll(i%10, i/10)
			v := s.Draw(&d)
			sum, low, high = sum+v, min(low, v), max(high, v)
		}
		if mean := sum / n; math.Abs(mean-s.Mean()) > s.Mean()*0.02 {
			t.Errorf("%v: mean %v, want %v", s.Kind, mean, s.Mean())
		}
		if s.Kind == Uniform && (low < 2 || high > 6) || s.Kind != Normal && low < 0 {
			t.Errorf("%v: %v to %v", s.Kind, low, high)
		}
	}
	bounded := Spread{Kind: Exponential, A: 100, Least: 20, Most: 200}
	for i := range uint64(1000) {
		d := From(1, "b").Roll(0, i)
		if v := bounded.Draw(&d); v < 20 || v > 200 {
			t.Fatalf("drew %v", v)
		}
	}
}

// turns runs a stream over n devices, split in shards, and returns all turns by
// device.
func turns(shape *Shape, every Spread, n, shards, parts int, from clock.Instant) map[int][]clock.Instant {
	all := make(map[int][]clock.Instant)
	for part := range parts {
		first, count := part*n/parts, (part+1)*n/parts-part*n/parts
		for shard := range shards {
			s := Again(Options{
				Source: From(9, "x"), Range: Range{Count: count, Offset: shard, Step: shards},
				Number: first, Shape: shape, Base: 1000, From: from,
			}, every)
			last := clock.Instant(0)
			for s.Due() != clock.Never {
				turn := s.Next()
				if turn.At < last {
					panic("time runs back")
				}
				last = turn.At
				all[first+turn.Device] = append(all[first+turn.Device], turn.At)
			}
		}
	}
	return all
}

// Equal seeds give an equal load, however the devices are spread over shards and
// parts.
func TestEqualSeedsEqualLoad(t *testing.T) {
	shape := &Shape{}
	shape.Line(time.Minute, 1, 2)
	every := Spread{Kind: LogNormal, A: 5, B: 0.7}
	whole := turns(shape, every, 50, 1, 1, 0)
	for _, split := range [][2]int{{3, 1}, {1, 4}, {2, 5}} {
		other := turns(shape, every, 50, split[0], split[1], 0)
		for d := range 50 {
			if len(whole[d]) == 0 || len(whole[d]) != len(other[d]) {
				t.Fatalf("%v: device %d has %d turns, and %d in one piece", split, d, len(other[d]), len(whole[d]))
			}
			for i := range whole[d] {
				if whole[d][i] != other[d][i] {
					t.Fatalf("%v: turn %d of device %d", split, i, d)
				}
			}
		}
	}
	// A part that joins in the middle does what is left.
	half := clock.Instant(1000).Add(30 * time.Second)
	joined := turns(shape, every, 50, 1, 1, half)
	for d := range 50 {
		var rest []clock.Instant
		for _, at := range whole[d] {
			if at >= half {
				rest = append(rest, at)
			}
		}
		if len(rest) != len(joined[d]) || len(rest) > 0 && rest[0] != joined[d][0] {
			t.Errorf("device %d: %v and %v", d, rest, joined[d])
		}
	}
}

// The load follows its shape, and devices do not march in step.
func TestLoadFollowsShape(t *testing.T) {
	shape := &Shape{}
	shape.Line(100*time.Second, 1, 1)
	shape.Line(100*time.Second, 0, 0)
	shape.Line(100*time.Second, 3, 3)
	for _, every := range []Spread{Always(10), {Kind: Exponential, A: 10}, {Kind: Uniform, A: 5, B: 15}} {
		var bins [30]int
		for _, list := range turns(shape, every, 1000, 2, 1, 0) {
			for _, at := range list {
				bins[int(at.Sub(1000)/(10*time.Second))]++
			}
		}
		for i, n := range bins {
			want := []float64{1000, 0, 3000}[i/10]
			if math.Abs(float64(n)-want) > want*0.15 {
				t.Errorf("%v: %d turns in bin %d, want some %v", every.Kind, n, i, want)
			}
		}
	}
}

func TestOnce(t *testing.T) {
	shape := &Shape{}
	shape.Line(10*time.Second, 5, 5) // fifty of a hundred
	place := func(i int) (k, of int) { return i, 100 }
	for _, random := range []bool{false, true} {
		seen, last := 0, clock.Instant(0)
		s := Once(Options{Source: From(1, "a"), Range: Range{Count: 100}, Shape: shape}, random, place)
		for s.Due() != clock.Never {
			turn := s.Next()
			if turn.At < last || !random && (turn.Device != seen || turn.At != clock.Instant(0).Add(time.Duration(seen)*200*time.Millisecond)) {
				t.Fatalf("random %v: device %d at %v", random, turn.Device, turn.At)
			}
			last = turn.At
			seen++
		}
		if !random && seen != 50 || seen < 35 || seen > 65 {
			t.Errorf("random %v: %d devices", random, seen)
		}
	}
}

// A spread that yields nothing does not stop time.
func TestShortestInterval(t *testing.T) {
	shape := &Shape{}
	shape.Line(time.Second, 1, 1)
	if n := len(turns(shape, Spread{Kind: Uniform}, 1, 1, 1, 0)[0]); n < 900 || n > 1001 {
		t.Errorf("%d turns", n)
	}
}

// BenchmarkTurn is one turn of a stream of 100,000 devices.
func BenchmarkTurn(b *testing.B) {
	shape := &Shape{}
	shape.Line(10000*time.Hour, 1, 1)
	s := Again(Options{Source: From(1, "a"), Range: Range{Count: 100_000}, Shape: shape}, Spread{Kind: Exponential, A: 10})
	b.ReportAllocs()
	for b.Loop() {
		s.Next()
	}
}
