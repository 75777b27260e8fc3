package fleet

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A Path is what happens to what a device sends and gets, in either direction. The zero
// Path is perfect. What it is to streams a [pipe] says.
type Path struct {
	// Loss is the probability that a datagram, or a segment of a stream, is lost.
	Loss float64
	// Delay is how long each takes; Jitter is the most that it takes longer, all
	// values being equally likely, so that a datagram may overtake others.
	Delay, Jitter time.Duration
	// MTU is the largest IP packet in bytes, headers included; 0: no limit. Streams
	// adapt to it.
	MTU int
	// Cut lets nothing through.
	Cut bool
}

// A Net makes the network worse than it is. Its methods are called on the goroutine
// of the device's shard and must be quick.
type Net interface {
	// Path returns that of a device at a time; nil: perfect.
	Path(index int, at clock.Instant) *Path
	// Lost hears of a datagram, or of a segment of a stream, that was lost on purpose.
	Lost(index int, at clock.Instant)
}

// passes decides what becomes of a datagram: whether it is lost, and how long it
// takes.
func (c *core) passes(now clock.Instant, m *member, p *Path, bytes int, six bool) (delay time.Duration, ok bool) {
	headers := 28
	if six {
		headers = 48
	}
	if p.Cut || p.MTU > 0 && bytes+headers > p.MTU || p.Loss > 0 && c.chance.Float64() < p.Loss {
		c.options.Net.Lost(int(m.index), now)
		return 0, false
	}
	delay = p.Delay
	if p.Jitter > 0 {
		delay += time.Duration(c.chance.Float64() * float64(p.Jitter))
	}
	return delay, true
}

// path returns the path of m; nil: perfect.
func (c *core) path(now clock.Instant, m *member) *Path {
	if c.options.Net == nil {
		return nil
	}
	if c.chance == nil {
		c.chance = rand.New(rand.NewPCG(c.options.Seed, uint64(c.number)))
	}
	return c.options.Net.Path(int(m.index), now)
}

// send sends a datagram of m on its path.
func (c *core) send(now clock.Instant, m *member, data []byte, out *transport.Out) {
	local, cloud := c.network.local(m), c.cloud(m)
	p := c.path(now, m)
	if p == nil {
		out.Send(local, cloud, data)
		return
	}
	delay, ok := c.passes(now, m, p, len(data), cloud.Addr().Is6())
	switch {
	case !ok:
	case delay <= 0:
		out.Send(local, cloud, data)
	default:
		c.hold(held{at: now.Add(delay), m: m, up: true, local: local, peer: cloud, data: slices.Clone(data)})
	}
}

// arrives reports whether a datagram for m is to be taken now: it may be lost, or
// held back.
func (c *core) arrives(now clock.Instant, m *member, p transport.Packet) bool {
	path := c.path(now, m)
	if path == nil {
		return true
	}
	delay, ok := c.passes(now, m, path, len(p.Data), p.Peer.Addr().Is6())
	if ok && delay > 0 {
		c.hold(held{at: now.Add(delay), m: m, local: p.Local, peer: p.Peer, data: slices.Clone(p.Data)})
	}
	return ok && delay <= 0
}

// A held is a datagram on its way, or something else to do at a time.
type held struct {
	at          clock.Instant
	m           *member
	up          bool
	local, peer netip.AddrPort
	data        []byte
	// do, if not nil, is done instead. It reports whether m has heard of something.
	do func(now clock.Instant, out *transport.Out) bool
}

// release sends and delivers what has been on its way long enough.
func (s *shard) release(now clock.Instant, out *transport.Out) {
	for n := 0; n < batch && s.line.Next() <= now; n++ {
		h := s.line.Pop()
		switch {
		case h.do != nil:
			s.heard(now, h.m, h.do(now, out), out)
		case h.up:
			out.Send(h.local, h.peer, h.data)
		default:
			s.take(now, transport.Packet{Local: h.local, Peer: h.peer, Data: h.data}, out)
		}
	}
}

// releaseAt does the same for one datagram of a virtual fleet.
func (f *Virtual) releaseAt(h held) {
	f.net.At(h.at, func() {
		node := f.nodes[h.m.index]
		node.Do(func(now clock.Instant, out *transport.Out) {
			at := &place{f, h.m}
			switch {
			case h.do != nil:
				at.heard(now, h.do(now, out), out)
			case h.up:
				out.Send(h.local, h.peer, h.data)
			default:
				at.take(now, transport.Packet{Local: h.local, Peer: h.peer, Data: h.data}, out)
			}
		})
	})
}
