package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/rigs/inventory"
)

func write(t *testing.T, content string, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenUSB(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	if _, err := openUSB(inventory.Tree{Sys: sys, Dev: dev}, "1-1.4"); !errors.Is(err, ErrGone) {
		t.Errorf("a board that is not there: %v", err)
	}
	write(t, "1\n", sys, "bus/usb/devices/1-1.4/busnum")
	write(t, "12\n", sys, "bus/usb/devices/1-1.4/devnum")
	if _, err := openUSB(inventory.Tree{Sys: sys, Dev: dev}, "1-1.4"); err == nil || !strings.Contains(err.Error(), "container") {
		t.Errorf("without a node: %v", err)
	}
	write(t, "", dev, "bus/usb/001/012")
	u, err := openUSB(inventory.Tree{Sys: sys, Dev: dev}, "1-1.4")
	if err != nil {
		t.Fatal(err)
	}
	// A file is no usbfs, and says so.
	if _, err := u.Control(checkSetup(1), make([]byte, ReplySize), time.Second); !errors.Is(err, unix.ENOTTY) || !strings.Contains(err.Error(), "1-1.4") {
		t.Errorf("a file that is no board: %v", err)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		write(t, "", dev, "bus/usb/001/012")
		if err := os.Chmod(filepath.Join(dev, "bus/usb/001/012"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := openUSB(inventory.Tree{Sys: sys, Dev: dev}, "1-1.4"); err == nil || !strings.Contains(err.Error(), "udev") {
			t.Errorf("without the right: %v", err)
		}
	}
}

func TestMeaning(t *testing.T) {
	for errno, want := range map[unix.Errno]error{
		unix.ENODEV: ErrGone, unix.EPROTO: ErrGone, unix.EPIPE: ErrStall, unix.ETIMEDOUT: ErrSilent,
	} {
		if got := meaning(errno); !errors.Is(got, want) {
			t.Errorf("%v: %v", errno, got)
		}
	}
}
