package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A Group is any number of sockets that one goroutine reads: one socket a
// device, for a cloud that is not on this machine. It drives a Handler as an
// Engine of one shard does, whose number is 0.
//
// Each socket costs a descriptor and a receive buffer in the kernel, but no
// goroutine and no memory for reading.
type Group struct {
	loop
	waiter  *os.File // the epoll descriptor, known to the Go runtime's poller
	writers sync.Pool

	mu      sync.RWMutex // held for writing while the set of sockets changes or is read from
	closed  bool
	byFD    map[int32]*member
	byLocal map[netip.AddrPort]*member

	reader *reader
	ready  []unix.EpollEvent
	own    *writer          // of the loop
	left   []netip.AddrPort // that the handler has left in the present call
	wake   rawConn          // of waiter
}

// NewGroup returns a Group without sockets.
func NewGroup(config Config) (*Group, error) {
	config = config.withDefaults()
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("udp: epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or os.NewFile would not poll it
		return nil, errors.Join(fmt.Errorf("udp: epoll: %w", err), unix.Close(fd))
	}
	g := &Group{
		waiter:  os.NewFile(uintptr(fd), "epoll"),
		byFD:    make(map[int32]*member),
		byLocal: make(map[netip.AddrPort]*member),
		reader:  newReader(config.Batch),
		ready:   make([]unix.EpollEvent, config.Batch),
		own:     newWriter(config.Clock, config.Tap),
	}
	if g.wake, err = g.waiter.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("udp: epoll: %w", err), g.waiter.Close())
	}
	g.writers.New = func() any { return newWriter(config.Clock, config.Tap) }
	g.loop = loop{
		config: config,
		source: g,
		alarm:  newAlarm(config.Clock, g.waiter.SetReadDeadline),
		out:    config.NewOut(),
		send:   func(packets []transport.Packet) { g.sendWith(g.own, packets) },
		sent:   g.closeLeft,
	}
	return g, nil
}

// Open adds a socket and returns its local address, which names it in the
// Local field of packets. Port 0 lets the system choose. With a valid peer the
// socket is connected to it: nobody else reaches it, its local address may be
// left to the system (the unspecified address), and a closed port at the peer
// is counted.
func (g *Group) Open(local, peer netip.AddrPort) (netip.AddrPort, error) {
	m, err := newMember(g, local, peer)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return netip.AddrPort{}, fmt.Errorf("udp: opening socket %d: %w: raise the limit with ulimit -n", g.Len()+1, err)
	} else if err != nil {
		return netip.AddrPort{}, fmt.Errorf("udp: opening %v: %w", local, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		m.shut()
		return netip.AddrPort{}, net.ErrClosed
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(m.fd)}
	if err := control(g.wake, func(epoll int) error {
		return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, m.fd, &event)
	}); err != nil {
		m.shut()
		return netip.AddrPort{}, fmt.Errorf("udp: epoll: %w", err)
	}
	g.byFD[int32(m.fd)] = m
	g.byLocal[m.sock.local] = m
	return m.sock.local, nil
}

// CloseSocket closes the socket with that local address, if there is one.
func (g *Group) CloseSocket(local netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m := g.byLocal[local]; m != nil {
		delete(g.byLocal, local)
		delete(g.byFD, int32(m.fd))
		m.shut() // also leaves the epoll set
	}
}

// Leave closes a socket when what the handler sends in the present call has left. It may
// be called by the handler only.
func (g *Group) Leave(local netip.AddrPort) { g.left = append(g.left, local) }

// closeLeft closes the sockets that the handler has left.
func (g *Group) closeLeft() {
	for _, local := range g.left {
		g.CloseSocket(local)
	}
	g.left = g.left[:0]
}

// Len returns the number of open sockets.
func (g *Group) Len() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.byFD)
}

// Serve reads until ctx is done or the group is closed, then closes it. It
// returns after the last call of h has returned; nil unless reading failed for
// good. It may be called once.
func (g *Group) Serve(ctx context.Context, h Handler) error {
	defer context.AfterFunc(ctx, g.Close)()
	defer g.Close()
	return g.run(h)
}

// Send sends packets, each through the socket that its Local address names, and
// returns how many the system took; the others are counted by reason. It is
// safe for concurrent use, also inside a Handler.
func (g *Group) Send(packets []transport.Packet) int {
	w := g.writers.Get().(*writer)
	defer g.writers.Put(w)
	return g.sendWith(w, packets)
}

func (g *Group) sendWith(w *writer, packets []transport.Packet) (sent int) {
	for i := range packets {
		g.mu.RLock()
		m := g.byLocal[packets[i].Local]
		g.mu.RUnlock()
		if m == nil {
			g.counters.Add(transport.DropNoSocket, 1)
			continue
		}
		sent += w.write(m.sock, packets[i:i+1], &g.counters)
	}
	return sent
}

// WakeAt makes the group call its handler's Wake no later than at t, if the
// handler's Deadline says so too; shard is 0.
func (g *Group) WakeAt(_ int, t clock.Instant) { g.alarm.wakeAt(t) }

// Shards returns 1: all sockets are read by one goroutine.
func (g *Group) Shards() int { return 1 }

// Counts returns the counters of all sockets together, those that are closed
// included. What the kernel dropped is counted of open sockets only.
func (g *Group) Counts() transport.Counts {
	var c transport.Counts
	g.counters.AddTo(&c)
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, m := range g.byFD {
		c[transport.DropSocketFull] += m.sock.drops()
	}
	return c
}

// Close closes all sockets. Serve returns soon after. It is safe to call it
// more than once and from several goroutines.
func (g *Group) Close() {
	if g.shutMembers() {
		_ = g.waiter.Close() // without the lock, for which the reader may be waiting
	}
}

// shutMembers closes all sockets; false when that was done before.
func (g *Group) shutMembers() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.closed = true
	for _, m := range g.byFD {
		m.shut()
	}
	clear(g.byFD)
	clear(g.byLocal)
	return true
}

func (g *Group) try() ([]transport.Packet, bool, error) {
	n := 0
	err := g.wake.Control(func(epoll uintptr) { n = g.collect(int(epoll)) })
	return g.result(n, err)
}

func (g *Group) wait() ([]transport.Packet, bool, error) {
	n := 0
	err := g.wake.Read(func(epoll uintptr) bool {
		n = g.collect(int(epoll))
		return n > 0
	})
	return g.result(n, err)
}

func (g *Group) result(n int, err error) ([]transport.Packet, bool, error) {
	if err != nil {
		g.mu.RLock()
		defer g.mu.RUnlock()
		if g.closed { // a closed os.File says so in an error of its own
			err = net.ErrClosed
		}
		return nil, false, err
	}
	return g.reader.batch, n == len(g.ready), nil
}

// collect reads one datagram from every socket that is ready, as far as there
// is room, and returns how many were ready. No socket is closed meanwhile, so a
// descriptor means what it meant when it became ready.
func (g *Group) collect(epoll int) int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	g.reader.batch = g.reader.batch[:0]
	ready, err := unix.EpollWait(epoll, g.ready, 0)
	if err != nil {
		return 0 // interrupted
	}
	for i := range ready {
		m := g.byFD[g.ready[i].Fd]
		n, errno := g.reader.receive(m.fd, i, 1)
		switch {
		case n == 1:
			g.reader.take(i, m.sock, &g.counters)
		case errno == unix.EAGAIN:
			// Its checksum was wrong, and the kernel has dropped it.
		case isRefused(errno):
			g.counters.Add(transport.SendRefused, 1)
		default:
			g.counters.Add(transport.ReceiveFailed, 1)
		}
	}
	return ready
}
