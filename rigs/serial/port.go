package serial

import (
	"context"
	"fmt"
	"sync"

	"go.bug.st/serial"
)

// chunk is how much is written at a time, in bytes: a write that blocks cannot
// be taken back.
const chunk = 64

// A Port is an open serial port. One goroutine may read; the other methods are
// safe for concurrent use.
//
// A write that the board does not take blocks in the kernel until the port is
// gone. It blocks a goroutine of the Port, never its caller.
type Port struct {
	name  string
	speed int
	port  serial.Port

	release func()     // of the lock on the port, before it is closed
	unlock  func()     // others may have the port then
	reading sync.Mutex // held while the port is read or closed
	closed  bool

	writes chan write
	stop   chan struct{}
	once   sync.Once
}

type write struct {
	b    []byte
	done chan error
	ctx  context.Context //nolint:containedctx // of one call, which waits for it
}

// OpenPort opens a port at a speed in baud; 0 is 9600. Others are told that it is in
// use: by a lock file, as minicom has them, by a lock on the port ([Hold]), and by
// the system, which refuses a second opener (TIOCEXCL), root excepted.
func OpenPort(name string, speed int) (*Port, error) {
	if speed == 0 {
		speed = DefaultSpeed
	}
	unlock, err := lockPort(lockDir, name)
	if err != nil {
		return nil, err
	}
	p, err := serial.Open(name, &serial.Mode{BaudRate: speed})
	if err != nil {
		unlock()
		return nil, explain(name, err)
	}
	release, err := Hold(name)
	if err != nil {
		_ = p.Close() // the first error is the one to tell
		unlock()
		return nil, err
	}
	if err := p.SetReadTimeout(turn); err != nil {
		release()
		_ = p.Close() // the first error is the one to tell
		unlock()
		return nil, explain(name, err)
	}
	o := &Port{name: name, speed: speed, port: p, release: release, unlock: unlock, writes: make(chan write), stop: make(chan struct{})}
	go o.write()
	return o, nil
}

// Lock tells other programs that a port is in use, as [OpenPort] does, for ports that
// are opened by other means. The error is or wraps ErrBusy when one of them has it.
func Lock(name string) (unlock func(), err error) { return lockPort(lockDir, name) }

// Name returns what was opened.
func (p *Port) Name() string { return p.name }

// Read reads what is there. Nothing within a turn of 50 ms is 0 and no error.
func (p *Port) Read(b []byte) (int, error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	if p.closed {
		return 0, fmt.Errorf("%s: %w", p.name, ErrClosed)
	}
	n, err := p.port.Read(b)
	if err != nil {
		return n, fmt.Errorf("%s: %w (%w)", p.name, ErrGone, err)
	}
	return n, nil
}

// Write writes all of b, or returns why not. When ctx ends first, some of it
// may have been written, or may be yet.
func (p *Port) Write(ctx context.Context, b []byte) error {
	w := write{append([]byte(nil), b...), make(chan error, 1), ctx}
	select {
	case p.writes <- w:
	case <-p.stop:
		return fmt.Errorf("%s: %w", p.name, ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("%s: the board does not take what is sent to it: %w", p.name, ctx.Err())
	}
	select {
	case err := <-w.done:
		return err
	case <-p.stop:
		return fmt.Errorf("%s: %w", p.name, ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("%s: the board does not take what is sent to it: %w", p.name, ctx.Err())
	}
}

func (p *Port) write() {
	for {
		select {
		case <-p.stop:
			return
		case w := <-p.writes:
			w.done <- p.all(w)
		}
	}
}

func (p *Port) all(w write) error {
	for len(w.b) > 0 && w.ctx.Err() == nil {
		n, err := p.port.Write(w.b[:min(len(w.b), chunk)])
		if err != nil {
			return fmt.Errorf("%s: %w (%w)", p.name, ErrGone, err)
		}
		w.b = w.b[n:]
	}
	return w.ctx.Err()
}

// SetSpeed changes the speed in baud. USB boards take some speeds as a command.
func (p *Port) SetSpeed(speed int) error {
	p.reading.Lock()
	defer p.reading.Unlock()
	if p.closed {
		return fmt.Errorf("%s: %w", p.name, ErrClosed)
	}
	if err := p.port.SetMode(&serial.Mode{BaudRate: speed}); err != nil {
		return fmt.Errorf("%s: setting %d baud: %w", p.name, speed, err)
	}
	p.speed = speed
	return nil
}

// SetLines sets the modem lines.
func (p *Port) SetLines(dtr, rts bool) error {
	p.reading.Lock()
	defer p.reading.Unlock()
	if p.closed {
		return fmt.Errorf("%s: %w", p.name, ErrClosed)
	}
	if err := p.port.SetDTR(dtr); err != nil {
		return fmt.Errorf("%s: setting DTR: %w", p.name, err)
	}
	if err := p.port.SetRTS(rts); err != nil {
		return fmt.Errorf("%s: setting RTS: %w", p.name, err)
	}
	return nil
}

// Close closes the port and waits for the reader to notice. It may be called
// more than once.
func (p *Port) Close() error {
	var err error
	p.once.Do(func() {
		close(p.stop)
		p.reading.Lock()
		defer p.reading.Unlock()
		p.closed = true
		p.release()
		err = p.port.Close()
		p.unlock()
	})
	return err
}
