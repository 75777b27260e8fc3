package drive

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/udp"
	"github.com/muster/muster/transport/vnet"
)

// patience bounds every wait of a test. Nothing waits this long unless it fails.
const patience = time.Minute

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// An echoHost answers everything with itself, and counts.
type echoHost struct {
	datagrams, chunks int
	inside            atomic.Int32 // calls in progress
	overlaps          atomic.Int32
}

func (h *echoHost) enter() {
	if h.inside.Add(1) > 1 {
		h.overlaps.Add(1)
	}
}

func (h *echoHost) Datagram(_ clock.Instant, p transport.Packet, out *transport.Out) {
	h.enter()
	defer h.inside.Add(-1)
	h.datagrams++
	out.Send(p.Local, p.Peer, p.Data)
}

func (h *echoHost) StreamOpened(clock.Instant, transport.Stream, *transport.Out) {}

func (h *echoHost) StreamData(_ clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	h.enter()
	defer h.inside.Add(-1)
	h.chunks++
	out.Write(id, b)
}

func (h *echoHost) StreamClosed(clock.Instant, transport.StreamID, transport.Cause, *transport.Out) {}

func (h *echoHost) Advance(clock.Instant, *transport.Out) {}

func (h *echoHost) Deadline() clock.Instant { return clock.Never }

// A caller is a host that, on its first deadline, sends a datagram and dials,
// and on every deadline after it sends one more datagram. It tells what comes
// back.
type caller struct {
	local, udp, tcp netip.AddrPort
	rounds          int
	deadline        clock.Instant
	heard           chan string
}

func newCaller(local netip.Addr, port uint16) *caller {
	return &caller{local: netip.AddrPortFrom(local, port), heard: make(chan string, 100)}
}

func (c *caller) Advance(now clock.Instant, out *transport.Out) {
	c.rounds++
	if c.udp.IsValid() {
		out.Send(c.local, c.udp, fmt.Appendf(nil, "round %d", c.rounds))
	}
	if c.rounds == 1 && c.tcp.IsValid() {
		out.Write(out.Dial(netip.AddrPortFrom(c.local.Addr(), 0), c.tcp), []byte("stream"))
	}
	if c.deadline = now.Add(time.Millisecond); c.rounds == 3 {
		c.deadline = clock.Never
	}
}

func (c *caller) Datagram(_ clock.Instant, p transport.Packet, _ *transport.Out) {
	c.heard <- string(p.Data)
}

func (c *caller) StreamOpened(clock.Instant, transport.Stream, *transport.Out) { c.heard <- "opened" }

func (c *caller) StreamData(_ clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	c.heard <- string(b)
	out.Close(id)
}

func (c *caller) StreamClosed(_ clock.Instant, _ transport.StreamID, cause transport.Cause, _ *transport.Out) {
	c.heard <- cause.String()
}
func (c *caller) Deadline() clock.Instant { return c.deadline }

// want waits until all of the given have been heard, in any order.
func (c *caller) want(t *testing.T, want ...string) {
	t.Helper()
	missing := make(map[string]bool)
	for _, w := range want {
		missing[w] = true
	}
	timeout := time.After(patience)
	for len(missing) > 0 {
		select {
		case got := <-c.heard:
			if !missing[got] {
				t.Fatalf("heard %q, want %v", got, missing)
			}
			delete(missing, got)
		case <-timeout:
			t.Fatalf("not heard: %v", missing)
		}
	}
}

func run(t *testing.T, d *Driver) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	})
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newCloud runs an echo and returns its addresses for datagrams and streams.
func newCloud(t *testing.T) (u, s netip.AddrPort) {
	t.Helper()
	h := new(echoHost)
	cloud := New(h, Config{})
	u = must[*udp.Engine](t)(cloud.ListenUDP(anyPort)).Addr(0)
	s = must[netip.AddrPort](t)(cloud.ListenTCP(anyPort))
	run(t, cloud)
	t.Cleanup(func() {
		if n := h.overlaps.Load(); n != 0 {
			t.Errorf("%d calls overlapped", n)
		}
	})
	return u, s
}

var everything = []string{"round 1", "round 2", "round 3", "opened", "stream"}

