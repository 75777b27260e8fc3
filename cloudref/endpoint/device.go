package endpoint

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/transport"
)

// A device is one device as this node knows it: its application state, and the
// session that carries it.
//
//	fresh: secured, its Hello not accepted yet. The old session stays usable.
//	current: the session of the last accepted Hello, or one that was restored.
//
// There is at most one of each.
type device struct {
	mu      sync.Mutex
	n       *Node
	id      store.DeviceID
	app     *app.Device
	current *session
	fresh   *session
	held    []*heldOut // in order, waiting for the store
	routed  *app.Subscriptions
	owner   store.AccountID // under which it is routed
	heard   clock.Instant
	online  bool
	queued  bool      // in Node.jobs
	unsaved app.Parts // changed, but the store failed
	timer   timerSlot
	inbox   []job
}

// A session is one secured connection of a device.
type session struct {
	device *device
	link   link.Link
	local  *netip.AddrPort // one for all sessions on it
	peer   netip.AddrPort
	stream transport.StreamID // 0 over UDP
	key    store.Fingerprint
	id     store.CID // its name in the store

	reserved  uint64   // send sequences below are stored as used
	unstored  int      // records received since the window was stored
	marking   *marking // progress on its way to the store
	reserving bool
	written   bool   // on its way to the store
	stored    bool   // in the store
	restored  bool   // nothing was received since the node started
	moved     bool   // the last record was marked as moved
	pinged    uint16 // message id of the newest marked ping

	rare *rare // nil for nearly all
}

// A rare holds what few sessions have, so that the others need no room for it: a
// million of them live in one process.
type rare struct {
	greetBy  clock.Instant // of a fresh session: when its Hello must be there
	stranger *stranger     // of a device that is not registered yet
	owned    *owned        // in a cloud of several nodes
}

// special returns what few sessions have, to be filled.
func (s *session) special() *rare {
	if s.rare == nil {
		s.rare = &rare{greetBy: clock.Never}
	}
	return s.rare
}

// greetBy is when the Hello must be there, never behind it.
func (s *session) greetBy() clock.Instant {
	if s.rare == nil {
		return clock.Never
	}
	return s.rare.greetBy
}

// greeted notes that the Hello is there.
func (s *session) greeted() {
	if r := s.rare; r != nil {
		r.greetBy = clock.Never
		if *r == (rare{greetBy: clock.Never}) {
			s.rare = nil
		}
	}
}

// stranger returns what is known of a device that is not registered yet, nil of others.
func (s *session) stranger() *stranger {
	if s.rare == nil {
		return nil
	}
	return s.rare.stranger
}

// newSession returns a session of a device, which may be unknown.
func newSession(s session, unknown *stranger) *session {
	if unknown != nil {
		s.special().stranger = unknown
	}
	return &s
}

func (s *session) udp() bool { return s.stream == 0 }

// cid is the connection id by which records name the session, empty over TCP
// and for devices without.
func (s *session) cid() dtls.CID {
	if !s.udp() {
		return dtls.CID{}
	}
	return s.link.DTLS().ReadCID()
}

// named reports whether the session's records carry a connection id.
func (s *session) named() bool {
	cid := s.cid()
	return cid.Len() > 0
}

func (n *Node) device(id store.DeviceID) *device {
	return n.index.deviceOrNew(id, func() *device { return n.newDevice(id) })
}

func (n *Node) newDevice(id store.DeviceID) *device {
	return &device{n: n, id: id, app: app.New(app.DeviceID(id), &n.app), heard: -1}
}

// do does the jobs of the device and runs f, with the device locked, then sees to
// its timer.
func (d *device) do(now clock.Instant, w *work, f func()) {
	d.mu.Lock()
	d.catchUp(now, w)
	f()
	due := d.deadline()
	d.mu.Unlock()
	d.n.arm(d, due)
}

func (d *device) slot() *timerSlot { return &d.timer }

