package view

import (
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/record/recordtest"
)

// play gives a view's state a made-up run up to a moment.
func play(o recordtest.Options, until time.Duration) *state {
	s := newState()
	var samples []record.Sample
	run := recordtest.Make(o, func(x *record.Sample) { samples = append(samples, *x) })
	s.begin(run)
	for i := range samples {
		if samples[i].At <= until {
			s.add(&samples[i])
		}
	}
	for _, n := range run.Notes {
		if n.At <= until {
			s.note(n)
		}
	}
	return s
}

func text(screen string) string { return ansi.Strip(screen) }

// What matters is on the screen, of one generator and of workers.
func TestDraw(t *testing.T) {
	if testing.Short() {
		t.Skip("draws much in one goroutine")
	}
	for _, o := range []recordtest.Options{{Seed: 1, Devices: 100_000, Every: 5 * time.Second, Overloaded: true}, {Seed: 1, Devices: 100_000, Every: 5 * time.Second, Overloaded: true, Workers: 2}} {
		s := play(o, 345*time.Second)
		got := text(s.draw(120, 45, false))
		for _, want := range []string{
			"storm after an outage", "127.0.0.1:5684  seed 1", "storm  everybody comes back", "phase 4 of 5", "0:25 of 1:20, the run 5:45 of 8:40", "━╋━",
			"100,000 devices", "online", "waiting", "each second", "resumes", "events acknowledged", "now p50", "phase p50", "p99.9", "an event", "a delivery",
			"bottleneck  arrivals begin", "1.9 of 2 cores, machine 2.0", "dropped", "ping timeout", "the cloud does not answer: connection refused (100,000 times)", "Ctrl-C ends the run",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%d workers: the screen lacks %q:\n%s", o.Workers, want, got)
			}
		}
		if strings.Contains(got, "the most loaded of 2 workers") != (o.Workers == 2) {
			t.Errorf("%d workers: %s", o.Workers, got)
		}
	}
}

// The rate that is shown is that of a whole interval, summed over workers and groups.
func TestRates(t *testing.T) {
	for _, workers := range []int{0, 2} {
		s := newState()
		for i := range 3 {
			for w := range max(1, workers) {
				for _, group := range []string{"a", "b"} {
					x := &record.Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Phase: "hold", Group: group}
					if workers > 0 {
						x.Worker = string(rune('p' + w))
					}
					x.Count(record.Resumes, 7)
					s.add(x)
				}
				x := &record.Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Phase: "hold", Self: &record.Self{Cores: 1}}
				if workers > 0 {
					x.Worker = string(rune('p' + w))
				}
				s.add(x)
			}
		}
		want, n := float64(14*max(1, workers)), 3-min(workers, 1) // of workers, an interval ends when the next begins
		h := s.history.rates[record.Resumes]
		if len(h) != n || h[0] != want || h[n-1] != want || s.history.peaks[record.Resumes] != want {
			t.Errorf("%d workers: got %v, want %d of %v", workers, h, n, want)
		}
	}
}

// At any size nothing is wider or higher than the screen, and the phase is there as
// long as there is room for anything.
func TestSizes(t *testing.T) {
	if testing.Short() {
		t.Skip("draws much in one goroutine")
	}
	s := play(recordtest.Options{Seed: 1, Devices: 1_000_000, Every: 5 * time.Second, Overloaded: true}, 345*time.Second)
	for _, width := range []int{1, 19, 20, 40, 60, 80, 100, 132, 250} {
		for _, height := range []int{1, 3, 5, 10, 16, 24, 40, 80} {
			got := s.draw(width, height, true)
			lines := strings.Split(got, "\n")
			if len(lines) > height {
				t.Errorf("%d×%d: %d lines", width, height, len(lines))
			}
			for _, l := range lines {
				if w := lipgloss.Width(l); w > width {
					t.Errorf("%d×%d: a line is %d wide: %q", width, height, w, ansi.Strip(l))
				}
			}
			if width >= 20 && height >= 4 && !strings.Contains(text(got), "storm") {
				t.Errorf("%d×%d: no phase:\n%s", width, height, text(got))
			}
			if width >= 80 && height >= 5 && !strings.Contains(text(got), "Ctrl-C again leaves at once") {
				t.Errorf("%d×%d: does not say that it ends:\n%s", width, height, text(got))
			}
		}
	}
	if got := text(s.draw(80, 24, false)); !strings.Contains(got, "an event") || !strings.Contains(got, "processor") || !strings.Contains(got, "ping timeout") {
		t.Errorf("80×24 lacks times, the generator or reasons:\n%s", got)
	}
}

