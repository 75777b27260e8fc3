package fakerig

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/rigtest"
)

// greet says what there is.
func (b *Bench) greet(w io.Writer) error {
	var s strings.Builder
	for i, board := range b.Boards {
		fmt.Fprintf(&s, "%-12s %s  %s  Device OS %s\n", b.names[i], board.Serial(), board.Port(0), board.Spec().DeviceOS)
	}
	fmt.Fprintf(&s, `
They are plugged in until this ends (Ctrl-C, or "quit"). In other shells:

    . %[1]s/env
    muster rig list
    muster rig console %[2]s
    muster rig flash %[2]s %[1]s/%[2]s.bin
    muster conform --device rig:%[2]s
    picocom %[3]s

"help" lists what can happen to them.
`, b.dir, b.names[0], b.Boards[0].Port(0))
	_, err := io.WriteString(w, s.String())
	return err
}

// attend does what a person tells it, and tells what the boards do, until ctx
// ends or the person wants it to.
func (b *Bench) attend(ctx context.Context, in io.Reader, out io.Writer) error {
	if err := b.greet(out); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines := make(chan string)
	go func() { // stays behind when nobody types; the program ends soon
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	states := make(chan string, 64)
	for i, board := range b.Boards {
		go watch(ctx, b.names[i], board, states)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-states:
			fmt.Fprintln(out, s)
		case line, more := <-lines:
			switch {
			case !more && isNothing(in):
				lines = nil // a shell's "&": until it is ended
			case !more:
				return nil // who told it what happens is gone
			case strings.TrimSpace(line) == "quit":
				return nil
			default:
				if answer := b.happen(line); answer != "" {
					fmt.Fprintln(out, answer)
				}
			}
		}
	}
}

// isNothing reports whether nobody was ever to say something: /dev/null, as shells give
// it to what they start in the background.
func isNothing(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	null, err := os.Stat(os.DevNull)
	is, err2 := f.Stat()
	return err == nil && err2 == nil && os.SameFile(null, is)
}

// watch tells what a board does.
func watch(ctx context.Context, name string, board *rigtest.Firmware, states chan<- string) {
	last := ""
	for {
		changed := board.Changed()
		if state := stateOf(board); state != last {
			select {
			case states <- fmt.Sprintf("%s  %-12s %s", time.Now().Format("15:04:05.000"), name, state):
			case <-ctx.Done():
				return
			}
			last = state
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func stateOf(board *rigtest.Firmware) string {
	port := board.Port(0)
	switch {
	case !board.Present():
		return "not on the bus"
	case board.Hung():
		return "hangs, " + port
	case port == "":
		return board.Mode().String()
	}
	return board.Mode().String() + ", " + port
}

// An incident is something that can happen to a board.
type incident struct {
	word, help string
	do         func(f *rigtest.Firmware, rest string)
}

var incidents = []incident{
	{"unplug", "pull the cable", func(f *rigtest.Firmware, _ string) { f.Unplug() }},
	{"plug", "put the cable back", func(f *rigtest.Firmware, _ string) { f.Plug() }},
	{"reset", "press RESET", func(f *rigtest.Firmware, _ string) { f.Pin(true); f.Pin(false) }},
	{"dfu", "hold MODE and press RESET until it blinks yellow", func(f *rigtest.Firmware, _ string) { f.Enter(fake.DFU) }},
	{"listen", "hold MODE for three seconds", func(f *rigtest.Firmware, _ string) { f.Enter(fake.Listening) }},
	{"hang", "hang until it is reset", func(f *rigtest.Firmware, _ string) { f.Hang(fake.AnyReset) }},
	{"freeze", "hang until its power is cut", func(f *rigtest.Firmware, _ string) { f.Hang(fake.OnlyPower) }},
	{"break", "hang for good", func(f *rigtest.Firmware, _ string) { f.Hang(fake.Nothing) }},
	{"busy", "have its application keep its system from control requests", func(f *rigtest.Firmware, _ string) { f.Fail(rigtest.Faults{Busy: true}) }},
	{"idle", "have it no more", func(f *rigtest.Firmware, _ string) { f.Fail(rigtest.Faults{}) }},
	{"say", "TEXT: have the application log it", func(f *rigtest.Firmware, rest string) { f.Say(rest) }},
}

// happen does what a line says, and returns what there is to say about it.
func (b *Bench) happen(line string) string {
	words := strings.Fields(line)
	if len(words) == 0 {
		return ""
	}
	if words[0] == "help" {
		var s strings.Builder
		for _, one := range incidents {
			fmt.Fprintf(&s, "%-7s BOARD   %s\n", one.word, one.help)
		}
		return s.String() + "quit            unplug everything, and end"
	}
	at := slices.IndexFunc(incidents, func(one incident) bool { return one.word == words[0] })
	if at < 0 {
		return fmt.Sprintf("%q is nothing that can happen: \"help\" lists what can", words[0])
	}
	name := b.names[0]
	if len(words) > 1 {
		name = words[1]
	} else if len(b.names) > 1 {
		return "which board? " + strings.Join(b.names, ", ")
	}
	which := slices.Index(b.names, name)
	if which < 0 {
		return fmt.Sprintf("there is no board %q; there are %s", name, strings.Join(b.names, ", "))
	}
	rest := ""
	if len(words) > 2 {
		rest = strings.Join(words[2:], " ")
	}
	incidents[at].do(b.Boards[which], rest)
	return ""
}
