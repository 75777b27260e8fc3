package tcp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/muster/muster/transport"
)

// causeOf says what an error of a read or a dial means.
func causeOf(err error) transport.Cause {
	switch {
	case errors.Is(err, io.EOF):
		return transport.ClosedByPeer
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return transport.ResetByPeer
	case errors.Is(err, syscall.ECONNREFUSED):
		return transport.Refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return transport.Unreachable
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return transport.TimedOut
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return transport.DriverStopped
	}
	return transport.Failed
}

// writeCause says what an error of a write means. A write that times out has a
// peer that acknowledges and does not read.
func writeCause(err error) transport.Cause {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return transport.SlowPeer
	}
	return causeOf(err)
}

// byPeer reports whether the peer ended the stream.
func byPeer(c transport.Cause) bool {
	return c == transport.ClosedByPeer || c == transport.ResetByPeer
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// dialer returns a dialer that binds local, as far as it is given.
func dialer(local netip.AddrPort) *net.Dialer {
	d := &net.Dialer{KeepAlive: -1}
	if local.Addr().IsValid() || local.Port() != 0 {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	if local.Addr().IsValid() && local.Port() == 0 {
		d.Control = bindLate
	}
	return d
}
