package dtls

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
)

// A network delivers datagrams late, doubled, out of order or not at all, as a
// seed says.
type network struct {
	rng              *rand.Rand
	loss, double     float64
	delayMax         time.Duration
	flying           []flying
	sent, lost, twin int
}

type flying struct {
	at      clock.Instant
	toCloud bool
	data    []byte
}

func (n *network) send(now clock.Instant, toCloud bool, datagram []byte) {
	copies := 1
	n.sent++
	switch p := n.rng.Float64(); {
	case p < n.loss:
		n.lost++
		return
	case p < n.loss+n.double:
		n.twin++
		copies = 2
	}
	for range copies {
		delay := time.Millisecond + time.Duration(n.rng.Int64N(int64(n.delayMax)))
		n.flying = append(n.flying, flying{now.Add(delay), toCloud, bytes.Clone(datagram)})
	}
	slices.SortStableFunc(n.flying, func(a, b flying) int { return int(min(max(a.at-b.at, -1), 1)) })
}

// A world is a device and a cloud over a network, in virtual time. Both know
// what the drivers of the product know: the cloud keeps half-open handshakes
// apart from the session, and the device starts again when it fails.
type world struct {
	t      *testing.T
	net    network
	now    clock.Instant
	gen    Generation
	run    uint64
	tries  int
	client *Client
	gate   *Gate
	server *Server
	device *Session
	cloud  *Session
	trace  []string
	heard  map[bool]int // messages delivered, by direction
}

const worldEnd = clock.Instant(30 * time.Minute)

func newWorld(t *testing.T, run uint64, gen Generation, loss float64) *world {
	w := &world{t: t, run: run, gen: gen, heard: map[bool]int{}, gate: NewGate(seed.Bytes(run, "gate"), 0, GateFaults{})}
	w.net = network{rng: seed.Stream(run, "network"), loss: loss, double: 0.2, delayMax: 400 * time.Millisecond}
	return w
}

func (w *world) connect() {
	w.tries++
	w.client, w.device = NewClient(testClient(w.run+uint64(w.tries)<<32, w.gen)), nil
	var out Out
	w.client.Start(w.now, &out)
	w.took(true, &out)
}

// live lets the world live until the device and the cloud each delivered three
// messages of the same session, or the end of time.
func (w *world) live() {
	w.connect()
	for w.now < worldEnd && (w.heard[true] < 3 || w.heard[false] < 3) {
		next := worldEnd
		if len(w.net.flying) > 0 {
			next = w.net.flying[0].at
		}
		if d := w.client.Deadline(); d < next {
			next = d
		}
		if w.server != nil {
			next = min(next, w.server.Deadline())
		}
		if w.device != nil && len(w.net.flying) == 0 {
			next = w.now.Add(time.Second)
		}
		w.now = max(w.now, next)
		w.step()
	}
}

func (w *world) step() {
	var out Out
	switch {
	case len(w.net.flying) > 0 && w.net.flying[0].at <= w.now:
		f := w.net.flying[0]
		w.net.flying = w.net.flying[1:]
		w.deliver(f, &out)
	case w.client.Deadline() <= w.now:
		w.client.Advance(w.now, &out)
		w.took(true, &out)
	case w.server != nil && w.server.Deadline() <= w.now:
		w.server.Advance(w.now, &out)
		w.took(false, &out)
	case w.device != nil:
		w.say(true, w.device)
		if w.cloud != nil {
			w.say(false, w.cloud)
		}
	}
}

