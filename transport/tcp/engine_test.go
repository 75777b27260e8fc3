package tcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// patience bounds every wait of a test. Nothing waits this long unless it fails.
const patience = time.Minute

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

var _ transport.StreamSink = (*Engine)(nil)

// An event is one call of the handler.
type event struct {
	opened transport.Stream
	id     transport.StreamID
	data   string
	cause  transport.Cause
}

// engineTest is an engine whose handler's calls can be waited for.
type engineTest struct {
	*Engine
	t      *testing.T
	addr   netip.AddrPort
	events chan event
	done   chan struct{}
}

func newEngineTest(t *testing.T, config Config) *engineTest {
	t.Helper()
	e := &engineTest{Engine: New(config), t: t, events: make(chan event, 1000), done: make(chan struct{})}
	var err error
	if e.addr, err = e.Listen(anyPort); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(e.done)
		_ = e.Serve(context.Background(), e)
	}()
	t.Cleanup(e.wantStopped)
	return e
}

func (e *engineTest) wantStopped() {
	e.t.Helper()
	e.Stop()
	select {
	case <-e.done:
	case <-time.After(patience):
		e.t.Error("Serve did not return")
	}
	if n := e.Len(); n != 0 {
		e.t.Errorf("%d streams are left", n)
	}
}

func (e *engineTest) StreamOpened(_ clock.Instant, s transport.Stream) {
	e.events <- event{opened: s, id: s.ID}
}

func (e *engineTest) StreamData(_ clock.Instant, id transport.StreamID, b []byte) {
	e.events <- event{id: id, data: string(b)}
}

func (e *engineTest) StreamClosed(_ clock.Instant, id transport.StreamID, cause transport.Cause) {
	e.events <- event{id: id, cause: cause}
}

func (e *engineTest) next() event {
	e.t.Helper()
	select {
	case got := <-e.events:
		return got
	case <-time.After(patience):
		e.t.Fatal("nothing happens")
		return event{}
	}
}

func (e *engineTest) wantOpened() transport.Stream {
	e.t.Helper()
	got := e.next()
	if got.opened.ID == 0 {
		e.t.Fatalf("got %+v, want a stream opened", got)
	}
	return got.opened
}

func (e *engineTest) wantData(want string) {
	e.t.Helper()
	got := ""
	for len(got) < len(want) {
		ev := e.next()
		if ev.data == "" {
			e.t.Fatalf("got %+v after %q, want %q", ev, got, want)
		}
		got += ev.data
	}
	if got != want {
		e.t.Fatalf("got %q, want %q", got, want)
	}
}

func (e *engineTest) wantClosed(id transport.StreamID, want transport.Cause) {
	e.t.Helper()
	got := e.next()
	if got.id != id || got.cause != want {
		e.t.Fatalf("got %+v, want stream %d %v", got, id, want)
	}
}

// connect opens a plain connection and returns the engine's end too.
func (e *engineTest) connect() (*net.TCPConn, transport.Stream) {
	e.t.Helper()
	conn := e.dialPlain("127.0.0.1")
	return conn, e.wantOpened()
}

func (e *engineTest) dialPlain(from string) *net.TCPConn {
	e.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.Dial("tcp", e.addr.String())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		e.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func write(t *testing.T, conn net.Conn, b string) {
	t.Helper()
	if _, err := conn.Write([]byte(b)); err != nil {
		t.Fatal(err)
	}
}

// wantTurnedAway wants a reset, which may come while the dial is in progress.
func (e *engineTest) wantTurnedAway(from string) {
	e.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	conn, err := d.Dial("tcp", e.addr.String())
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		e.t.Errorf("dialling from %s: %v, want a reset", from, err)
	}
}

// wantRead reads until the peer ends the stream.
func wantRead(t *testing.T, conn net.Conn, want string, wantErr error) {
	t.Helper()
	got, err := io.ReadAll(conn)
	if string(got) != want || !errors.Is(err, wantErr) {
		t.Errorf("read %q, %v, want %q, %v", got, err, want, wantErr)
	}
}

