package bench

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

var numbers = flag.Bool("numbers", false, "measure for as long as it takes, and print the table")

// A run measures all lines.
type run struct {
	t       *testing.T
	contest Contest
	full    bool
	rows    []Row
}

// scale returns full in a run that measures, and little in one that only proves
// that the measuring works.
func (r *run) scale(full, little int) int {
	if r.full {
		return full
	}
	return little
}

// TestNumbers prints the numbers. Without -numbers it runs each line for a moment
// and judges nothing. It never fails because something is slow.
func TestNumbers(t *testing.T) {
	r := &run{t: t, full: *numbers, contest: Contest{Rounds: 1, Turn: time.Millisecond}}
	if r.full {
		r.contest = Contest{Rounds: 21, Turn: 120 * time.Millisecond}
	} else if testing.Short() {
		t.Skip("runs real handshakes")
	}
	start := time.Now()
	lines := []*line{
		{name: "resuming", measure: r.resume},
		{name: "handshakes in memory", measure: r.handshakeInMemory},
		{name: "handshakes over UDP", measure: r.handshakesOverUDP},
		{name: "messages over UDP", measure: r.posts},
		{name: "fleet and cloud on sockets", measure: r.product},
		{name: "an idle fleet", measure: r.idleFleet, first: true},
		{name: "restoring", measure: r.restore},
	}
	for _, early := range []bool{true, false} {
		for _, l := range lines {
			if l.first == early {
				r.measure(l)
			}
		}
	}
	for _, l := range lines {
		r.rows = append(r.rows, l.rows...)
	}
	if !r.full {
		return
	}
	fmt.Printf("\n%s, %s/%s, %d cores, %s; medians of %d rounds in turn\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), time.Since(start).Round(time.Second), r.contest.Rounds)
	if err := WriteTable(os.Stdout, r.rows); err != nil {
		t.Fatal(err)
	}
	fmt.Print("\nscaled: above the target, but within target × (floor here / floor of the machine on which it was set)\n\n")
}

// A line is what is measured together.
type line struct {
	name    string
	measure func() error
	rows    []Row
	// first is for what weighs the heap: later it would hold what others left
	// behind, such as the connections of pion, which take their time to go.
	first bool
}

func (r *run) measure(l *line) {
	if r.full {
		fmt.Printf("measuring: %s\n", l.name)
	}
	r.rows = nil
	if err := l.measure(); err != nil {
		r.t.Fatalf("%s: %v", l.name, err)
	}
	l.rows, r.rows = r.rows, nil
	runtime.GC()
}

// times makes a turn of single operations.
func times(do func() error) func(int) error {
	return func(n int) error {
		for range n {
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	}
}

// compare fills in the costs; floor and pion may be nil.
func (row *Row) compare(ours, floor, pion *Entrant) {
	row.Ours = ours.Cost()
	if floor != nil {
		row.Floor, row.OverFloor = floor.Cost(), ours.Over(floor)
	}
	if pion != nil {
		row.Pion, row.UnderPion = pion.Cost(), pion.Over(ours)
	}
}
