package vnet

import (
	"fmt"
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// Config configures a network.
type Config struct {
	// Seed is the seed of the run: all draws come from streams of it.
	Seed uint64
	// Start is the time at which the network begins, usually 0.
	Start clock.Instant
	// Tap, if not nil, sees everything, what is lost included.
	Tap transport.Tap
}

// A Network is a set of nodes and what is on its way between them.
type Network struct {
	config  Config
	now     clock.Instant
	nodes   []*Node
	open    directory // of the nodes that are not behind a NAT
	nats    map[netip.Addr]*NAT
	alarms  alarmHeap
	events  eventHeap
	buffers buffers
	hooks   []*hook
	cuts    map[[2]int32]bool

	ids      transport.StreamIDs
	streams  map[transport.StreamID]endRef
	nextPort uint16 // of a dialled stream

	out     *transport.Out
	flight  Flight // of the datagram that is being sent; here, it is not garbage
	busy    bool   // a host is being called
	steps   uint64 // since the network began
	instant uint64 // steps since time last moved
}

// New returns a network without nodes.
func New(config Config) *Network {
	n := &Network{
		config:  config,
		now:     config.Start,
		nats:    make(map[netip.Addr]*NAT),
		cuts:    make(map[[2]int32]bool),
		streams: make(map[transport.StreamID]endRef),
	}
	n.out = transport.NewOut(&n.ids, nil)
	return n
}

// Attach gives h a place in the open, with one address or several. It panics
// when an address is taken. The host is asked for its deadline.
func (n *Network) Attach(h transport.Host, addrs ...netip.Addr) *Node {
	return n.attach(h, nil, addrs)
}

// AttachPrefix gives h all addresses of a prefix that no other node has: a
// shard of a fleet in one host.
func (n *Network) AttachPrefix(h transport.Host, prefix netip.Prefix) *Node {
	node := n.newNode(h, nil)
	node.more().prefix = prefix.Masked()
	n.open.prefixes = append(n.open.prefixes, prefixEntry{prefix.Masked(), node})
	n.rearm(node)
	return node
}

func (n *Network) attach(h transport.Host, nat *NAT, addrs []netip.Addr) *Node {
	node := n.newNode(h, nat)
	node.join(addrs...)
	n.rearm(node)
	return node
}

func (n *Network) newNode(h transport.Host, nat *NAT) *Node {
	node := &Node{net: n, host: h, nat: nat, index: int32(len(n.nodes))}
	n.nodes = append(n.nodes, node)
	n.alarms.add()
	return node
}

// Now returns the present time.
func (n *Network) Now() clock.Instant { return n.now }

// Steps returns how many events have happened.
func (n *Network) Steps() uint64 { return n.steps }

// Next returns when the next event is due, clock.Never when nothing will ever
// happen again by itself.
func (n *Network) Next() clock.Instant {
	return max(n.now, min(n.events.next(), n.alarms.next().at))
}

// Quiet reports whether nothing is on its way: no packet, no scheduled
// function. Hosts may still have deadlines.
func (n *Network) Quiet() bool { return len(n.events.entries) == 0 }

// At schedules f for time t, now at the earliest. It runs between the calls of
// hosts and may use all methods of the network and its nodes.
func (n *Network) At(t clock.Instant, f func()) {
	n.events.push(max(t, n.now), event{kind: callFunc, f: f})
}

// Step lets the next event happen and reports whether there was one.
func (n *Network) Step() bool {
	next, alarm := n.events.next(), n.alarms.next()
	switch {
	case next == clock.Never && alarm.at == clock.Never:
		return false
	case next <= alarm.at:
		n.tick(next)
		n.happen(n.events.pop())
	default:
		n.tick(alarm.at)
		node := n.nodes[alarm.node]
		n.enter()
		node.host.Advance(n.now, n.out)
		n.leave(node)
	}
	return true
}

// Run lets everything happen that is due up to time until, and moves the time
// there.
func (n *Network) Run(until clock.Instant) {
	for n.Next() <= until && n.Step() {
	}
	if until != clock.Never {
		n.now = max(n.now, until)
	}
}

// RunUntil lets things happen until done reports true, which is asked after
// every event, and returns true. When done does not come true up to time until,
// it returns false at that time, or at the last event if until is clock.Never.
func (n *Network) RunUntil(done func() bool, until clock.Instant) bool {
	for !done() {
		if n.Next() > until || !n.Step() {
			n.Run(until)
			return false
		}
	}
	return true
}

// Settle lets things happen until nothing is on its way, and returns true;
// false when that takes longer than up to time until.
func (n *Network) Settle(until clock.Instant) bool { return n.RunUntil(n.Quiet, until) }

// stormSteps is how many steps a node may cause, on average, while time stands
// still: more is a pair of hosts that answer each other for ever.
const stormSteps = 100_000

// tick moves the time, never back: the deadline of a host may lie in the past.
func (n *Network) tick(to clock.Instant) {
	n.steps++
	if to > n.now {
		n.now, n.instant = to, 0
		return
	}
	if n.instant++; n.instant > stormSteps*uint64(len(n.nodes)+1) {
		panic(fmt.Sprintf("vnet: %d steps at %v: hosts answer each other without end, or one does not do what is due", n.instant, n.now))
	}
}

// enter and leave are the frame of every call of a host.
func (n *Network) enter() {
	if n.busy {
		panic("vnet: the network is used from inside a host")
	}
	n.busy = true
}

func (n *Network) leave(node *Node) {
	n.busy = false
	packets := n.out.Packets()
	for i := range packets {
		n.send(node, &packets[i])
	}
	actions := n.out.Actions()
	for i := range actions {
		n.act(node, &actions[i])
	}
	n.out.Clear()
	n.rearm(node)
}

func (n *Network) rearm(node *Node) {
	if !node.gone {
		n.alarms.set(node.index, node.host.Deadline())
	}
}

// An event is something that is due.
type event struct {
	kind     eventKind
	node     *Node          // of arriveAtNode
	nat      *NAT           // of arriveAtNAT
	half     *half          // of moveStream
	f        func()         // of callFunc
	from, to netip.AddrPort // of arriveAtNode and arriveAtNAT
	data     []byte
}

type eventKind uint8

const (
	arriveAtNode eventKind = iota // a datagram
	arriveAtNAT                   // a datagram
	moveStream                    // the next segment of one direction of a stream
	callFunc
)

func (n *Network) happen(e event) {
	switch e.kind {
	case arriveAtNode:
		n.arrive(e)
	case arriveAtNAT:
		n.arriveAtNAT(e)
	case moveStream:
		e.half.move()
	case callFunc:
		e.f()
	}
}

// Cut stops all packets between two nodes, Heal lets them pass again. What is
// on its way arrives.
func (n *Network) Cut(a, b *Node) { n.cuts[pair(a, b)] = true }

// Heal undoes Cut.
func (n *Network) Heal(a, b *Node) { delete(n.cuts, pair(a, b)) }

// Partition cuts every node of one side from every node of the other. Undo it
// with Rejoin.
func (n *Network) Partition(one, other []*Node) {
	for _, a := range one {
		for _, b := range other {
			n.Cut(a, b)
		}
	}
}

// Rejoin heals all cuts.
func (n *Network) Rejoin() { clear(n.cuts) }

func pair(a, b *Node) [2]int32 { return [2]int32{min(a.index, b.index), max(a.index, b.index)} }

func (n *Network) cut(a, b *Node) bool { return len(n.cuts) > 0 && n.cuts[pair(a, b)] }
