package fleet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/transport"
)

// The fleet itself allocates nothing for a packet: neither for one that a device
// drops nor for one that is nobody's.
func TestNoAllocations(t *testing.T) {
	f, _, net := startVirtual(t, 1, 1, Options{}, nil, "boron@6.2.0")
	f.PowerOn(0)
	if !f.RunOnline(net.Now().Add(time.Minute)) {
		t.Fatal("not online")
	}
	h := &place{fleet: f, m: f.table.get(0)}
	cloud := netip.AddrPortFrom(virtualCloud, PortUDP)
	for _, port := range []uint16{portFirst, portFirst + 1} {
		p := transport.Packet{Local: netip.AddrPortFrom(f.Node(0).Addr(), port), Peer: cloud, Data: []byte{0xff, 0xfe, 0xfd}}
		var out transport.Out
		before := f.Metrics()
		if n := testing.AllocsPerRun(100, func() { h.Datagram(net.Now(), p, &out) }); n != 0 {
			t.Errorf("port %d: %v allocations a packet", port, n)
		}
		after := f.Metrics()
		if dropped, stray := after.Dropped-before.Dropped, after.Stray-before.Stray; dropped+stray != 101 || (port == portFirst) != (stray == 0) {
			t.Errorf("port %d: %d dropped, %d stray", port, dropped, stray)
		}
	}
}
