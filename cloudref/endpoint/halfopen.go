package endpoint

import (
	"container/list"
	"crypto/ecdsa"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// halfOpen holds the handshakes that are under way, by address. Their number is
// bounded in all and for each IP address; beyond it the oldest gives way, so
// that nobody can keep others out by stopping half-way.
type halfOpen struct {
	n     *Node
	mu    sync.Mutex
	peers map[netip.AddrPort]*handshake
	hosts map[netip.Addr]int
	order *list.List // of *handshake, oldest first

	// The last handshakes that were completed: a late copy of their ClientHello
	// must not begin another, whose flight the device would pay for.
	done     map[doneHello]clock.Instant // when it was completed
	doneRing []doneHello
	doneNext int
}

// A doneHello is where a completed handshake came from, and its client random.
type doneHello struct {
	peer   netip.AddrPort
	random [32]byte
}

// How many completed handshakes are remembered, and for how long: MAX_LATENCY of
// RFC 7252 Section 4.8.2, after which no copy arrives.
const (
	doneMax  = 1024
	doneTime = 100 * time.Second
)

// A handshake is one half-open handshake. Datagrams wait in its queue while one
// is worked on, perhaps elsewhere.
type handshake struct {
	half    *halfOpen
	local   netip.AddrPort
	peer    netip.AddrPort
	random  [32]byte
	element *list.Element
	timer   timerSlot

	mu     sync.Mutex // guards what follows
	server *dtls.Server
	queue  [][]byte
	busy   bool
	over   bool
}

// handshakeQueueMax bounds the datagrams that wait for one handshake. A client
// flight has five.
const handshakeQueueMax = 16

func (x *halfOpen) init(n *Node) {
	x.n, x.order = n, list.New()
	x.peers, x.hosts = make(map[netip.AddrPort]*handshake), make(map[netip.Addr]int)
	x.done = make(map[doneHello]clock.Instant)
}

// begin takes a ClientHello that the gate admitted: it is the retransmission of
// one that is being worked on, or begins a new handshake, which replaces an older
// one from the same address.
func (x *halfOpen) begin(now clock.Instant, p transport.Packet, w *work) {
	random := clientRandom(p.Data)
	if x.isDone(now, doneHello{p.Peer, random}) {
		x.n.counts.Records.add(int(dtls.DropReplay))
		return
	}
	if old := x.find(p.Peer); old != nil {
		if old.random == random && old.local == p.Local {
			old.give(now, p.Data, w)
			return
		}
		x.remove(old)
		x.n.abandoned(now, old)
	}
	hs := &handshake{half: x, local: p.Local, peer: p.Peer, random: random, server: dtls.NewServer(x.n.server)}
	x.mu.Lock()
	if old := x.peers[p.Peer]; old != nil {
		x.removeLocked(old) // begun on another goroutine since
	}
	x.evict(p.Peer.Addr())
	x.peers[p.Peer] = hs
	x.hosts[p.Peer.Addr()]++
	hs.element = x.order.PushBack(hs)
	x.mu.Unlock()
	x.n.counts.Handshakes.Add(1)
	hs.give(now, p.Data, w)
}

func (x *halfOpen) isDone(now clock.Instant, h doneHello) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	at, is := x.done[h]
	return is && now.Sub(at) < doneTime
}

// remember notes a completed handshake in place of the oldest.
func (x *halfOpen) remember(now clock.Instant, h doneHello) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.doneRing) < doneMax {
		x.doneRing = append(x.doneRing, h)
	} else {
		delete(x.done, x.doneRing[x.doneNext])
		x.doneRing[x.doneNext] = h
		x.doneNext = (x.doneNext + 1) % doneMax
	}
	x.done[h] = now
}