func TestDataBothWays(t *testing.T) {
	e := newEngineTest(t, Config{})
	conn, s := e.connect()
	if !s.Accepted || s.Local != e.addr || s.Peer != addrPort(conn.LocalAddr()) {
		t.Errorf("opened %+v", s)
	}
	write(t, conn, "hello")
	e.wantData("hello")
	e.Write(s.ID, []byte("wor"))
	e.Write(s.ID, []byte("ld"))
	e.Close(s.ID)
	e.Write(s.ID, []byte("too late"))
	wantRead(t, conn, "world", nil)
}

func TestCleanCloseAndResetDiffer(t *testing.T) {
	e := newEngineTest(t, Config{})
	conn, s := e.connect()
	conn.Close()
	e.wantClosed(s.ID, transport.ClosedByPeer)

	conn, s = e.connect()
	if err := conn.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	e.wantClosed(s.ID, transport.ResetByPeer)

	conn, s = e.connect()
	e.Abort(s.ID)
	wantRead(t, conn, "", syscall.ECONNRESET)

	conn, s = e.connect()
	e.Close(s.ID)
	wantRead(t, conn, "", nil)
}

// What was written before the peer's FIN was seen still reaches the peer.
func TestAnswerToAHalfClosedPeer(t *testing.T) {
	e := newEngineTest(t, Config{})
	conn, s := e.connect()
	big := bytes.Repeat([]byte("x"), 60000)
	e.Write(s.ID, big)
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	e.wantClosed(s.ID, transport.ClosedByPeer)
	wantRead(t, conn, string(big), nil)
}

// A close while bytes of the peer are unread is still a FIN, and the last
// answer arrives.
func TestCloseWithUnreadBytesIsClean(t *testing.T) {
	e := newEngineTest(t, Config{})
	conn, s := e.connect()
	write(t, conn, "first")
	e.wantData("first")
	e.Write(s.ID, []byte("answer"))
	e.Close(s.ID)
	write(t, conn, "more that nobody reads")
	wantRead(t, conn, "answer", nil)
}

// A peer that never closes its side is cut off.
func TestLingerIsBounded(t *testing.T) {
	e := newEngineTest(t, Config{Linger: time.Millisecond})
	conn, s := e.connect()
	e.Close(s.ID)
	wantRead(t, conn, "", nil) // and keeps its own side open
	e.wantStopped()
}

func TestSlowPeerLosesItsStream(t *testing.T) {
	e := newEngineTest(t, Config{Backlog: 100 << 10})
	_, s := e.connect()
	piece := make([]byte, 50<<10)
	for range 1000 { // more than any socket buffer
		e.Write(s.ID, piece)
	}
	e.wantClosed(s.ID, transport.SlowPeer)
	if got := e.Counts()[transport.StreamsSlowPeer]; got != 1 {
		t.Errorf("counted %d slow peers, want 1", got)
	}
}

func TestWriteTimeout(t *testing.T) {
	e := newEngineTest(t, Config{Backlog: 100 << 20, WriteTimeout: 20 * time.Millisecond})
	_, s := e.connect()
	e.Write(s.ID, make([]byte, 50<<20))
	e.wantClosed(s.ID, transport.SlowPeer)
}

func TestLimits(t *testing.T) {
	e := newEngineTest(t, Config{Streams: 3, StreamsPerAddress: 2})
	e.connect()
	first, s := e.connect()
	e.wantTurnedAway("127.0.0.1")
	e.dialPlain("127.0.0.2")
	e.wantOpened()
	e.wantTurnedAway("127.0.0.3")
	if c := e.Counts(); c[transport.StreamsOverAddress] != 1 || c[transport.StreamsOverLimit] != 1 || c[transport.StreamsAccepted] != 3 {
		t.Errorf("counted %v", c)
	}

	id := e.config.IDs.Next()
	e.Dial(id, netip.AddrPort{}, e.addr)
	e.wantClosed(id, transport.TooMany)

	first.Close() // makes room
	e.wantClosed(s.ID, transport.ClosedByPeer)
	e.waitForLen(2)
	e.connect()
}

