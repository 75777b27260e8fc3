package usbfs

import (
	"testing"
	"unsafe"
)

// TestControlTransferLayout: the kernel's numbers (include/uapi/linux/usbdevice_fs.h).
func TestControlTransferLayout(t *testing.T) {
	var c controlTransfer
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("numbers of 64-bit systems")
	}
	if unsafe.Sizeof(c) != 24 || unsafe.Offsetof(c.length) != 6 || unsafe.Offsetof(c.timeout) != 8 || unsafe.Offsetof(c.data) != 16 {
		t.Errorf("struct usbdevfs_ctrltransfer is %d bytes, data at %d", unsafe.Sizeof(c), unsafe.Offsetof(c.data))
	}
	if uint64(usbdevfsControl) != 0xc0185500 {
		t.Errorf("USBDEVFS_CONTROL is %#x", uint64(usbdevfsControl))
	}
}
