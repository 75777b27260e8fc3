package cluster

import (
	"iter"
	"net/netip"
	"time"
)

const (
	// placeKept is how long it is remembered where a node listened that is silent: it
	// may be cut off from the others and serve people nevertheless.
	placeKept = time.Hour
	// placeMax bounds the addresses, and the ports, of one node.
	placeMax = 256
)

// A Place is where a node listens: at each of the ports, on some or all of the
// addresses of its machine.
type Place struct {
	Addrs []netip.Addr `json:"a,omitempty"`
	Ports []uint16     `json:"p,omitempty"`
}

// A place is that of another node, and when it was told.
type place struct {
	Place
	at time.Time
}

// notePlace remembers where a node listens. mu is held.
func (c *Cluster) notePlace(n news, now time.Time) {
	if n.Place == nil || len(n.Place.Addrs) > placeMax || len(n.Place.Ports) > placeMax {
		return
	}
	c.places[n.Node] = place{*n.Place, now}
}

// forgetPlaces drops those that nobody has been heard from for long. mu is held.
func (c *Cluster) forgetPlaces(now time.Time) {
	for node, p := range c.places {
		if now.Sub(p.at) > placeKept {
			delete(c.places, node)
		}
	}
	for node, at := range c.left {
		if now.Sub(at) > placeKept {
			delete(c.left, node) // it is silent for long enough
		}
	}
}

// Places yields the addresses and the ports of each of the other nodes.
func (c *Cluster) Places() iter.Seq2[[]netip.Addr, []uint16] {
	return func(yield func([]netip.Addr, []uint16) bool) {
		c.mu.Lock()
		all := make([]Place, 0, len(c.places))
		for _, p := range c.places {
			all = append(all, p.Place)
		}
		c.mu.Unlock()
		for _, p := range all {
			if !yield(p.Addrs, p.Ports) {
				return
			}
		}
	}
}

// SayAlive says that this node lives, and where, without waiting for the next second.
func (c *Cluster) SayAlive() {
	c.mu.Lock()
	told := c.tales
	c.mu.Unlock()
	here := c.handler.Place()
	c.publish(subjectAlive, news{Node: c.id.String(), Told: told, Place: &here})
}