func TestFleetMeetsCloud(t *testing.T) {
	u, s := newCloud(t)
	device := newCaller(udp.Loopback(1), 0)
	device.udp, device.tcp = u, s
	d := New(device, Config{})
	must[*udp.Engine](t)(d.OpenFleet(0))
	run(t, d)
	device.want(t, everything...)
}

func TestHostWithoutUDP(t *testing.T) {
	_, s := newCloud(t)
	device := newCaller(udp.Loopback(1), 0)
	device.tcp = s
	d := New(device, Config{})
	run(t, d)
	device.want(t, "opened", "stream")
	d.Do(func(now clock.Instant, out *transport.Out) {
		device.rounds, device.deadline = 0, now.Add(time.Millisecond)
	})
	device.want(t, "opened", "stream")
}

func TestOneSocketADevice(t *testing.T) {
	u, s := newCloud(t)
	device := newCaller(netip.IPv4Unspecified(), 0)
	d := New(device, Config{})
	g := must[*udp.Group](t)(d.OpenGroup())
	device.local = must[netip.AddrPort](t)(g.Open(device.local, u))
	device.udp, device.tcp = u, s
	run(t, d)
	device.want(t, everything...)
}

// The same hosts, in virtual time.
func TestSameHostsOnTheVirtualNetwork(t *testing.T) {
	n := vnet.New(vnet.Config{})
	cloudAddr, deviceAddr := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("10.0.0.1")
	n.Attach(new(echoHost), cloudAddr).Listen(5683)
	device := newCaller(deviceAddr, 5684)
	device.udp, device.tcp = netip.AddrPortFrom(cloudAddr, 5684), netip.AddrPortFrom(cloudAddr, 5683)
	n.Attach(device, deviceAddr)
	n.Run(clock.Instant(time.Second))
	device.want(t, everything...)
}

// A crossing is a host on two families that answers IPv6 over IPv4.
type crossing struct {
	echoHost
	to netip.AddrPort
}

func (c *crossing) Datagram(_ clock.Instant, p transport.Packet, out *transport.Out) {
	if p.Peer.Addr().Is6() {
		out.Send(netip.AddrPort{}, c.to, p.Data)
	}
}

func TestDatagramsLeaveThroughTheSocketOfTheirFamily(t *testing.T) {
	listener, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(anyPort))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	to := listener.LocalAddr().(*net.UDPAddr).AddrPort()
	d := New(&crossing{to: netip.AddrPortFrom(to.Addr().Unmap(), to.Port())}, Config{Concurrent: true})
	must[*udp.Engine](t)(d.ListenUDP(anyPort))
	six, err := d.ListenUDP(netip.MustParseAddrPort("[::1]:0"))
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	run(t, d)
	conn, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(six.Addr(0)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("over")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if err := listener.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, err := listener.Read(b); err != nil || string(b[:n]) != "over" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	// The answer may be here before its sender has counted it.
	for until := time.Now().Add(patience); d.Counts()[transport.DatagramsOut] != 1; {
		if time.Now().After(until) {
			t.Fatalf("counts: %v", d.Counts())
		}
	}
	if got := d.Counts()[transport.DatagramsIn]; got != 1 {
		t.Errorf("counted %d in, want 1", got)
	}
}

// Datagrams, streams and commands meet in one host that is not safe for
// concurrent use.
func TestCallsOfASerialHostDoNotOverlap(t *testing.T) {
	u, s := newCloud(t)
	fleet := newCaller(udp.Loopback(1), 0)
	fleet.heard = make(chan string, 10_000)
	fleet.deadline = clock.Never
	d := New(fleet, Config{})
	must[*udp.Engine](t)(d.OpenFleet(0))
	run(t, d)
	for i := range 50 {
		d.Do(func(_ clock.Instant, out *transport.Out) {
			for j := range 20 {
				out.Send(netip.AddrPortFrom(udp.Loopback(100*i+j), 0), u, []byte("x"))
			}
			out.Write(out.Dial(netip.AddrPortFrom(udp.Loopback(i), 0), s), []byte("y"))
		})
	}
	timeout := time.After(patience)
	for datagrams, chunks := 0, 0; datagrams < 1000 || chunks < 50; {
		select {
		case got := <-fleet.heard:
			switch got {
			case "x":
				datagrams++
			case "y":
				chunks++
			}
		case <-timeout:
			t.Fatalf("heard %d datagrams and %d chunks", datagrams, chunks)
		}
	}
}
