package fake

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An end hears what a host does with a serial port. The calls come one at a
// time.
type end interface {
	attached()      // the host opened the port (DTR)
	input(b []byte) // valid during the call only
	speed(baud int) // the host set the speed, perhaps to the same
	detached()      // nobody has the port open
}

// A line is the board's end of a pseudo-terminal, which is the host's port.
//
// The master is in packet mode with EXTPROC, so that every change of the host's
// settings is an event; opening and closing come from inotify. These are two
// sources: the order of an opening and of what follows is not certain, so input
// counts as an opening too.
type line struct {
	path  string // of the host's end
	file  *os.File
	raw   syscall.RawConn
	watch *watcher
	id    int32
	end   end
	stuck time.Duration

	mu     sync.Mutex
	change *sync.Cond // of opens
	seen   int        // openings and closings, ever
	opens  int        // by the host, at present
	on     bool       // attached
	shut   bool

	out  chan []byte
	lost atomic.Int64 // bytes that the host did not take
}

// queue is how many pieces of output may wait.
const queue = 1024

// openLine opens a new pseudo-terminal. Order matters: the host must find it
// raw, or its echo comes back to the board.
func openLine(w *watcher, e end, stuck time.Duration) (*line, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("fake: opening a pseudo-terminal: %w", err)
	}
	l := &line{file: os.NewFile(uintptr(fd), "ptmx"), watch: w, end: e, stuck: stuck, out: make(chan []byte, queue)}
	l.change = sync.NewCond(&l.mu)
	if err := l.prepare(fd); err != nil {
		_ = l.file.Close() // the first error is the one to tell
		return nil, err
	}
	go l.read()
	go l.write()
	return l, nil
}

func (l *line) prepare(fd int) error {
	var err error
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return fmt.Errorf("fake: a pseudo-terminal: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("fake: unlocking a pseudo-terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return fmt.Errorf("fake: the number of a pseudo-terminal: %w", err)
	}
	l.path = fmt.Sprintf("/dev/pts/%d", n)
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("fake: settings of a pseudo-terminal: %w", err)
	}
	t.Iflag &^= unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Lflag |= unix.EXTPROC
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return fmt.Errorf("fake: making a pseudo-terminal raw: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCPKT, 1); err != nil {
		return fmt.Errorf("fake: packet mode: %w", err)
	}
	l.id, err = l.watch.add(l.path, unix.IN_OPEN|unix.IN_CLOSE, l.opened)
	return err
}

// opened hears of openings and closings of the host's end.
func (l *line) opened(mask uint32) {
	l.mu.Lock()
	before := l.on
	if mask&unix.IN_OPEN != 0 {
		l.opens++
		l.on = true
	}
	if mask&unix.IN_CLOSE != 0 && l.opens > 0 {
		l.opens--
		l.on = l.on && l.opens > 0
	}
	l.seen++
	l.change.Broadcast()
	now := l.on
	l.mu.Unlock()
	l.tell(before, now)
}

// tell tells the end about a change.
func (l *line) tell(before, now bool) {
	switch {
	case now && !before:
		l.end.attached()
	case before && !now:
		// What the host has not read is not there when it comes again.
		_ = l.raw.Control(func(fd uintptr) { _ = unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCOFLUSH) })
		l.end.detached()
	}
}

// read takes what the host sends, until the line is hung up.
func (l *line) read() {
	b := make([]byte, 4096)
	for {
		l.mu.Lock()
		seen := l.seen
		l.mu.Unlock()
		n, err := l.file.Read(b)
		switch {
		case n > 0 && b[0] == 0:
			if n > 1 {
				l.evident()
				l.end.input(b[1:n])
			}
		case n > 0:
			if b[0]&unix.TIOCPKT_IOCTL != 0 {
				l.settings()
			}
		case errors.Is(err, syscall.EIO): // nobody has it open
			if !l.nobody(seen) {
				return
			}
		case err != nil:
			return // hung up
		}
	}
}

// evident notes that the host has the port open, if inotify is late.
func (l *line) evident() {
	l.mu.Lock()
	before := l.on
	l.on = true
	l.mu.Unlock()
	l.tell(before, true)
}

// nobody waits until the host opens or closes the port. It reports false when
// the line is hung up.
func (l *line) nobody(seen int) bool {
	l.mu.Lock()
	before := l.on
	if l.opens == 0 {
		l.on = false
	}
	now := l.on
	l.mu.Unlock()
	l.tell(before, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.seen == seen && !l.shut {
		l.change.Wait()
	}
	return !l.shut
}

// settings tells the speed that the host has set.
func (l *line) settings() {
	baud := 0
	_ = l.raw.Control(func(fd uintptr) {
		if t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS2); err == nil {
			baud = int(t.Ospeed)
		}
	})
	if baud != 0 {
		l.end.speed(baud)
	}
}

// send queues output. It is dropped while nobody has the port open, as a board
// does without DTR.
func (l *line) send(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on && !l.shut {
		select {
		case l.out <- append([]byte(nil), b...):
		default:
			l.lost.Add(int64(len(b)))
		}
	}
}

// write writes what is queued. A host that does not read blocks the board, and
// after a while counts as gone until it sends something.
func (l *line) write() {
	for b := range l.out {
		l.mu.Lock()
		on := l.on
		l.mu.Unlock()
		if !on {
			l.lost.Add(int64(len(b)))
			continue
		}
		if err := l.file.SetWriteDeadline(time.Now().Add(l.stuck)); err != nil {
			continue // hung up
		}
		n, err := l.file.Write(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.mu.Lock()
			l.on = false
			l.mu.Unlock()
			l.lost.Add(int64(len(b) - n))
			l.end.detached()
		}
	}
}

// hangUp takes the port away from the host. A call of the end may still be
// under way.
func (l *line) hangUp() {
	l.mu.Lock()
	if l.shut {
		l.mu.Unlock()
		return
	}
	l.shut = true
	l.change.Broadcast()
	close(l.out)
	l.mu.Unlock()
	l.watch.remove(l.id)
	_ = l.file.Close() // there is nothing to lose
}
