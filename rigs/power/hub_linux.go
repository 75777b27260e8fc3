package power

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/rigs/inventory"
)

// The class requests of a hub that switch a port (USB 2.0, section 11.24.2).
const (
	hubToPort    = 0x23
	clearFeature = 1
	setFeature   = 3
	portPower    = 8
)

// controlTransfer is the kernel's struct usbdevfs_ctrltransfer.
type controlTransfer struct {
	kind, request        uint8
	value, index, length uint16
	timeout              uint32 // in milliseconds
	data                 unsafe.Pointer
}

const usbdevfsControl = 3<<30 | unsafe.Sizeof(controlTransfer{})<<16 | 'U'<<8

// usbHub returns how to switch a port by asking its hub.
func usbHub(tree inventory.Tree, port string) (func(on bool) error, error) {
	name := filepath.Base(port) // 1-1-port4, or usb1-port1
	hub, number, ok := cutLast(name, "-port")
	n, err := strconv.ParseUint(number, 10, 8)
	if !ok || err != nil {
		return nil, fmt.Errorf("%s is no hub port", name)
	}
	dir := filepath.Join(tree.Devices(), hub)
	bus, err1 := readNumber(filepath.Join(dir, "busnum"))
	device, err2 := readNumber(filepath.Join(dir, "devnum"))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("there is no hub %s: %w", hub, err)
	}
	node := filepath.Join(tree.Dev, "bus", "usb", fmt.Sprintf("%03d", bus), fmt.Sprintf("%03d", device))
	return func(on bool) error {
		request := uint8(clearFeature)
		if on {
			request = setFeature
		}
		return askHub(node, request, uint16(n))
	}, nil
}

func askHub(node string, request uint8, port uint16) error {
	file, err := os.OpenFile(node, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("you may not ask the hub: run as root, or make %s writable by a udev rule: %w", node, err)
	}
	if err != nil {
		return fmt.Errorf("asking the hub: %w", err)
	}
	t := controlTransfer{kind: hubToPort, request: request, value: portPower, index: port, timeout: 5000}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), usbdevfsControl, uintptr(unsafe.Pointer(&t)))
	runtime.KeepAlive(file)
	err = file.Close()
	if errno != 0 {
		return fmt.Errorf("the hub refuses to switch port %d: %w", port, errno)
	}
	return err
}

func cutLast(s, sep string) (before, after string, ok bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}

func readNumber(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}
