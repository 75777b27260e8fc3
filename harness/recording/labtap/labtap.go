// Package labtap gives the recordings of real firmware as a tap sees packets, for tests
// of whatever reads taps. It is no part of labfile, which imports package capture:
// capture's own tests need it.
package labtap

import (
	"net/netip"
	"strings"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// Sightings are what a tap at the device would have seen of a recording, and the
// items behind them, notes left out. The device's port is one more after each change
// that the recording tells.
func Sightings(c *fixtures.Capture, device, cloud netip.AddrPort) (all []transport.Sighting, items []fixtures.Item) {
	stream := transport.StreamID(0)
	for _, item := range c.Items {
		s := transport.Sighting{
			At: clock.Instant(item.At), Kind: transport.DatagramSeen, Sent: item.Op == fixtures.OpUp,
			Packet: transport.Packet{Local: device, Peer: cloud, Data: item.Data},
		}
		switch {
		case c.Transport == "tcp" && item.Op == fixtures.OpNote && strings.HasSuffix(item.Text, "opened"):
			stream++
			device = netip.AddrPortFrom(device.Addr(), device.Port()+1)
			s.Kind, s.Stream, s.Sent, s.Local = transport.StreamOpened, stream, true, device
		case item.Op == fixtures.OpNote:
			if strings.HasPrefix(item.Text, "device source port") {
				device = netip.AddrPortFrom(device.Addr(), device.Port()+1)
			}
			continue
		case c.Transport == "tcp":
			s.Kind, s.Stream = transport.StreamChunk, stream
		}
		all = append(all, s)
		if item.Op != fixtures.OpNote {
			items = append(items, item)
		}
	}
	return all, items
}
