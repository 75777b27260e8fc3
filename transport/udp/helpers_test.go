package udp

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// patience bounds every wait of a test. Nothing waits this long unless it fails.
const patience = time.Minute

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// A server is what an Engine and a Group have in common.
type server interface {
	Serve(context.Context, Handler) error
	Close()
}

// serve runs s until the test ends and checks that it ends well.
func serve(t testing.TB, s server, h Handler) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), h) }()
	t.Cleanup(func() {
		s.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve did not return after Close")
		}
	})
}

// An echo answers every datagram with its own bytes.
type echo struct{}

func (echo) Datagrams(_ int, _ clock.Instant, batch []transport.Packet, out *transport.Out) {
	for _, p := range batch {
		out.Send(p.Local, p.Peer, p.Data)
	}
}
func (echo) Wake(int, clock.Instant, *transport.Out) {}
func (echo) Deadline(int) clock.Instant              { return clock.Never }

// A collector notes what arrives, and tells when there is enough.
type collector struct {
	echo
	mu      sync.Mutex
	got     []transport.Packet
	byShard map[int]int
	want    int
	enough  chan struct{}
}

func newCollector(want int) *collector {
	return &collector{want: want, enough: make(chan struct{}), byShard: make(map[int]int)}
}

func (c *collector) Datagrams(shard int, _ clock.Instant, batch []transport.Packet, _ *transport.Out) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byShard[shard] += len(batch)
	for _, p := range batch {
		p.Data = append([]byte(nil), p.Data...)
		c.got = append(c.got, p)
		if len(c.got) == c.want {
			close(c.enough)
		}
	}
}

// wait returns what arrived once it is as much as was wanted.
func (c *collector) wait(t testing.TB) []transport.Packet {
	t.Helper()
	select {
	case <-c.enough:
	case <-time.After(patience):
		c.mu.Lock()
		defer c.mu.Unlock()
		t.Fatalf("%d datagrams arrived, want %d", len(c.got), c.want)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}

func listen(t testing.TB, addr netip.AddrPort, config Config) *Engine {
	t.Helper()
	e, err := Listen(addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// dial returns a connected socket, which hears its peer's address only.
func dial(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// wantEcho sends b and wants it back.
func wantEcho(t testing.TB, conn *net.UDPConn, b string) {
	t.Helper()
	if _, err := conn.Write([]byte(b)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3000)
	n, err := conn.Read(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(got[:n]) != b {
		t.Fatalf("echo of %d bytes, want %d", n, len(b))
	}
}
