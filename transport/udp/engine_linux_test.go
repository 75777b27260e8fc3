package udp

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// all answers leave from the IP address and port that were addressed.
func TestAnswersLeaveFromTheAddressThatWasAddressed(t *testing.T) {
	e := listen(t, netip.MustParseAddrPort("0.0.0.0:0"), Config{})
	serve(t, e, echo{})
	for _, addressed := range []string{"127.0.0.1", "127.0.0.2", "127.9.8.7"} {
		// A connected socket drops what comes from any other address.
		wantEcho(t, dial(t, netip.AddrPortFrom(netip.MustParseAddr(addressed), e.Addr(0).Port())), addressed)
	}
}

// Two thousand devices share one socket, each with its own address. Every
// answer finds its device, and the kernel spreads them over the cloud's
// sockets.
func TestManyDevicesOnOneSocket(t *testing.T) {
	const devices = 2000
	cloudSide := newCollector(devices)
	cloud := listen(t, anyPort, Config{Shards: 4})
	fleet, err := OpenFleet([]uint16{0}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	deviceSide := newCollector(devices)
	serve(t, fleet, deviceSide)
	serve(t, cloud, both{cloudSide})

	for first := 0; first < devices; first += 100 {
		var out transport.Out
		for i := first; i < first+100; i++ {
			out.Send(netip.AddrPortFrom(Loopback(i), 0), cloud.Addr(0), []byte{byte(i >> 8), byte(i)})
		}
		if sent := fleet.Send(out.Packets()); sent != 100 {
			t.Fatalf("%d of 100 sent: %v", sent, fleet.Counts())
		}
	}
	seen := make(map[netip.AddrPort]bool)
	for _, p := range cloudSide.wait(t) {
		seen[p.Peer] = true
	}
	if len(seen) != devices {
		t.Errorf("the cloud saw %d addresses, want %d", len(seen), devices)
	}
	for _, p := range deviceSide.wait(t) {
		i, ok := LoopbackIndex(p.Local.Addr())
		if !ok || len(p.Data) != 2 || i != int(p.Data[0])<<8|int(p.Data[1]) || p.Peer != cloud.Addr(0) {
			t.Fatalf("%v got % x from %v", p.Local, p.Data, p.Peer)
		}
	}
	for shard := range 4 {
		if n := cloudSide.byShard[shard]; n < devices/16 {
			t.Errorf("shard %d got %d of %d datagrams", shard, n, devices)
		}
	}
}

// both collects and answers.
type both struct{ *collector }

func (b both) Datagrams(shard int, now clock.Instant, batch []transport.Packet, out *transport.Out) {
	b.collector.Datagrams(shard, now, batch, out)
	b.echo.Datagrams(shard, now, batch, out)
}

func TestFleetPortsSelectTheSocket(t *testing.T) {
	c := newCollector(2)
	cloud := listen(t, anyPort, Config{Shards: 1})
	serve(t, cloud, c)
	fleet, err := OpenFleet([]uint16{0, 0}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, fleet, echo{})
	packets := []transport.Packet{
		{Local: netip.AddrPortFrom(Loopback(1), fleet.Addr(0).Port()), Peer: cloud.Addr(0), Data: []byte("0")},
		{Local: netip.AddrPortFrom(Loopback(2), fleet.Addr(1).Port()), Peer: cloud.Addr(0), Data: []byte("1")},
		{Local: netip.AddrPortFrom(Loopback(3), 1), Peer: cloud.Addr(0), Data: []byte("2")},
	}
	if sent := fleet.Send(packets); sent != 2 {
		t.Errorf("sent %d, want 2", sent)
	}
	if got := fleet.Counts()[transport.DropNoSocket]; got != 1 {
		t.Errorf("counted %d without a socket, want 1", got)
	}
	for _, p := range c.wait(t) {
		if want := packets[p.Data[0]-'0'].Local; p.Peer != want {
			t.Errorf("datagram %s came from %v, want %v", p.Data, p.Peer, want)
		}
	}
}

// Somebody else's port is not shared, although listeners share among
// themselves.
func TestPortOfAnotherListenerIsRefused(t *testing.T) {
	e := listen(t, anyPort, Config{Shards: 2})
	if second, err := Listen(e.Addr(0), Config{Shards: 2}); err == nil {
		second.Close()
		t.Fatal("a second listener took a part of the first one's devices")
	}
}

// gate holds the reader until it is opened.
type gate struct {
	*collector
	open chan struct{}
}

func (g gate) Datagrams(shard int, now clock.Instant, batch []transport.Packet, out *transport.Out) {
	<-g.open
	g.collector.Datagrams(shard, now, batch, out)
}

// A flood that the reader cannot follow is dropped by the kernel, and every
// drop is counted.
func TestFloodIsAccountedFor(t *testing.T) {
	const flood = 4000
	c := newCollector(0)
	g := gate{c, make(chan struct{})}
	e := listen(t, anyPort, Config{Shards: 1, ReceiveBuffer: 64 << 10})
	serve(t, e, g)
	out, err := OpenFleet([]uint16{0}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	packets := make([]transport.Packet, flood)
	for i := range packets {
		packets[i] = transport.Packet{Local: netip.AddrPortFrom(Loopback(i), 0), Peer: e.Addr(0), Data: make([]byte, 200)}
	}
	if sent := out.Send(packets); sent != flood {
		t.Fatalf("sent %d of %d: %v", sent, flood, out.Counts())
	}
	dropped := e.Counts()[transport.DropSocketFull]
	if dropped == 0 || dropped >= flood {
		t.Fatalf("the kernel dropped %d of %d", dropped, flood)
	}
	c.mu.Lock()
	c.want = flood - int(dropped)
	c.mu.Unlock()
	close(g.open)
	c.wait(t)
	if got := e.Counts(); got[transport.DatagramsIn]+got[transport.DropSocketFull] != flood {
		t.Errorf("in and dropped do not add up to %d: %v", flood, got)
	}
}

func TestReceiveBufferIsReported(t *testing.T) {
	e := listen(t, anyPort, Config{ReceiveBuffer: 100 << 10, Shards: 2})
	if got := e.ReceiveBuffer(); got < 64<<10 || got > 200<<10 {
		t.Errorf("got %d bytes after asking for 100 KiB", got)
	}
}

func TestNothingIsAllocatedPerDatagram(t *testing.T) {
	e := listen(t, anyPort, Config{Shards: 1})
	s := e.shards[0]
	packets := make([]transport.Packet, 32)
	for i := range packets {
		packets[i] = transport.Packet{Local: e.Addr(0), Peer: e.Addr(0), Data: make([]byte, 60)}
	}
	if n := testing.AllocsPerRun(50, func() {
		e.send(s.writer, s, packets)
		for got := 0; got < len(packets); {
			batch, _, err := s.try()
			if err != nil {
				t.Fatal(err)
			}
			got += len(batch)
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d datagrams there and back, want 0", n, len(packets))
	}
}

func TestSendFailuresAreNamed(t *testing.T) {
	for errno, want := range map[unix.Errno]transport.Counter{
		unix.ECONNREFUSED:  transport.SendRefused,
		unix.ENETUNREACH:   transport.SendNoRoute,
		unix.EADDRNOTAVAIL: transport.SendNoRoute,
		unix.EMSGSIZE:      transport.SendTooLong,
		unix.ENOBUFS:       transport.SendFull,
		unix.EPERM:         transport.SendFailed,
	} {
		if got := sendFailure(errno); got != want {
			t.Errorf("%v counts as %q, want %q", errno, got, want)
		}
	}
}

// One datagram that cannot be sent does not stop those behind it.
func TestBadDatagramAmongGood(t *testing.T) {
	c := newCollector(2)
	e := listen(t, anyPort, Config{Shards: 1})
	serve(t, e, c)
	to := func(p string, size int) transport.Packet {
		peer := e.Addr(0)
		if p != "" {
			peer = netip.MustParseAddrPort(p)
		}
		return transport.Packet{Local: e.Addr(0), Peer: peer, Data: make([]byte, size)}
	}
	if sent := e.Send([]transport.Packet{to("", 1), to("", 70000), to("192.0.2.250:0", 1), to("", 2)}); sent != 2 {
		t.Errorf("sent %d, want 2", sent)
	}
	c.wait(t)
	if got := e.Counts(); got[transport.SendTooLong] != 1 {
		t.Errorf("counts: %v", got)
	}
}

// A device on this machine that binds the cloud's port on all addresses, as the
// virtual device does, takes nothing from the cloud, and neither keeps the other from
// starting. A second cloud is refused all the same.
func TestDeviceBesideItsCloud(t *testing.T) {
	device := func(port uint16) *net.UDPConn {
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		}}
		c, err := lc.ListenPacket(t.Context(), "udp4", netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c.(*net.UDPConn)
	}
	ask := func(c *net.UDPConn, cloud netip.AddrPort, what string) {
		t.Helper()
		if _, err := c.WriteToUDPAddrPort([]byte(what), cloud); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil || string(b[:n]) != what || from != cloud {
			t.Fatalf("%q from %v, %v", b[:n], from, err)
		}
	}
	for _, shards := range []int{1, 3} {
		e := listen(t, netip.MustParseAddrPort("127.77.1.1:0"), Config{Shards: shards})
		serve(t, e, echo{})
		c := device(e.Addr(0).Port()) // behind the cloud
		ask(c, e.Addr(0), "one")
		again := listen(t, netip.AddrPortFrom(netip.MustParseAddr("127.77.1.2"), e.Addr(0).Port()), Config{Shards: shards}) // behind the device
		serve(t, again, echo{})
		ask(c, again.Addr(0), "two")
		if other, err := Listen(again.Addr(0), Config{Shards: shards}); err == nil {
			other.Close()
			t.Error("a second cloud shares the address of the first")
		}
	}
}
