package serial

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	terminal "github.com/creack/pty"
	"golang.org/x/term"
)

// TestHold: a port that another program has locked is refused, by that program's
// name, also to root; ours is locked for others until it is closed.
func TestHold(t *testing.T) {
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skip("no flock: install util-linux")
	}
	master, tty, err := terminal.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close() //nolint:errcheck // the test ends
	if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	name := tty.Name()

	other, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	// The lock goes to a program that has nothing else of ours.
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	cmd.Stdin = other
	if err := errors.Join(cmd.Start(), other.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPort(name, 0); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), name+" is used by") {
		t.Errorf("%v, want a port that is in use", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	p, err := OpenPort(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	held := func() bool { return exec.CommandContext(t.Context(), flock, "-n", name, "true").Run() != nil }
	if !held() {
		t.Error("others are not told")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if held() {
		t.Error("it stays locked")
	}
}

// A port that was closed is free, although a program that was started meanwhile has a
// copy of its descriptor still.
func TestClosedPortIsFreeAtOnce(t *testing.T) {
	master, tty, err := terminal.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close() //nolint:errcheck // the test ends
	name := tty.Name()
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPort(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := descriptors(name)
	if len(ours) != 1 {
		t.Fatalf("descriptors %v", ours)
	}
	fd, err := syscall.Dup(ours[0])
	if err != nil {
		t.Fatal(err)
	}
	twin := os.NewFile(uintptr(fd), name)
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	cmd.Stdin = twin
	if err := errors.Join(cmd.Start(), twin.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := OpenPort(name, 0)
	if err != nil {
		t.Fatalf("a closed port is locked: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