// waitForLen waits for streams to be forgotten, which no event tells.
func (e *engineTest) waitForLen(n int) {
	e.t.Helper()
	for until := time.Now().Add(patience); e.Len() != n; {
		if time.Now().After(until) {
			e.t.Fatalf("%d streams, want %d", e.Len(), n)
		}
	}
}

func TestDial(t *testing.T) {
	e := newEngineTest(t, Config{})
	id := e.config.IDs.Next()
	e.Dial(id, netip.MustParseAddrPort("127.1.2.3:0"), e.addr)
	e.Write(id, []byte("at once")) // before it is open
	var dialled, accepted transport.Stream
	var data string
	for accepted.ID == 0 || dialled.ID == 0 || data == "" {
		ev := e.next()
		switch {
		case ev.opened.ID == id:
			dialled = ev.opened
		case ev.opened.ID != 0:
			accepted = ev.opened
		default:
			data = ev.data
		}
	}
	if dialled.Local.Addr() != netip.MustParseAddr("127.1.2.3") || dialled.Accepted {
		t.Errorf("dialled %+v", dialled)
	}
	if accepted.Peer != dialled.Local || !accepted.Accepted {
		t.Errorf("accepted %+v", accepted)
	}
	if data != "at once" {
		t.Errorf("got %q", data)
	}
	e.Close(id)
	e.wantClosed(accepted.ID, transport.ClosedByPeer)
}

func TestDialFailures(t *testing.T) {
	e := newEngineTest(t, Config{})
	nobody := netip.MustParseAddrPort("127.0.0.1:1")
	for _, test := range []struct {
		local string
		want  transport.Cause
	}{
		{"127.0.0.1:0", transport.Refused},
		{"192.0.2.77:0", transport.Unreachable}, // not an address of this machine
	} {
		id := e.config.IDs.Next()
		e.Dial(id, netip.MustParseAddrPort(test.local), nobody)
		e.wantClosed(id, test.want)
	}
	if got := e.Counts()[transport.StreamsNotOpened]; got != 2 {
		t.Errorf("counted %d, want 2", got)
	}
}

func TestStopTellsTheHandler(t *testing.T) {
	e := newEngineTest(t, Config{})
	conn, s := e.connect()
	e.Write(s.ID, []byte("last words"))
	e.Stop()
	wantRead(t, conn, "last words", nil)
	conn.Close()
	e.wantClosed(s.ID, transport.DriverStopped)
	e.wantStopped()
}

// Prefix and body, handed over as one buffer, are one write.
func TestOneBufferIsOneChunk(t *testing.T) {
	seen := make(chan int, 10)
	var sending atomic.Int32
	e := newEngineTest(t, Config{Tap: func(s transport.Sighting) {
		switch {
		case s.Kind == transport.SendBegins:
			sending.Add(1)
		case s.Kind == transport.SendEnds:
			sending.Add(-1)
		case s.Kind == transport.StreamChunk && s.Sent:
			if sending.Load() != 1 {
				t.Error("a chunk was told outside of SendBegins and SendEnds")
			}
			seen <- len(s.Data)
		}
	}})
	_, s := e.connect()
	e.Write(s.ID, make([]byte, 2+1136))
	select {
	case n := <-seen:
		if n != 2+1136 {
			t.Errorf("a write of %d bytes, want %d", n, 2+1136)
		}
	case <-time.After(patience):
		t.Fatal("nothing written")
	}
}

func TestCloseWhileWriting(t *testing.T) {
	e := newEngineTest(t, Config{Linger: 10 * time.Millisecond})
	var wait sync.WaitGroup
	for range 8 {
		conn, s := e.connect()
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		wait.Go(func() {
			for range 200 {
				e.Write(s.ID, []byte("some bytes"))
			}
			if s.ID%2 == 0 {
				e.Abort(s.ID)
			} else {
				e.Close(s.ID)
			}
		})
	}
	e.Stop()
	wait.Wait()
	e.wantStopped()
}
