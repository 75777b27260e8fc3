package plan

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/record"
)

var seedFlag = flag.Uint64("seed", 0, "one seed for the random runs; 0: many")

func options(devices int) Options {
	return Options{Devices: devices, Length: time.Minute, Every: time.Second, Version: "v1", Lease: 8 * time.Second, Workers: 3}
}

func (w *world) noted(text string) (n int) {
	for _, note := range w.notes {
		if strings.Contains(note.Text, text) {
			n++
		}
	}
	return n
}

// finish lets a run end and checks what holds for all of them.
func (w *world) finish(within time.Duration) {
	w.t.Helper()
	w.run(within)
	if !w.over || w.err != nil {
		w.t.Fatalf("the run is not over after %v: %v, %+v", within, w.err, w.bosses[len(w.bosses)-1].machine.Status(w.now))
	}
	if w.given != w.counted {
		w.t.Errorf("%d events came out, and workers stored %d", w.given, w.counted)
	}
}

func TestRunOfThree(t *testing.T) {
	w := newWorld(t, 1, options(1000))
	for i := range 3 {
		w.worker(fmt.Sprint("w", i), 500)
	}
	w.watch()
	w.finish(5 * time.Minute)
	if w.counted == 0 || w.noted("never arrived") > 0 || w.noted("ran 3 parts") != 3 {
		t.Errorf("%d counted, notes %v", w.counted, w.notes)
	}
	// The samples of an interval have all devices in their levels.
	whole, online := 0, make(map[time.Duration]int64)
	for _, s := range w.samples {
		if online[s.At] += s.Levels[record.Online]; online[s.At] == 1000 {
			whole++
		}
	}
	if whole < 58 {
		t.Errorf("%d intervals of 60 are whole", whole)
	}
}

func TestKilledWorkerIsTakenOver(t *testing.T) {
	w := newWorld(t, 2, options(900))
	var list []*body
	for i := range 3 {
		list = append(list, w.worker(fmt.Sprint("w", i), 500))
	}
	w.watch()
	for w.server.begin == clock.Never {
		w.run(time.Second)
	}
	w.run(20 * time.Second)
	list[1].kill()
	w.run(w.o.Lease + 2*time.Second)
	for p, l := range w.server.leases {
		if l.Worker == "w1" {
			t.Errorf("part %d is still with the killed worker: %+v", p, l)
		}
	}
	w.finish(5 * time.Minute)
	if n := w.noted("taken over by worker"); n != 3 {
		t.Errorf("%d parts were taken over, want 3: %v", n, w.notes)
	}
	missing := uint64(0)
	for _, n := range w.notes {
		if strings.Contains(n.Text, "never arrived") {
			missing += n.Count
		}
	}
	// Each of three parts lacks a lease's time and what the worker had not sent.
	if lease := uint64(w.o.Lease / time.Second); missing < 3*(lease-2) || missing > 3*(lease+4) {
		t.Errorf("%d intervals are said to be missing", missing)
	}
}

// With nobody to take over, that is said, and a worker that comes later takes the
// parts.
func TestLateWorkerTakesWhatNobodyHas(t *testing.T) {
	o := options(900)
	o.Workers = 2
	w := newWorld(t, 3, o)
	first, second := w.worker("a", 450), w.worker("b", 450)
	w.watch()
	for w.server.begin == clock.Never {
		w.run(time.Second)
	}
	w.run(10 * time.Second)
	second.kill()
	w.run(15 * time.Second)
	if w.noted("run by nobody") == 0 {
		t.Errorf("nobody says that parts have no worker: %v", w.notes)
	}
	w.worker("b", 450) // the same name, as a pod that was started again
	w.run(12 * time.Second)
	for p, l := range w.server.leases {
		if !l.State.owned() || l.Session == second.session {
			t.Errorf("part %d: %+v", p, l)
		}
	}
	_ = first
	w.finish(5 * time.Minute)
}

