package view

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"github.com/muster/muster/sim/record"
)

// A Mode is how much is shown.
type Mode string

// The modes.
const (
	Auto   Mode = "auto"   // Screen on a terminal that can, else Lines
	Screen Mode = "screen" // the whole screen, kept up to date
	Lines  Mode = "lines"  // a line now and then
	None   Mode = "none"   // nothing
)

// Modes are all of them.
var Modes = []Mode{Auto, Screen, Lines, None}

// Options say where and how.
type Options struct {
	Mode Mode // "": Auto
	Out  io.Writer
	In   io.Reader // for keys, on the whole screen; nil: os.Stdin
	Env  []string  // nil: os.Environ()
	// Stop ends the run in an orderly way: it is called when somebody presses
	// Ctrl-C on the whole screen, where no signal comes of it. Leave is called at the
	// second Ctrl-C, when the terminal is as it was before.
	Stop, Leave func()
	// Every is how often Lines writes one; 0: 10 s.
	Every time.Duration
}

// A View shows a run. Its methods are safe for concurrent use.
type View struct {
	o     Options
	lines bool

	mu     sync.Mutex
	state  *state
	told   time.Duration // when the latest line was written
	ending bool

	program *tea.Program // nil: none
	done    chan struct{}
}

// Start begins to show. Close must follow.
func Start(o Options) *View {
	if o.Env == nil {
		o.Env = os.Environ()
	}
	if o.In == nil {
		o.In = os.Stdin
	}
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	mode := o.choose()
	v := &View{o: o, state: newState(), lines: mode == Lines, done: make(chan struct{})}
	if mode != Screen {
		close(v.done)
		return v
	}
	v.program = tea.NewProgram(model{view: v}, tea.WithOutput(o.Out), tea.WithInput(o.In), tea.WithEnvironment(o.Env), tea.WithoutSignalHandler(), tea.WithFPS(20))
	go v.run()
	return v
}

// choose decides what Auto is.
func (o *Options) choose() Mode {
	if o.Mode != Auto && o.Mode != "" {
		return o.Mode
	}
	out, isFile := o.Out.(*os.File)
	in, alsoFile := o.In.(*os.File)
	if !isFile || !alsoFile || !term.IsTerminal(int(out.Fd())) || !term.IsTerminal(int(in.Fd())) {
		return Lines
	}
	if name := getenv(o.Env, "TERM"); name == "" || name == "dumb" {
		return Lines
	}
	return Screen
}

// getenv returns a variable of an environment; the last one counts.
func getenv(env []string, name string) (value string) {
	for _, e := range env {
		if len(e) > len(name) && e[:len(name)] == name && e[len(name)] == '=' {
			value = e[len(name)+1:]
		}
	}
	return value
}

func (v *View) run() {
	defer close(v.done)
	if _, err := v.program.Run(); err != nil { // the screen failed: go on with lines
		v.mu.Lock()
		defer v.mu.Unlock()
		v.lines = true
	}
}

// Live reports whether the whole screen is in use: what is written to the terminal
// meanwhile is lost.
func (v *View) Live() bool { return v.program != nil }

// Begin hears what the run is about.
func (v *View) Begin(r *record.Run) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.begin(r)
}

// Sample hears what happened in an interval.
func (v *View) Sample(s *record.Sample) {
	v.mu.Lock()
	defer v.mu.Unlock()
	phase := v.state.phase
	v.state.add(s)
	if v.lines && s.Self != nil && (v.state.at-v.told >= v.o.Every || phase != "" && phase != v.state.phase) {
		v.told = v.state.at
		fmt.Fprintln(v.o.Out, v.state.line())
	}
}

// Note hears of something worth knowing.
func (v *View) Note(n record.Note) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.note(n)
	if v.lines {
		fmt.Fprintln(v.o.Out, noteLine(n))
	}
}

// Tell shows something that is not about the run itself, such as what happens before
// it.
func (v *View) Tell(text string) {
	v.mu.Lock()
	at := v.state.at
	v.mu.Unlock()
	v.Note(record.Note{At: at, Kind: "program", Text: text})
}

// Close ends the view and gives the terminal back.
func (v *View) Close() {
	if v.program != nil {
		v.program.Quit()
	}
	<-v.done
}

// draw draws the screen.
func (v *View) draw(width, height int) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state.draw(width, height, v.ending)
}

// interrupt is Ctrl-C. It reports whether it is the second.
func (v *View) interrupt() (second bool) {
	v.mu.Lock()
	second, v.ending = v.ending, true
	v.mu.Unlock()
	if !second && v.o.Stop != nil {
		v.o.Stop()
	}
	return second
}
