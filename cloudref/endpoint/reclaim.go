package endpoint

import (
	"net/netip"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
)

// When a node is gone, its devices are nowhere until they speak: those of cellular
// networks after up to 46 minutes. Who has something to say to one takes its session
// over first, as if a record of it had come (see adopt.go), and speaks to the address
// where it was last. What holds for a record holds here: the session changes hands
// by compare-and-swap, and the new node sends behind all that the old one reserved. A
// node that is not gone, but cut off from the store, can reserve nothing more; it loses
// the session when it hears of the store again.

// A Claim says under what conditions a session changes hands without a record of its
// device.
type Claim struct {
	// Gone reports whether a node is certainly not there.
	Gone func(store.NodeID) bool
	// Local returns from where to speak to a device that knows the cloud by an address:
	// from that, if it is this machine's now; the zero value leaves it to the system.
	Local func(netip.AddrPort) netip.AddrPort
}

// Reclaim takes over the session of a device whose node is gone, if it has one. done is
// called when that is over, whatever came of it, perhaps at once; it must not block.
func (n *Node) Reclaim(id store.DeviceID, c *Claim, done func()) {
	if d := n.index.device(id); !n.clustered() || n.c.Faults.ForgetSessions || d != nil && d.status().Transport != "" {
		done()
		return
	}
	a := n.others.reclaim(id, c, done)
	if a == nil {
		return
	}
	n.later(n.newDevice(id), func(now clock.Instant, _ *device, _ *work) { n.readSession(now, a) })
}

// claims reports whether a session may be taken although no record of it has come.
func (a *adoption) claims(stored *store.Session) bool {
	return a.claim != nil && a.claim.Gone(stored.Node)
}
