package capture

import (
	"net/netip"
	"slices"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/trace"
)

// maxCandidates is how many sessions are tried for a record that names none.
const maxCandidates = 4

// A flow is what goes between two addresses, datagrams or one stream, in order.
// A packet that needs keys which are not there yet makes the rest wait behind it.
type flow struct {
	key                   pathKey
	deviceText, cloudText string
	ipv6                  bool

	// candidates are the associations seen here, the latest first; half is the
	// one whose handshake was seen here last. UDP only.
	candidates []*association
	half       *association
	// early is a ServerHello whose ClientHello has not been told yet, at the
	// instant earlyAt.
	early   *trace.Hello
	earlyAt clock.Instant
	parts   [2]parts
	stream  *stream // nil for datagrams

	held []*held
}

// A held packet waits for keys.
type held struct {
	flow       *flow
	packet     *trace.Packet
	data       []byte
	prev, next *held // in Decoder.waiting
}

func newFlow(key pathKey) *flow {
	return &flow{
		key: key, deviceText: addressText(key.device), cloudText: addressText(key.cloud),
		ipv6: key.device.Addr().Is6() && !key.device.Addr().Is4In6(),
	}
}

func addressText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// prefer makes a the first candidate.
func (f *flow) prefer(a *association) {
	if len(f.candidates) > 0 && f.candidates[0] == a {
		return
	}
	kept := []*association{a}
	for _, other := range f.candidates {
		if other != a && len(kept) < maxCandidates {
			kept = append(kept, other)
		}
	}
	f.candidates = kept
}

// A queue is a doubly linked list of held packets in the order of arrival.
type queue struct {
	first, last *held
	size, bytes int
}

func (l *queue) push(h *held) {
	if h.prev = l.last; l.last != nil {
		l.last.next = h
	} else {
		l.first = h
	}
	l.last = h
	l.size++
	l.bytes += len(h.data)
}

func (l *queue) remove(h *held) {
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		l.first = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	} else {
		l.last = h.prev
	}
	h.prev, h.next = nil, nil
	l.size--
	l.bytes -= len(h.data)
}

// arrive decodes a packet, or lets it wait.
func (d *Decoder) arrive(f *flow, p *trace.Packet, data []byte) {
	if len(f.held) == 0 && d.decode(f, p, data, false) {
		return
	}
	h := &held{flow: f, packet: p, data: append([]byte(nil), data...)}
	// A sighting can come later than those that follow it: a goroutine was
	// stopped between sending and telling. It may be what they wait for.
	i := len(f.held)
	for i > 0 && f.held[i-1].packet.At > p.At {
		i--
	}
	f.held = slices.Insert(f.held, i, h)
	d.waiting.push(h)
	d.blocked[f] = struct{}{}
	if i == 0 && len(f.held) > 1 {
		d.advance(f)
	}
	for len(f.held) > d.cfg.HeldPerFlow {
		d.giveUp(f)
	}
	for d.waiting.size > d.cfg.HeldPackets || d.waiting.bytes > d.cfg.HeldBytes {
		d.giveUpOldest()
	}
}

// decode decodes a packet and emits it. It reports false, and has done nothing,
// when it needs keys that may still come; with force it does not wait.
func (d *Decoder) decode(f *flow, p *trace.Packet, data []byte, force bool) bool {
	if f.stream != nil {
		return d.decodeUnit(f.stream, p, data, force)
	}
	return d.decodeDatagram(f, p, data, force)
}

// expire emits what has waited too long.
func (d *Decoder) expire() {
	if d.cfg.Hold < 0 {
		return
	}
	for h := d.waiting.first; h != nil && d.now.Sub(h.packet.At) > d.cfg.Hold; h = d.waiting.first {
		d.giveUpOldest()
	}
}

// giveUpOldest emits the packet that has waited longest. It is the first of its
// flow, because flows are in order.
func (d *Decoder) giveUpOldest() { d.giveUp(d.waiting.first.flow) }

// giveUp emits the first packet of a flow as it is, and what waited behind it
// only.
func (d *Decoder) giveUp(f *flow) {
	h := d.unhold(f)
	d.decode(f, h.packet, h.data, true)
	d.advance(f)
}

// release emits all that waits in a flow.
func (d *Decoder) release(f *flow) {
	for len(f.held) > 0 {
		d.giveUp(f)
	}
}

func (d *Decoder) unhold(f *flow) *held {
	h := f.held[0]
	f.held[0] = nil
	if f.held = f.held[1:]; len(f.held) == 0 {
		f.held = nil
		delete(d.blocked, f)
	}
	d.waiting.remove(h)
	return h
}

// advance decodes what waits in flows as far as keys go, in the order of arrival.
// Keys that are found on the way make more flows ready.
func (d *Decoder) advance(flows ...*flow) {
	stuck := make(map[*flow]bool)
	for {
		for _, f := range d.ready {
			delete(stuck, f)
		}
		flows, d.ready = append(flows, d.ready...), nil
		var next *flow
		first := ^uint64(0)
		for _, f := range flows {
			if len(f.held) > 0 && !stuck[f] && f.held[0].packet.Serial < first {
				next, first = f, f.held[0].packet.Serial
			}
		}
		if next == nil {
			return
		}
		h := next.held[0]
		if !d.decode(next, h.packet, h.data, false) {
			stuck[next] = true
			continue
		}
		d.unhold(next)
	}
}

// advanceAll is advance for every flow that waits.
func (d *Decoder) advanceAll() {
	flows := make([]*flow, 0, len(d.blocked))
	for f := range d.blocked {
		flows = append(flows, f)
	}
	d.advance(flows...)
}
