package rigs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/rigtest"
)

// musterVariable makes the test binary "muster rig".
const musterVariable = "MUSTER_TEST_RIG"

func musterIfAsked() {
	if os.Getenv(musterVariable) == "" {
		return
	}
	cmd := Command()
	cmd.SetArgs(os.Args[1:])
	if err := cmd.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// muster returns "muster rig" as a process of its own, on this bench.
func (d *desktop) muster(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if err := d.ServeControl(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), musterVariable+"=1", "MUSTER_RIG_ROOT="+filepath.Dir(d.Sys()), "MUSTER_DFU_UTIL="+d.Host.DFU.Program)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	return cmd
}

// TestFlashKilled: the dfu-util of a run that was killed has the board until it is
// done, and the next run waits for it. The board is known even while it restarts.
func TestFlashKilled(t *testing.T) {
	d := newDesktop(t)
	d.enroll(t, "")
	d.Host.Soon = time.Minute
	cmd := d.muster(t, "flash", id, d.app(t, pdc.Boron, 2), "--by", "dfu")
	killed, waits := make(chan error, 1), make(chan struct{})
	d.board.Fail(rigtest.Faults{DFU: func(write bool, _ int, _ uint32) error {
		if write && cmd.Process != nil {
			select {
			case killed <- cmd.Process.Kill():
			default:
			}
			<-waits // dfu-util is at it until somebody waits for that
		}
		return nil
	}})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	out, err := d.run("list")
	has(t, must(t, out, err), "which was killed and left")
	told := newLocked()
	done := make(chan error, 1)
	go func() {
		done <- d.runTo(context.Background(), nil, told, "flash", "boron-1", d.app(t, pdc.Boron, 3), "--by", "dfu")
	}()
	told.await("a run that was killed has left", 1)
	if text := told.String(); strings.Contains(text, "entering DFU mode") {
		t.Errorf("it did not wait:\n%s", text)
	}
	close(waits)
	if err := <-done; err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	has(t, told.String(), "runs it")
	if mode := d.board.Mode(); mode != fake.Normal {
		t.Errorf("the board is in mode %v", mode)
	}
}

// TestLeaseKilled: the command of a lease ends with a muster that is killed, and the
// board is free.
func TestLeaseKilled(t *testing.T) {
	d := newDesktop(t)
	d.enroll(t, "")
	cmd := d.muster(t, "lease", "boron-1", "--", "cat")
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close() //nolint:errcheck // the test ends
	// cat shows that it runs, and its end is the end of the pipe.
	shown, said, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, said, nil
	if err := errors.Join(cmd.Start(), theirs.Close(), said.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.WriteString("it runs"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 7)
	if _, err := io.ReadFull(shown, b); err != nil || string(b) != "it runs" {
		t.Fatalf("%q, %v", b, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(shown); err != nil { // until nobody has its other end
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	out, err := d.run("control", "boron-1", "info")
	must(t, out, err)
}
