package endpoint

import (
	"fmt"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/pdc"
)

// A stranger is a device whose key nobody registered, let in for as long as
// [Config].Welcome says so. It has proven that it has the key, but not yet said
// who it is: its Hello does, and becomes the first thing that its own device gets
// when [Config].Adopt has registered the key. Until then its session hangs on a
// device of its own that no index knows.
type stranger struct {
	spki  []byte
	id    store.DeviceID // over TCP, where the handshake tells it
	asked bool           // a Hello came
}

// welcome reports whether unknown keys are let in right now.
func (n *Node) welcome() bool { return n.c.Welcome != nil && n.c.Adopt != nil && n.c.Welcome() }

// trust reports whether a device over TCP may be let in with the key that it
// offers. One that is registered with another key, or denied, may not.
func (n *Node) trust(id lightssl.DeviceID, spki []byte) bool {
	if !n.welcome() || n.rsaKey(store.DeviceID(id)) != nil {
		return false
	}
	if identity, known := n.c.Store.Identity(store.DeviceID(id)); known && identity.Flags&store.Denied != 0 {
		return false
	}
	identity, taken := n.c.Store.Identify(store.FingerprintOf(spki))
	return !taken || identity.Device == store.DeviceID(id)
}

// newStranger returns what there is to know of a stranger. Its session hangs on a
// new device.
func newStranger(spki []byte, id store.DeviceID) *stranger {
	return &stranger{spki: append([]byte(nil), spki...), id: id}
}

// introduce takes the Hello of a stranger.
func (d *device) introduce(now clock.Instant, s *session, e *coap.Event, w *work) {
	x := s.stranger()
	if x.asked {
		return // it waits for the store
	}
	hello, err := pdc.ParseHello(e.Message)
	id := x.id
	switch {
	case pdc.Classify(e.Message, true) != pdc.KindHello || err != nil:
		d.sendAway(now, s, ReasonHello, "its first message is not a Hello", w)
		return
	case len(hello.DeviceID) == len(id) && (id == store.DeviceID{} || id == store.DeviceID(hello.DeviceID)):
		id = store.DeviceID(hello.DeviceID)
	case s.udp() || len(hello.DeviceID) > 0:
		d.sendAway(now, s, ReasonHello, "a Hello in another name", w)
		return
	}
	x.asked, d.id = true, id
	wire := append([]byte(nil), e.Wire...)
	d.n.c.Adopt(id, x.spki, s.udp(), func(err error) {
		d.n.later(d, func(now clock.Instant, d *device, w *work) {
			switch {
			case s != d.fresh:
				// It left meanwhile.
			case err != nil:
				d.sendAway(now, s, ReasonOtherKey, err.Error(), w)
			default:
				d.handOver(s, wire)
			}
		})
	})
}

// sendAway ends the session of a stranger.
func (d *device) sendAway(now clock.Instant, s *session, x Reason, why string, w *work) {
	d.n.counts.HelloRefused.Add(1)
	d.n.observe(now, d, Observation{What: Refused, Why: x, Detail: why, Session: s.info(false)})
	d.endSession(now, s, why, w)
}

// handOver gives the session of a stranger, who is registered now, to its own
// device, with the Hello that has waited.
func (d *device) handOver(s *session, hello []byte) {
	d.n.index.remove(s)
	d.fresh = nil
	own := d.n.device(d.id)
	moved := &session{
		device: own, link: s.link, local: s.local, peer: s.peer, stream: s.stream,
		key: store.FingerprintOf(s.stranger().spki), id: s.id,
	}
	d.n.jobs.put(own, func(now clock.Instant, own *device, w *work) {
		own.begin(now, moved, w)
		if moved.udp() {
			moved.link.DTLS().SetDeviceID(own.id)
			own.n.index.add(moved)
		} else if !own.n.streams.carry(moved) {
			own.endSession(now, moved, "connection closed", w)
			return
		}
		own.n.observe(now, own, Observation{What: Secured, Session: moved.info(false)})
		m, err := coap.Parse(hello)
		if err != nil {
			panic(fmt.Sprintf("endpoint: a Hello that was read before: %v", err))
		}
		own.app.Hello(now, moved.udp(), m, &w.app)
		own.applied(now, moved, w)
	})
}

// carry makes s the session of its stream, and reports whether that is open.
//
// A stream is locked here while a device is: the other way round never happens.
func (x *streams) carry(s *session) bool {
	st := x.find(s.stream)
	if st == nil {
		return false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.session = s
	return !st.over
}
