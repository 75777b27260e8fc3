package live

import (
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// patience bounds every wait of a test. Nothing waits this long unless it fails.
const patience = clock.Instant(time.Minute)

// An echo answers everything with itself.
type echo struct{ streams int }

func (e *echo) Datagram(_ clock.Instant, p transport.Packet, out *transport.Out) {
	out.Send(p.Local, p.Peer, p.Data)
}
func (e *echo) StreamOpened(clock.Instant, transport.Stream, *transport.Out) { e.streams++ }
func (e *echo) StreamData(_ clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	out.Write(id, b)
}
func (e *echo) StreamClosed(clock.Instant, transport.StreamID, transport.Cause, *transport.Out) {}
func (e *echo) Advance(clock.Instant, *transport.Out)                                           {}
func (e *echo) Deadline() clock.Instant                                                         { return clock.Never }

// A listener keeps what it hears, and speaks when its deadline comes.
type listener struct {
	heard    []string
	locals   []netip.AddrPort
	deadline clock.Instant
	peer     netip.AddrPort
}

func (l *listener) Datagram(_ clock.Instant, p transport.Packet, _ *transport.Out) {
	l.heard, l.locals = append(l.heard, string(p.Data)), append(l.locals, p.Local)
}

func (l *listener) StreamOpened(_ clock.Instant, s transport.Stream, out *transport.Out) {
	l.heard = append(l.heard, "opened")
	out.Write(s.ID, []byte("stream"))
}

func (l *listener) StreamData(_ clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	l.heard = append(l.heard, string(b))
	out.Close(id)
}

func (l *listener) StreamClosed(_ clock.Instant, _ transport.StreamID, cause transport.Cause, _ *transport.Out) {
	l.heard = append(l.heard, cause.String())
}

func (l *listener) Advance(_ clock.Instant, out *transport.Out) {
	l.deadline = clock.Never
	out.Send(netip.AddrPortFrom(netip.Addr{}, 1), l.peer, []byte("due"))
}
func (l *listener) Deadline() clock.Instant { return l.deadline }

var (
	loopback = netip.MustParseAddr("127.0.0.1")
	anyPort  = netip.AddrPortFrom(loopback, 0)
	home     = netip.MustParseAddr("198.51.100.7")
)

// theEcho runs on a network of its own and returns its addresses.
func theEcho(t *testing.T) (udp, tcp netip.AddrPort) {
	t.Helper()
	n := New(Config{})
	node := n.Attach(new(echo), Place{Addr: loopback})
	udp, err := node.ListenUDP(anyPort, anyPort)
	if err != nil {
		t.Fatal(err)
	}
	if tcp, err = node.ListenTCP(anyPort); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { n.Run(clock.Never); close(ended) }()
	t.Cleanup(func() { n.Close(); <-ended })
	return udp, tcp
}

func TestScript(t *testing.T) {
	udp, tcp := theEcho(t)
	n := New(Config{})
	t.Cleanup(n.Close)
	l := &listener{deadline: clock.Never, peer: udp}
	node := n.Attach(l, Place{Addr: loopback, Name: home, Other: func(netip.Addr) netip.Addr { return netip.MustParseAddr("127.0.0.2") }})
	heard := func(count int) func() bool { return func() bool { return len(l.heard) >= count } }

	elsewhere := netip.AddrPortFrom(netip.MustParseAddr("198.51.100.9"), 7)
	node.Do(func(_ clock.Instant, out *transport.Out) {
		out.Send(netip.AddrPortFrom(netip.Addr{}, 5684), udp, []byte("one"))
		out.Send(elsewhere, udp, []byte("two"))
	})
	if len(l.heard) != 0 {
		t.Error("a host is called though nobody lets time pass")
	}
	if !n.RunUntil(heard(2), n.Now()+patience) {
		t.Fatalf("heard %q", l.heard)
	}
	locals := map[netip.AddrPort]bool{l.locals[0]: true, l.locals[1]: true}
	if !locals[netip.AddrPortFrom(home, 5684)] || !locals[elsewhere] {
		t.Errorf("it came to %v", l.locals)
	}

	l.deadline = n.Now().Add(5 * time.Millisecond)
	if !n.RunUntil(heard(3), n.Now()+patience) || l.heard[2] != "due" {
		t.Errorf("heard %q", l.heard)
	}

	node.Do(func(_ clock.Instant, out *transport.Out) { out.Dial(netip.AddrPort{}, tcp) })
	if !n.RunUntil(heard(5), n.Now()+patience) || l.heard[3] != "opened" || l.heard[4] != "stream" {
		t.Errorf("heard %q", l.heard)
	}
	if err := n.Err(); err != nil {
		t.Error(err)
	}
}

func TestOffline(t *testing.T) {
	udp, _ := theEcho(t)
	n := New(Config{})
	t.Cleanup(n.Close)
	l := &listener{deadline: clock.Never}
	node := n.Attach(l, Place{Addr: loopback})
	say := func(text string) {
		node.Do(func(_ clock.Instant, out *transport.Out) {
			out.Send(netip.AddrPortFrom(netip.Addr{}, 1), udp, []byte(text))
		})
	}
	node.SetOnline(false)
	say("lost")
	node.SetOnline(true)
	say("kept")
	if !n.RunUntil(func() bool { return len(l.heard) > 0 }, n.Now()+patience) || l.heard[0] != "kept" {
		t.Errorf("heard %q", l.heard)
	}
}

func TestWaitingEnds(t *testing.T) {
	done := make(chan struct{})
	n := New(Config{Done: done})
	ran := 0
	n.At(0, func() { ran++ })
	n.Post(func() { ran++; close(done) })
	n.Run(clock.Never)
	if ran != 2 || !n.Over() {
		t.Errorf("%d functions ran; over: %v", ran, n.Over())
	}
	n.Close()
	n.Close()
	n.Run(clock.Never)
}

func TestRefused(t *testing.T) {
	n := New(Config{})
	t.Cleanup(n.Close)
	l := &listener{deadline: clock.Never}
	node := n.Attach(l, Place{Addr: loopback})
	node.Do(func(_ clock.Instant, out *transport.Out) {
		out.Dial(netip.AddrPort{}, netip.AddrPortFrom(loopback, 1))
	})
	if !n.RunUntil(func() bool { return len(l.heard) > 0 }, n.Now()+patience) || l.heard[0] != transport.Refused.String() {
		t.Errorf("heard %q", l.heard)
	}
	// A peer that nobody can send to is no reason to stop.
	node.Do(func(_ clock.Instant, out *transport.Out) {
		out.Send(netip.AddrPortFrom(netip.Addr{}, 1), netip.MustParseAddrPort("127.0.0.1:9"), make([]byte, 70_000))
	})
	if n.Err() == nil {
		t.Error("a datagram that is too long is sent")
	}
}
