//go:build !linux

package udp

import (
	"context"
	"errors"
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A Group needs Linux.
type Group struct{}

// NewGroup fails: a Group needs Linux.
func NewGroup(Config) (*Group, error) { return nil, errors.New("udp: a group of sockets needs Linux") }

// Open fails.
func (*Group) Open(_, _ netip.AddrPort) (netip.AddrPort, error) {
	return netip.AddrPort{}, errors.ErrUnsupported
}

// Leave does nothing.
func (*Group) Leave(netip.AddrPort) {}

// CloseSocket does nothing.
func (*Group) CloseSocket(netip.AddrPort) {}

// Len returns 0.
func (*Group) Len() int { return 0 }

// Serve fails.
func (*Group) Serve(context.Context, Handler) error { return errors.ErrUnsupported }

// Send sends nothing.
func (*Group) Send([]transport.Packet) int { return 0 }

// WakeAt does nothing.
func (*Group) WakeAt(int, clock.Instant) {}

// Shards returns 1.
func (*Group) Shards() int { return 1 }

// Counts returns no counts.
func (*Group) Counts() transport.Counts { return transport.Counts{} }

// Close does nothing.
func (*Group) Close() {}
