package serial

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pty returns the board's end of a new pseudo-terminal and the host's port.
func pty(t *testing.T) (board *os.File, name string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	board = os.NewFile(uintptr(fd), "board")
	t.Cleanup(func() { _ = board.Close() }) // a test may have hung up
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return board, fmt.Sprintf("/dev/pts/%d", n)
}

func openPty(t *testing.T) (*os.File, *Console) {
	t.Helper()
	board, name := pty(t)
	c, err := Open(name, options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return board, c
}

func TestPtyLinesThenHangUp(t *testing.T) {
	board, c := openPty(t)
	if _, err := board.WriteString("Device Secret: ABCDEF\r\nhello\xff\r\n"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Device Secret: [redacted]", `hello\xff`} {
		if l, err := c.Next(); err != nil || l.Text != want || !l.Time.Equal(noon) {
			t.Fatalf("%+v, %v: want %q", l, err, want)
		}
	}
	if err := board.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Next(); !errors.Is(err, ErrGone) {
			t.Errorf("after hanging up: %v", err)
		}
	}
}

func TestPtyHangUpWhileWaiting(t *testing.T) {
	board, c := openPty(t)
	ended := make(chan error)
	go func() { _, err := c.Next(); ended <- err }()
	if err := board.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrGone) {
		t.Error(err)
	}
}

func TestPtyCloseUnblocks(t *testing.T) {
	_, c := openPty(t)
	ended := make(chan error)
	go func() { _, err := c.Next(); ended <- err }()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestPtyFlood(t *testing.T) {
	board, c := openPty(t)
	const length = 1 << 20
	wrote := make(chan error, 1)
	go func() {
		_, err := board.WriteString(strings.Repeat("x", length) + "\nend\n")
		wrote <- err
	}()
	seen := 0
	for {
		l, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Text) > DefaultMaxLine || cap(c.buffer) > 2*DefaultMaxLine {
			t.Fatalf("a line of %d bytes, a buffer of %d", len(l.Text), cap(c.buffer))
		}
		if l.Text == "end" {
			break
		}
		seen += len(l.Text)
	}
	if err := <-wrote; err != nil || seen != length {
		t.Errorf("%v; %d of %d bytes", err, seen, length)
	}
}

func TestNoSuchPort(t *testing.T) {
	if _, err := Open(t.TempDir()+"/ttyACM0", options()); err == nil || !strings.Contains(err.Error(), "plugged in") {
		t.Error(err)
	}
}
