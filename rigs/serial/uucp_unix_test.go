//go:build unix

package serial

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestLockFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "LCK..null")
	read := func() string {
		b, _ := os.ReadFile(file)
		return string(b)
	}
	unlock, err := lockPort(dir, "/dev/null")
	if want := fmt.Sprintf("%10d\n", os.Getpid()); err != nil || read() != want {
		t.Fatalf("%q, %v, want %q", read(), err, want)
	}
	again, err := lockPort(dir, "/dev/null") // by the same program
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	unlock()
	if read() == "" {
		t.Error("the first to close took the lock of the second")
	}
	again()
	if read() != "" {
		t.Error("the lock stays")
	}

	// Another program has it, and then is gone.
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, "%10d\n", sleep.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := lockPort(dir, "/dev/null"); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("/dev/null is used by process %d", sleep.Process.Pid)) {
		t.Errorf("a port that another program uses: %v", err)
	}
	if err := sleep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sleep.Wait() // killed
	if unlock, err = lockPort(dir, "/dev/null"); err != nil || !strings.Contains(read(), fmt.Sprint(os.Getpid())) {
		t.Errorf("%q, %v", read(), err)
	}
	unlock()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	for _, none := range []string{filepath.Join(dir, "missing"), "/proc"} {
		if unlock, err := lockPort(none, "/dev/null"); err != nil {
			t.Error(err)
		} else {
			unlock()
		}
	}
}
