package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/rigs/inventory"
)

// controlTransfer is the kernel's struct usbdevfs_ctrltransfer.
type controlTransfer struct {
	kind, request        uint8
	value, index, length uint16
	timeout              uint32 // in milliseconds
	data                 unsafe.Pointer
}

// usbdevfsControl is USBDEVFS_CONTROL, _IOWR('U', 0, struct usbdevfs_ctrltransfer);
// the same number on every architecture of Linux but for the size.
const usbdevfsControl = 3<<30 | unsafe.Sizeof(controlTransfer{})<<16 | 'U'<<8

// usbfs is a board behind its node in /dev/bus/usb. Control requests to the
// device claim no interface, so they go beside the serial driver.
type usbfs struct {
	path string // USB path, as 1-1.4
	node string

	mu   sync.Mutex // held while a transfer runs, so that Close waits for it
	file *os.File
}

// OpenUSB opens the board at a USB path, as 1-1.4.
func OpenUSB(path string) (Transport, error) {
	if socket := filepath.Join(inventory.System.Dev, SocketName); inventory.Root() != "" && exists(socket) {
		return dialSocket(socket, path)
	}
	return openUSB(inventory.System.Sys, inventory.System.Dev, path)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func openUSB(sys, dev, path string) (Transport, error) {
	dir := filepath.Join(sys, "bus", "usb", "devices", filepath.Base(path))
	var numbers [2]int
	for i, name := range []string{"busnum", "devnum"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			numbers[i], err = strconv.Atoi(strings.TrimSpace(string(b)))
		}
		if err != nil {
			return nil, fmt.Errorf("USB %s: %w", path, ErrGone)
		}
	}
	node := filepath.Join(dev, "bus", "usb", fmt.Sprintf("%03d", numbers[0]), fmt.Sprintf("%03d", numbers[1]))
	file, err := os.OpenFile(node, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("USB %s: you may not open %s: install Particle's udev rules, or join their group (plugdev): %w", path, node, err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("USB %s: there is no %s: a container must be given /dev/bus/usb: %w", path, node, err)
	case err != nil:
		return nil, fmt.Errorf("USB %s: %w", path, err)
	}
	return &usbfs{path: path, node: node, file: file}, nil
}

// Control implements Transport.
func (u *usbfs) Control(s Setup, data []byte, timeout time.Duration) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if int(s.Length) != len(data) {
		panic(fmt.Sprintf("control: a transfer of %d bytes with a buffer of %d", s.Length, len(data)))
	}
	t := controlTransfer{
		kind: s.Type, request: s.Request, value: s.Value, index: s.Index, length: s.Length,
		timeout: uint32(max(timeout.Milliseconds(), 1)), // 0 would be for ever
	}
	var pin runtime.Pinner // the kernel sees an address within t
	defer pin.Unpin()
	if len(data) > 0 {
		pin.Pin(&data[0])
		t.data = unsafe.Pointer(&data[0])
	}
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, u.file.Fd(), usbdevfsControl, uintptr(unsafe.Pointer(&t)))
	runtime.KeepAlive(u.file)
	if errno != 0 {
		return 0, fmt.Errorf("USB %s: %w (%w)", u.path, meaning(errno), errno)
	}
	return int(n), nil
}

// meaning returns what an error of usbfs says of the board (kernel:
// Documentation/driver-api/usb/error-codes.rst).
func meaning(errno unix.Errno) error {
	switch errno {
	case unix.ENODEV, unix.ESHUTDOWN, unix.ENOENT, unix.EPROTO, unix.EILSEQ, unix.ECONNRESET:
		return ErrGone // bus errors precede the unplugging that explains them
	case unix.EPIPE:
		return ErrStall
	case unix.ETIMEDOUT, unix.ETIME:
		return ErrSilent
	default:
		return errors.New("the transfer failed")
	}
}

// Close implements Transport.
func (u *usbfs) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.file.Close()
}
