//go:build linux

package serial

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/inventory"
)

// heard keeps what a session tells.
type heard struct {
	mu     sync.Mutex
	lines  []string
	states []State
	more   chan struct{}
}

func newHeard() *heard { return &heard{more: make(chan struct{}, 1)} }

func (h *heard) note(line string, s *State) {
	h.mu.Lock()
	if s != nil {
		h.states = append(h.states, *s)
	} else {
		h.lines = append(h.lines, line)
	}
	h.mu.Unlock()
	select {
	case h.more <- struct{}{}:
	default:
	}
}

func (h *heard) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.After(2 * time.Minute); ; {
		h.mu.Lock()
		done := ok()
		h.mu.Unlock()
		if done {
			return
		}
		select {
		case <-h.more:
		case <-late:
			t.Fatalf("%s: %q, %+v", what, h.lines, h.states)
		}
	}
}

func (h *heard) has(text string) bool {
	for _, l := range h.lines {
		if strings.Contains(l, text) {
			return true
		}
	}
	return false
}

func testBench(t *testing.T) *fake.Bench {
	t.Helper()
	b, err := fake.NewBench(t.TempDir())
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func follow(t *testing.T, bus *inventory.Bus, id string, log *Log) (*Session, *heard) {
	t.Helper()
	h := newHeard()
	s := Follow(SessionOptions{
		Name: id, Options: Options{Now: time.Now}, Log: log,
		Find: func() (string, <-chan struct{}) {
			found, changed, err := bus.Now()
			if err != nil {
				t.Error(err)
			}
			port, err := found.Console(id)
			if err != nil {
				return "", changed
			}
			return port, changed
		},
		OnLine:  func(l Line) { h.note(l.Text, nil) },
		OnState: func(s State) { h.note("", &s) },
	})
	t.Cleanup(func() { _ = s.Close() })
	return s, h
}

// TestFirstLineIsNeverLost restarts dozens of boards at once, again and again:
// each line that an application prints when the host is there must come.
func TestFirstLineIsNeverLost(t *testing.T) {
	const boards, restarts = 24, 5
	bench := testBench(t)
	bus := inventory.Tree{Sys: bench.Sys(), Dev: bench.Dev()}.Follow()
	defer bus.Close()
	var wait sync.WaitGroup
	for i := range boards {
		id := fmt.Sprintf("e00fce68%016x", i)
		board, err := bench.Add(fake.Spec{Serial: id, Platform: fake.Boron, Path: fmt.Sprintf("1-%d", i+1), BootLines: []string{"first line", "second line"}, WaitForHost: true})
		if err != nil {
			t.Fatal(err)
		}
		log, err := OpenLog(filepath.Join(t.TempDir(), "log", id+".log"))
		if err != nil {
			t.Fatal(err)
		}
		_, h := follow(t, bus, id, log)
		wait.Go(func() {
			for n := 1; n <= restarts; n++ {
				h.await(t, id, func() bool { return len(h.lines) == 2*n })
				if !strings.Contains(h.lines[2*n-2], "first line") {
					t.Errorf("%s: %q", id, h.lines)
				}
				if n < restarts {
					board.Reset()
				}
			}
			b, err := os.ReadFile(log.Path())
			if err != nil || strings.Count(string(b), "second line") != restarts || strings.Count(string(b), "-- console open again at") != restarts-1 {
				t.Errorf("%v:\n%s", err, b)
			}
		})
	}
	wait.Wait()
}

func TestSessionWritesAndSurvives(t *testing.T) {
	bench := testBench(t)
	bus := inventory.Tree{Sys: bench.Sys(), Dev: bench.Dev()}.Follow()
	defer bus.Close()
	const id = "e00fce680000000000000001"
	s, h := follow(t, bus, id, nil)
	h.await(t, "not there yet", func() bool { return len(h.states) == 1 && h.states[0].Kind == Gone })
	if err := s.Write(t.Context(), []byte("x")); !errors.Is(err, ErrGone) {
		t.Errorf("wrote to no board: %v", err)
	}
	board, err := bench.Add(fake.Spec{Serial: id, Platform: fake.Boron, Path: "1-1", ResetText: "reset\n"})
	if err != nil {
		t.Fatal(err)
	}
	h.await(t, "open", func() bool { return len(h.states) == 2 && h.states[1].Kind == Opened })
	if err := s.Write(t.Context(), []byte("reset\n")); err != nil {
		t.Fatal(err)
	}
	h.await(t, "gone and back", func() bool { return len(h.states) == 4 && h.states[3].Kind == Opened && h.states[3].Away > 0 })
	if h.states[3].Port == h.states[1].Port {
		t.Error("it came back under its old number: the fake is too kind")
	}
	if err := s.Touch(14400); err != nil {
		t.Error(err)
	}
	h.await(t, "gone", func() bool { return h.states[len(h.states)-1].Kind == Gone })
	if board.Mode() != fake.DFU && board.Mode() != fake.Off {
		t.Errorf("after the touch: %s", board.Mode())
	}
}

func TestLinesTellTheBoardsTime(t *testing.T) {
	var log strings.Builder
	l := &Log{name: "log", w: nopCloser{&log}}
	for _, text := range []string{"0000012345 [app] INFO: hi\n", "12345 [app] hi\n", "no time\n"} {
		c := newConsole("port", &script{pieces: []string{text}}, options())
		line, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Line(line); err != nil {
			t.Fatal(err)
		}
	}
	want := `2026-01-02T12:00:00.000Z    12.345  0000012345 [app] INFO: hi
2026-01-02T12:00:00.000Z         -  12345 [app] hi
2026-01-02T12:00:00.000Z         -  no time
`
	if log.String() != want {
		t.Errorf("\n%s", log.String())
	}
}

type nopCloser struct{ *strings.Builder }

func (nopCloser) Close() error { return nil }

// TestFullDisk writes to a device that is always full.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	log := &Log{name: "board.log", w: full}
	bench := testBench(t)
	bus := inventory.Tree{Sys: bench.Sys(), Dev: bench.Dev()}.Follow()
	defer bus.Close()
	const id = "e00fce680000000000000001"
	board, err := bench.Add(fake.Spec{Serial: id, Platform: fake.Boron, Path: "1-1"})
	if err != nil {
		t.Fatal(err)
	}
	_, h := follow(t, bus, id, log)
	h.await(t, "open", func() bool { return len(h.states) > 0 && h.states[len(h.states)-1].Kind == Opened })
	for {
		changed := board.Changed()
		if board.Attached(0) {
			break
		}
		<-changed
	}
	board.Say("still read")
	h.await(t, "the line", func() bool { return h.has("still read") })
	if err := log.Err(); err == nil || !strings.Contains(err.Error(), "disk is full: make room") || !strings.Contains(err.Error(), "board.log") {
		t.Errorf("said %v", err)
	}
	var room strings.Builder
	log.mu.Lock()
	log.w = nopCloser{&room} // somebody made room
	log.mu.Unlock()
	if err := log.Line(Line{Time: noon, Text: "later", Device: -1}); err != nil {
		t.Fatal(err)
	}
	if got := room.String(); !strings.Contains(got, "lines are missing here") || !strings.Contains(got, "later") {
		t.Errorf("%q", got)
	}
}

