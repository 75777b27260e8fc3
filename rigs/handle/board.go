package handle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/inventory"
)

// Speeds that mean something to Device OS when a host opens the console with
// them; an application may have changed them.
const (
	consoleSpeed = 9600
	dfuSpeed     = 14400
	listenSpeed  = 28800 // up to 5.x
)

// A Board is one board that an operation works on.
type Board struct {
	host     *Host
	Serial   string // of the running board; empty if unknown
	Path     string // USB path; empty where the system does not tell
	Platform pdc.Platform
}

// String names the board for people.
func (b *Board) String() string {
	switch {
	case b.Serial == "":
		return fmt.Sprintf("%s at USB %s", b.Platform, b.Path)
	case b.Path == "":
		return fmt.Sprintf("%s %s", b.Platform, b.Serial)
	}
	return fmt.Sprintf("%s %s at USB %s", b.Platform, b.Serial, b.Path)
}

// name is one that commands take.
func (b *Board) name() string {
	if b.Serial == "" {
		return b.Path
	}
	return strings.ToLower(b.Serial)
}

// DeviceID returns the 24 lower-case hex digits of the board, empty if they are
// not known.
func (b *Board) DeviceID() string {
	if id := strings.ToLower(b.Serial); len(id) == 24 {
		return id
	}
	return ""
}

// is reports whether s is this board.
func (b *Board) is(s Seen) bool {
	if platformOf(s) != b.Platform || s.Path != b.Path {
		return false
	}
	return b.Serial == "" || strings.EqualFold(s.Serial, b.Serial) || s.Mode == inventory.DFU && b.Path != ""
}

// State returns the board as it is on USB now; the error is or wraps
// [ErrNoBoard] when it is away.
func (b *Board) State() (Seen, error) {
	all, err := b.host.seen()
	if err != nil {
		return Seen{}, err
	}
	for _, s := range all {
		if b.is(s) {
			if b.Serial == "" && s.DeviceID != "" {
				b.Serial = s.Serial
			}
			return s, nil
		}
	}
	for _, s := range all {
		if s.Path == b.Path && s.Path != "" {
			return Seen{}, fmt.Errorf("%w: at USB %s there is another board now, %s %s", ErrNoBoard, b.Path, s.Platform, s.Serial)
		}
	}
	return Seen{}, fmt.Errorf("%s: %w", b, ErrNoBoard)
}

// Await waits until the board is on USB and fits. The error of a board that does
// not come says what was waited for.
func (b *Board) Await(ctx context.Context, what string, fits func(Seen) bool) (Seen, error) {
	patience := b.host.within()
	wait, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		s, err := b.State()
		if err == nil && fits(s) {
			return s, nil
		}
		if err != nil && !errors.Is(err, ErrNoBoard) {
			return Seen{}, err
		}
		if !pause(wait, b.host.pace()) {
			break
		}
	}
	if ctx.Err() != nil {
		return Seen{}, context.Cause(ctx)
	}
	s, err := b.State()
	if err != nil {
		return Seen{}, fmt.Errorf("%s did not come back within %s %s: check its power and cable: %w", b, patience, what, err)
	}
	return Seen{}, fmt.Errorf("%s is in %s mode, and not %s within %s", b, s.Mode, what, patience)
}

// pause reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Ask makes control requests to the running board.
func (b *Board) Ask(ask func(*control.Device) error) error {
	s, err := b.State()
	if err != nil {
		return err
	}
	if s.Mode == inventory.DFU {
		return fmt.Errorf("%s is in DFU mode, where it answers no requests", b)
	}
	t, err := b.host.control(s.Board)
	if err != nil {
		return err
	}
	d := control.New(t, b.host.within())
	return errors.Join(ask(d), d.Close())
}

// AskOnceUp is Ask of a board that has just started: it is asked again until it
// answers, or has been silent for too long.
//
// Device OS: a board is on USB a second or more before it takes requests.
func (b *Board) AskOnceUp(ctx context.Context, ask func(*control.Device) error) error {
	wait, stop := context.WithTimeout(ctx, b.host.within())
	defer stop()
	for {
		err := b.Ask(ask)
		again := errors.Is(err, control.ErrGone) || errors.Is(err, control.ErrStall) || errors.Is(err, control.ErrSilent) || errors.Is(err, ErrNoBoard)
		if !again || !pause(wait, b.host.pace()) {
			return err
		}
	}
}

