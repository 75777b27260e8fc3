// Package serial reads the console of a board as lines with the host's time.
//
//	Port     an open port: reading that can be ended, writing that cannot hang
//	Console  the lines of a port
//	Session  a board's console for as long as it is needed, over restarts:
//	         logged, and open to dialogues
//
// What this package is not: a driver of boards. It knows no mode and takes no
// lease.
package serial

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.bug.st/serial"
)

// Errors that end a console, to be told apart with [errors.Is].
var (
	ErrGone   = errors.New("the port is gone: the board was unplugged, restarted, or lost power")
	ErrClosed = errors.New("the console is closed")
	ErrBusy   = errors.New("another program has the port")
)

// DefaultSpeed is that of a port, in baud, if nothing else is said.
const DefaultSpeed = 9600

// DefaultMaxLine is the length in bytes at which a line is split.
const DefaultMaxLine = 4096

// turn is how long one read waits. Closing waits for the read to end: the
// library closes the descriptor under a blocked reader otherwise, and the number
// may be another file's by then.
const turn = 50 * time.Millisecond

// Options say how to read a console.
type Options struct {
	Now         func() time.Time // the host's clock; required
	Speed       int              // in baud; 0 is 9600. USB boards take 14400 as "enter DFU mode"
	MaxLine     int              // in bytes; 0 is DefaultMaxLine
	ShowSecrets bool             // device secret and claim code are replaced by a mark otherwise
}

// A Line is one line of a console, or a piece of a long one.
type Line struct {
	Time time.Time // when its first byte arrived at the host
	Text string    // without line end; what is not printable is escaped, as \x1b
	More bool      // it was split: the rest follows in the next Line

	// Device is the board's own time, since it started; negative if the line
	// tells none. Device OS logs begin with it.
	Device time.Duration
}

// port is what a console needs of the library's port; a read without data within
// a turn returns 0 and no error.
type port interface {
	Read([]byte) (int, error)
	Close() error
}

// A Console gives the lines that a board prints. One goroutine may call Next;
// Close may be called from any, any number of times.
type Console struct {
	name    string
	port    port
	options Options
	redact  redactor

	reading sync.Mutex // held while the port is read or closed
	closing atomic.Bool
	shut    sync.Once
	failed  error // what ended the console, told when the buffer is empty

	buffer  []byte // at most MaxLine bytes of the line being read
	input   []byte // read, and not yet looked at
	scratch [1024]byte
	at      time.Time // of the last read
	started time.Time // of the line in buffer
}

// Open opens the console at a port, as /dev/ttyACM0. What the board printed
// before is not there: USB boards discard it.
func Open(name string, o Options) (*Console, error) {
	p, err := OpenPort(name, o.Speed)
	if err != nil {
		return nil, err
	}
	return newConsole(name, p, o), nil
}

func newConsole(name string, p port, o Options) *Console {
	if o.MaxLine <= 0 {
		o.MaxLine = DefaultMaxLine
	}
	return &Console{name: name, port: p, options: o, redact: redactor{off: o.ShowSecrets}}
}

// explain says what to do about a port that does not open.
func explain(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) { // the library passes some of the system's errors on as they are
		return fmt.Errorf("%s: there is no such port: is the board plugged in? %w", name, err)
	}
	var p *serial.PortError
	if errors.As(err, &p) {
		switch p.Code() { //nolint:exhaustive // the others say enough themselves
		case serial.PortNotFound:
			return fmt.Errorf("%s: there is no such port: is the board plugged in? %w", name, err)
		case serial.PermissionDenied:
			return fmt.Errorf("%s: you may not open it: join the port's group (dialout or plugdev), or install the udev rules that \"muster rig udev\" prints: %w", name, err)
		case serial.PortBusy:
			return fmt.Errorf("%s: %w open%s: %w", name, ErrBusy, probed(), err)
		}
	}
	return fmt.Errorf("%s: %w", name, err)
}

// Next waits for a line and returns it. A line ends with LF; a prompt without
// one comes when the line is complete or the port ends. After the last line the
// error is ErrGone, or ErrClosed.
func (c *Console) Next() (Line, error) {
	for {
		if line, ok := c.take(); ok {
			return line, nil
		}
		if c.failed != nil {
			if len(c.buffer) > 0 {
				return c.line(len(c.buffer), false), nil
			}
			return Line{}, c.failed
		}
		c.failed = c.fill()
	}
}

// Close ends the console and makes a waiting Next return.
func (c *Console) Close() error {
	c.closing.Store(true)
	c.reading.Lock()
	defer c.reading.Unlock()
	var err error
	c.shut.Do(func() { err = c.port.Close() })
	return err
}

// fill reads what is there, or nothing within a turn.
func (c *Console) fill() error {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closing.Load() {
		return fmt.Errorf("%s: %w", c.name, ErrClosed)
	}
	n, err := c.port.Read(c.scratch[:])
	c.input, c.at = c.scratch[:n], c.options.Now()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrGone), errors.Is(err, ErrClosed):
		return err
	}
	return fmt.Errorf("%s: %w (%w)", c.name, ErrGone, err)
}

// take moves input to the buffer and returns a line if one is complete or full.
func (c *Console) take() (Line, bool) {
	for len(c.input) > 0 {
		if len(c.buffer) == 0 {
			c.started = c.at
		}
		room := c.options.MaxLine - len(c.buffer)
		part := c.input[:min(room, len(c.input))]
		if end := bytes.IndexByte(part, '\n'); end >= 0 {
			c.buffer = append(c.buffer, part[:end]...)
			c.input = c.input[end+1:]
			return c.line(len(c.buffer), false), true
		}
		if len(part) == 0 { // full, and no line end behind it
			if c.input[0] == '\n' {
				c.input = c.input[1:]
				return c.line(len(c.buffer), false), true
			}
			return c.line(wholeRunes(c.buffer), true), true
		}
		c.buffer = append(c.buffer, part...)
		c.input = c.input[len(part):]
	}
	return Line{}, false
}

// line takes the first n bytes of the buffer as a line; what stays began with it.
func (c *Console) line(n int, more bool) Line {
	raw := c.buffer[:n]
	if !more {
		raw = bytes.TrimRight(raw, "\r")
	}
	l := Line{Time: c.started, Text: c.redact.text(raw, more), More: more, Device: deviceTime(raw)}
	c.buffer = append(c.buffer[:0], c.buffer[n:]...)
	return l
}

// deviceTime returns the time that a line of Device OS's logger begins with: ten
// digits of milliseconds and a space.
func deviceTime(raw []byte) time.Duration {
	const digits = 10
	if len(raw) <= digits || raw[digits] != ' ' {
		return -1
	}
	n, err := strconv.ParseUint(string(raw[:digits]), 10, 40)
	if err != nil {
		return -1
	}
	return time.Duration(n) * time.Millisecond
}