// evict makes room for one more handshake from host.
func (x *halfOpen) evict(host netip.Addr) {
	if x.hosts[host] >= x.n.c.HalfOpenPerAddress {
		for e := x.order.Front(); e != nil; e = e.Next() {
			if hs := e.Value.(*handshake); hs.peer.Addr() == host {
				x.removeLocked(hs)
				x.n.counts.HalfOpenEvicted.Add(1)
				break
			}
		}
	}
	if x.order.Len() >= x.n.c.HalfOpenMax {
		x.removeLocked(x.order.Front().Value.(*handshake))
		x.n.counts.HalfOpenEvicted.Add(1)
	}
}

func (x *halfOpen) remove(hs *handshake) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removeLocked(hs)
}

func (x *halfOpen) removeLocked(hs *handshake) {
	if x.peers[hs.peer] != hs {
		return
	}
	delete(x.peers, hs.peer)
	x.order.Remove(hs.element)
	x.n.timers.remove(hs)
	if x.hosts[hs.peer.Addr()]--; x.hosts[hs.peer.Addr()] == 0 {
		delete(x.hosts, hs.peer.Addr())
	}
}

func (x *halfOpen) find(peer netip.AddrPort) *handshake {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.peers[peer]
}

// Len returns the number of handshakes under way.
func (x *halfOpen) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.order.Len()
}

// take gives a datagram of epoch 0 to the handshake of its address, if there is
// one.
func (x *halfOpen) take(now clock.Instant, p transport.Packet, w *work) bool {
	hs := x.find(p.Peer)
	if hs == nil || hs.local != p.Local {
		return false
	}
	hs.give(now, p.Data, w)
	return true
}

// The client random in a datagram that the gate admitted: behind the headers of
// record and handshake message and the version.
const (
	clientRandomAt  = 13 + 12 + 2
	clientRandomEnd = clientRandomAt + 32
)

func clientRandom(datagram []byte) (random [32]byte) {
	if len(datagram) >= clientRandomEnd {
		copy(random[:], datagram[clientRandomAt:])
	}
	return random
}

// takeProtected gives a datagram of epoch 1 to the handshake of its address: the
// Finished may come in a datagram of its own.
func (x *halfOpen) takeProtected(now clock.Instant, h dtls.Header, p transport.Packet, w *work) bool {
	hs := x.find(p.Peer)
	if hs == nil {
		return false
	}
	if h.Type == dtls.TypeMovedCID || h.Type == dtls.TypeMovedTrailer {
		return false
	}
	hs.give(now, p.Data, w)
	return true
}

// give queues a datagram and sees to it that somebody works on it.
func (hs *handshake) give(now clock.Instant, datagram []byte, w *work) {
	n := hs.half.n
	hs.mu.Lock()
	if hs.over || len(hs.queue) >= handshakeQueueMax {
		hs.mu.Unlock()
		n.counts.HandshakeQueueFull.Add(1)
		return
	}
	hs.queue = append(hs.queue, slices.Clone(datagram))
	start := !hs.busy
	hs.busy = true
	hs.mu.Unlock()
	if start && !n.spawn(now, w, hs.step) {
		hs.mu.Lock()
		hs.busy, hs.queue = false, nil
		hs.mu.Unlock()
		n.counts.PoolFull.Add(1)
	}
}

// spawn runs handshake work on the pool, or at once where there is none. Work
// that runs elsewhere leaves its output to the next Run.
func (n *Node) spawn(now clock.Instant, w *work, step func(clock.Instant, *work)) bool {
	if n.c.Spawn == nil {
		step(now, w)
		return true
	}
	return n.c.Spawn(func(now clock.Instant, out *transport.Out) {
		w := n.work(out)
		defer n.release(w)
		step(now, w)
		n.drain(now, w)
	})
}