// fire does what is due.
func (d *device) fire(now clock.Instant, w *work) clock.Instant {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range []*session{d.current, d.fresh} {
		if s != nil && s.link.Deadline() <= now {
			s.link.Advance(now, &w.in)
			d.linked(now, s, w)
		}
	}
	if d.app.Deadline() <= now {
		d.app.Advance(now, &w.app)
		d.applied(now, d.current, w)
	}
	if s := d.fresh; s != nil && s.greetBy() <= now {
		d.endSession(now, s, "no Hello came", w)
	}
	if d.current != nil && d.silentAt() <= now {
		d.silent(now, w)
	}
	return max(d.deadline(), now+1)
}

func (d *device) deadline() clock.Instant {
	due := d.app.Deadline()
	for _, s := range []*session{d.current, d.fresh} {
		if s != nil {
			due = min(due, s.link.Deadline())
		}
	}
	if d.fresh != nil {
		due = min(due, d.fresh.greetBy())
	}
	return min(due, d.silentAt())
}

// silent gives up on a device that should have pinged by now. Over UDP it may
// come back at any time and go on with its session; a connection over TCP is of
// no more use.
func (d *device) silent(now clock.Instant, w *work) {
	if s := d.current; !s.udp() {
		d.endSession(now, s, "nothing was heard of it", w)
		return
	}
	d.goOffline(now, "nothing was heard of it")
}

// silentAt is when the device counts as offline, unless something is heard.
func (d *device) silentAt() clock.Instant {
	c := &d.n.c
	switch {
	case d.current == nil, d.current.udp() && !d.online, d.app.Flashing():
		return clock.Never // a device that is updated does not ping; the update has a time limit of its own
	case !d.current.udp():
		return d.heard.Add(c.SilenceTCP)
	case d.app.LastHello().Platform.Cellular():
		return d.heard.Add(c.SilenceCellular)
	default:
		return d.heard.Add(c.SilenceOther)
	}
}

// receive takes a datagram or bytes of a stream for session s, and reports
// whether they prove to be from its device. marked says that the record came with
// the mark of a moved session.
func (d *device) receive(now clock.Instant, s *session, wire []byte, from transport.Packet, marked bool, w *work) (authentic bool) {
	if s != d.current && s != d.fresh && !d.n.c.Faults.TwoSessions {
		return false // replaced since it was looked up
	}
	arrival := s.link.Receive(now, wire, &w.in)
	if s.udp() {
		if !arrival.Authentic {
			d.strayed(s, from)
			d.linked(now, s, w)
			return false
		}
		followed := d.follow(s, from, arrival)
		d.received(now, s, len(wire), &w.in)
		d.noteResume(now, s, marked, followed, w)
	} else {
		d.received(now, s, len(wire), &w.in)
	}
	d.heard = now
	if s == d.current && d.alive(w.in.Events) {
		d.app.Heard(now)
		if !d.online && !s.link.Over() {
			d.goOnline(now, s)
		}
	}
	s.unstored++
	d.linked(now, s, w)
	d.keepWindow(now, s)
	return true
}

// alive reports whether events show that the device is there now. A repeated
// message does not: it may be the Goodbye, whose ACK was lost.
func (d *device) alive(events []link.Event) bool {
	for i := range events {
		if events[i].Kind != link.Exchange {
			continue
		}
		switch events[i].CoAP.Kind {
		case coap.Received, coap.Ping:
			return true
		case coap.Acknowledged:
			if d.app.Ready() {
				return true
			}
		default:
			// Late, repeated or malformed.
		}
	}
	return false
}

// follow moves the session to the address that its newest record came from
// (RFC 9146 Section 6). An authentic record that is not the newest is answered
// at the address that is known. It reports whether the peer's address is another
// now.
func (d *device) follow(s *session, from transport.Packet, a dtls.Arrival) bool {
	if !a.Newest && !d.n.c.Faults.MoveOld || s.peer == from.Peer && *s.local == from.Local || d.n.c.Faults.NeverMove {
		return false
	}
	old, local := s.peer, *s.local
	s.peer, s.local = from.Peer, d.n.index.localOf(from.Local)
	if old != s.peer {
		d.n.index.move(s, old, s.peer)
		d.n.counts.Moved.Add(1)
	}
	switch {
	case !s.stored:
	case !s.named() && old != s.peer:
		// By its address alone its records are found, after a restart too.
		d.writeSession(s)
	case *s.local != local && !d.n.clustered():
		d.writeSession(s) // where it is heard is one of several addresses of this cloud
	default:
		// The next progress tells where it is, see progressFor.
	}
	return old != s.peer
}

