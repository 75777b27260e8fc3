//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/lease"
	"github.com/muster/muster/rigs/power"
	"github.com/muster/muster/rigs/serial"
)

// requests answers the control requests of a fake board.
type requests struct {
	r      control.Responder
	forgot func() // called when the host gives up a request, if not nil
}

func newRequests(board func() *fake.Board) *requests {
	q := &requests{}
	q.r.Handle = func(r control.Request) control.Response {
		if r.Kind == control.Reset {
			return control.Response{After: func() { board().Reset() }}
		}
		return control.Response{}
	}
	return q
}

func (q *requests) Control(_ *fake.Board, s fake.Setup, data []byte) ([]byte, error) {
	if s.In() {
		data = make([]byte, s.Length)
	}
	const reset = 5
	if s.Request == reset && s.Index != 0 && q.forgot != nil {
		q.forgot()
	}
	n, err := q.r.Control(control.Setup{Type: s.RequestType, Request: s.Request, Value: s.Value, Index: s.Index, Length: s.Length}, data, 0)
	return data[:n], err
}

// wire is the control endpoint of a fake board.
type wire struct{ b *fake.Board }

func (w wire) Control(s control.Setup, data []byte, _ time.Duration) (int, error) {
	n, err := w.b.Control(fake.Setup{RequestType: s.Type, Request: s.Request, Value: s.Value, Index: s.Index, Length: s.Length}, data)
	switch {
	case errors.Is(err, fake.ErrGone):
		err = control.ErrGone
	case errors.Is(err, fake.ErrTimeout):
		err = control.ErrSilent
	case err != nil:
		err = control.ErrStall
	}
	return n, err
}

func (wire) Close() error { return nil }

// pin is the reset pin of a fake board.
type pin struct{ b *fake.Board }

func (p pin) Hold(held bool) error { p.b.Pin(held); return nil }
func (pin) Close() error           { return nil }

// world is a fake bench with a Bench on it.
type world struct {
	fakes  *fake.Bench
	boards map[string]*fake.Board
	yaml   strings.Builder
	o      Options
	*Bench
}

func newWorld(t *testing.T) *world {
	t.Helper()
	fakes, err := fake.NewBench(t.TempDir())
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	t.Cleanup(func() { _ = fakes.Close() })
	w := &world{fakes: fakes, boards: make(map[string]*fake.Board)}
	w.yaml.WriteString("version: 1\nboards:\n")
	dir := t.TempDir()
	w.o = Options{
		File: filepath.Join(dir, "rigs.yaml"), Tree: inventory.Tree{Sys: fakes.Sys(), Dev: fakes.Dev()}, LockDir: filepath.Join(dir, "locks"),
		Control: func(b inventory.Board) (control.Transport, error) {
			for _, f := range w.boards {
				if f.Spec().Path == b.Path {
					return wire{f}, nil
				}
			}
			return nil, control.ErrGone
		},
		Pin:   func(e inventory.Entry) (power.Pin, error) { return pin{w.boards[e.Name]}, nil },
		Times: power.Times{Vanish: 10 * time.Second, Off: 50 * time.Millisecond, Answer: 10 * time.Second},
	}
	return w
}

// add plugs a board in and writes it into the file; more are lines of YAML.
func (w *world) add(t *testing.T, name string, s fake.Spec, more ...string) *fake.Board {
	t.Helper()
	n := len(w.boards) + 1
	if s.Serial == "" {
		s.Serial = fmt.Sprintf("e00fce68%016x", n)
	}
	if s.Path == "" {
		s.Path = fmt.Sprintf("1-%d", n)
	}
	var board *fake.Board
	s.Functions.Running = newRequests(func() *fake.Board { return board })
	board, err := w.fakes.Add(s)
	if err != nil {
		t.Fatal(err)
	}
	w.boards[name] = board
	for {
		changed := board.Changed()
		if board.Present() {
			break
		}
		<-changed
	}
	fmt.Fprintf(&w.yaml, "  %s:\n    serial: %s\n    usb: %s\n", name, s.Serial, s.Path)
	for _, m := range more {
		fmt.Fprintf(&w.yaml, "    %s\n", m)
	}
	return board
}

func (w *world) open(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(w.o.File, []byte(w.yaml.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), w.o)
	if err != nil {
		t.Fatal(err)
	}
	w.Bench = b
	t.Cleanup(b.Close)
}

func (w *world) take(t *testing.T, wish Wish) []*Board {
	t.Helper()
	boards, err := w.Take(t.Context(), wish)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { _ = CloseAll(boards) }) })
	return boards
}

func ready(t *testing.T, b *Board) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := b.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

