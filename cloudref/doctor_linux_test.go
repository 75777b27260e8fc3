package cloudref

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A port that somebody else has is named, with its process.
func TestDoctorNamesWhoHasThePort(t *testing.T) {
	// At an address of its own and shared: others test with these ports on this machine.
	l := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		return errors.Join(failed, err)
	}}
	conn, err := l.ListenPacket(t.Context(), "udp4", "127.98.1.1:5684")
	if err != nil {
		t.Skip("somebody else has the port: ", err)
	}
	defer conn.Close()
	examine(t, t.TempDir(), false, nil, "UDP port 5684 is taken by process ", "--udp")
}
