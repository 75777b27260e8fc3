package endpoint

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/transport"
)

// streams holds the TCP connections: those in the handshake, and those that are
// a session.
type streams struct {
	n      *Node
	config *lightssl.ServerConfig
	mu     sync.Mutex
	byID   map[transport.StreamID]*stream
}

// A stream is one TCP connection.
//
//	opened --nonce, C1, answer, first frame--> session
//	   any --bad bytes, time--> closed without a word
type stream struct {
	n     *Node
	id    transport.StreamID
	local netip.AddrPort
	peer  netip.AddrPort
	timer timerSlot

	mu      sync.Mutex // guards what follows; never held with a device's
	server  *lightssl.Server
	session *session
	out     lightssl.Out
	over    bool
}

func (x *streams) init(n *Node) {
	x.n, x.byID = n, make(map[transport.StreamID]*stream)
	if n.c.RSAKey == nil {
		return
	}
	x.config = &lightssl.ServerConfig{
		Key: n.c.RSAKey, Rand: n.c.Rand, Faults: n.c.LightFaults,
		Lookup: func(id lightssl.DeviceID) []byte { return n.rsaKey(store.DeviceID(id)) },
	}
	if n.c.Welcome != nil && n.c.Adopt != nil {
		x.config.Trust = n.trust
	}
}

// rsaKeyPatience bounds how long the store may take to find a key.
const rsaKeyPatience = 5 * time.Second

// rsaKey returns the registered key of a device that may connect over TCP. It
// reads the record of any id, known or not, so that both take as long.
func (n *Node) rsaKey(id store.DeviceID) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), rsaKeyPatience)
	defer cancel()
	record, err := n.c.Store.Device(ctx, id)
	if err != nil || record.Flags&store.Denied != 0 {
		return nil
	}
	return record.RSA
}

func (x *streams) find(id transport.StreamID) *stream {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.byID[id]
}

// drop forgets a connection that the node itself ends.
func (x *streams) drop(id transport.StreamID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byID, id)
}

func (x *streams) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.byID)
}

// StreamOpened greets a connection with the nonce: over TCP the cloud speaks
// first.
func (n *Node) StreamOpened(now clock.Instant, s transport.Stream, out *transport.Out) {
	w := n.work(out)
	defer n.release(w)
	if n.streams.config == nil || n.streams.len() >= n.c.StreamsMax {
		n.counts.StreamsRefused.Add(1)
		w.out.Abort(s.ID)
		return
	}
	st := &stream{n: n, id: s.ID, local: s.Local, peer: s.Peer, server: lightssl.NewServer(n.streams.config)}
	n.streams.mu.Lock()
	n.streams.byID[s.ID] = st
	n.streams.mu.Unlock()
	n.counts.Streams.Add(1)
	st.mu.Lock()
	st.server.Start(now, &st.out)
	st.handle(now, w)
	due := st.server.Deadline()
	st.mu.Unlock()
	n.arm(st, due)
}

// StreamData takes the next bytes of a connection.
func (n *Node) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	st := n.streams.find(id)
	if st == nil {
		return
	}
	w := n.work(out)
	defer n.release(w)
	st.mu.Lock()
	s := st.session
	if s == nil {
		st.server.Receive(now, b, &st.out)
		st.handle(now, w)
	}
	due := st.server.Deadline()
	st.mu.Unlock()
	if s != nil {
		s.device.do(now, w, func() { s.device.receive(now, s, b, transport.Packet{}, false, w) })
	} else {
		n.arm(st, due)
	}
	n.drain(now, w)
}

// StreamClosed takes the end of a connection.
func (n *Node) StreamClosed(now clock.Instant, id transport.StreamID, cause transport.Cause, out *transport.Out) {
	st := n.streams.find(id)
	if st == nil {
		return
	}
	n.streams.drop(id)
	w := n.work(out)
	defer n.release(w)
	st.mu.Lock()
	s := st.session
	st.over = true
	st.mu.Unlock()
	if s != nil {
		s.device.do(now, w, func() {
			if s == s.device.current || s == s.device.fresh {
				s.device.endSession(now, s, "connection "+cause.String(), w)
			}
		})
	}
	n.drain(now, w)
}

// handle sends what the handshake made and acts on its events. st.mu is held.
func (st *stream) handle(now clock.Instant, w *work) {
	for _, chunk := range st.out.Chunks {
		w.out.Write(st.id, chunk)
	}
	events := append([]lightssl.Event(nil), st.out.Events...)
	st.out.Reset()
	for i := range events {
		switch e := &events[i]; e.Kind {
		case lightssl.EventWork:
			st.work(now, e.Work, w)
		case lightssl.EventEstablished:
			st.established(e)
		case lightssl.EventFailed:
			st.fail(now, e, w)
		}
	}
}

