package fakerig

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// A relay is the way of one device to its cloud: datagrams take a while, as over
// a modem. On loopback a whole update takes a millisecond otherwise, in which
// nobody can cut anything.
type relay struct {
	device, cloud *net.UDPConn
	delay         time.Duration
	peer          atomic.Pointer[netip.AddrPort] // where the device sent from last
}

// newRelay opens a way to a cloud.
func newRelay(cloud netip.AddrPort, delay time.Duration) (*relay, error) {
	device, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	out, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(cloud))
	if err != nil {
		return nil, errors.Join(err, device.Close())
	}
	r := &relay{device: device, cloud: out, delay: delay}
	r.carry(func(b []byte) (int, error) {
		n, from, err := device.ReadFromUDPAddrPort(b)
		if err == nil {
			r.peer.Store(&from)
		}
		return n, err
	}, func(b []byte) { _, _ = out.Write(b) }) // it may get lost, as datagrams do
	r.carry(out.Read, func(b []byte) {
		if p := r.peer.Load(); p != nil {
			_, _ = device.WriteToUDPAddrPort(b, *p)
		}
	})
	return r, nil
}

// addr is where the device finds its cloud.
func (r *relay) addr() netip.AddrPort { return r.device.LocalAddr().(*net.UDPAddr).AddrPort() }

// carry takes datagrams one way.
func (r *relay) carry(read func([]byte) (int, error), write func([]byte)) {
	type late struct {
		at time.Time
		b  []byte
	}
	way := make(chan late, 4096)
	go func() {
		defer close(way)
		for {
			b := make([]byte, 2048)
			n, err := read(b)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				continue // the cloud is away for a moment
			}
			select {
			case way <- late{time.Now().Add(r.delay), b[:n]}:
			default: // full: lost
			}
		}
	}()
	go func() {
		for l := range way {
			time.Sleep(time.Until(l.at))
			write(l.b)
		}
	}()
}

func (r *relay) close() error { return errors.Join(r.device.Close(), r.cloud.Close()) }
