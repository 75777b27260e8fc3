package udp

import (
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

func newGroup(t *testing.T, config Config) *Group {
	t.Helper()
	g, err := NewGroup(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func TestGroupOfSockets(t *testing.T) {
	const devices = 300
	cloud := listen(t, anyPort, Config{})
	serve(t, cloud, echo{})
	g := newGroup(t, Config{})
	c := newCollector(devices)
	serve(t, g, c)
	var out transport.Out
	for i := range devices {
		local, err := g.Open(netip.AddrPortFrom(netip.IPv4Unspecified(), 0), cloud.Addr(0))
		if err != nil {
			t.Fatal(err)
		}
		out.Send(local, cloud.Addr(0), []byte{byte(i >> 8), byte(i)})
	}
	if sent := g.Send(out.Packets()); sent != devices {
		t.Fatalf("sent %d of %d: %v", sent, devices, g.Counts())
	}
	for _, p := range c.wait(t) {
		if i := int(p.Data[0])<<8 | int(p.Data[1]); p.Local != out.Packets()[i].Local {
			t.Fatalf("device %d's answer came to %v, want %v", i, p.Local, out.Packets()[i].Local)
		}
	}
	if g.Len() != devices {
		t.Errorf("%d sockets, want %d", g.Len(), devices)
	}
	g.CloseSocket(out.Packets()[0].Local)
	g.CloseSocket(out.Packets()[0].Local)
	if sent := g.Send(out.Packets()[:1]); sent != 0 || g.Len() != devices-1 {
		t.Errorf("sent %d through a closed socket; %d sockets, want %d", sent, g.Len(), devices-1)
	}
}

func TestGroupDeadlines(t *testing.T) {
	g := newGroup(t, Config{})
	testDeadlines(t, g, g.config.Clock, g.WakeAt)
}

// A cloud that does not run is a fact to count, not an end.
func TestRefusedIsCounted(t *testing.T) {
	cloud := listen(t, anyPort, Config{Shards: 1})
	there := cloud.Addr(0)
	cloud.Close()
	g := newGroup(t, Config{})
	local, err := g.Open(anyPort, there)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, g, echo{})
	for until := time.Now().Add(patience); g.Counts()[transport.SendRefused] == 0; {
		if time.Now().After(until) {
			t.Fatal("nothing refused was counted")
		}
		g.Send([]transport.Packet{{Local: local, Peer: there, Data: []byte("x")}})
	}
}

func TestGroupRefusesSocketsAfterClose(t *testing.T) {
	g := newGroup(t, Config{})
	g.Close()
	if _, err := g.Open(anyPort, netip.AddrPort{}); err == nil {
		t.Error("a closed group took a socket")
	}
}

// A farewell answers, and leaves the socket in the same call.
type farewell struct {
	echo
	g *Group
}

func (f farewell) Datagrams(_ int, _ clock.Instant, batch []transport.Packet, out *transport.Out) {
	for _, p := range batch {
		out.Send(p.Local, p.Peer, []byte("bye"))
		f.g.Leave(p.Local)
	}
}

// TestLastWords closes a socket in the call that says something through it: that leaves
// first.
func TestLastWords(t *testing.T) {
	cloud, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(anyPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	_ = cloud.SetReadDeadline(time.Now().Add(patience))
	g := newGroup(t, Config{})
	there := cloud.LocalAddr().(*net.UDPAddr).AddrPort()
	local, err := g.Open(anyPort, there)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, g, farewell{g: g})
	if _, err := cloud.WriteToUDPAddrPort([]byte("hello"), local); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if n, err := cloud.Read(b); err != nil || string(b[:n]) != "bye" {
		t.Errorf("heard %q, %v", b[:n], err)
	}
	for until := time.Now().Add(patience); g.Len() > 0; runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatal("the socket is not closed")
		}
	}
}