// Target names the board to dfu-util.
func (b *Board) Target(s Seen) dfu.Target {
	return dfu.Target{Vendor: s.Vendor, Product: s.Product, Path: s.Path, Serial: s.Serial}
}

// ErrHangs says that a board does nothing that it is told: it must be restarted.
var ErrHangs = errors.New("it hangs")

// EnterDFU has the board be in DFU mode: by control request, or, if it has none,
// by opening its console at 14,400 baud.
func (b *Board) EnterDFU(ctx context.Context) (Seen, error) {
	s, err := b.State()
	if err != nil {
		return s, err
	}
	if s.Mode == inventory.DFU {
		return s, nil
	}
	asked := b.Ask(func(d *control.Device) error { return d.Simple(ctx, control.EnterDFU) })
	if asked != nil && ctx.Err() != nil {
		return s, context.Cause(ctx)
	}
	if asked != nil {
		if err := b.touch(ctx, s, dfuSpeed); err != nil {
			return s, fmt.Errorf("%s does not enter DFU mode: hold RESET and MODE, and release RESET: %w", b, errors.Join(asked, err))
		}
	}
	s, err = b.Await(ctx, "in DFU mode", func(s Seen) bool { return s.Mode == inventory.DFU })
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrNoBoard) {
		err = fmt.Errorf("%w: %w (\"muster rig power reset %s\"), or its application uses another speed: hold RESET and MODE, and release RESET", err, ErrHangs, b.name())
	}
	if err != nil {
		return s, errors.Join(err, asked)
	}
	return s, nil
}

// touch opens the console at a speed for a moment.
//
// Device OS: it acts on the change of speed; some drivers send none if the port
// had that speed before, so another one comes first.
func (b *Board) touch(ctx context.Context, s Seen, speed int) error {
	const moment = 250 * time.Millisecond
	if len(s.Consoles) == 0 {
		return fmt.Errorf("it shows no serial port")
	}
	for _, speed := range []int{consoleSpeed, speed} {
		c, err := b.host.console(s.Consoles[0].Port, speed)
		if err != nil {
			return err
		}
		if speed != consoleSpeed {
			pause(ctx, moment)
		}
		_ = c.Close() // the port may go away under it
	}
	return nil
}

// Listen asks the board to be in listening mode by control request.
func (b *Board) Listen(ctx context.Context) error {
	return b.Ask(func(d *control.Device) error { return d.Simple(ctx, control.StartListening) })
}

// TouchToListen has a board of Device OS up to 5.x enter listening mode by
// opening its console at 28,800 baud. One that listens already then waits for a
// file by YMODEM.
func (b *Board) TouchToListen(ctx context.Context) error {
	s, err := b.State()
	if err != nil {
		return err
	}
	return b.touch(ctx, s, listenSpeed)
}

// Console opens the first console of the board.
func (b *Board) Console(s Seen) (Console, error) {
	if len(s.Consoles) == 0 {
		return nil, fmt.Errorf("%s shows no serial port: its application may have switched USB off", b)
	}
	return b.host.console(s.Consoles[0].Port, consoleSpeed)
}

// Gone returns once the board that was s is off USB, or has come back since.
func (b *Board) Gone(ctx context.Context, s Seen) error {
	patience := b.host.within()
	wait, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		now, err := b.State()
		if errors.Is(err, ErrNoBoard) || err == nil && (now.Number != s.Number || now.Mode != s.Mode) {
			return nil
		}
		if err != nil {
			return err
		}
		if !pause(wait, b.host.pace()) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%s did not restart within %s", b, patience)
		}
	}
}

// Running returns once the board runs Device OS.
func (b *Board) Running(ctx context.Context) (Seen, error) {
	return b.Await(ctx, "running", func(s Seen) bool { return s.Mode == inventory.Normal })
}

// Host returns the machine that the board is plugged into.
func (b *Board) Host() *Host { return b.host }

// Hold has the programs that work on the board keep a lock, see [Host.Holding].
func (b *Board) Hold(lock *os.File) { b.host = b.host.Holding(lock) }

// DFUTool returns how to run dfu-util.
func (b *Board) DFUTool() dfu.Tool { return b.host.DFU }