// A coordinator that is killed leaves all there is to know behind.
func TestCoordinatorGoesOn(t *testing.T) {
	w := newWorld(t, 4, options(900))
	for i := range 3 {
		w.worker(fmt.Sprint("w", i), 500)
	}
	w.watch()
	for w.server.begin == clock.Never {
		w.run(time.Second)
	}
	w.run(10 * time.Second)
	w.bosses[0].alive = false
	w.run(15 * time.Second)
	w.startBoss()
	w.finish(5 * time.Minute)
	if w.noted("never arrived") > 0 || w.noted("taken over") > 0 {
		t.Errorf("notes: %v", w.notes)
	}
	// What was measured before is told as if nothing had happened: with its levels.
	whole, online := 0, make(map[time.Duration]int64)
	for _, s := range w.samples {
		if online[s.At] += s.Levels[record.Online]; online[s.At] == 900 {
			whole++
		}
	}
	if whole < 58 {
		t.Errorf("%d intervals of 60 are whole", whole)
	}
}

// Without a coordinator workers end by themselves.
func TestOrphans(t *testing.T) {
	o := options(900)
	o.Length = time.Hour
	w := newWorld(t, 5, o)
	for i := range 3 {
		w.worker(fmt.Sprint("w", i), 500)
	}
	for w.server.begin == clock.Never {
		w.run(time.Second)
	}
	w.run(10 * time.Second)
	w.bosses[0].alive = false
	w.run(6 * time.Minute)
	for _, x := range w.workers {
		if !x.machine.Idle() {
			t.Errorf("worker %s still has %v", x.name, x.machine.Running())
		}
	}
}

func TestInterruptEndsOnAllWorkers(t *testing.T) {
	w := newWorld(t, 6, options(900))
	for i := range 3 {
		w.worker(fmt.Sprint("w", i), 500)
	}
	for w.server.begin == clock.Never {
		w.run(time.Second)
	}
	w.run(12 * time.Second)
	b := w.bosses[0]
	b.machine.Interrupt(w.now, "interrupted", &b.out)
	w.finish(10 * time.Second)
	if l := b.machine.Length(); l < 5*time.Second || l > 13*time.Second {
		t.Errorf("it went on for %v", l)
	}
	if w.noted("never arrived") > 0 {
		t.Errorf("notes: %v", w.notes)
	}
}

// Whatever goes wrong, no part has two owners at a time, everything counts once,
// and the run ends.
func TestRandomRuns(t *testing.T) {
	seeds := []uint64{*seedFlag}
	if *seedFlag == 0 {
		seeds = nil
		for i := range uint64(60) {
			seeds = append(seeds, 1000+i)
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed, options(500+int(seed%700)))
			for i := range 3 + int(seed%3) {
				w.worker(fmt.Sprint("w", i), 1300)
			}
			w.watch()
			w.trouble()
			w.finish(20 * time.Minute)
			if t.Failed() {
				t.Logf("to repeat: go test ./sim/workers/plan -run TestRandomRuns -seed %d", seed)
			}
		})
	}
}

// trouble does something bad every few seconds.
func (w *world) trouble() {
	x := w.workers[w.rng.IntN(len(w.workers))]
	b := w.bosses[len(w.bosses)-1]
	heal := time.Duration(w.rng.IntN(int(20 * time.Second)))
	switch w.rng.IntN(6) {
	case 0:
		if x.alive {
			x.kill()
			w.in(heal, func() { w.worker(x.name, x.room) })
		}
	case 1:
		x.cut = true
		w.in(heal, func() { x.cut = false })
	case 2:
		b.cut = true
		w.in(heal, func() { b.cut = false })
	case 3:
		if b.alive {
			b.alive = false
			w.in(heal, func() { w.startBoss() })
		}
	case 4:
		if x.alive {
			x.machine.Leave(x.time(), &x.out)
			w.in(3*time.Second, func() {
				if x.alive {
					x.kill()
					w.worker(x.name, x.room)
				}
			})
		}
	default: // a quiet moment
	}
	w.in(time.Duration(2+w.rng.IntN(6))*time.Second, w.trouble)
}