// step works on the datagrams that wait.
func (hs *handshake) step(now clock.Instant, w *work) {
	n := hs.half.n
	hs.mu.Lock()
	for len(hs.queue) > 0 && !hs.over {
		datagram := hs.queue[0]
		hs.queue = hs.queue[1:]
		n.stranger(now, hs.peer, trace.Up, len(datagram))
		hs.server.Receive(now, datagram, &w.dtls)
		hs.handle(now, w)
	}
	hs.busy, hs.queue = false, nil
	due := hs.server.Deadline()
	over := hs.over
	hs.mu.Unlock()
	if !over {
		n.arm(hs, due)
	}
}

func (hs *handshake) slot() *timerSlot { return &hs.timer }

// fire retransmits the flight, or gives up.
func (hs *handshake) fire(now clock.Instant, w *work) clock.Instant {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.over {
		return clock.Never
	}
	if hs.half.find(hs.peer) != hs {
		hs.over = true // it gave way to others
		return clock.Never
	}
	if n := hs.half.n; n.c.Faults.KeepHalfOpen {
		return clock.Never
	}
	if hs.server.Deadline() <= now {
		hs.server.Advance(now, &w.dtls)
		hs.handle(now, w)
	}
	if hs.over {
		return clock.Never
	}
	return max(hs.server.Deadline(), now+1)
}

// handle sends what the handshake made, and ends it when it is over.
func (hs *handshake) handle(now clock.Instant, w *work) {
	n := hs.half.n
	var done *dtls.Event
	for i := range w.dtls.Events {
		switch e := &w.dtls.Events[i]; e.Kind {
		case dtls.EventEstablished:
			established := *e
			done = &established
		case dtls.EventFailed:
			hs.over = true
			n.counts.HandshakeFailed.Add(1)
			n.refusedHandshake(now, hs.peer, e)
		case dtls.EventDropped:
			n.counts.Records.add(int(e.Reason))
		case dtls.EventApplication, dtls.EventClosed:
			// Behind the Finished in one datagram: no Device OS does it, and
			// the message would be retransmitted.
		}
	}
	for _, d := range w.dtls.Datagrams {
		n.stranger(now, hs.peer, trace.Down, len(d))
		w.out.Send(hs.local, hs.peer, d)
	}
	w.dtls.Reset()
	if done != nil {
		hs.over = true
		hs.half.remember(now, doneHello{hs.peer, hs.random})
		n.secured(now, hs, done, w)
	}
	if hs.over {
		hs.half.remove(hs)
	}
}

// refusedHandshake tells observers why a device does not get in, and what to do.
func (n *Node) refusedHandshake(now clock.Instant, peer netip.AddrPort, e *dtls.Event) {
	o := Observation{Why: n.reasonOf(e), At: now, Session: SessionInfo{Transport: "udp", Peer: peer.String()}}
	o.Detail = "handshake failed: " + e.Err.Error()
	if len(e.PeerSPKI) > 0 {
		key := store.FingerprintOf(e.PeerSPKI)
		o.Detail += "; the key of the device has the SHA-256 " + key.String() +
			": register it for the device's id if it should get in"
	}
	n.refuse(o)
}

// abandoned notes that a device began another handshake without having answered
// what it was sent: the answer is lost on its way, or the device does not accept
// it and says nothing (Device OS before 0.8).
func (n *Node) abandoned(now clock.Instant, hs *handshake) {
	n.counts.HandshakeFailed.Add(1)
	n.refuse(Observation{
		Why: ReasonTimeout, At: now, Session: SessionInfo{Transport: "udp", Peer: hs.peer.String()},
		Detail: "it began another handshake without an answer to the cloud's: either the cloud's datagrams do not reach it, " +
			"or it has the key of another cloud",
	})
}

