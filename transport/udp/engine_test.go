package udp

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

func TestEcho(t *testing.T) {
	var sightings [2]atomic.Int32
	var sending, untold atomic.Int32
	e := listen(t, anyPort, Config{Tap: func(s transport.Sighting) {
		switch {
		case s.Kind == transport.SendBegins:
			sending.Add(1)
		case s.Kind == transport.SendEnds:
			sending.Add(-1)
		case s.Sent:
			sightings[1].Add(1)
			if sending.Load() == 0 {
				untold.Add(1)
			}
		default:
			sightings[0].Add(1)
		}
	}})
	serve(t, e, echo{})
	conn := dial(t, e.Addr(0))
	for _, b := range []string{"x", "", strings.Repeat("y", 1300), strings.Repeat("z", transport.DatagramSizeMax)} {
		wantEcho(t, conn, b)
	}
	if in, sent := sightings[0].Load(), sightings[1].Load(); in != 4 || sent > 4 {
		t.Errorf("the tap saw %d in and %d out, want 4 and up to 4", in, sent)
	}
	if untold.Load() > 0 {
		t.Errorf("%d datagrams were told outside of SendBegins and SendEnds", untold.Load())
	}
	if got := e.Counts()[transport.DatagramsIn]; got != 4 {
		t.Errorf("counted %d datagrams in, want 4", got)
	}
}

func TestLongDatagramsAreCountedAndDropped(t *testing.T) {
	e := listen(t, anyPort, Config{Shards: 1})
	serve(t, e, echo{})
	conn := dial(t, e.Addr(0))
	if _, err := conn.Write(make([]byte, transport.DatagramSizeMax+1)); err != nil {
		t.Fatal(err)
	}
	wantEcho(t, conn, "after")
	if got := e.Counts()[transport.DropTooLong]; got != 1 {
		t.Errorf("counted %d, want 1", got)
	}
}

func TestIPv6(t *testing.T) {
	e, err := Listen(netip.MustParseAddrPort("[::]:0"), Config{})
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	serve(t, e, echo{})
	wantEcho(t, dial(t, netip.AddrPortFrom(netip.IPv6Loopback(), e.Addr(0).Port())), "six")
}

// A waker wants to be woken once, and then whenever somebody asks for it.
type waker struct {
	echo
	at    atomic.Int64
	woken chan clock.Instant
}

func (w *waker) Deadline(int) clock.Instant { return clock.Instant(w.at.Load()) }
func (w *waker) Wake(_ int, now clock.Instant, _ *transport.Out) {
	w.at.Store(int64(clock.Never))
	w.woken <- now
}

func (w *waker) wantWake(t *testing.T, notBefore clock.Instant) {
	t.Helper()
	select {
	case now := <-w.woken:
		if now < notBefore {
			t.Errorf("woken at %v, before %v", now, notBefore)
		}
	case <-time.After(patience):
		t.Fatal("not woken")
	}
}

func TestDeadlinesWakeTheReader(t *testing.T) {
	e := listen(t, anyPort, Config{Shards: 1})
	testDeadlines(t, e, e.config.Clock, e.WakeAt)
}

func testDeadlines(t *testing.T, s server, c *transport.Clock, wakeAt func(int, clock.Instant)) {
	t.Helper()
	w := &waker{woken: make(chan clock.Instant, 1)}
	first := c.Now().Add(5 * time.Millisecond)
	w.at.Store(int64(first))
	serve(t, s, w)
	w.wantWake(t, first)
	for range 200 { // from outside, at every moment of the reader's round
		at := c.Now().Add(10 * time.Microsecond)
		w.at.Store(int64(at))
		wakeAt(0, at)
		w.wantWake(t, at)
	}
}

func TestCloseWhileSending(t *testing.T) {
	e := listen(t, anyPort, Config{})
	done := make(chan error, 1)
	go func() { done <- e.Serve(context.Background(), echo{}) }()
	packets := make([]transport.Packet, 100)
	for i := range packets {
		packets[i] = transport.Packet{Local: e.Addr(0), Peer: e.Addr(0), Data: []byte("x")}
	}
	var wait sync.WaitGroup
	started := make(chan struct{}, 4)
	for range 4 {
		wait.Go(func() {
			started <- struct{}{}
			for e.Send(packets) == len(packets) { // until closed
			}
		})
	}
	for range 4 {
		<-started
	}
	e.Close()
	e.Close()
	wait.Wait()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Serve did not return")
	}
	if got := e.Counts()[transport.SendFailed]; got == 0 {
		t.Error("what could not be sent was not counted")
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	e := listen(t, anyPort, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Serve(ctx, echo{}); err != nil {
		t.Error(err)
	}
}

func TestLoopbackAddresses(t *testing.T) {
	for i, want := range map[int]string{0: "127.1.0.0", 255: "127.1.0.255", 1 << 16: "127.2.0.0", LoopbackCount - 1: "127.255.255.254"} {
		a := Loopback(i)
		if a.String() != want {
			t.Errorf("device %d has %v, want %s", i, a, want)
		}
		if got, ok := LoopbackIndex(a); !ok || got != i {
			t.Errorf("%v is device %d, %v, want %d", a, got, ok, i)
		}
	}
	for _, a := range []string{"127.0.0.1", "127.255.255.255", "128.0.0.0", "::1", "10.0.0.1"} {
		if i, ok := LoopbackIndex(netip.MustParseAddr(a)); ok {
			t.Errorf("%s is device %d, want none", a, i)
		}
	}
}
