package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/usbfs"
)

// A usbBoard is a board behind its node in /dev/bus/usb.
type usbBoard struct {
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
	return openUSB(inventory.System, path)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func openUSB(tree inventory.Tree, path string) (Transport, error) {
	node, err := usbfs.Node(tree, filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("USB %s: %w", path, ErrGone)
	}
	file, err := os.OpenFile(node, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("USB %s: you may not open %s: install the udev rules that \"muster rig udev\" prints, or join their group (plugdev): %w", path, node, err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("USB %s: there is no %s: a container must be given /dev/bus/usb: %w", path, node, err)
	case err != nil:
		return nil, fmt.Errorf("USB %s: %w", path, err)
	}
	return &usbBoard{path: path, node: node, file: file}, nil
}

// Control implements Transport.
func (u *usbBoard) Control(s Setup, data []byte, timeout time.Duration) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if int(s.Length) != len(data) {
		panic(fmt.Sprintf("control: a transfer of %d bytes with a buffer of %d", s.Length, len(data)))
	}
	n, err := usbfs.Control(u.file, usbfs.Setup{Type: s.Type, Request: s.Request, Value: s.Value, Index: s.Index}, data, timeout)
	if errno := unix.Errno(0); errors.As(err, &errno) {
		return 0, fmt.Errorf("USB %s: %w (%w)", u.path, meaning(errno), errno)
	}
	return n, err
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
func (u *usbBoard) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.file.Close()
}