func TestPasswordsAreRedacted(t *testing.T) {
	got := all(t, options(), "SSID: home\r\nPassword: hunter2\r\nok\r\n")
	if strings.Contains(strings.Join(got, "|"), "hunter2") {
		t.Errorf("%q", got)
	}
}

// TestCloseWhileOpening closes a session at the moment when its port opens: it
// must not stay.
func TestCloseWhileOpening(t *testing.T) {
	_, name := pty(t)
	var s *Session
	made := make(chan struct{})
	s = Follow(SessionOptions{Options: options(), Find: func() (string, <-chan struct{}) {
		<-made
		s.stop() // as Close does, which has seen no port yet
		return name, nil
	}})
	close(made)
	s.done.Wait()
}

// TestNameOfAnotherBoard holds that a port is let go of when its name turns out
// to be no longer the board's.
func TestNameOfAnotherBoard(t *testing.T) {
	_, wrong := pty(t)
	board, right := pty(t)
	names := []string{wrong, right, right}
	n := 0
	h := newHeard()
	s := Follow(SessionOptions{Options: options(), OnLine: func(l Line) { h.note(l.Text, nil) }, Find: func() (string, <-chan struct{}) {
		name := names[min(n, len(names)-1)]
		n++
		return name, nil
	}})
	defer s.Close()
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, err := s.current(); err != nil || p.Name() != right {
		t.Fatalf("%v, %v", p, err)
	}
	if _, err := board.WriteString("mine\n"); err != nil {
		t.Fatal(err)
	}
	h.await(t, "the line", func() bool { return h.has("mine") })
}

// A board that leaves while somebody writes to it is gone; its console was not closed.
func TestBoardThatLeavesWhileItIsWrittenTo(t *testing.T) {
	s := Follow(SessionOptions{
		Name: "board-1", Options: Options{Now: time.Now},
		Find: func() (string, <-chan struct{}) { return "", nil },
	})
	under := fmt.Errorf("ttyACM0: %w", ErrClosed)
	if err := s.why(under); !errors.Is(err, ErrGone) || errors.Is(err, ErrClosed) {
		t.Errorf("while it lives: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.why(under); !errors.Is(err, ErrClosed) {
		t.Errorf("behind Close: %v", err)
	}
	if err := s.why(nil); err != nil {
		t.Error(err)
	}
}
