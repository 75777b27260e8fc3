package cloudref

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/tcp"
	"github.com/muster/muster/transport/udp"
)

// A driver gives a node what it does not have: sockets, time and goroutines.
//
//	one goroutine a UDP socket, one a TCP connection   what arrives
//	one goroutine for time                             what is due, what waits
//	a few for handshakes                               what costs public-key operations
type driver struct {
	o       *Options
	clock   *transport.Clock
	node    *endpoint.Node
	udp     *udp.Engine
	tcp     *tcp.Engine
	udpAddr netip.AddrPort
	tcpAddr netip.AddrPort
	ids     transport.StreamIDs
	outs    sync.Pool // of *transport.Out
	jobs    chan func(clock.Instant, *transport.Out)
	woken   chan struct{}
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

func newDriver(o *Options) *driver {
	queue := o.HandshakeQueue
	if queue == 0 {
		queue = 4096
	}
	d := &driver{
		o: o, clock: o.Clock, woken: make(chan struct{}, 1),
		jobs: make(chan func(clock.Instant, *transport.Out), queue),
	}
	d.outs.New = func() any { return d.newOut() }
	return d
}

func (d *driver) newOut() *transport.Out {
	if d.tcp == nil {
		return transport.NewOut(&d.ids, nil)
	}
	return transport.NewOut(&d.ids, d.tcp)
}

// start opens the sockets and serves node.
func (d *driver) start(node *endpoint.Node) error {
	d.node = node
	if err := d.listen(); err != nil {
		d.close()
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	if d.udp != nil {
		d.done.Go(func() { d.report("UDP", d.udp.Serve(ctx, (*udpHandler)(d))) })
	}
	if d.tcp != nil {
		d.done.Go(func() { d.report("TCP", d.tcp.Serve(ctx, (*tcpHandler)(d))) })
	}
	d.done.Go(func() { d.tick(ctx) })
	workers := d.o.Handshakes
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	for range workers {
		d.done.Go(func() { d.work(ctx) })
	}
	return nil
}

func (d *driver) listen() error {
	if d.o.TCP.IsValid() {
		d.tcp = tcp.New(tcp.Config{Clock: d.clock, Tap: d.o.Tap, IDs: &d.ids, Streams: doorsOf(transport.DescriptorsMax()).boards})
		addr, err := d.tcp.Listen(d.o.TCP)
		if err != nil {
			return fmt.Errorf("cloud: listening on TCP %v: %w: stop what has the port, or choose another", d.o.TCP, err)
		}
		d.tcpAddr = addr
	}
	if d.o.UDP.IsValid() {
		engine, err := udp.Listen(d.o.UDP, udp.Config{Clock: d.clock, Tap: d.o.Tap, NewOut: d.newOut})
		if err != nil {
			return fmt.Errorf("cloud: listening on UDP %v: %w: stop what has the port, or choose another", d.o.UDP, err)
		}
		d.udp, d.udpAddr = engine, engine.Addr(0)
	}
	return nil
}

func (d *driver) report(what string, err error) {
	if err != nil {
		d.o.Log(fmt.Sprintf("%s ended: %v", what, err))
	}
}

func (d *driver) close() {
	if d.udp != nil {
		d.udp.Close()
	}
	if d.tcp != nil {
		d.tcp.Stop()
	}
}

func (d *driver) stop() {
	d.cancel()
	d.close()
	d.done.Wait()
}

// wake makes the goroutine for time look again. It never blocks.
func (d *driver) wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

// spawn gives handshake work to the pool, unless too much waits already.
func (d *driver) spawn(work func(clock.Instant, *transport.Out)) bool {
	select {
	case d.jobs <- work:
		return true
	default:
		return false
	}
}

// call runs f with an Out and sends what it says.
func (d *driver) call(f func(now clock.Instant, out *transport.Out)) {
	out := d.outs.Get().(*transport.Out)
	f(d.clock.Now(), out)
	if packets := out.Packets(); len(packets) > 0 && d.udp != nil {
		d.udp.Send(packets)
	}
	out.Clear()
	d.outs.Put(out)
}

func (d *driver) work(ctx context.Context) {
	for {
		select {
		case job := <-d.jobs:
			d.call(job)
		case <-ctx.Done():
			return
		}
	}
}

// tick advances the node when something is due and runs the jobs that wait.
func (d *driver) tick(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.woken:
		case <-ctx.Done():
			return
		}
		d.call(d.node.Advance)
		due := d.node.Deadline()
		if due == clock.Never {
			timer.Stop()
			continue
		}
		timer.Reset(max(0, d.clock.Until(due)))
	}
}

// udpHandler gives what arrives on UDP sockets to the node.
type udpHandler driver

// Datagrams implements udp.Handler.
func (h *udpHandler) Datagrams(_ int, now clock.Instant, batch []transport.Packet, out *transport.Out) {
	for _, p := range batch {
		h.node.Datagram(now, p, out)
	}
}

// Wake implements udp.Handler.
func (h *udpHandler) Wake(int, clock.Instant, *transport.Out) {}

// Deadline implements udp.Handler: time has a goroutine of its own.
func (h *udpHandler) Deadline(int) clock.Instant { return clock.Never }

// tcpHandler gives what arrives on TCP connections to the node.
type tcpHandler driver

// StreamOpened implements tcp.Handler.
func (h *tcpHandler) StreamOpened(_ clock.Instant, s transport.Stream) {
	(*driver)(h).call(func(now clock.Instant, out *transport.Out) { h.node.StreamOpened(now, s, out) })
}

// StreamData implements tcp.Handler.
func (h *tcpHandler) StreamData(_ clock.Instant, id transport.StreamID, b []byte) {
	(*driver)(h).call(func(now clock.Instant, out *transport.Out) { h.node.StreamData(now, id, b, out) })
}

// StreamClosed implements tcp.Handler.
func (h *tcpHandler) StreamClosed(_ clock.Instant, id transport.StreamID, cause transport.Cause) {
	(*driver)(h).call(func(now clock.Instant, out *transport.Out) { h.node.StreamClosed(now, id, cause, out) })
}

// randomSeed seeds what is random but not secret.
func randomSeed() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("cloudref: no random bytes: " + err.Error())
	}
	return binary.LittleEndian.Uint64(b[:])
}

// storeDir is where the store lives in the data directory.
func (o *Options) storeDir() string { return filepath.Join(o.Dir, "store") }

// keyFile is the key that encrypts sessions in an external store.
func (o *Options) keyFile() string { return filepath.Join(o.Dir, "session.key") }
