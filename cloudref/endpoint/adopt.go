package endpoint

import (
	"errors"
	"fmt"
	"math"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/transport"
)

// How a session moves from one node to another:
//
//	record arrives -> its session is read, and opens the record: it is the newest
//	  -> progress written, if it is still the one that was read
//	  -> session written, if it is still the one that was read
//	  -> application state read -> the session is here; the record goes to it
//
// The first write keeps the node that had the session from reserving more
// sequence numbers, so no two nodes ever use one twice. The second tells that
// node, and all others, whose the session is; it forgets its own without a word
// to the device. Both know of the record: what the device had sent to the old node
// and comes late does not move the session back.

// A place is what a node must know of a device that may be at another.
type place struct {
	loaded  bool           // the application state is as the store has it
	loading bool           // it is being read
	lostAt  store.Revision // of the last session that another node stored
	came    clock.Instant  // when it said Hello over TCP here
}

// place returns it, making it if need be. In a cloud of one node it is not asked
// for.
func (d *device) place() *place { return d.n.others.place(d) }

// An owned says which records of a session in the store are this node's.
type owned struct {
	revision store.Revision // of the session
	progress store.Revision // of its progress
	// writer names the session as it is here: what it has written without being told
	// that it was done is its own, and no sign that another node has the session.
	writer string
}

// ours returns it, making it if need be.
func (s *session) ours() *owned {
	r := s.special()
	if r.owned == nil {
		r.owned = &owned{writer: fmt.Sprintf("%s.%d", s.device.n.c.Node, s.device.n.writers.Add(1))}
	}
	return r.owned
}

// write is a write of a record that is this node's only.
func (s *session) write(op store.Op) store.Op {
	if s.device.n.clustered() {
		op = op.By(s.ours().writer)
	}
	return op
}

// clustered reports whether there are other nodes.
func (n *Node) clustered() bool { return n.c.Node != store.NodeID{} }

// learn takes in what the store says of a session.
func (n *Node) learn(id store.DeviceID, s *store.Session, at store.Revision) {
	if s == nil || s.Node == n.c.Node {
		n.others.forget(id, at)
		return
	}
	state, peer, err := thawed(s)
	if err != nil {
		n.counts.Unrestored.Add(1)
		return
	}
	o := other{cid: state.ReadCID, peer: peer, revision: at, node: s.Node}
	n.others.set(id, o)
	if d := n.index.device(id); d != nil {
		n.later(d, func(now clock.Instant, d *device, w *work) {
			d.place().lostAt = max(d.place().lostAt, at)
			d.elsewhere(now, at, w)
		})
	}
}

// Elsewhere says that a device was connected to another node at a time. It reports
// whether that can be: the news is late if the device connected here after that.
func (n *Node) Elsewhere(id store.DeviceID, at clock.Instant) bool {
	d := n.index.device(id)
	if d == nil {
		return true
	}
	d.mu.Lock()
	late := d.cameAfter(at)
	d.mu.Unlock()
	if late {
		return false
	}
	n.later(d, func(now clock.Instant, d *device, w *work) {
		if d.current != nil && !d.current.udp() && !d.cameAfter(at) {
			d.elsewhere(now, math.MaxUint64, w)
		}
	})
	return true
}

// cameAfter reports whether a device connected over TCP here after a time. Of those
// over UDP the store tells, in order.
func (d *device) cameAfter(at clock.Instant) bool {
	return d.current != nil && !d.current.udp() && d.place().came > at
}

