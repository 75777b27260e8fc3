package vnet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

func TestDeadlinesComeInOrder(t *testing.T) {
	n := New(Config{})
	var order []int
	for i, at := range []clock.Instant{30, 10, 20, 10, clock.Never, 0} {
		p := newPlayer()
		p.deadline = at
		p.advance = func(now clock.Instant, _ *transport.Out) {
			if now != at {
				t.Errorf("node %d advanced at %v, want %v", i, now, at)
			}
			order = append(order, i)
		}
		n.Attach(p, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	n.Run(100)
	if got, want := fmt.Sprint(order), "[5 1 3 2 0]"; got != want {
		t.Errorf("order %v, want %v", got, want)
	}
	if n.Now() != 100 || n.Next() != clock.Never || !n.Quiet() {
		t.Errorf("at %v, next %v, quiet %v", n.Now(), n.Next(), n.Quiet())
	}
}

func TestDoAsksForTheDeadline(t *testing.T) {
	w := newWorld(t)
	w.device.Do(func(now clock.Instant, _ *transport.Out) { w.dev.deadline = now.Add(time.Second) })
	if w.Next() != clock.Instant(time.Second) {
		t.Errorf("next event at %v", w.Next())
	}
	if !w.RunUntil(func() bool { return len(w.dev.heard) > 0 }, clock.Never) {
		t.Error("not advanced")
	}
	if w.RunUntil(func() bool { return false }, clock.Instant(time.Minute)) || w.Now() != clock.Instant(time.Minute) {
		t.Errorf("stopped at %v", w.Now())
	}
}

func TestOverdueDeadlineDoesNotTurnTimeBack(t *testing.T) {
	w := newWorld(t)
	w.Run(1000)
	w.device.Do(func(clock.Instant, *transport.Out) { w.dev.deadline = 5 })
	w.Run(2000)
	if got := w.dev.heard[0]; got != "1µs advance" {
		t.Errorf("heard %q", got)
	}
}

func TestEndlessAnswersAreABug(t *testing.T) {
	w := newWorld(t)
	echo := func(_ clock.Instant, p transport.Packet, out *transport.Out) { out.Send(p.Local, p.Peer, p.Data) }
	w.config.Tap = nil
	a, b := &echoHost{echo}, &echoHost{echo}
	w.Attach(a, netip.MustParseAddr("192.0.2.1"))
	w.Attach(b, netip.MustParseAddr("192.0.2.2"))
	w.Inject(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:1"), []byte("x"))
	defer func() {
		if recover() == nil {
			t.Error("the network ran on")
		}
	}()
	w.Settle(clock.Never)
}

type echoHost struct {
	f func(clock.Instant, transport.Packet, *transport.Out)
}

func (e *echoHost) Datagram(now clock.Instant, p transport.Packet, out *transport.Out) {
	e.f(now, p, out)
}
func (*echoHost) StreamOpened(clock.Instant, transport.Stream, *transport.Out)                    {}
func (*echoHost) StreamData(clock.Instant, transport.StreamID, []byte, *transport.Out)            {}
func (*echoHost) StreamClosed(clock.Instant, transport.StreamID, transport.Cause, *transport.Out) {}
func (*echoHost) Advance(clock.Instant, *transport.Out)                                           {}
func (*echoHost) Deadline() clock.Instant                                                         { return clock.Never }

// chat runs devices that talk in all ways over bad links and returns the trace.
func chat(seed uint64) string {
	var trace bytes.Buffer
	n := New(Config{Seed: seed, Tap: Trace(&trace)})
	lte := &Access{
		Up:   Link{Delay: 40 * ms, Jitter: 30 * ms, Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, ReorderBy: 50 * ms},
		Down: Link{Delay: 30 * ms, Jitter: 20 * ms, Loss: 0.1, Rate: 100_000},
	}
	cloud := newPlayer()
	cloud.datagram = func(_ clock.Instant, p transport.Packet, out *transport.Out) { out.Send(p.Local, p.Peer, p.Data) }
	cloud.data = func(id transport.StreamID, b []byte, out *transport.Out) { out.Write(id, b) }
	n.Attach(cloud, cloudAddr).Listen(5683)
	nat := n.NewNAT(NATConfig{Public: []netip.Addr{publicAddr}, Idle: 3 * time.Second})
	for i := range 20 {
		p := newPlayer()
		p.deadline = clock.Instant(i) * clock.Instant(ms)
		var id transport.StreamID
		p.advance = func(now clock.Instant, out *transport.Out) {
			if id == 0 {
				id = out.Dial(netip.AddrPort{}, streamPort)
			}
			out.Send(netip.AddrPortFrom(netip.Addr{}, 5684), cloudPort, fmt.Appendf(nil, "%d at %v", i, now))
			out.Write(id, []byte("chunk"))
			p.deadline = now.Add(time.Duration(500+i) * ms)
		}
		addr := netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
		if i%2 == 0 {
			nat.Attach(p, addr).SetAccess(lte)
		} else {
			n.Attach(p, addr).SetAccess(lte)
		}
	}
	n.At(clock.Instant(5*time.Second), nat.Rebind)
	n.Run(clock.Instant(20 * time.Second))
	return trace.String()
}

func TestOneSeedIsOneRun(t *testing.T) {
	first := chat(7)
	if second := chat(7); first != second {
		t.Error("the same seed gave two traces")
	}
	if other := chat(8); first == other {
		t.Error("another seed gave the same trace")
	}
	if len(first) < 10_000 {
		t.Errorf("a trace of %d bytes shows little", len(first))
	}
}

func TestAlarmHeapAgainstASearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const nodes = 50
	var h alarmHeap
	truth := make([]clock.Instant, nodes)
	for i := range truth {
		h.add()
		truth[i] = clock.Never
	}
	for step := range 20_000 {
		node := rng.Int32N(nodes)
		at := clock.Instant(rng.IntN(100))
		if rng.IntN(4) == 0 {
			at = clock.Never
		}
		truth[node] = at
		h.set(node, at)
		want := alarm{at: clock.Never}
		for i, at := range truth {
			if a := (alarm{at, int32(i)}); at != clock.Never && (want.at == clock.Never || a.before(want)) {
				want = a
			}
		}
		if got := h.next(); got != want {
			t.Fatalf("step %d: next is %+v, want %+v", step, got, want)
		}
	}
}

func TestEventHeapAgainstASearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var h eventHeap
	var truth []clock.Instant // in order of scheduling
	var names []uint16
	for step := range 20_000 {
		if len(truth) == 0 || rng.IntN(5) < 3 && len(truth) < 200 {
			at := clock.Instant(rng.IntN(50))
			truth, names = append(truth, at), append(names, uint16(step))
			h.push(at, event{to: netip.AddrPortFrom(netip.Addr{}, uint16(step))})
			continue
		}
		least := 0
		for i := range truth {
			if truth[i] < truth[least] {
				least = i
			}
		}
		if h.next() != truth[least] {
			t.Fatalf("step %d: next at %v, want %v", step, h.next(), truth[least])
		}
		if got := h.pop().to.Port(); got != names[least] {
			t.Fatalf("step %d: event %d, want %d", step, got, names[least])
		}
		truth = append(truth[:least], truth[least+1:]...)
		names = append(names[:least], names[least+1:]...)
	}
}

func TestBuffersAreReused(t *testing.T) {
	var p buffers
	for _, size := range []int{0, 1, 128, 129, 2000, 65507, 70000} {
		b := p.copy(bytes.Repeat([]byte{7}, size))
		if len(b) != size {
			t.Errorf("copy of %d bytes has %d", size, len(b))
		}
		p.release(b)
	}
	data := make([]byte, 300)
	if n := testing.AllocsPerRun(100, func() { p.release(p.copy(data)) }); n != 0 {
		t.Errorf("%v allocations a copy, want 0", n)
	}
}

func TestWrongNetworksPanic(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::1")
	for name, build := range map[string]func(n *Network){
		"address taken":      func(n *Network) { n.Attach(newPlayer(), cloudAddr); n.Attach(newPlayer(), cloudAddr) },
		"IPv6 address taken": func(n *Network) { n.Attach(newPlayer(), six); n.Attach(newPlayer(), six) },
		"no address":         func(n *Network) { n.Attach(newPlayer(), netip.Addr{}) },
		"NAT without":        func(n *Network) { n.NewNAT(NATConfig{}) },
		"NAT on a node": func(n *Network) {
			n.Attach(newPlayer(), publicAddr)
			n.NewNAT(NATConfig{Public: []netip.Addr{publicAddr}})
		},
		"call from inside": func(n *Network) {
			node := n.Attach(newPlayer(), cloudAddr)
			do(node, func(*transport.Out) { n.Step(); node.Do(func(clock.Instant, *transport.Out) {}) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			build(New(Config{}))
		})
	}
}

func TestDetachedAddressesAreFree(t *testing.T) {
	n := New(Config{})
	two := []netip.Addr{netip.MustParseAddr("2001:db8::1"), cloudAddr}
	prefix := netip.MustParsePrefix("127.0.0.0/8")
	for range 2 {
		p := newPlayer()
		p.deadline = 5
		node, shard := n.Attach(p, two...), n.AttachPrefix(newPlayer(), prefix)
		if lost := n.Inject(devicePort, netip.AddrPortFrom(cloudAddr, 1), nil); lost != "" {
			t.Errorf("second address: lost %q", lost)
		}
		n.Settle(clock.Never)
		node.Detach()
		shard.Detach()
		if n.Next() != clock.Never {
			t.Error("a detached node has a deadline")
		}
		for _, addr := range []netip.Addr{two[0], two[1], prefix.Addr().Next()} {
			if lost := n.Inject(devicePort, netip.AddrPortFrom(addr, 1), nil); lost != LostNoAddress {
				t.Errorf("%v: lost %q, want %q", addr, lost, LostNoAddress)
			}
		}
	}
}