// secured makes a session of a completed handshake. The device is known by its
// key; its Hello must say the same.
func (n *Node) secured(now clock.Instant, hs *handshake, e *dtls.Event, w *work) {
	key := store.FingerprintOf(e.PeerSPKI)
	identity, known := n.c.Store.Identify(key)
	var d *device
	var unknown *stranger
	switch {
	case (known && identity.Flags&store.Denied == 0) || n.c.Faults.AcceptUnknownKey:
		d = n.device(identity.Device)
	case !known && n.welcome():
		d, unknown = n.newDevice(store.DeviceID{}), newStranger(e.PeerSPKI, store.DeviceID{})
	default:
		return // the key was revoked a moment ago
	}
	s := newSession(session{device: d, local: n.index.localOf(hs.local), peer: hs.peer, key: key}, unknown)
	e.Session.SetDeviceID(identity.Device)
	e.Session.SetFaults(n.c.RecordFaults)
	s.link = link.OverDTLS(e.Session, n.exchange(&coap.CloudUDP))
	s.id = n.sessionID(e.Session)
	d.do(now, w, func() {
		d.begin(now, s, w)
		n.index.add(s)
		info := s.info(false)
		if n.c.KeepSecrets {
			info.DTLS = e.Secrets
		}
		if unknown == nil {
			n.observe(now, d, Observation{What: Secured, Session: info})
		}
	})
	n.counts.Secured.Add(1)
}

// greetPatience is how long a secured session may go without a Hello. A device
// gives up after the fourth transmission, at 90 s; over TCP after 4 s.
const (
	greetPatienceUDP = 90 * time.Second
	greetPatienceTCP = 30 * time.Second
)

// begin makes s the session whose Hello is awaited, in place of another one.
func (d *device) begin(now clock.Instant, s *session, w *work) {
	if old := d.fresh; old != nil {
		d.n.index.remove(old)
		if !old.udp() {
			d.n.streams.drop(old.stream)
			w.out.Close(old.stream)
		}
	}
	d.fresh = s
	s.special().greetBy = now.Add(greetPatienceUDP)
	if !s.udp() {
		s.special().greetBy = now.Add(greetPatienceTCP)
	}
}

// sessionID names a session in the store: its connection id, or one drawn for
// it where it has none.
func (n *Node) sessionID(s *dtls.Session) store.CID {
	if cid := s.ReadCID(); cid.Len() == len(store.CID{}) {
		return store.CID(cid.Bytes())
	}
	var id store.CID
	n.newCID(n.c.Rand, id[:])
	return id
}

// newCID draws a connection id that no session has. All zeros are left out.
func (n *Node) newCID(rand io.Reader, cid []byte) {
	for {
		if _, err := io.ReadFull(rand, cid); err != nil {
			panic("endpoint: no random bytes: " + err.Error())
		}
		if slices.Max(cid) != 0 && !n.index.hasCID(dtls.NewCID(cid)) {
			return
		}
	}
}

func (n *Node) serverConfig() *dtls.ServerConfig {
	return &dtls.ServerConfig{
		Key: n.c.ECKey, Rand: n.c.Rand, NewCID: n.newCID, KeepSecrets: n.c.KeepSecrets,
		Faults: n.c.ServerFaults, RecordFaults: n.c.RecordFaults,
		Verify: func(spki []byte) error {
			identity, known := n.c.Store.Identify(store.FingerprintOf(spki))
			if !known || identity.Flags&store.Denied != 0 {
				if n.c.Faults.AcceptUnknownKey || !known && n.welcome() {
					return nil
				}
				return dtls.ErrUnknownKey
			}
			return nil
		},
	}
}

// exchange returns a message layer that begins at a random id: the cloud's ids
// are its own, and after a restart they must not be those of the last seconds.
func (n *Node) exchange(p *coap.Params) coap.Exchange {
	n.rngMu.Lock()
	defer n.rngMu.Unlock()
	return coap.NewExchange(p, uint16(n.rng.Uint32()), n.jitter, n.c.ExchangeFaults)
}

// PublicKey returns the cloud's key for devices over UDP, nil if it has none.
func (n *Node) PublicKey() *ecdsa.PublicKey {
	if n.c.ECKey == nil {
		return nil
	}
	return &n.c.ECKey.PublicKey
}