// elsewhere forgets the session of a device that another node has now. The device
// is told nothing, and nothing is written: both are the other node's.
func (d *device) elsewhere(now clock.Instant, at store.Revision, w *work) {
	s := d.current
	if s == nil || s.udp() && (s.ours().revision >= at || !s.stored) {
		return
	}
	d.n.counts.Left.Add(1)
	d.n.index.remove(s)
	if s.udp() {
		// Where the other node has not got to the end, the session is this one's still,
		// for the next record.
		d.n.others.set(d.id, other{cid: s.link.DTLS().Export().ReadCID, peer: s.peer, revision: s.ours().revision, node: d.n.c.Node})
	}
	if !s.udp() {
		d.n.streams.drop(s.stream)
		w.out.Close(s.stream)
	}
	d.current, d.online, d.place().loaded = nil, false, false
	update := d.app.FlashRef()
	d.app.Lost(now, &w.app)
	w.app.Save = 0
	d.applied(now, nil, w)
	if update != 0 {
		d.n.observe(now, d, Observation{What: Application, Effect: app.FlashMoved{Ref: update}})
	}
	d.n.router.remove(d)
	d.app = app.New(app.DeviceID(d.id), &d.n.app)
	d.n.observe(now, d, Observation{What: Left, Detail: "another node has the session", Session: s.info(false)})
	if d.fresh == nil {
		d.n.index.forget(d)
		d.n.others.leave(d)
	}
}

// wrote notes the revision of the session's record, as this node wrote it.
func (d *device) wrote(now clock.Instant, s *session, at store.Revision, w *work) {
	s.ours().revision = max(s.ours().revision, at)
	if s == d.current && s.stored && d.place().lostAt > s.ours().revision {
		d.elsewhere(now, d.place().lostAt, w)
	}
}

// load reads the application state of a device whose first message has come: it may
// have been at another node. The message waits.
func (d *device) load(s *session, e *coap.Event) {
	if d.place().loading {
		s.link.Forget(e.Message) // it is being read; the device sends again
		return
	}
	d.place().loading = true
	wire := append([]byte(nil), e.Wire...)
	d.n.c.Store.ReadParts(d.id, movingParts, func(parts [][]byte, err error) {
		d.n.later(d, func(now clock.Instant, d *device, w *work) {
			d.place().loading = false
			m, parseErr := coap.Parse(wire)
			if parseErr != nil {
				panic(fmt.Sprintf("endpoint: a message that was read before: %v", parseErr))
			}
			if err != nil {
				s.link.Forget(m) // it is sent again, and then it is tried again
				return
			}
			d.place().loaded = true
			d.restoreApp(parts)
			if s == d.current || s == d.fresh {
				d.message(now, s, m, w)
				d.applied(now, s, w)
			}
		})
	})
}

// movingParts are the parts of the application state that a device takes along.
var movingParts = []store.Part{partSession, partDescribe, partLedgers}

// restoreApp takes over the application state as it was stored, by movingParts.
func (d *device) restoreApp(parts [][]byte) {
	if len(parts[0]) == 0 {
		return
	}
	if d.n.c.Faults.ForgetState {
		parts[1] = nil
	}
	a, err := app.Restore(app.DeviceID(d.id), &d.n.app, parts[0], parts[1])
	if err != nil {
		d.n.counts.Unrestored.Add(1)
		return
	}
	d.app = a
	if len(parts[2]) > 0 && a.RestoreLedgers(parts[2]) != nil {
		d.n.counts.Unrestored.Add(1)
	}
}

// adopt takes over the session that a record is of, if another node has it. It
// reports whether one has.
func (n *Node) adopt(now clock.Instant, h dtls.Header, p transport.Packet) bool {
	if !n.clustered() || n.c.Faults.ForgetSessions {
		return false
	}
	id, known := n.others.find(h, p.Peer)
	if !known {
		return false
	}
	p.Data = append([]byte(nil), p.Data...)
	marked := h.Type == dtls.TypeMovedCID || h.Type == dtls.TypeMovedTrailer
	if a := n.others.join(now, id, arrived{packet: p, marked: marked}); a != nil {
		n.readSession(now, a)
	}
	return true
}

// adoptionTries bounds how often a session that changes while it is adopted is read
// again.
const adoptionTries = 5

func (n *Node) readSession(now clock.Instant, a *adoption) {
	a.tries++
	n.c.Store.ReadSession(a.id, func(stored *store.Session, err error) {
		if err != nil {
			n.others.end(now, a, true)
			return
		}
		seen, moves := n.opens(now, stored, n.others.waiting(a))
		half := a.progress != 0 && a.progress == stored.Progress // its records are seen, by itself
		if !moves && !half && !a.claims(stored) {
			n.counts.Unmoved.Add(1)
			n.others.end(now, a, true)
			return
		}
		n.takeOver(now, a, stored, seen)
	})
}

