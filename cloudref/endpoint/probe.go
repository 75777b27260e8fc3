package endpoint

import (
	"net/netip"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/transport"
)

// probes bounds what is sent without any proof of who asked.
type probes struct {
	mu      sync.Mutex
	buckets map[netip.Addr]bucket
	stale   map[[12]byte]clock.Instant
	unknown clock.Instant // when observers were last told of an unknown session
}

// A bucket holds the echoes that an address may still get.
type bucket struct {
	tokens float64
	at     clock.Instant
}

// probesMax bounds how many addresses are remembered. When there are more, all
// are forgotten: the limit is then loose for a moment, never the memory.
const probesMax = 1 << 16

// stalePause is how often a device is told that its session is unknown.
const stalePause = 10 * time.Second

func (p *probes) init() {
	p.buckets, p.stale = make(map[netip.Addr]bucket), make(map[[12]byte]clock.Instant)
}

// allow reports whether one more echo may go to an address.
func (p *probes) allow(now clock.Instant, a netip.Addr, perSecond, burst int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.buckets) >= probesMax {
		clear(p.buckets)
	}
	b, known := p.buckets[a]
	if !known {
		b = bucket{tokens: float64(burst), at: now}
	}
	b.tokens = min(float64(burst), b.tokens+now.Sub(b.at).Seconds()*float64(perSecond))
	b.at = now
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	p.buckets[a] = b
	return allowed
}

// allowStale reports whether a device may be told again.
func (p *probes) allowStale(now clock.Instant, id [12]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.stale) >= probesMax {
		clear(p.stale)
	}
	if last, told := p.stale[id]; told && now.Sub(last) < stalePause {
		return false
	}
	p.stale[id] = now
	return true
}

// unknownPause is how often observers are told of a record of an unknown session:
// anybody can send these, as many as they like.
const unknownPause = 50 * time.Millisecond

// tellUnknown tells observers of a record whose session nobody knows, but not of
// each.
func (n *Node) tellUnknown(now clock.Instant, h dtls.Header, p transport.Packet) {
	n.probes.mu.Lock()
	tell := n.probes.unknown == 0 || now.Sub(n.probes.unknown) >= unknownPause
	if tell {
		n.probes.unknown = now
	}
	n.probes.mu.Unlock()
	if !tell {
		return
	}
	o := Observation{
		What: Stray, Why: ReasonUnknownSession, At: now, Session: SessionInfo{Transport: "udp", Peer: p.Peer.String()},
		Detail: "a record of a session that this cloud does not have",
	}
	if h.Type == dtls.TypeMovedTrailer {
		o.Device = store.DeviceID(h.DeviceID)
	}
	n.c.Observe(o)
}

// echo sends a reachability probe back as it is. It is one for one in
// bytes, and bounded in rate for each address.
func (n *Node) echo(now clock.Instant, p transport.Packet, w *work) {
	if n.c.Faults.EchoAnything {
		w.out.Send(p.Local, p.Peer, p.Data)
		return
	}
	if _, err := pdc.ParseProbe(p.Data); err != nil {
		n.counts.ProbesRefused.Add(1)
		return
	}
	if n.c.Faults.NoProbe || !n.probes.allow(now, p.Peer.Addr(), n.c.ProbesPerSecond, n.c.ProbeBurst) {
		n.counts.ProbesRefused.Add(1)
		return
	}
	n.counts.ProbesEchoed.Add(1)
	w.out.Send(p.Local, p.Peer, p.Data)
}