// writeSession stores the session as it is now.
func (d *device) writeSession(s *session) {
	ops := []store.Op{store.PutSession(s.record(0))}
	if d.n.clustered() {
		ops[0] = ops[0].If(s.ours().revision)
	}
	d.n.c.Store.Write(ops, func(err error) {
		if err == nil && d.n.clustered() {
			d.n.later(d, func(now clock.Instant, d *device, w *work) { d.wrote(now, s, ops[0].Revision, w) })
		}
	})
}

// strayed handles a record that did not prove itself. Nothing happens, but for
// the fault that suites must find.
func (d *device) strayed(s *session, from transport.Packet) {
	if d.n.c.Faults.MoveUnproven {
		s.peer, s.local = from.Peer, d.n.index.localOf(from.Local)
	}
}

// noteResume finds out that the device has restored its session: then it has
// forgotten what was asked of it before.
//
// Device OS: it marks its records until the first application record of the cloud was
// processed. A device that sleeps right behind its ping, or hears no answer, marks
// all that it says in several resumes. Each has a new socket, and begins with a new
// ping.
func (d *device) noteResume(now clock.Instant, s *session, marked, followed bool, w *work) {
	again := marked && s.pingedAgain(w.in.Events) // whatever the others are: it remembers
	resumed := s.restored || marked && (!s.moved || followed) || again
	s.moved = marked
	if !resumed || s != d.current {
		return
	}
	unnoticed := s.restored && !marked
	s.restored = false
	if !d.resumed(now, s, unnoticed, w) {
		// A Hello would make it good again: it is looked at first.
		d.dismiss(now, s, "the state of the session is lost", w)
		return
	}
	d.n.counts.Resumed.Add(1)
	d.online = false // so that it is seen to come online
	d.applied(now, s, w)
}

// resumed tells the application layer, and reports whether it knows the session. What
// was sent before is for nobody, unless the device noticed nothing: that the cloud
// restarted, or that another node has it, is all that happened.
func (d *device) resumed(now clock.Instant, s *session, unnoticed bool, w *work) bool {
	if unnoticed {
		return d.app.Unnoticed(now, &w.app)
	}
	s.link.ForgetSent()
	return d.app.Resumed(now, &w.app)
}

// pingedAgain reports whether what a marked record held is a ping, and not the last
// one once more.
func (s *session) pingedAgain(events []link.Event) bool {
	for i := range events {
		if e := &events[i]; e.Kind == link.Exchange && e.CoAP.Kind == coap.Ping {
			last := s.pinged
			s.pinged = e.CoAP.ID
			return last != s.pinged
		}
	}
	return false
}

// linked handles what the link of session s said about what it received.
func (d *device) linked(now clock.Instant, s *session, w *work) {
	if s == d.fresh && !s.udp() && pingsFirst(w.in.Events) && !d.n.c.Faults.AnyFirstMessage {
		w.in.Reset() // with the answer to the ping
		d.endSession(now, s, "its first message is not a Hello", w)
		return
	}
	d.transmit(now, s, &w.in, w)
	for i := range w.in.Events {
		e := &w.in.Events[i]
		switch e.Kind {
		case link.Exchange:
			d.exchanged(now, s, &e.CoAP, w)
		case link.Dropped:
			d.n.counts.Records.add(int(e.Reason))
		case link.Closed:
			d.endSession(now, s, e.Err.Error(), w)
		case link.NeedReservation:
			d.reserve(s)
		default:
			panic("endpoint: unknown event of a link")
		}
	}
	w.in.Reset()
	if s.udp() && s.stored && s.link.DTLS().Remaining() < d.n.c.Reservation/2 {
		d.reserve(s)
	}
}

