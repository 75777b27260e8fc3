package ymodem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// Why a transfer did not begin.
var (
	// ErrUnsupported: the board's Device OS has no YMODEM.
	ErrUnsupported = errors.New("its Device OS, 6.0 or later, takes no image over the console: flash it by control request, DFU or over the air")
	// ErrNotListening: nobody answers to the letter.
	ErrNotListening = errors.New("the board does not answer: it is not in listening mode (hold MODE for 3 seconds, or ask by control request)")
)

// beginPatience is how long the board may take to answer to f, and askAgain how
// long until it is asked again: what a board says to a host that it does not yet
// see is lost.
const (
	beginPatience = 5 * time.Second
	askAgain      = 1500 * time.Millisecond
)

// writeSize is how much is written at a time: a write that hangs in the driver
// cannot be called back, so it should be short.
const writeSize = 256

// A Port is a console that is open for reading and writing. A Read without data
// within a short turn returns 0 and no error.
type Port = io.ReadWriter

// Send has a board that listens receive an image, and returns once the board has
// taken it; it restarts then. Progress, which may be nil, is told the bytes that
// the board acknowledged. What the board says of an image that it refuses is in
// the error. When ctx ends the board is told to give up; it keeps what it had.
func Send(ctx context.Context, port Port, name string, image []byte, progress func(sent int)) error {
	d := &driver{port: port, started: time.Now(), progress: progress}
	if err := d.begin(ctx); err != nil {
		return err
	}
	s := NewSender(name, image, d.now())
	for !s.Done() {
		if ctx.Err() != nil {
			_, _ = port.Write([]byte("a")) // the first error is the one to tell
			return context.Cause(ctx)
		}
		if err := d.turn(s); err != nil {
			if s.Taken() {
				return nil // it restarts
			}
			return fmt.Errorf("after %d of %d bytes: %w", s.Sent(), len(image), err)
		}
	}
	err := s.Err()
	if errors.Is(err, ErrRefused) {
		if said := d.lastWords(); said != "" {
			err = fmt.Errorf("%w: %q", err, said)
		}
	}
	return err
}

type driver struct {
	port     Port
	started  time.Time
	progress func(int)
	told     int
	text     []byte // the last of what the board said
	scratch  [1024]byte
}

func (d *driver) now() clock.Instant { return clock.Instant(time.Since(d.started)) }

// begin asks for a transfer.
func (d *driver) begin(ctx context.Context) error {
	end, next := d.now().Add(beginPatience), d.now()
	for d.now().Before(end) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !d.now().Before(next) {
			if err := d.write([]byte("f")); err != nil {
				return err
			}
			next = d.now().Add(askAgain)
		}
		said, err := d.read()
		if err != nil {
			return err
		}
		if s := string(said); s == "C" || s == "\x15" {
			return nil // it waits already: its invitation was lost, or the touch had it wait
		}
		// A refusal comes behind the invitation: four CAN and a line.
		if bytes.Contains(d.text, []byte{can, can}) {
			return ErrUnsupported
		}
		if _, after, found := bytes.Cut(d.text, []byte("to abort)")); found && bytes.Contains(after, []byte("\n")) {
			// It may still be on its way.
			if _, err := d.read(); err != nil {
				return err
			}
			if bytes.Contains(d.text, []byte{can, can}) {
				return ErrUnsupported
			}
			return nil
		}
	}
	return ErrNotListening
}

// turn writes what is due and hears the board for a short while.
func (d *driver) turn(s *Sender) error {
	if b := s.Next(d.now()); b != nil {
		if err := d.write(b); err != nil {
			return err
		}
	}
	b, err := d.read()
	s.Receive(d.now(), b)
	if d.progress != nil && s.Sent() != d.told {
		d.told = s.Sent()
		d.progress(d.told)
	}
	if err != nil && !s.Done() {
		return err
	}
	return nil
}

func (d *driver) read() ([]byte, error) {
	n, err := d.port.Read(d.scratch[:])
	d.text = append(d.text, d.scratch[:n]...)
	d.text = d.text[max(0, len(d.text)-len(d.scratch)):]
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return d.scratch[:n], err
}

func (d *driver) write(b []byte) error {
	for len(b) > 0 {
		n, err := d.port.Write(b[:min(writeSize, len(b))])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// lastWords is the line with which the board refused, if it comes soon.
func (d *driver) lastWords() string {
	const wait = 2 * time.Second
	for end := d.now().Add(wait); d.now().Before(end); {
		i := bytes.LastIndexByte(d.text, can)
		if line := strings.TrimLeft(string(d.text[i+1:]), "\r\n"); strings.Contains(line, "\n") {
			line, _, _ = strings.Cut(line, "\n")
			return strings.TrimSpace(line)
		}
		if _, err := d.read(); err != nil {
			break
		}
	}
	return ""
}
