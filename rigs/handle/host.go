package handle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.bug.st/serial"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/inventory"
	console "github.com/muster/muster/rigs/serial"
)

// A Host is the machine that boards are plugged into. Its zero value, but for
// Look, is the real one.
type Host struct {
	Look    func() ([]inventory.Port, error)                                  // required
	Control func(inventory.Board) (control.Transport, error)                  // nil: Linux's usbfs
	Console func(port string, speed int, turn time.Duration) (Console, error) // nil: go.bug.st/serial
	// Name translates what a person calls a board to its USB path or serial number,
	// and leaves alone what it does not know; nil: nothing.
	Name   func(name string) string
	Tell   func(string)  // hears what is waited for before a board is taken; nil: nobody
	DFU    dfu.Tool      // how to run dfu-util
	Within time.Duration // how long a board may take to come back; 0: a minute
	Soon   time.Duration // how long to look for a board that is known and away; 0: 10 s
	Pace   time.Duration // how often to look; 0: 100 ms
}

// Holding returns the host for work under a lock: the programs that it runs keep
// the file open, see [dfu.Tool.Hold]. nil is no lock.
func (h *Host) Holding(lock *os.File) *Host {
	under := *h
	if lock != nil {
		under.DFU.Hold = append(slices.Clone(h.DFU.Hold), lock)
	}
	return &under
}

// A Console is a serial port that is open.
type Console interface {
	Read([]byte) (int, error) // 0 and no error when nothing came within a turn
	Write([]byte) (int, error)
	Close() error
}

// ErrNoBoard is a board that is not plugged in.
var ErrNoBoard = errors.New("no such board is plugged in")

// A Seen is a board as it is on USB at one moment.
type Seen struct {
	inventory.Board
	Vendor, Product uint16
}

