package vnet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

func TestNATHidesTheDevice(t *testing.T) {
	w, _ := newHomeWorld(t, NATConfig{})
	if w.Inject(cloudPort, netip.AddrPortFrom(publicAddr, portFirst), []byte("unsolicited")); len(w.dev.heard) != 0 {
		t.Error("unsolicited datagram came in")
	}
	w.wantLost(LostToNAT)
	if lost := w.Inject(cloudPort, devicePort, []byte("private address")); lost != LostNoAddress {
		t.Errorf("lost %q, want %q", lost, LostNoAddress)
	}
	w.say("hello")
	w.wantHeard(w.cld, "0s hello")
	if w.cld.peer.Addr() != publicAddr || w.cld.peer.Port() == 5684 {
		t.Errorf("the cloud sees %v", w.cld.peer)
	}
	w.answer("hi")
	w.wantHeard(w.dev, "0s hi")
	if w.dev.peer != cloudPort {
		t.Errorf("the device sees %v", w.dev.peer)
	}
}

func TestNATFilters(t *testing.T) {
	otherPort := netip.AddrPortFrom(cloudAddr, 1)
	stranger := netip.MustParseAddrPort("192.0.2.1:5684")
	for _, test := range []struct {
		name               string
		filter             Filter
		fromPort, fromHost bool // whether another port, another host comes in
	}{
		{"address and port", FilterAddressAndPort, false, false},
		{"address", FilterAddress, true, false},
		{"nothing", FilterNothing, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, _ := newHomeWorld(t, NATConfig{Filter: test.filter})
			w.say("hello")
			w.wantHeard(w.cld, "0s hello")
			for from, want := range map[netip.AddrPort]bool{cloudPort: true, otherPort: test.fromPort, stranger: test.fromHost} {
				w.dev.heard = nil
				w.Inject(from, w.cld.peer, []byte("x"))
				w.Settle(clock.Never)
				if got := len(w.dev.heard) == 1; got != want {
					t.Errorf("from %v: came in %v, want %v", from, got, want)
				}
			}
		})
	}
}

func TestNATMappingExpires(t *testing.T) {
	w, _ := newHomeWorld(t, NATConfig{Idle: 30 * time.Second})
	w.say("1")
	w.wantHeard(w.cld, "0s 1")
	first := w.cld.peer
	w.Run(clock.Instant(30 * time.Second))
	w.say("2")
	w.wantHeard(w.cld, "30s 2")
	if w.cld.peer != first {
		t.Errorf("the mapping changed from %v to %v while in use", first, w.cld.peer)
	}
	w.Run(clock.Instant(61 * time.Second))
	w.answer("too late")
	w.wantLost(LostToNAT)
	w.say("3")
	w.wantHeard(w.cld, "1m1s 3")
	if w.cld.peer == first {
		t.Error("the mapping outlived its time")
	}
	w.answer("in time")
	w.wantHeard(w.dev, "1m1s in time")
}

func TestNATRebindAndRenumber(t *testing.T) {
	w, nat := newHomeWorld(t, NATConfig{})
	w.say("1")
	w.wantHeard(w.cld, "0s 1")
	first := w.cld.peer
	w.At(clock.Instant(time.Second), nat.Rebind)
	w.Run(clock.Instant(time.Second))
	w.say("2")
	w.wantHeard(w.cld, "1s 2")
	if w.cld.peer == first || w.cld.peer.Addr() != publicAddr {
		t.Errorf("after rebinding %v, before %v", w.cld.peer, first)
	}
	moved := netip.MustParseAddr("198.51.100.2")
	nat.Renumber(moved)
	w.answer("3") // to the old address
	w.wantLost(LostNoAddress)
	w.say("4")
	w.wantHeard(w.cld, "1s 4")
	if w.cld.peer.Addr() != moved {
		t.Errorf("came from %v, want %v", w.cld.peer, moved)
	}
}

func TestSymmetricNAT(t *testing.T) {
	for _, symmetric := range []bool{false, true} {
		w, _ := newHomeWorld(t, NATConfig{Symmetric: symmetric})
		other := newPlayer()
		w.Attach(other, netip.MustParseAddr("203.0.113.2"))
		do(w.device, func(out *transport.Out) {
			out.Send(devicePort, cloudPort, []byte("x"))
			out.Send(devicePort, netip.MustParseAddrPort("203.0.113.2:5684"), []byte("x"))
		})
		w.Settle(clock.Never)
		if differ := w.cld.peer != other.peer; differ != symmetric {
			t.Errorf("symmetric %v: seen as %v and %v", symmetric, w.cld.peer, other.peer)
		}
	}
}

func TestNeighboursBehindOneNAT(t *testing.T) {
	w, nat := newHomeWorld(t, NATConfig{})
	neighbour := newPlayer()
	nat.Attach(neighbour, netip.MustParseAddr("10.0.0.3"))
	do(w.device, func(out *transport.Out) {
		out.Send(devicePort, netip.MustParseAddrPort("10.0.0.3:9"), []byte("over the fence"))
	})
	w.wantHeard(neighbour, "0s over the fence")
	if neighbour.peer != devicePort {
		t.Errorf("came from %v, want the private address", neighbour.peer)
	}
}

// A NAT with few ports left takes those whose mappings have expired.
func TestNATPortsAreUsedAgain(t *testing.T) {
	w, nat := newHomeWorld(t, NATConfig{Idle: time.Second})
	for i := range 3 * 64512 {
		if i%1000 == 0 {
			w.Run(w.Now().Add(100 * ms))
		}
		from := netip.AddrPortFrom(deviceAddr, uint16(i))
		nat.outbound(w.Now(), from, netip.AddrPortFrom(cloudAddr, uint16(i>>16)), false)
	}
	if len(nat.byOut) > 64512 || len(nat.byIn) > 65536 {
		t.Errorf("%d and %d mappings", len(nat.byOut), len(nat.byIn))
	}
}
