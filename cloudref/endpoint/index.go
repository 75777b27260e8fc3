package endpoint

import (
	"net/netip"
	"sync"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/dtls"
)

// An index finds sessions and devices. It is locked by itself, shortly, and
// never while one of its methods waits for a device.
type index struct {
	mu      sync.RWMutex
	cids    map[dtls.CID]*session
	peers   map[netip.AddrPort]*session // sessions without connection id
	devices map[store.DeviceID]*device

	localMu sync.Mutex
	locals  map[netip.AddrPort]*netip.AddrPort // addresses of the cloud itself
}

func newIndex() index {
	return index{
		locals:  make(map[netip.AddrPort]*netip.AddrPort),
		cids:    make(map[dtls.CID]*session),
		peers:   make(map[netip.AddrPort]*session),
		devices: make(map[store.DeviceID]*device),
	}
}

func (x *index) byCID(cid dtls.CID) *session {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.cids[cid]
}

func (x *index) byPeer(peer netip.AddrPort) *session {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.peers[peer]
}

func (x *index) device(id store.DeviceID) *device {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.devices[id]
}

// forget removes a device that has nothing to be remembered for.
func (x *index) forget(d *device) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.devices[d.id] == d {
		delete(x.devices, d.id)
	}
}

// localOf returns the one pointer for an address of the cloud: there are few.
func (x *index) localOf(a netip.AddrPort) *netip.AddrPort {
	x.localMu.Lock()
	defer x.localMu.Unlock()
	p := x.locals[a]
	if p == nil {
		p = &a
		x.locals[a] = p
	}
	return p
}

// all returns every device, in no order.
func (x *index) all() []*device {
	x.mu.RLock()
	defer x.mu.RUnlock()
	list := make([]*device, 0, len(x.devices))
	for _, d := range x.devices {
		list = append(list, d)
	}
	return list
}

// deviceOrNew returns the device with that id, made by build if there is none.
func (x *index) deviceOrNew(id store.DeviceID, build func() *device) *device {
	x.mu.Lock()
	defer x.mu.Unlock()
	d := x.devices[id]
	if d == nil {
		d = build()
		x.devices[id] = d
	}
	return d
}

// add enters a session: by connection id, or by address where it has none.
func (x *index) add(s *session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.named() {
		x.cids[s.cid()] = s
	} else if s.stream == 0 && s.peer.IsValid() {
		x.peers[s.peer] = s
	}
}

// remove forgets a session.
func (x *index) remove(s *session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.named() && x.cids[s.cid()] == s {
		delete(x.cids, s.cid())
	}
	if x.peers[s.peer] == s {
		delete(x.peers, s.peer)
	}
}

// move notes the new address of a session that has no connection id.
func (x *index) move(s *session, from, to netip.AddrPort) {
	if s.named() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.peers[from] == s {
		delete(x.peers, from)
	}
	x.peers[to] = s
}

// hasCID reports whether a connection id is taken.
func (x *index) hasCID(cid dtls.CID) bool { return x.byCID(cid) != nil }