// seen returns all boards that are plugged in.
func (h *Host) seen() ([]Seen, error) {
	ports, err := h.Look()
	if err != nil {
		return nil, fmt.Errorf("listing USB: %w", err)
	}
	var all []Seen
	for _, b := range inventory.Find(ports).Boards {
		s := Seen{Board: b}
		for _, p := range ports {
			if p.Path == b.Path && p.Serial == b.Serial {
				s.Vendor, s.Product = p.Vendor, p.Product
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// Find returns the board that name stands for: a serial number or device id in
// either case, or a USB path.
func (h *Host) Find(name string) (*Board, error) {
	if h.Name != nil {
		name = h.Name(name)
	}
	all, err := h.seen()
	if err != nil {
		return nil, err
	}
	var hits []Seen
	for _, s := range all {
		if name != "" && (strings.EqualFold(s.Serial, name) || s.Path == name) {
			hits = append(hits, s)
		}
	}
	switch {
	case len(hits) == 0:
		err := fmt.Errorf("%q: %w: \"muster rig scan\" lists what is", name, ErrNoBoard)
		if !deviceID.MatchString(name) && !usbPath.MatchString(name) {
			err = &nameError{err}
		}
		return nil, err
	case len(hits) > 1:
		return nil, fmt.Errorf("%d boards have the serial number %s: name one by USB path, as %s", len(hits), name, hits[0].Path)
	}
	return h.board(hits[0]), nil
}

// At returns the board with that serial number at that USB path, which may be
// away for now. The serial number is that of the running board; either may be
// empty.
func (h *Host) At(serial, path string, platform pdc.Platform) *Board {
	return &Board{host: h, Serial: serial, Path: path, Platform: platform}
}

// FindSoon is Find that waits for a board which may be restarting: one that Name
// knows, or a device id.
func (h *Host) FindSoon(ctx context.Context, name string) (*Board, error) {
	b, err := h.Find(name)
	isKnown := deviceID.MatchString(name) || h.Name != nil && h.Name(name) != name
	if !errors.Is(err, ErrNoBoard) || !isKnown {
		return b, err
	}
	soon := h.Soon
	if soon <= 0 {
		soon = 10 * time.Second
	}
	if h.Tell != nil {
		h.Tell(fmt.Sprintf("%s is not plugged in: waiting %s, as it may be restarting", name, soon))
	}
	wait, stop := context.WithTimeout(ctx, soon)
	defer stop()
	for errors.Is(err, ErrNoBoard) && pause(wait, h.pace()) {
		b, err = h.Find(name)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, ErrNoBoard):
		return nil, fmt.Errorf("%w; if a run that was killed has left its power off, \"muster rig power reset %s\" gives it back", err, name)
	}
	return b, err
}

var (
	deviceID = regexp.MustCompile(`^[0-9A-Fa-f]{24}$`)
	usbPath  = regexp.MustCompile(`^[0-9]+-[0-9.]+$`)
)

// A nameError is a name that no rigs.yaml has and no board could have.
type nameError struct{ error }

func (e *nameError) Unwrap() error { return e.error }

// Usage marks it as the user's to mend.
func (*nameError) Usage() {}

func (h *Host) board(s Seen) *Board {
	b := h.At(s.Serial, s.Path, platformOf(s))
	if s.Mode == inventory.DFU && s.DeviceID == "" {
		b.Serial = "" // the bootloader's own
	}
	return b
}

// platformOf returns the platform behind USB ids: the low byte of the product.
func platformOf(s Seen) pdc.Platform {
	const vendorOpenMoko = 0x1d50
	if s.Vendor == vendorOpenMoko {
		return pdc.Core
	}
	return pdc.Platform(s.Product & 0xff)
}

func (h *Host) within() time.Duration {
	if h.Within > 0 {
		return h.Within
	}
	return time.Minute
}

func (h *Host) pace() time.Duration {
	if h.Pace > 0 {
		return h.Pace
	}
	return 100 * time.Millisecond
}

func (h *Host) control(b inventory.Board) (control.Transport, error) {
	if h.Control != nil {
		return h.Control(b)
	}
	return control.OpenUSB(b.Path)
}

func (h *Host) console(port string, speed int) (Console, error) {
	const turn = 50 * time.Millisecond
	if h.Console != nil {
		return h.Console(port, speed, turn)
	}
	unlock, err := console.Lock(port)
	if err != nil {
		return nil, err
	}
	p, err := serial.Open(port, &serial.Mode{BaudRate: speed})
	if err != nil {
		unlock()
		return nil, fmt.Errorf("%s: %w", port, err)
	}
	release, err := console.Hold(port)
	if err != nil {
		unlock()
		return nil, errors.Join(err, p.Close())
	}
	if err := p.SetReadTimeout(turn); err != nil {
		unlock()
		release()
		return nil, errors.Join(fmt.Errorf("%s: %w", port, err), p.Close())
	}
	return locked{p, release, unlock}, nil
}

// locked is a port that other programs know to be in use.
type locked struct {
	serial.Port
	release, unlock func()
}

// errLeft is a console that went away while it was used.
var errLeft = errors.New("the board left in the middle: it was unplugged, restarted, or lost power")

// Read reads, and says in words that the port has gone.
func (l locked) Read(b []byte) (int, error) {
	n, err := l.Port.Read(b)
	return n, left(err)
}

// Write writes, and says in words that the port has gone.
func (l locked) Write(b []byte) (int, error) {
	n, err := l.Port.Write(b)
	return n, left(err)
}

func left(err error) error {
	var port *serial.PortError
	if errors.As(err, &port) && port.Code() == serial.PortClosed || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENXIO) {
		return fmt.Errorf("%w (%w)", errLeft, err)
	}
	return err
}

// Close closes the port.
func (l locked) Close() error {
	defer l.unlock()
	l.release()
	return l.Port.Close()
}

// Names returns what Find takes, for shells to complete: serial numbers, and USB
// paths where they alone tell boards apart.
func (h *Host) Names() ([]string, error) {
	all, err := h.seen()
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, s := range all {
		count[s.Serial]++
	}
	var names []string
	for _, s := range all {
		if s.Serial != "" && count[s.Serial] == 1 {
			names = append(names, strings.ToLower(s.Serial))
		} else {
			names = append(names, s.Path)
		}
	}
	return names, nil
}
