package vnet

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// headerSize is what IPv4 and UDP add to a datagram, in bytes.
const headerSize = 28

// segmentHeaderSize is what IPv4 and TCP add to a segment, in bytes.
const segmentHeaderSize = 40

// A Link is one direction of a node's access to the network. The zero Link is
// perfect: nothing is lost and nothing takes time. Probabilities are from 0 to
// 1.
type Link struct {
	// Delay is how long every packet takes; Jitter is the most that a packet
	// takes longer, all values being equally likely. Jitter may reorder.
	Delay, Jitter time.Duration
	// Loss is the probability that a packet is lost.
	Loss float64
	// Duplicate is the probability that a datagram is carried twice; of Up
	// only.
	Duplicate float64
	// Reorder is the probability that a datagram is held back for ReorderBy,
	// so that later ones overtake it.
	Reorder   float64
	ReorderBy time.Duration
	// MTU is the largest IP packet in bytes, headers included; 0: no limit.
	// Larger datagrams are lost without a word, as behind a router that sends
	// no ICMP. Streams stay below it.
	MTU int
	// Rate is the bandwidth in bits per second, headers included; 0: no limit.
	Rate int64
	// Queue is the longest that a packet waits for its turn when there is a
	// Rate; 0: one second. What would wait longer is lost.
	Queue time.Duration
}

// An Access is how a node is connected: Up carries what it sends, Down what it
// receives. Many nodes may share one, each with a bandwidth of its own.
// Changes take effect for what is sent after them.
type Access struct{ Up, Down Link }

// Why a packet was lost, as the Lost field of a Sighting says it.
const (
	LostByChance    = "chance"     // Link.Loss
	LostTooLarge    = "mtu"        // Link.MTU
	LostInQueue     = "queue"      // Link.Queue
	LostToPartition = "partition"  // Cut
	LostOffline     = "offline"    // SetOnline(false)
	LostNoAddress   = "no address" // nobody has the address
	LostToNAT       = "nat"        // no mapping, or the filter refused it
	LostSpoofed     = "spoofed"    // the source is not an address of the sender
	LostToHook      = "hook"       // a hook dropped it without saying why
)

// A line is what one node's side of a link remembers of its traffic.
type line struct{ busy clock.Instant } // when the last packet has left

// carry returns how long a packet of size bytes, headers included, takes over
// link l of node, or why it is lost. A patient one waits in any queue. It draws
// only what the link needs.
func (l *Link) carry(now clock.Instant, size int, node *Node, state func(*extra) *line, patient bool) (delay time.Duration, lost string) {
	if l.MTU > 0 && size > l.MTU {
		return 0, LostTooLarge
	}
	if l.Loss > 0 && node.rand().Float64() < l.Loss {
		return 0, LostByChance
	}
	delay = l.Delay
	if l.Rate > 0 {
		s := state(node.more())
		start := max(now, s.busy)
		if !patient && start.Sub(now) > l.queue() {
			return 0, LostInQueue
		}
		s.busy = start.Add(time.Duration(int64(size) * 8 * int64(time.Second) / l.Rate))
		delay += s.busy.Sub(now)
	}
	if l.Jitter > 0 {
		delay += time.Duration(node.rand().Int64N(int64(l.Jitter)))
	}
	if l.Reorder > 0 && node.rand().Float64() < l.Reorder {
		delay += l.ReorderBy
	}
	return delay, ""
}

func (l *Link) queue() time.Duration {
	if l.Queue > 0 {
		return l.Queue
	}
	return time.Second
}

// up carries what node sends, down what it receives.
func (node *Node) up(now clock.Instant, size int, patient bool) (time.Duration, string) {
	if node.access == nil {
		return 0, ""
	}
	return node.access.Up.carry(now, size, node, func(e *extra) *line { return &e.up }, patient)
}

func (node *Node) down(now clock.Instant, size int, patient bool) (time.Duration, string) {
	if node.access == nil {
		return 0, ""
	}
	return node.access.Down.carry(now, size, node, func(e *extra) *line { return &e.down }, patient)
}

// copies returns how many copies of a datagram node sends: 1, or 2.
func (node *Node) copies() int {
	if node.access != nil && node.access.Up.Duplicate > 0 && node.rand().Float64() < node.access.Up.Duplicate {
		return 2
	}
	return 1
}
