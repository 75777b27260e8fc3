package target

import (
	"crypto/rsa"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// A wire keeps what crossed the network, decoded, by device.
type wire struct {
	decoder *capture.Decoder
	vantage capture.Vantage

	mu      sync.Mutex
	clouds  map[netip.AddrPort]bool
	devices map[trace.DeviceID][]*trace.Packet
	hosts   map[string][]*trace.Packet // of nobody known yet, by the device's IP address
	owners  map[uint32]trace.DeviceID  // of associations
	spoke   map[netip.AddrPort]bool    // clouds that said anything, whatever it was
	more    chan struct{}              // closed when a packet was added
	listen  func(*trace.Packet)
	keep    keeper
}

// A keeper keeps what a wire shows, as evidence.
type keeper interface {
	Sight(transport.Sighting)
	Packet(*trace.Packet)
	Secrets(capture.Secrets)
}

// reorder is how long sightings of different goroutines may come out of order,
// hold how long a packet waits for the secrets of its session.
const (
	reorder = 20 * time.Millisecond
	hold    = 2 * time.Second
)

// newWire returns the wire of a network, seen from one end, on which sightings come
// out of order by at most late; 0 on a virtual one.
func newWire(cloudKey *rsa.PrivateKey, at capture.Vantage, late time.Duration, listen func(*trace.Packet), keep keeper) *wire {
	w := &wire{
		vantage: at, keep: keep,
		clouds: make(map[netip.AddrPort]bool), listen: listen, owners: make(map[uint32]trace.DeviceID),
		devices: make(map[trace.DeviceID][]*trace.Packet),
		hosts:   make(map[string][]*trace.Packet), more: make(chan struct{}), spoke: make(map[netip.AddrPort]bool),
	}
	w.decoder = capture.NewDecoder(capture.Config{
		Emit: w.emit, Cloud: w.isCloud, Vantage: at, CloudKey: cloudKey, Reorder: late, Hold: hold,
		Sighted: w.sighted, Unlocked: keep.Secrets,
	})
	return w
}

// sighted takes what is seen, before anybody knows what it is.
func (w *wire) sighted(s transport.Sighting) {
	if !s.Sent && len(s.Data) > 0 {
		w.mu.Lock()
		if w.clouds[s.Peer] {
			w.spoke[s.Peer] = true
		}
		w.mu.Unlock()
	}
	w.keep.Sight(s)
}

// heardFrom reports whether a cloud said anything.
func (w *wire) heardFrom(a netip.AddrPort) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spoke[a]
}

func (w *wire) isCloud(a netip.AddrPort) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clouds[a]
}

// cloud says that an address is the cloud's.
func (w *wire) cloud(a netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clouds[a] = true
}

// emit keeps a packet.
func (w *wire) emit(p *trace.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.Device != (trace.DeviceID{}) {
		w.devices[p.Device] = append(w.devices[p.Device], p)
		w.claim(p)
	} else if host, _, err := net.SplitHostPort(p.DeviceAddress); err == nil {
		w.hosts[host] = append(w.hosts[host], p)
	}
	w.listen(p)
	w.keep.Packet(p)
	close(w.more)
	w.more = make(chan struct{})
}

// claim gives what was seen of a session, before anybody could tell whose it is,
// to its device: devices can share an address.
func (w *wire) claim(p *trace.Packet) {
	if p.Association == 0 || w.owners[p.Association] == p.Device {
		return
	}
	w.owners[p.Association] = p.Device
	host, _, err := net.SplitHostPort(p.DeviceAddress)
	if err != nil {
		return
	}
	w.hosts[host] = slices.DeleteFunc(w.hosts[host], func(o *trace.Packet) bool {
		if o.Association != p.Association {
			return false
		}
		w.devices[p.Device] = append(w.devices[p.Device], o)
		return true
	})
}

// changed is closed when the next packet is there.
func (w *wire) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.more
}

// settled tells when packets that wait for earlier ones can be looked at.
func (w *wire) settled() <-chan time.Time { return time.After(2 * reorder) }

// of returns the packets of a device from an instant on. Before its key is seen
// nobody can tell whose a packet is; those are found by the address that the
// device has at first. When packets of that address wait for earlier ones it waits
// too: to look at them before their time would show an answer before its question,
// and not only here.
func (w *wire) of(now func() clock.Instant, id trace.DeviceID, host string, since clock.Instant) []*trace.Packet {
	addr, _ := netip.ParseAddr(host)
	w.catchUp(now, addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	return after(append(slices.Clone(w.devices[id]), w.hosts[host]...), since)
}

// catchUp has what waits of a host for earlier sightings decoded.
func (w *wire) catchUp(now func() clock.Instant, host netip.Addr) {
	w.decoder.Advance(now())
	if host.IsValid() && w.decoder.Waiting(host) {
		<-time.After(reorder)
		w.decoder.Advance(now())
	}
}

// all returns the packets of everybody who talks with the cloud at an address.
func (w *wire) all(now func() clock.Instant, cloud netip.Addr, since clock.Instant) []*trace.Packet {
	w.catchUp(now, cloud)
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*trace.Packet
	for _, of := range w.devices {
		list = append(list, of...)
	}
	for _, of := range w.hosts {
		list = append(list, of...)
	}
	return after(list, since)
}

// after sorts packets and returns those from an instant on.
func after(all []*trace.Packet, since clock.Instant) []*trace.Packet {
	slices.SortStableFunc(all, func(a, b *trace.Packet) int { return compare(a.At, b.At) })
	i, _ := slices.BinarySearchFunc(all, since, func(p *trace.Packet, t clock.Instant) int { return compare(p.At, t) })
	return slices.Clone(all[i:])
}

func compare(a, b clock.Instant) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}