// tellTime waits until the board has told its time.
func tellTime(b *Board) {
	for {
		b.mu.Lock()
		at, more := b.at, b.lines
		b.mu.Unlock()
		if !at.IsZero() {
			return
		}
		<-more
	}
}

// TestLadder holds each rung against boards that need it, and against means that
// lie.
func TestLadder(t *testing.T) {
	supply := func(b string) string {
		return fmt.Sprintf(`power: {control: true, pdu: {off: [sh, -c, "echo 0 > %s"], on: [sh, -c, "echo 1 > %s"]}, person: false%%s}`, b, b)
	}
	for _, c := range []struct {
		name       string
		spec       fake.Spec
		hang       bool
		cure       fake.Cure
		pin        bool
		rungs      string // that are tried, in order
		fails      string
		quarantine bool
	}{
		{name: "the application restarts it", spec: fake.Spec{ResetText: "reset"}, rungs: "soft"},
		{name: "control request", rungs: "control"},
		{name: "hangs, the pin cures", hang: true, cure: fake.AnyReset, pin: true, rungs: "control lines"},
		{name: "hangs, power cures", hang: true, cure: fake.OnlyPower, pin: true, rungs: "control lines hub"},
		{name: "hangs, the hub lies about power", spec: fake.Spec{Port: fake.DataOnly}, hang: true, cure: fake.OnlyPower, rungs: "control hub pdu"},
		{name: "hangs, the hub does nothing", spec: fake.Spec{Port: fake.Deaf}, hang: true, cure: fake.OnlyPower, rungs: "control hub pdu"},
		{name: "broken", hang: true, cure: fake.Nothing, rungs: "control hub pdu", fails: "does not come back by any means", quarantine: true},
		{name: "broken, and never said a word", spec: fake.Spec{BootLines: []string{}}, hang: true, cure: fake.Nothing, rungs: "control hub pdu", fails: "answers no control request", quarantine: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.spec.WaitForHost, c.spec.Platform = true, fake.Boron
			silent := c.spec.BootLines != nil
			if !silent {
				c.spec.BootLines = []string{"hello"}
			}
			more := ""
			if c.pin {
				more = ", lines: {adapter: x, line: rts, hold: 20ms}"
			}
			file := filepath.Join(w.o.Tree.Sys, "..", "supply", "1-1")
			lines := []string{fmt.Sprintf(supply(file), more)}
			if c.spec.ResetText != "" {
				lines = append(lines, "console: {reset: reset}")
			}
			board := w.add(t, "one", c.spec, lines...)
			w.open(t)
			b := w.take(t, Wish{Which: "one"})[0]
			ready(t, b)
			if !silent {
				tellTime(b)
			}
			if c.hang {
				board.Hang(c.cure)
			}
			err := b.Recover(t.Context(), power.Soft)
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v, want %q", err, c.fails)
			}
			h, err := w.Clinic.Health("one")
			if err != nil {
				t.Fatal(err)
			}
			for r := power.Soft; r <= power.Person; r++ {
				if tried := h.Counts[r.String()].Tried; (tried == 1) != strings.Contains(c.rungs, r.String()) {
					t.Errorf("%s was tried %d times", r, tried)
				}
			}
			if (h.Quarantine != nil) != c.quarantine {
				t.Errorf("%+v", h.Quarantine)
			}
			if c.quarantine {
				if _, err := w.Take(t.Context(), Wish{Which: "one"}); err == nil || !strings.Contains(err.Error(), "muster rig health one --return") {
					t.Error(err)
				}
				return
			}
			if board.Hung() || !board.Present() {
				t.Error("it says that the board is well, and it is not")
			}
		})
	}
}

// A board that hangs has not answered when its time is over in the middle of a
// request, nor while it is away.
func TestHangsToTheEndOfItsTime(t *testing.T) {
	w := newWorld(t)
	board := w.add(t, "one", fake.Spec{Platform: fake.Boron}, "power: {person: false}")
	w.open(t)
	b := w.take(t, Wish{Which: "one"})[0]
	ready(t, b)
	if err := b.ask(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	board.Hang(fake.Nothing)
	if err := b.ask(over, true); err == nil || !strings.Contains(err.Error(), "answers no control request") {
		t.Errorf("it hangs: %v", err)
	}
	board.Unplug()
	for p, changed := b.Look(); p.Present; p, changed = b.Look() {
		<-changed
	}
	if err := b.ask(over, true); err == nil || !strings.Contains(err.Error(), "answers no control request") {
		t.Errorf("it is away: %v", err)
	}
}

// A board that runs and prints is well, though its system has no time for requests
// yet; one that prints nothing may hang.
func TestBusyAndWell(t *testing.T) {
	w := newWorld(t)
	board := w.add(t, "one", fake.Spec{Platform: fake.Boron}, "power: {person: false}")
	w.open(t)
	var notes []string
	b := w.take(t, Wish{Which: "one", Note: func(_, text string) { notes = append(notes, text) }})[0]
	ready(t, b)
	b.heed = 50 * time.Millisecond
	q := board.Spec().Functions.Running.(*requests)
	for _, prints := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		vain := 0
		q.r.Pending, q.forgot = 1<<30, func() {
			if vain++; vain > enough {
				cancel()
			}
		}
		err := b.ask(ctx, prints)
		if prints && (err != nil || vain != enough || len(notes) != 2 || !strings.Contains(notes[0], "keeps its system busy") || !strings.Contains(notes[1], "taken as well")) {
			t.Errorf("it prints: %v, told %q", err, notes)
		}
		if !prints && !errors.Is(err, control.ErrPending) {
			t.Errorf("it prints nothing: %v", err)
		}
	}
}

