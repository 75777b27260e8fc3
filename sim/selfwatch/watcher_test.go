package selfwatch

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/sim/record"
)

// A generator with far more to do than cores to do it on is found out.
func TestReallyOverloaded(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w := New()
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	var done atomic.Bool
	for range 16 * runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for !done.Load() {
				for range 1000 { // until the scheduler takes the core away
					_ = done.Load()
				}
			}
		})
	}
	var j Judge
	var last record.Self
	spoilt := 0
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for spoilt < 3 && ctx.Err() == nil {
		<-tick.C
		last = w.Read()
		j.Add(&record.Sample{Phase: "storm", Self: &last})
		if strain, _ := Look(&last); strain == Bottleneck {
			spoilt++
		}
	}
	done.Store(true)
	cancel()
	running.Wait()
	found := j.Findings()
	if spoilt < 3 || len(found) != 1 || !strings.Contains(found[0].What, "for a core") {
		t.Fatalf("%d spoilt intervals, the last %+v; found %v", spoilt, last, found)
	}
	if last.Cores != runtime.GOMAXPROCS(0) || last.CPU <= 0 || last.MachineCPU < last.CPU || last.Heap == 0 || last.Resident == 0 {
		t.Errorf("measured %+v", last)
	}
}

// What the garbage collector does is seen.
func TestGarbage(t *testing.T) {
	w := New()
	for range 3 {
		runtime.GC()
	}
	if s := w.Read(); s.GCPause <= 0 || s.GCPause > time.Minute || s.GCCPU < 0 || s.GCCPU > 1 {
		t.Errorf("measured %+v", s)
	}
}

func TestQuantile(t *testing.T) {
	d := tally{counts: []uint64{0, 98, 1, 1}, edges: []float64{0, 0.001, 0.002, 0.004, 0.008}}
	for q, want := range map[float64]time.Duration{0.5: 2 * time.Millisecond, 0.99: 4 * time.Millisecond, 1: 8 * time.Millisecond} {
		if got := quantile(d, q); got != want {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
	if got := worst([]time.Duration{5, 1, 3}, 0.99); got != 5 || worst(nil, 0.99) != 0 || quantile(tally{}, 1) != 0 {
		t.Errorf("worst is %v", got)
	}
}

// Two looks that follow one another do not make cores that there are not.
func TestTooSoon(t *testing.T) {
	w := New()
	for range 50 {
		if s := w.Read(); s.CPU > float64(runtime.NumCPU())+0.5 {
			t.Fatalf("%v cores of %d in use", s.CPU, runtime.NumCPU())
		}
	}
}
