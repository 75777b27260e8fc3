//go:build linux

package view

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/record/recordtest"
)

// patience is how long a busy machine may take for anything.
const patience = 2 * time.Minute

// TestMain runs, instead of tests, a program with a view when it is told to: a
// made-up run, until somebody ends it.
func TestMain(m *testing.M) {
	if os.Getenv("VIEW_TEST_PROGRAM") == "" {
		os.Exit(m.Run())
	}
	stop := make(chan struct{})
	v := Start(Options{
		Mode: Mode(os.Getenv("VIEW_TEST_MODE")), Out: os.Stdout, Every: 10 * time.Second,
		Stop: sync.OnceFunc(func() { close(stop) }), Leave: func() { fmt.Println("left"); os.Exit(130) },
	})
	var samples []*record.Sample
	run := recordtest.Make(recordtest.Options{Seed: 1, Devices: 100_000, Every: 5 * time.Second}, func(s *record.Sample) { samples = append(samples, s) })
	v.Begin(run)
	for _, s := range samples[:len(samples)*2/3] {
		v.Sample(s)
	}
	v.Note(record.Note{At: 310 * time.Second, Kind: "cloud", Text: "the cloud does not answer"})
	if !v.Live() {
		v.Close()
		fmt.Println("over")
		return
	}
	<-stop
	if os.Getenv("VIEW_TEST_STUBBORN") != "" {
		select {} // the end takes its time
	}
	v.Close()
	fmt.Println("over")
}

// A terminal is a program on a pty, and what is to be seen there.
type terminal struct {
	t      *testing.T
	pty    *os.File
	cmd    *exec.Cmd
	screen *vt.SafeEmulator
	mu     sync.Mutex
	all    bytes.Buffer // everything written
	ended  chan error
}

func start(t *testing.T, width, height int, env ...string) *terminal {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "VIEW_TEST_PROGRAM=1", "TERM=xterm-256color")
	cmd.Env = append(cmd.Env, env...)
	p, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)})
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, pty: p, cmd: cmd, screen: vt.NewSafeEmulator(width, height), ended: make(chan error, 1)}
	answers := make(chan struct{})
	go func() { // what the terminal answers when it is asked
		defer close(answers)
		b := make([]byte, 256)
		for {
			n, err := x.screen.Read(b)
			if err != nil {
				return
			}
			_, _ = p.Write(b[:n])
		}
	}()
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := p.Read(b)
			x.mu.Lock()
			x.all.Write(b[:n])
			x.mu.Unlock()
			_, _ = x.screen.Write(b[:n])
			if err != nil {
				x.ended <- cmd.Wait()
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = p.Close()
	})
	return x
}

func (x *terminal) text() string { return ansi.Strip(x.screen.Render()) }

func (x *terminal) written() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all.String()
}

// shows waits until the screen has all texts.
func (x *terminal) shows(texts ...string) {
	x.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		missing := ""
		got := x.text()
		for _, s := range texts {
			if !strings.Contains(got, s) {
				missing = s
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			x.t.Fatalf("the screen lacks %q:\n%s\nwritten: %q", missing, got, x.written())
		}
	}
}

func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := x.pty.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// ends waits for the end of the program and returns its exit code.
func (x *terminal) ends() int {
	x.t.Helper()
	select {
	case <-x.ended:
		return x.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		x.t.Fatalf("the program does not end:\n%s", x.text())
		return 0
	}
}

// The whole screen at several sizes, over changes of the size, until Ctrl-C.
func TestScreen(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {132, 43}, {50, 14}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			x := start(t, size[0], size[1])
			x.shows("storm after an outage", "100,000 devices", "Ctrl-C ends the run")
			x.screen.Resize(110, 40)
			if err := pty.Setsize(x.pty, &pty.Winsize{Cols: 110, Rows: 40}); err != nil {
				t.Fatal(err)
			}
			x.shows("seed 1", "phase p50", "an event", "the cloud does not answer", "ping timeout")
			x.screen.Resize(40, 8)
			if err := pty.Setsize(x.pty, &pty.Winsize{Cols: 40, Rows: 8}); err != nil {
				t.Fatal(err)
			}
			x.shows("100,000 devices", "Ctrl-C ends the run")
			if strings.Contains(x.text(), "an event") {
				t.Errorf("40×8 shows times:\n%s", x.text())
			}
			if !x.screen.IsAltScreen() {
				t.Error("the screen before is written over")
			}
			x.press("\x03")
			if code := x.ends(); code != 0 || !strings.Contains(x.text(), "over") || x.screen.IsAltScreen() {
				t.Errorf("exit code %d, the alternate screen is %v:\n%s", code, x.screen.IsAltScreen(), x.text())
			}
		})
	}
}

// The first Ctrl-C asks the run to end, the second leaves at once and gives the
// terminal back.
func TestSecondInterrupt(t *testing.T) {
	x := start(t, 80, 24, "VIEW_TEST_STUBBORN=1")
	x.shows("Ctrl-C ends the run")
	x.press("\x03")
	x.shows("Ctrl-C again leaves at once")
	x.press("\x03")
	if code := x.ends(); code != 130 || !strings.Contains(x.text(), "left") || x.screen.IsAltScreen() {
		t.Errorf("exit code %d, the alternate screen is %v:\n%s", code, x.screen.IsAltScreen(), x.text())
	}
}

// Without colours the screen has none.
func TestNoColor(t *testing.T) {
	x := start(t, 100, 40, "NO_COLOR=1")
	x.shows("100,000 devices", "an event")
	for _, code := range []string{"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[35m", "\x1b[36m"} {
		if strings.Contains(x.written(), code) {
			t.Errorf("written in colour: %q", code)
		}
	}
	x.press("\x03")
	x.ends()
}

// A terminal that can do nothing gets lines, and so does what is none.
func TestLines(t *testing.T) {
	dumb := start(t, 200, 40, "TERM=dumb")
	if code := dumb.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "VIEW_TEST_PROGRAM=1", "TERM=xterm")
	piped, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"dumb": dumb.written(), "piped": string(piped)} {
		if strings.Contains(got, "\x1b") {
			t.Errorf("%s: has control characters: %q", name, got)
		}
		for _, want := range []string{"0:10  ramp  online 10,000 of 100,000", "hold  online 100,000 of 100,000", "an event p99", "5:10  the cloud does not answer", "over"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: lacks %q:\n%s", name, want, got)
			}
		}
		if n := strings.Count(got, "\n"); n < 20 || n > 60 {
			t.Errorf("%s: %d lines for six minutes", name, n)
		}
	}
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "VIEW_TEST_PROGRAM=1", "VIEW_TEST_MODE=none")
	if out, err := cmd.Output(); err != nil || string(out) != "over\n" {
		t.Errorf("none: %q, %v", out, err)
	}
}