// pingsFirst reports whether a connection that has not seen a Hello begins with a
// ping. Over UDP that may be a datagram that overtook the Hello.
func pingsFirst(events []link.Event) bool {
	i := slices.IndexFunc(events, func(e link.Event) bool { return e.Kind == link.Exchange })
	return i >= 0 && events[i].CoAP.Kind == coap.Ping
}

// flush sends what was given to the link of session s. It never runs inside
// itself: the output of receiving and that of sending are apart.
func (d *device) flush(now clock.Instant, s *session, w *work) {
	d.transmit(now, s, &w.send, w)
	var closed error
	for i := range w.send.Events {
		switch e := &w.send.Events[i]; e.Kind {
		case link.NeedReservation:
			d.reserve(s)
		case link.Closed:
			closed = e.Err
		default:
			// Sending gives no other events.
		}
	}
	w.send.Reset()
	if closed != nil {
		d.endSession(now, s, closed.Error(), w)
	}
}

// transmit hands packets of a session to the transport.
func (d *device) transmit(now clock.Instant, s *session, out *link.Out, w *work) {
	d.sent(now, s, out)
	for _, packet := range out.Packets {
		if s.udp() {
			w.out.Send(*s.local, s.peer, packet)
			continue
		}
		if d.n.c.Faults.SplitFrames {
			w.out.Write(s.stream, packet[:1])
			packet = packet[1:]
		}
		w.out.Write(s.stream, packet)
	}
}

// exchanged handles one event of the message layer.
func (d *device) exchanged(now clock.Instant, s *session, e *coap.Event, w *work) {
	if s != d.current && s != d.fresh {
		return // it ended with an earlier event
	}
	switch e.Kind {
	case coap.Received:
		if d.n.c.Faults.ForwardRequests {
			d.n.forward(d, e.Message)
		}
		if s.stranger() != nil {
			d.introduce(now, s, e, w)
			return
		}
		if d.n.clustered() && !d.place().loaded {
			d.load(s, e)
			return
		}
		d.message(now, s, e.Message, w)
	case coap.Acknowledged:
		if s == d.current {
			d.app.Acknowledged(now, e.Tag, e.Message, &w.app)
		}
	case coap.TimedOut:
		if s == d.current {
			d.app.TimedOut(now, &w.app)
		}
	case coap.Malformed:
		d.n.counts.Malformed.Add(1)
		if s == d.fresh {
			d.endSession(now, s, "its first message is not a Hello", w)
			return
		}
		if e.Message.Type == coap.Confirmable && s.udp() {
			// C-4: an error in an ACK; a Reset would end the session.
			s.link.Reply(now, e.Message, coap.Message{Code: coap.BadRequest}, &w.send)
			d.flush(now, s, w)
		}
	case coap.WasReset:
		// A board rejects one message, or does not know what it answers. Its
		// session stays.
		d.n.counts.Rejected.Add(1)
		switch {
		case s != d.current:
		case e.Matched:
			d.app.Rejected(now, e.Tag, &w.app)
		default:
			d.app.ChunkRejected(now, &w.app)
		}
	default:
		// Ping, Duplicate, Unmatched: answered or dropped already.
	}
	d.applied(now, s, w)
}

// forward is the fault that a suite must find: a device reaches the others.
func (n *Node) forward(from *device, m coap.Message) {
	if pdc.Classify(m, false) != pdc.KindFunctionCall {
		return
	}
	m, _ = coap.Parse(m.Append(nil)) // a copy of its own
	for _, d := range n.index.all() {
		if d == from {
			continue
		}
		n.later(d, func(now clock.Instant, d *device, w *work) {
			if d.current != nil {
				d.current.link.Send(now, m, 0, &w.send)
				d.flush(now, d.current, w)
			}
		})
	}
}

// message takes a message. The first of a new session must be a Hello.
func (d *device) message(now clock.Instant, s *session, m coap.Message, w *work) {
	if s == d.current {
		d.app.Receive(now, m, &w.app)
		return
	}
	if s == d.fresh {
		d.app.Hello(now, s.udp(), m, &w.app)
	}
}