// Before anything is known there is a screen, too.
func TestDrawNothing(t *testing.T) {
	if got := text(newState().draw(80, 24, false)); !strings.Contains(got, "0 devices") || !strings.Contains(got, "nothing was measured yet") {
		t.Error(got)
	}
}

// A straggler of an earlier phase does not take the view back.
func TestStraggler(t *testing.T) {
	s := newState()
	s.begin(&record.Run{Phases: []record.Phase{{Name: "ramp", End: time.Second}, {Name: "hold", Start: time.Second, End: 9 * time.Second}}})
	for i, phase := range []string{"ramp", "hold", "ramp"} {
		x := record.Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Phase: phase, Group: "a"}
		x.Count(record.Published, 5)
		s.add(&x)
	}
	if s.phase != "hold" || s.inPhase.Counts[record.Published] != 5 || s.whole.Counts[record.Published] != 15 {
		t.Errorf("phase %s with %d of %d events", s.phase, s.inPhase.Counts[record.Published], s.whole.Counts[record.Published])
	}
}

func TestSpark(t *testing.T) {
	if got := text(spark([]float64{0, 1, 4, 8}, 20, plain)); got != "    ▂▅█" {
		t.Errorf("%q", got)
	}
	if got := spark([]float64{1}, 6, plain); got != "" {
		t.Errorf("too narrow: %q", got)
	}
}

// Intervals that end late are still one interval each, and their rates are by the time
// that they really took.
func TestLateIntervals(t *testing.T) {
	s := newState()
	at := time.Duration(0)
	for _, every := range []time.Duration{1001, 1037, 962, 985, 3000, 1000, 5} {
		every *= time.Millisecond
		at += every
		x := &record.Sample{At: at, Every: every, Phase: "hold", Group: "a"}
		x.Count(record.Resumes, uint64(every/time.Millisecond))
		s.add(x)
		s.add(&record.Sample{At: at, Every: every, Phase: "hold", Self: &record.Self{Cores: 1}})
	}
	for i, v := range s.history.rates[record.Resumes] {
		if v < 999 || v > 1001 {
			t.Errorf("interval %d: %v/s, want 1000", i, v)
		}
	}
	if n := len(s.history.rates[record.Resumes]); n != 7 {
		t.Errorf("%d intervals", n)
	}
}

// A run without an end has no bar that says how far it is.
func TestEndless(t *testing.T) {
	s := newState()
	s.begin(&record.Run{Phases: []record.Phase{{Name: "ramp", End: time.Minute}, {Name: "steady", Start: time.Minute, End: 30 * 24 * time.Hour}}})
	s.add(&record.Sample{At: 2 * time.Minute, Every: time.Second, Phase: "steady", Group: "a"})
	if got := text(s.draw(100, 30, false)); strings.Contains(got, "━") || !strings.Contains(got, "\n2:00\n") {
		t.Error(got)
	}
}

// What the program has to say while the screen is in use is on the screen.
func TestTell(t *testing.T) {
	v := &View{state: newState()}
	v.Tell("waiting for workers: 2 of 3")
	if got := text(v.draw(80, 24)); !strings.Contains(got, "waiting for workers: 2 of 3") {
		t.Error(got)
	}
}
