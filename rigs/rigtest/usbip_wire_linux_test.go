package rigtest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/rigs/fake"
)

// plugged returns a fake Boron on a bench of its own.
func plugged(t *testing.T) *Firmware {
	t.Helper()
	bench, err := New()
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	t.Cleanup(func() { _ = bench.Close() })
	board, err := bench.Plug(fake.Spec{Serial: "e00fce68aabbccddeeff0022", Platform: fake.Boron, Path: "1-2"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return board
}

// TestStatusOfTransfers: over USB/IP a board that refuses a request stalls, and
// one that left in the middle of it is not heard any more. A host tells the two
// apart.
func TestStatusOfTransfers(t *testing.T) {
	for name, test := range map[string]struct {
		inDFU bool
		setup []byte
	}{
		"a vendor request that no board knows":       {false, []byte{0xc0, 0x50, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00}},
		"a descriptor of a bootloader that has none": {true, []byte{0x80, 0x06, 0x00, 0x0f, 0x00, 0x00, 0x05, 0x00}},
		"an upload from a bootloader of no block":    {true, []byte{0xa1, dfuUpload, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}},
	} {
		t.Run(name, func(t *testing.T) {
			board := plugged(t)
			ours, theirs := net.Pipe()
			ended := make(chan error, 1)
			go func() { ended <- newUSBDevice(board, test.inDFU).serve(theirs) }()
			submit := func() unix.Errno {
				t.Helper()
				var h [usbipHeader]byte
				binary.BigEndian.PutUint32(h[:], cmdSubmit)
				binary.BigEndian.PutUint32(h[12:], 1) // IN
				copy(h[40:], test.setup)
				if _, err := ours.Write(h[:]); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(ours, h[:]); err != nil {
					t.Fatal(err)
				}
				return unix.Errno(-int32(binary.BigEndian.Uint32(h[20:])))
			}
			if got := submit(); got != unix.EPIPE {
				t.Errorf("refused: %v", got)
			}
			board.Unplug()
			if got := submit(); got != unix.EPROTO {
				t.Errorf("gone: %v", got)
			}
			if err := ours.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
}

// TestDetachedInTheMiddle: a kernel that gives a device up takes no answer to what it
// asked, and may be in the middle of asking.
func TestDetachedInTheMiddle(t *testing.T) {
	board := plugged(t)
	var submit [usbipHeader]byte
	binary.BigEndian.PutUint32(submit[:], cmdSubmit)
	for _, asked := range []int{0, usbipHeader / 2, usbipHeader} {
		ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = unix.Write(ends[1], submit[:asked])
		ours := os.NewFile(uintptr(ends[0]), "usbip")
		conn, err2 := net.FileConn(ours)
		if err := errors.Join(err, err2, ours.Close(), unix.Close(ends[1])); err != nil {
			t.Fatal(err)
		}
		if err := newUSBDevice(board, false).serve(conn); !detached(err) {
			t.Errorf("after %d bytes: %v", asked, err)
		}
		_ = conn.Close()
	}
	if detached(unix.EIO) {
		t.Error("any error is taken for the end")
	}
}
