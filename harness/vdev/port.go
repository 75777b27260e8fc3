package vdev

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/sim/fleet"
)

// bindPort makes the device talk to its cloud from port 5684 of all addresses, which
// it says that it shares, as the virtual device does. It returns where the device
// finds its cloud then, and what waits until all that the device has said has left.
func bindPort(cloud netip.AddrPort) (at netip.AddrPort, drain func() error, err error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }); failed != nil {
			return failed
		}
		return err
	}}
	open, err := lc.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(netip.IPv4Unspecified(), fleet.PortUDP).String())
	if err != nil {
		return at, nil, err
	}
	outside := open.(*net.UDPConn)
	inside, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return at, nil, err
	}
	var device, fence atomic.Pointer[netip.AddrPort]
	passed := make(chan struct{}, 1)
	carry := func(from *net.UDPConn, f func(b []byte, peer netip.AddrPort)) {
		b := make([]byte, 1<<16)
		for {
			n, peer, err := from.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			f(b[:n], peer)
		}
	}
	go carry(inside, func(b []byte, peer netip.AddrPort) {
		if f := fence.Load(); f != nil && *f == peer {
			passed <- struct{}{}
			return
		}
		device.Store(&peer)
		_, _ = outside.WriteToUDPAddrPort(b, cloud) // it may get lost, as datagrams do
	})
	go carry(outside, func(b []byte, _ netip.AddrPort) {
		if to := device.Load(); to != nil {
			_, _ = inside.WriteToUDPAddrPort(b, *to)
		}
	})
	to := inside.LocalAddr().(*net.UDPAddr)
	drain = func() error {
		behind, err := net.DialUDP("udp4", nil, to)
		if err != nil {
			return err
		}
		defer behind.Close()
		own := behind.LocalAddr().(*net.UDPAddr).AddrPort()
		fence.Store(&own)
		if _, err := behind.Write([]byte("all that was said before has left")); err != nil {
			return err
		}
		<-passed
		return nil
	}
	return to.AddrPort(), drain, nil
}