// opens reports whether a datagram moves a session: whether one of those is of it, and
// newer than all that the store knows to have come. Otherwise anybody who saw a
// connection id could move sessions from node to node, and so could what the network
// delivers late (as with addresses, RFC 9146 Section 6). It returns the progress that
// has seen them.
func (n *Node) opens(now clock.Instant, stored *store.Session, datagrams [][]byte) (seen store.Progress, moves bool) {
	s, err := n.newDevice(stored.Device).thaw(stored, false)
	if err != nil {
		return seen, false
	}
	out := link.Out{Ciphers: dtls.NewCiphers(1)}
	for _, datagram := range datagrams {
		if s.link.Receive(now, datagram, &out).Newest {
			moves = true
		}
	}
	return s.progressFor(0), moves // from where is told when the session is ours
}

// takeOver writes that the session is this node's, and reserves sequence numbers.
func (n *Node) takeOver(now clock.Instant, a *adoption, stored *store.Session, seen store.Progress) {
	d := n.device(a.id)
	s, err := d.thaw(stored, n.c.Faults.RewindSequence)
	if err != nil {
		n.others.end(now, a, true)
		return
	}
	if a.claims(stored) {
		// A packet would tell where it came to. As it is the address may be another
		// machine's.
		s.local = n.index.localOf(a.claim.Local(*s.local))
	}
	record := s.record(n.c.Reservation) // sets what is reserved, for the progress too
	seen.Reserved = s.reserved
	progress := []store.Op{s.write(store.Reserve(seen).If(stored.Progress))}
	n.c.Store.Write(progress, func(err error) {
		if err != nil {
			n.tryAgain(now, a, err)
			return
		}
		a.progress = progress[0].Revision
		s.ours().progress = a.progress
		ops := []store.Op{s.write(store.PutSession(record).If(stored.Revision))}
		n.c.Store.Write(ops, func(err error) {
			if err != nil {
				n.tryAgain(now, a, err)
				return
			}
			s.ours().revision = ops[0].Revision
			n.c.Store.ReadParts(a.id, movingParts, func(parts [][]byte, err error) {
				n.later(d, func(now clock.Instant, d *device, w *work) { d.arrive(now, s, a, parts, err, w) })
			})
		})
	})
}

// tryAgain reads the session again where somebody else has changed it, or gives up.
func (n *Node) tryAgain(now clock.Instant, a *adoption, err error) {
	if errors.Is(err, store.ErrConflict) && a.tries < adoptionTries {
		n.readSession(now, a)
		return
	}
	// The device sends again, and then it is tried again.
	n.others.end(now, a, false)
}

// arrive makes an adopted session the device's own.
func (d *device) arrive(now clock.Instant, s *session, a *adoption, parts [][]byte, err error, w *work) {
	queue := d.n.others.end(now, a, false)
	d.n.others.forget(d.id, s.ours().revision+1)
	if d.current != nil || err != nil || d.place().lostAt > s.ours().revision {
		return // a handshake was faster, or another node; or it is read again with the next record
	}
	d.place().loaded = true
	d.restoreApp(parts)
	d.app.Restored(d.n.firstToken(now))
	d.current = s
	s.link.Reserve(s.reserved, &w.send)
	d.n.index.add(s)
	d.reroute()
	d.n.counts.Adopted.Add(1)
	what := Adopted
	if a.claim != nil {
		what = Reclaimed
	}
	d.n.observe(now, d, Observation{What: what, Session: s.info(true)})
	for _, x := range queue {
		d.receive(now, s, x.packet.Data, x.packet, x.marked, w)
	}
	d.flush(now, s, w)
}

// progressOf is what this node has reserved of a session.
func (n *Node) progressOf(s *session) store.Op {
	return s.write(store.Reserve(s.progressFor(s.reserved)))
}
