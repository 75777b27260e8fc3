package usbfs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
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

// Node returns the node of a device or hub, named as sysfs names it (1-1.4, usb1).
// One that is not plugged in is an error that wraps fs.ErrNotExist.
func Node(tree inventory.Tree, name string) (string, error) {
	dir := filepath.Join(tree.Devices(), name)
	var numbers [2]int
	for i, attribute := range []string{"busnum", "devnum"} {
		b, err := os.ReadFile(filepath.Join(dir, attribute))
		if err == nil {
			numbers[i], err = strconv.Atoi(strings.TrimSpace(string(b)))
		}
		if err != nil {
			return "", err
		}
	}
	return filepath.Join(tree.Dev, "bus", "usb", fmt.Sprintf("%03d", numbers[0]), fmt.Sprintf("%03d", numbers[1])), nil
}

// A Setup is the setup stage of a control transfer (USB 2.0 Section 9.3), but for the
// length, which is that of the data.
type Setup struct {
	Type, Request uint8
	Value, Index  uint16
}

// Control makes one control transfer and waits at most timeout. It fills data when the
// data stage comes in, and sends it otherwise; at most 65,535 bytes. It returns the
// length of the data stage. Errors are of type unix.Errno, as the kernel gives them
// (Documentation/driver-api/usb/error-codes.rst).
func Control(node *os.File, s Setup, data []byte, timeout time.Duration) (int, error) {
	if len(data) > 0xffff {
		panic(fmt.Sprintf("usbfs: a transfer of %d bytes", len(data)))
	}
	t := controlTransfer{
		kind: s.Type, request: s.Request, value: s.Value, index: s.Index, length: uint16(len(data)),
		timeout: uint32(max(timeout.Milliseconds(), 1)), // 0 would be for ever
	}
	var pin runtime.Pinner // the kernel sees an address within t
	defer pin.Unpin()
	if len(data) > 0 {
		pin.Pin(&data[0])
		t.data = unsafe.Pointer(&data[0])
	}
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, node.Fd(), usbdevfsControl, uintptr(unsafe.Pointer(&t)))
	runtime.KeepAlive(node)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