// work runs the RSA operations, which cost about as much as a thousand messages,
// on the pool.
func (st *stream) work(now clock.Instant, job *lightssl.Work, w *work) {
	if st.n.c.Spawn == nil {
		st.server.Finish(now, job.Run(), &st.out)
		st.handle(now, w)
		return
	}
	taken := st.n.c.Spawn(func(now clock.Instant, out *transport.Out) {
		result := job.Run()
		w := st.n.work(out)
		defer st.n.release(w)
		st.mu.Lock()
		if !st.over {
			st.server.Finish(now, result, &st.out)
			st.handle(now, w)
		}
		due := st.server.Deadline()
		st.mu.Unlock()
		st.n.arm(st, due)
		st.n.drain(now, w)
	})
	if !taken {
		st.n.counts.PoolFull.Add(1)
		st.close(w)
	}
}

// fail closes the connection without a byte. Why is for the operator only: to
// the peer all reasons look alike.
func (st *stream) fail(now clock.Instant, e *lightssl.Event, w *work) {
	st.n.counts.HandshakeFailed.Add(1)
	if st.n.c.Faults.AdoptKeys && e.Refusal == lightssl.RefusedKey && len(e.SPKI) > 0 {
		st.adopt(e)
	}
	o := Observation{
		Why: st.n.reasonOfLight(e), At: now, Device: store.DeviceID(e.DeviceID),
		Session: SessionInfo{Transport: "tcp", Peer: st.peer.String()},
		Detail:  "handshake failed: " + e.Err.Error(),
	}
	if e.Refusal != lightssl.NotRefused {
		o.Detail += " (" + e.Refusal.String() + ")"
	}
	if len(e.SPKI) > 0 {
		o.Detail += "; the key that was offered has the SHA-256 " + store.FingerprintOf(e.SPKI).String()
	}
	st.n.refuse(o)
	st.close(w)
}

// adopt is the fault that a suite must find: the key that was offered takes the
// place of the registered one.
func (st *stream) adopt(e *lightssl.Event) {
	ctx := context.Background()
	if record, err := st.n.c.Store.Device(ctx, store.DeviceID(e.DeviceID)); err == nil {
		record.RSA = e.SPKI
		st.n.c.Store.Write([]store.Op{store.PutDevice(record)}, func(error) {})
	}
}

func (st *stream) close(w *work) {
	st.over = true
	st.n.streams.drop(st.id)
	w.out.Close(st.id)
}

// established makes a session of a completed handshake. Its first frame waits in
// e.Rest and must be a Hello.
func (st *stream) established(e *lightssl.Event) {
	d := st.n.device(store.DeviceID(e.DeviceID))
	var unknown *stranger
	if st.isStranger(e) {
		d, unknown = st.n.newDevice(store.DeviceID(e.DeviceID)), newStranger(e.SPKI, store.DeviceID(e.DeviceID))
	}
	s := newSession(session{device: d, local: st.n.index.localOf(st.local), peer: st.peer, stream: st.id}, unknown)
	s.link = link.OverLightSSL(e.Session, st.n.exchange(&coap.CloudTCP))
	st.session = s
	rest := append([]byte(nil), e.Rest...)
	credentials := append([]byte(nil), e.Session.Credentials()[:]...)
	st.n.counts.Secured.Add(1)
	// The device is locked later: a stream and a device are never locked
	// together.
	st.n.jobs.put(d, func(now clock.Instant, d *device, w *work) {
		d.begin(now, s, w)
		if unknown != nil {
			d.receive(now, s, rest, transport.Packet{}, false, w)
			return
		}
		if identity, known := st.n.c.Store.Identity(d.id); !known || identity.Flags&store.Denied != 0 {
			d.endSession(now, s, "the device was removed a moment ago", w)
			return
		}
		info := s.info(false)
		if st.n.c.KeepSecrets {
			info.Credentials = credentials
		}
		st.shook(now)
		st.n.observe(now, d, Observation{What: Secured, Session: info})
		d.receive(now, s, rest, transport.Packet{}, false, w)
	})
}

// isStranger reports whether the handshake was let through with a key that is not
// registered for the device.
func (st *stream) isStranger(e *lightssl.Event) bool {
	if st.n.streams.config.Trust == nil || len(e.SPKI) == 0 {
		return false
	}
	identity, known := st.n.c.Store.Identify(store.FingerprintOf(e.SPKI))
	return !known || identity.Device != store.DeviceID(e.DeviceID)
}

func (st *stream) slot() *timerSlot { return &st.timer }

// fire closes a connection whose handshake takes too long. Those that are
// a session are watched with their device.
func (st *stream) fire(now clock.Instant, w *work) clock.Instant {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.over || st.session != nil {
		return clock.Never
	}
	if st.server.Deadline() <= now {
		st.server.Advance(now, &st.out)
		st.handle(now, w)
	}
	if st.over || st.session != nil {
		return clock.Never
	}
	return max(st.server.Deadline(), now+1)
}