// TestLyingHub holds that a port which only takes the board off the bus is found
// out by the clock of a board that runs on.
func TestLyingHub(t *testing.T) {
	w := newWorld(t)
	w.add(t, "liar", fake.Spec{Platform: fake.Boron, Port: fake.DataOnly, Heartbeat: 5 * time.Millisecond}, "power: {person: false, control: false}")
	w.add(t, "honest", fake.Spec{Platform: fake.Boron, Heartbeat: 5 * time.Millisecond})
	w.open(t)
	for name, want := range map[string]error{"liar": power.ErrLied, "honest": nil} {
		b := w.take(t, Wish{Which: name})[0]
		ready(t, b)
		tellTime(b)
		a, err := b.Ladder().Use(t.Context(), power.Hub)
		if !errors.Is(a.Err, want) || a.Proven != (want == nil) {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
}

func TestHoldOffAndCut(t *testing.T) {
	w := newWorld(t)
	board := w.add(t, "one", fake.Spec{Platform: fake.Boron})
	deaf := w.add(t, "deaf", fake.Spec{Platform: fake.Boron, Port: fake.Deaf})
	w.open(t)
	b := w.take(t, Wish{Which: "one"})[0]
	ready(t, b)
	if err := b.Ladder().Off(t.Context()); err != nil || board.Present() {
		t.Error(err)
	}
	if s, _, err := b.Sighting(); err != nil || s.State != inventory.Absent {
		t.Errorf("%+v, %v", s, err)
	}
	if err := b.Ladder().On(t.Context()); err != nil || !board.Present() {
		t.Error(err)
	}
	ready(t, b)
	if means, err := b.Ladder().Cut(t.Context()); err != nil || !strings.Contains(means, "hub port") {
		t.Error(means, err)
	}
	if err := b.Ladder().On(t.Context()); err != nil {
		t.Error(err)
	}
	d := w.take(t, Wish{Which: "deaf"})[0]
	ready(t, d)
	if err := d.Ladder().Off(t.Context()); !errors.Is(err, power.ErrNoEffect) || !deaf.Present() {
		t.Errorf("a port that does nothing: %v", err)
	}
}

// TestOffWhileItRestarts takes the power of a board that is away for a moment: it must not
// come back with what it had.
func TestOffWhileItRestarts(t *testing.T) {
	w := newWorld(t)
	board := w.add(t, "one", fake.Spec{Platform: fake.Boron})
	w.open(t)
	b := w.take(t, Wish{Which: "one"})[0]
	ready(t, b)
	board.Pin(true)
	for { // until the bus shows it
		s, changed, err := b.Sighting()
		if err != nil {
			t.Fatal(err)
		}
		if s.Board == nil {
			break
		}
		<-changed
	}
	if err := b.Ladder().Off(t.Context()); err != nil {
		t.Error(err)
	}
	ports, err := filepath.Glob(filepath.Join(w.fakes.Sys(), "bus/usb/devices/*/*-port*/disable"))
	if err != nil || len(ports) == 0 {
		t.Fatal(ports, err)
	}
	off := 0
	for _, port := range ports {
		if v, err := os.ReadFile(port); err == nil && strings.TrimSpace(string(v)) == "1" {
			off++
		}
	}
	if off != 1 {
		t.Errorf("%d of the ports %v are off", off, ports)
	}
	board.Pin(false)
	if err := b.Ladder().On(t.Context()); err != nil || !board.Present() {
		t.Error(err)
	}
}

// TestDozens restarts dozens of boards at the same time, with one bus and one
// desk.
func TestDozens(t *testing.T) {
	const boards = 30
	w := newWorld(t)
	for i := range boards {
		w.add(t, fmt.Sprint("b", i), fake.Spec{Platform: fake.Boron, BootLines: []string{"up"}, WaitForHost: true}, "pool: boron")
	}
	w.o.Times = power.Times{Off: 20 * time.Millisecond}
	w.open(t)
	all := w.take(t, Wish{Which: "pool=boron", Count: boards})
	var wait sync.WaitGroup
	for i, b := range all {
		wait.Go(func() {
			if err := b.Ready(t.Context()); err != nil {
				t.Error(err)
				return
			}
			rung := power.Control
			if i%2 == 1 {
				w.boards[b.Name()].Hang(fake.OnlyPower)
				rung = power.Hub
			}
			if _, err := b.Ladder().Use(t.Context(), rung); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for name, f := range w.boards {
		if f.Boots() != 2 || f.Hung() {
			t.Errorf("%s: %d boots", name, f.Boots())
		}
	}
}

func TestTaking(t *testing.T) {
	w := newWorld(t)
	one := w.add(t, "one", fake.Spec{Platform: fake.Boron}, "pool: p")
	w.add(t, "two", fake.Spec{Platform: fake.Boron}, "pool: p")
	w.open(t)
	var mu sync.Mutex
	var lines []string
	heard := make(chan struct{}, 100)
	gone := make(chan struct{}, 100)
	boards := w.take(t, Wish{Which: "one", Reason: "a test", OnState: func(_ string, s serial.State) {
		if s.Kind == serial.Gone {
			gone <- struct{}{}
		}
	}, OnLine: func(name string, l serial.Line) {
		mu.Lock()
		lines = append(lines, name+": "+l.Text)
		mu.Unlock()
		heard <- struct{}{}
	}})
	ready(t, boards[0])
	for {
		changed := one.Changed()
		if one.Attached(0) {
			break
		}
		<-changed
	}
	one.Print("Device Secret: TOPSECRET\r\n")
	<-heard
	log, err := os.ReadFile(boards[0].Log.Path())
	if err != nil || !strings.Contains(string(log), "[redacted]") || strings.Contains(string(log), "TOPSECRET") || strings.Contains(fmt.Sprint(lines), "TOPSECRET") {
		t.Errorf("%v, %s, %q", err, log, lines)
	}
	if _, err := w.Take(t.Context(), Wish{Which: "one"}); err == nil || !strings.Contains(err.Error(), "(a test)") {
		t.Error(err)
	}
	other := w.take(t, Wish{Which: "pool=p"}) // the one that is free
	if other[0].Name() != "two" {
		t.Error(other[0].Name())
	}
	if err := CloseAll(other); err != nil {
		t.Error(err)
	}
	one.Unplug()
	<-gone
	if s, _, err := boards[0].Sighting(); err != nil || s.State != inventory.Absent {
		t.Errorf("%+v, %v", s, err)
	}
	short, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if err := boards[0].Ready(short); err == nil || !strings.Contains(err.Error(), "plugged in") {
		t.Error(err)
	}
	if _, err := w.Take(t.Context(), Wish{Which: "pool=p", Count: 2}); err == nil || !strings.Contains(err.Error(), "board one is not there") {
		t.Error(err)
	}
	if _, err := w.Take(t.Context(), Wish{Which: "pool=p", Count: 3}); err == nil || strings.Contains(err.Error(), "%") || !strings.Contains(err.Error(), "3 are wanted") {
		t.Error(err)
	}
	if err := w.Clinic.Isolate("two", "ann", "its LED is red"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Take(t.Context(), Wish{Which: "two"}); err == nil || !strings.Contains(err.Error(), "its LED is red") {
		t.Error(err)
	}
	sick := w.take(t, Wish{Which: "two", Sick: true})
	if err := CloseAll(sick); err != nil {
		t.Error(err)
	}
	if err := w.Clinic.Return("two"); err != nil {
		t.Error(err)
	}
}

// TestLostLease holds that a board is let go of when its lease is lost.
func TestLostLease(t *testing.T) {
	w := newWorld(t)
	board := w.add(t, "one", fake.Spec{Platform: fake.Boron})
	w.open(t)
	entry, err := w.File.Entry("one")
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.Request(entry, "")
	if err != nil {
		t.Fatal(err)
	}
	r.TTL = 6 * time.Second
	l, err := w.Desk.Acquire(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.Bench.open(entry, l, Wish{})
	if err != nil {
		t.Fatal(err)
	}
	ready(t, b)
	if err := os.RemoveAll(w.Desk.Dir); err != nil {
		t.Fatal(err)
	}
	<-l.Done()
	for {
		changed := board.Changed()
		if !board.Attached(0) {
			break
		}
		<-changed
	}
	if err := b.Close(); err != nil || !errors.Is(l.Err(), lease.ErrLost) {
		t.Error(err, l.Err())
	}
}