func (w *world) say(fromDevice bool, s *Session) {
	datagram, err := s.Seal(nil, TypeApplication, []byte("hello"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.net.send(w.now, fromDevice, datagram)
}

func (w *world) deliver(f flying, out *Out) {
	w.trace = append(w.trace, fmt.Sprintf("%v %v %x", w.now, f.toCloud, f.data))
	if !f.toCloud {
		if w.device != nil {
			w.device.Receive(f.data, out)
		} else {
			w.client.Receive(w.now, f.data, out)
		}
		w.took(true, out)
		return
	}
	h, err := PeekHeader(f.data)
	if err != nil {
		w.t.Fatalf("the device sent %x: %v", f.data, err)
	}
	switch {
	case h.ClientHello && w.server != nil && w.server.SameHello(f.data):
		w.server.Receive(w.now, f.data, out)
	case h.ClientHello && w.cloud != nil && w.cloud.SameHello(f.data):
		// A late copy: the session is there.
	case h.ClientHello:
		if w.gate.Receive(w.now, []byte("peer"), f.data, out) == Admitted {
			w.server = NewServer(testServer(w.run + uint64(w.tries)<<32))
			w.server.Receive(w.now, f.data, out)
		}
	default:
		// The session first: a record that is not its own stays as it was.
		if w.cloud != nil && w.cloud.Receive(f.data, out).Authentic {
			break
		}
		if w.server != nil {
			w.server.Receive(w.now, f.data, out)
		}
	}
	w.took(false, out)
}

func (w *world) took(device bool, out *Out) {
	for _, datagram := range out.Datagrams {
		w.net.send(w.now, device, datagram)
	}
	for _, e := range out.Events {
		switch {
		case e.Kind == EventEstablished && device:
			w.device = e.Session
		case e.Kind == EventEstablished:
			w.cloud, w.server = e.Session, nil
		case e.Kind == EventFailed && device:
			w.connect()
		case e.Kind == EventFailed:
			w.server = nil
		case e.Kind == EventApplication:
			w.heard[device]++
		case e.Kind == EventClosed:
			w.t.Fatalf("closed: %v", e.Err)
		}
	}
}

// Handshakes over bad networks come through, for every generation and many
// seeds, and each run is a function of its seed.
func TestHandshakeOverBadNetworks(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 10
	}
	for _, gen := range generations {
		for _, loss := range []float64{0, 0.1, 0.3} {
			t.Run(fmt.Sprintf("%v/loss %v", gen, loss), func(t *testing.T) {
				tries, slowest := 0, clock.Instant(0)
				for run := range seeds {
					w := newWorld(t, run, gen, loss)
					w.live()
					if w.heard[true] < 3 || w.heard[false] < 3 {
						t.Fatalf("to repeat: run %d: %d tries, %d of %d datagrams lost, heard %v", run, w.tries, w.net.lost, w.net.sent, w.heard)
					}
					if w.device.Secrets() != w.cloud.Secrets() {
						t.Fatalf("to repeat: run %d: different keys", run)
					}
					tries, slowest = tries+w.tries, max(slowest, w.now)
				}
				if loss == 0 && tries != int(seeds) {
					t.Errorf("%d tries for %d handshakes without loss", tries, seeds)
				}
				t.Logf("%d tries for %d handshakes, the slowest took %v", tries, seeds, slowest)
			})
		}
	}
}

func TestBadNetworkIsDeterministic(t *testing.T) {
	for _, gen := range []Generation{GenB, GenF} {
		one, two := newWorld(t, 42, gen, 0.3), newWorld(t, 42, gen, 0.3)
		one.live()
		two.live()
		if !slices.Equal(one.trace, two.trace) {
			t.Errorf("%v: two runs of one seed differ", gen)
		}
	}
}

// Every single bit flip, and every cut, of every datagram of a handshake: nobody
// panics, and nobody is established with other keys than the other side.
func TestDamagedHandshake(t *testing.T) {
	for _, gen := range []Generation{GenC, GenF} {
		sizes := newDuel(t, testClient(1, gen), testServer(1)).run().established().sent
		for n, datagram := range sizes {
			for at := range datagram {
				for _, damage := range []func(b []byte) []byte{
					func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b },
					func(b []byte) []byte { return b[:at] },
				} {
					d := newDuel(t, testClient(1, gen), testServer(1))
					d.damage, d.damaged = damage, n
					d.run()
					if d.device != nil && d.cloud != nil && d.device.Secrets() != d.cloud.Secrets() {
						t.Fatalf("%v: datagram %d, byte %d: established with different keys", gen, n, at)
					}
					if d.device != nil && d.cloud == nil {
						t.Fatalf("%v: datagram %d, byte %d: only the device is established", gen, n, at)
					}
				}
			}
		}
	}
}
