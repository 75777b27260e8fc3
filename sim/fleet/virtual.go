package fleet

import (
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// A Virtual is a fleet on a virtual network, each device a node of its own. It
// is used by the goroutine that runs the network; commands are carried out when
// the network runs on.
type Virtual struct {
	Commands
	core
	options  Options
	table    table
	watchers watchers
	net      *vnet.Network
	attach   func(i int, h transport.Host) *vnet.Node
	nodes    []*vnet.Node
	tasks    Feed
	looks    clock.Instant // when fed is called next
}

// NewVirtual returns an empty fleet on a network. attach gives device i its
// place, as behind a NAT or with a slow access; nil places devices in the open
// on the addresses from 10.0.0.1 on.
func NewVirtual(net *vnet.Network, o Options, attach func(i int, h transport.Host) *vnet.Node) *Virtual {
	f := &Virtual{options: o, net: net, attach: attach, looks: clock.Never}
	f.core = core{options: &f.options, watchers: &f.watchers, network: f}
	f.hold = f.releaseAt
	f.out.Ciphers = dtls.NewCiphers(ciphers)
	f.Commands = Commands{table: &f.table, watchers: &f.watchers, enqueue: f.enqueue}
	if attach == nil {
		f.attach = func(i int, h transport.Host) *vnet.Node { return net.Attach(h, virtualAddr(i, 0)) }
	}
	return f
}

// virtualAddr is the address number home of device i: 10.0.0.1 and up, the
// addresses after a move half a million on.
func virtualAddr(i int, home uint8) netip.Addr {
	const room = 1 << 19
	n := (uint32(home)*room + uint32(i) + 1) & 0xffffff
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// Add puts devices into the fleet, switched off, and returns the index of the
// first.
func (f *Virtual) Add(specs ...Spec) (first int) {
	first = f.table.len()
	for _, spec := range specs {
		f.table.add(func(m *member) { m.device = device.New(spec.Config, spec.ID, spec.NVRAM) })
		i := f.table.len() - 1
		h := &place{fleet: f, m: f.table.get(i)}
		if spec.Cloud.IsValid() {
			f.setCloud(h.m, spec.Cloud)
		}
		f.nodes = append(f.nodes, f.attach(i, h))
	}
	return first
}

// Node returns the place of a device in the network.
func (f *Virtual) Node(i int) *vnet.Node { return f.nodes[i] }

// Device returns the machine of a device, to look at.
func (f *Virtual) Device(i int) *device.Device { return f.table.get(i).device }

// Metrics returns the numbers of the fleet.
func (f *Virtual) Metrics() Metrics {
	m := Metrics{Devices: f.Len()}
	times := newTimes()
	f.counters.addTo(&m, times)
	m.ConnectTime = latencyOf(times)
	return m
}

// Start begins a ramp.
func (f *Virtual) Start(r Ramp) {
	r = r.withDefaults(f.Len())
	start, k := f.net.Now(), 0
	var next func()
	next = func() {
		for ; k < r.Count && r.at(start, k) <= f.net.Now(); k++ {
			f.carryOut(command{m: f.table.get(r.First + k), do: r.Do})
		}
		if k < r.Count {
			f.net.At(r.at(start, k), next)
		}
	}
	f.net.At(start, next)
}

// RunOnline runs the network until each of the devices, or every device when
// none is named, has been online, and reports whether that was so before until.
func (f *Virtual) RunOnline(until clock.Instant, indices ...int) bool {
	g := f.gather(true, indices)
	defer f.watchers.remove(g)
	return f.net.RunUntil(func() bool {
		select {
		case <-g.done:
			return true
		default:
			return false
		}
	}, until)
}

func (f *Virtual) enqueue(c command) { f.net.At(f.net.Now(), func() { f.carryOut(c) }) }

// carryOut runs between the calls of hosts.
func (f *Virtual) carryOut(c command) {
	if c.prepare != nil {
		c.prepare(&f.core, c.m)
	}
	f.nodes[c.m.index].Do(func(now clock.Instant, out *transport.Out) {
		if c.do != nil {
			c.do(now, c.m.device, &f.out)
			f.act(now, c.m, out)
		}
	})
}

// Ports of virtual devices: those that systems give to sockets.
const (
	portFirst = 49152
	portCount = 1 << 8
)

// open implements network.
func (f *Virtual) open(m *member, _ netip.AddrPort) bool {
	if m.reopened {
		m.port++
	}
	m.reopened = true
	return true
}

// close implements network.
func (f *Virtual) close(*member) {}

// local implements network: the node completes the address.
func (f *Virtual) local(m *member) netip.AddrPort {
	if m.device.Profile().Board.FixedPort {
		return netip.AddrPortFrom(netip.Addr{}, PortUDP)
	}
	return netip.AddrPortFrom(netip.Addr{}, portFirst+uint16(m.port)%portCount)
}

// dialFrom implements network.
func (f *Virtual) dialFrom(*member) netip.AddrPort { return netip.AddrPort{} }

// move implements network. Behind a NAT the device keeps its place, and whoever
// made the NAT can rebind it.
func (f *Virtual) move(m *member) {
	m.home++
	f.nodes[m.index].Move(virtualAddr(int(m.index), m.home))
}

// A place is a member as the host of a node.
type place struct {
	fleet *Virtual
	m     *member
}

// Datagram implements transport.Host.
func (h *place) Datagram(now clock.Instant, p transport.Packet, out *transport.Out) {
	f := h.fleet
	if !h.m.open || p.Local.Port() != f.local(h.m).Port() || p.Peer != f.cloud(h.m) {
		f.counters.stray.Add(1)
		return
	}
	if f.arrives(now, h.m, p) {
		h.give(now, p, out)
	}
}

// take is Datagram for what has been on its way.
func (h *place) take(now clock.Instant, p transport.Packet, out *transport.Out) {
	if f := h.fleet; h.m.open && p.Local.Port() == f.local(h.m).Port() && p.Peer == f.cloud(h.m) {
		h.give(now, p, out)
	}
}

// give gives the device a datagram.
func (h *place) give(now clock.Instant, p transport.Packet, out *transport.Out) {
	f := h.fleet
	f.received(now, h.m, len(p.Data))
	h.m.device.Datagram(now, p.Data, &f.out)
	f.act(now, h.m, out)
}

// StreamOpened implements transport.Host.
func (h *place) StreamOpened(now clock.Instant, s transport.Stream, out *transport.Out) {
	if s.ID == h.m.stream {
		h.heard(now, h.fleet.streamOpened(now, h.m, out), out)
	}
}

// StreamData implements transport.Host.
func (h *place) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	if id == h.m.stream {
		h.heard(now, h.fleet.streamData(now, h.m, b, out), out)
	}
}

// StreamClosed implements transport.Host.
func (h *place) StreamClosed(now clock.Instant, id transport.StreamID, _ transport.Cause, out *transport.Out) {
	if id == h.m.stream {
		h.heard(now, h.fleet.streamClosed(now, h.m, out), out)
	}
}

// heard lets the device act, if it heard of something.
func (h *place) heard(now clock.Instant, is bool, out *transport.Out) {
	if is {
		h.fleet.act(now, h.m, out)
	}
}

// Advance implements transport.Host.
func (h *place) Advance(now clock.Instant, out *transport.Out) {
	h.m.device.Advance(now, &h.fleet.out)
	h.fleet.act(now, h.m, out)
}

// Deadline implements transport.Host.
func (h *place) Deadline() clock.Instant { return h.m.device.Deadline() }
