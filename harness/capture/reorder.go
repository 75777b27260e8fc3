package capture

import (
	"net/netip"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// earlyMax bounds the sightings that wait for earlier ones.
const earlyMax = 1 << 16

// arrivals are sightings that wait for earlier ones.
type arrivals struct {
	queue clock.Queue[transport.Sighting]
	hosts map[netip.Addr]int // how many are of each address
	// sending has the times of what is being sent and may not have been told yet.
	sending map[clock.Instant]int
}

// begin notes that something is being sent, end that it was told.
func (a *arrivals) begin(at clock.Instant) {
	if a.sending == nil {
		a.sending = make(map[clock.Instant]int)
	}
	a.sending[at]++
}

func (a *arrivals) end(at clock.Instant) {
	if a.sending[at]--; a.sending[at] <= 0 {
		delete(a.sending, at)
	}
}

// sendMax is how long what is being sent holds up what came later. A peer that does
// not read can make one write last longer.
const sendMax = 2 * time.Second

// open returns the time up to which everything has been told.
func (a *arrivals) open(now clock.Instant, reorder time.Duration) clock.Instant {
	until := now.Add(-reorder)
	for at := range a.sending {
		if at > now.Add(-sendMax) {
			until = min(until, at-1)
		}
	}
	return until
}

// add keeps a copy of a sighting.
func (a *arrivals) add(s transport.Sighting) {
	s.Data = append([]byte(nil), s.Data...)
	a.queue.Push(s.At, s)
	if a.hosts == nil {
		a.hosts = make(map[netip.Addr]int)
	}
	a.hosts[s.Local.Addr()]++
	a.hosts[s.Peer.Addr()]++
}

// take takes the earliest.
func (a *arrivals) take() transport.Sighting {
	s := a.queue.Pop()
	for _, host := range []netip.Addr{s.Local.Addr(), s.Peer.Addr()} {
		if a.hosts[host]--; a.hosts[host] == 0 {
			delete(a.hosts, host)
		}
	}
	return s
}

// Waiting reports whether sightings of a host wait for earlier ones.
func (d *Decoder) Waiting(host netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.early.hosts[host] > 0
}

// admit decodes the sightings that have waited long enough.
func (d *Decoder) admit(now clock.Instant) {
	a := &d.early
	until := a.open(now, d.cfg.Reorder)
	for n := a.queue.Len(); n > 0 && (n > earlyMax || a.queue.Next() <= until); n = a.queue.Len() {
		d.sight(a.take())
	}
}
