package target

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/drive"
	"github.com/muster/muster/transport/udp"
)

// A fleetDriver runs the machines of the simulated devices on real sockets. Each
// device has a loopback address of its own; the devices of one shard share its
// sockets and its goroutines.
type fleetDriver struct {
	shards []*shard
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	members []*member
	errs    []error
}

// A shard is a transport.Host of many devices.
type shard struct {
	driver *drive.Driver
	ports  []uint16 // of its sockets: a device that opens another takes the next

	byAddr   map[netip.Addr]*member
	byStream map[transport.StreamID]*member
	due      memberHeap
	out      device.Out
}

// A member is one device of a shard.
type member struct {
	shard    *shard
	device   *device.Device
	addr     netip.Addr
	udp, tcp netip.AddrPort // of the cloud
	socket   int            // index into shard.ports
	stream   transport.StreamID
	at       clock.Instant // place in the heap
	index    int           // 1 + position in the heap, 0: not in it
	note     func(at clock.Instant, e device.Event)
}

// socketsPerShard is how many source ports the devices of a shard can have.
const socketsPerShard = 4

func newFleet(c *transport.Clock, tap transport.Tap) (*fleetDriver, error) {
	f := &fleetDriver{}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	for range max(2, runtime.GOMAXPROCS(0)) {
		s := &shard{byAddr: make(map[netip.Addr]*member), byStream: make(map[transport.StreamID]*member)}
		s.out.Ciphers = dtls.NewCiphers(64)
		s.driver = drive.New(s, drive.Config{Clock: c, Tap: tap})
		engine, err := s.driver.OpenFleet(make([]uint16, socketsPerShard)...)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("target: opening the sockets of the devices: %w", err)
		}
		for i := range engine.Shards() {
			s.ports = append(s.ports, engine.Addr(i).Port())
		}
		f.shards = append(f.shards, s)
	}
	for _, s := range f.shards {
		f.done.Go(func() {
			if err := s.driver.Run(ctx); err != nil {
				f.mu.Lock()
				f.errs = append(f.errs, err)
				f.mu.Unlock()
			}
		})
	}
	return f, nil
}

// add gives a device a place, switched off, and returns its index and its
// address.
func (f *fleetDriver) add(d *device.Device, udpCloud, tcpCloud netip.AddrPort, note func(clock.Instant, device.Event)) (int, netip.Addr) {
	f.mu.Lock()
	index := len(f.members)
	s := f.shards[index%len(f.shards)]
	m := &member{shard: s, device: d, addr: udp.Loopback(index), udp: udpCloud, tcp: tcpCloud, note: note}
	f.members = append(f.members, m)
	f.mu.Unlock()
	s.driver.Do(func(clock.Instant, *transport.Out) { s.byAddr[m.addr] = m })
	return index, m.addr
}

// Do runs f on the machine of a device.
func (f *fleetDriver) Do(index int, do func(now clock.Instant, m *device.Device, out *device.Out)) {
	f.mu.Lock()
	m := f.members[index]
	f.mu.Unlock()
	m.shard.driver.Do(func(now clock.Instant, out *transport.Out) {
		do(now, m.device, &m.shard.out)
		m.act(now, out)
	})
}

func (f *fleetDriver) stop() error {
	f.cancel()
	f.done.Wait()
	return errors.Join(f.errs...)
}

// act does what the device wants, tells what happened to it, and notes its next
// deadline.
func (m *member) act(now clock.Instant, out *transport.Out) {
	s := m.shard
	for _, a := range s.out.Actions {
		switch a.Kind {
		case device.OpenSocket:
			m.socket = (m.socket + 1) % len(s.ports)
		case device.SendDatagram:
			out.Send(netip.AddrPortFrom(m.addr, s.ports[m.socket]), m.udp, a.Data)
		case device.DialStream:
			m.stream = out.Dial(netip.AddrPortFrom(m.addr, 0), m.tcp)
			s.byStream[m.stream] = m
		case device.WriteStream:
			out.Write(m.stream, a.Data)
		case device.CloseStream:
			out.Close(m.stream)
			delete(s.byStream, m.stream)
			m.stream = 0
		case device.CloseSocket:
			// The next one has another port.
		default:
			panic("target: unknown action of a device")
		}
	}
	for _, e := range s.out.Events {
		m.note(now, e)
	}
	s.out.Reset()
	s.arm(m)
}

// arm notes the deadline of a device. Only one that comes nearer moves the heap;
// the others are found out when they fire.
func (s *shard) arm(m *member) {
	at := m.device.Deadline()
	switch {
	case at == clock.Never:
	case m.index == 0:
		m.at = at
		heap.Push(&s.due, m)
	case at < m.at:
		m.at = at
		heap.Fix(&s.due, m.index-1)
	}
}

// Datagram implements transport.Host.
func (s *shard) Datagram(now clock.Instant, p transport.Packet, out *transport.Out) {
	m := s.byAddr[p.Local.Addr()]
	if m == nil || p.Local.Port() != s.ports[m.socket] {
		return // nobody's, or for a socket that is closed
	}
	m.device.Datagram(now, p.Data, &s.out)
	m.act(now, out)
}

// StreamOpened implements transport.Host.
func (s *shard) StreamOpened(now clock.Instant, st transport.Stream, out *transport.Out) {
	if m := s.byStream[st.ID]; m != nil {
		m.device.StreamOpened(now, &s.out)
		m.act(now, out)
	}
}

// StreamData implements transport.Host.
func (s *shard) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	if m := s.byStream[id]; m != nil {
		m.device.StreamData(now, b, &s.out)
		m.act(now, out)
	}
}

// StreamClosed implements transport.Host.
func (s *shard) StreamClosed(now clock.Instant, id transport.StreamID, _ transport.Cause, out *transport.Out) {
	m := s.byStream[id]
	if m == nil {
		return
	}
	delete(s.byStream, id)
	if m.stream == id {
		m.stream = 0
		m.device.StreamClosed(now, &s.out)
		m.act(now, out)
	}
}

// Advance implements transport.Host.
func (s *shard) Advance(now clock.Instant, out *transport.Out) {
	for len(s.due) > 0 && s.due[0].at <= now {
		m := heap.Pop(&s.due).(*member)
		if m.device.Deadline() <= now {
			m.device.Advance(now, &s.out)
		}
		m.act(now, out)
	}
}

// Deadline implements transport.Host.
func (s *shard) Deadline() clock.Instant {
	if len(s.due) == 0 {
		return clock.Never
	}
	return s.due[0].at
}

// A memberHeap is ordered by deadline.
type memberHeap []*member

func (h memberHeap) Len() int           { return len(h) }
func (h memberHeap) Less(i, j int) bool { return h[i].at < h[j].at }

func (h memberHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push is for package heap.
func (h *memberHeap) Push(x any) {
	*h = append(*h, x.(*member))
	x.(*member).index = len(*h)
}

// Pop is for package heap.
func (h *memberHeap) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	m.index = 0
	return m
}