// applied handles what the application layer said: what must be durable goes to
// the store first, and everything else follows in order.
func (d *device) applied(now clock.Instant, s *session, w *work) {
	if len(w.app.Replies)+len(w.app.Sends)+len(w.app.Effects) == 0 && !w.app.Durable() {
		return
	}
	h := d.hold(s, &w.app)
	w.app.Reset()
	if len(h.replies) > 0 {
		h.save |= d.unsaved // what the device was not told must be durable before it is told
	}
	if h.refused() {
		d.releaseOne(now, h, w) // at once: nothing was changed
		return
	}
	d.held = append(d.held, h)
	d.store(h)
	d.releaseHeld(now, w)
}

// goOnline and goOffline tell observers, once for each change.
func (d *device) goOnline(now clock.Instant, s *session) {
	d.online = true
	d.n.observe(now, d, Observation{What: Online, Session: s.info(true)})
}

func (d *device) goOffline(now clock.Instant, why string) {
	if d.online {
		d.online = false
		d.n.observe(now, d, Observation{What: Offline, Detail: why})
	}
}

// endSession ends one session of the device. Over UDP the device is told with
// close_notify: it must not resume what the cloud does not keep.
func (d *device) endSession(now clock.Instant, s *session, why string, w *work) {
	s.link.Close(&w.send)
	d.transmit(now, s, &w.send, w)
	w.send.Reset()
	d.forget(now, s, w)
	d.n.observe(now, d, Observation{What: Ended, Detail: why, Session: s.info(false)})
}

// dismiss ends a session in a way that its device notices. A restored session may
// have to wait for the store before it can say so; if the device greets meanwhile,
// the session goes on.
func (d *device) dismiss(now clock.Instant, s *session, why string, w *work) {
	if !s.udp() || !s.stored || s.link.DTLS().Remaining() > 0 {
		d.endSession(now, s, why, w)
		return
	}
	d.reserveThen(s, func(now clock.Instant, w *work) {
		if s == d.current && !d.app.Ready() {
			d.endSession(now, s, why, w)
		}
	})
}

// forget removes a session from everything that knows it.
func (d *device) forget(now clock.Instant, s *session, w *work) {
	d.n.index.remove(s)
	if !s.udp() {
		d.n.streams.drop(s.stream)
		w.out.Close(s.stream)
	}
	if s == d.fresh {
		d.fresh = nil
	}
	if s != d.current {
		return
	}
	d.current = nil
	if s.written {
		drop := store.DropSession(d.id)
		if d.n.clustered() && s.ours().revision != 0 {
			drop = drop.If(s.ours().revision) // it may be another node's by now
		}
		d.n.c.Store.Write([]store.Op{drop}, func(error) {})
	}
	d.app.Lost(now, &w.app)
	d.goOffline(now, "its session ended")
	d.applied(now, nil, w)
	d.n.router.remove(d)
}

// info describes the session for observers.
func (s *session) info(resumed bool) SessionInfo {
	info := SessionInfo{Transport: "udp", Peer: s.peer.String(), Resumed: resumed}
	if !s.udp() {
		info.Transport = "tcp"
		return info
	}
	cid := s.link.DTLS().ReadCID()
	info.CID = append([]byte(nil), cid.Bytes()...)
	return info
}

func (n *Node) observe(now clock.Instant, d *device, o Observation) {
	if o.What == Refused {
		n.counts.refusals[o.Why].Add(1)
	}
	n.c.Observe(n.fill(now, d, o))
}

// fill completes an observation with what is known of the device.
func (n *Node) fill(now clock.Instant, d *device, o Observation) Observation {
	hello := d.app.LastHello()
	o.At, o.Device, o.ProductID, o.ProductVersion = now, d.id, hello.ProductID, hello.ProductVersion
	if identity, known := n.c.Store.Identity(d.id); known {
		o.Owner = identity.Owner
	}
	return o
}
