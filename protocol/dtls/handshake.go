package dtls

import (
	"bytes"
	"crypto/sha256"
	"hash"

	"github.com/muster/muster/protocol/clock"
)

// A handshake is what Client and Server have in common while it runs.
type handshake struct {
	in     reassembly
	plain  window // replay window of epoch 0: a datagram that the network doubled is not a retransmission
	tx     transmitter
	flight flight
	timer  timer
	next   uint16 // message_seq of our next message

	clientRandom, serverRandom [randomSize]byte
	// transcript is SHA-256 over all messages from the ClientHello with the
	// cookie on (RFC 6347 Section 4.2.6).
	transcript   hash.Hash
	master       [masterSize]byte
	prf          prf      // of the master secret
	masterSecret bool     // extended, RFC 7627
	session      *Session // nil until there are keys
	changed      bool     // the peer's ChangeCipherSpec was seen
	early        [][]byte // records of epoch 1 that came too early
	repeated     bool     // the flight was repeated in answer to the present datagram
	stuck        bool     // takes nothing any more, and times out
	over         bool
	wholeOnly    bool // a fault: fragments are dropped
	scratch      []byte
}

// A role is what a Client and a Server do differently with what arrives.
type role interface {
	// readCIDSize is the length of the connection id in records to this side.
	readCIDSize() int
	// receiveFirst judges a fragment of a message before it is put together.
	receiveFirst(t handshakeType, seq uint16) DropReason
	// repeats reports whether a fragment of a message that was already handled
	// means that the peer repeats its flight.
	repeats(t handshakeType, seq uint16) bool
	// receiveMessage takes the next message.
	receiveMessage(now clock.Instant, m message, out *Out)
	// end ends the handshake without a session.
	end(err error, out *Out)
}

// Bounds for what is kept of epoch 1 before it can be read.
const (
	maxEarly     = 4
	maxEarlySize = 512
)

func newHandshake(profile Profile, maxMessage int, t Timers) handshake {
	if maxMessage == 0 {
		maxMessage = DefaultMaxMessage
		if profile == Standard {
			maxMessage = DefaultMaxMessageStandard
		}
	}
	return handshake{
		in:         reassembly{max: maxMessage},
		timer:      timer{Timers: t, deadline: clock.Never},
		transcript: sha256.New(),
		flight:     flight{messages: make([]byte, 0, 512)},
		scratch:    make([]byte, 0, 256),
	}
}

// begin starts a new flight.
func (h *handshake) begin() { h.flight = flight{messages: h.flight.messages[:0]} }

// add adds a message to the flight and to the transcript.
func (h *handshake) add(t handshakeType, body []byte) {
	start := len(h.flight.messages)
	h.flight.messages = appendMessage(h.flight.messages, t, h.next, body)
	h.transcript.Write(h.flight.messages[start:])
	h.next++
}

// addFinished makes Finished the end of the flight, in epoch 1.
func (h *handshake) addFinished(verify []byte) {
	h.flight.finished = appendMessage(nil, typeFinished, h.next, verify)
	h.transcript.Write(h.flight.finished)
	h.next++
}

// note adds a message of the peer to the transcript.
func (h *handshake) note(m *message) {
	h.scratch = appendMessage(h.scratch[:0], m.typ, m.seq, m.body)
	h.transcript.Write(h.scratch)
}

// sum returns the hash of the transcript so far.
func (h *handshake) sum() []byte { return h.transcript.Sum(nil) }

// send sends the flight for the first time.
func (h *handshake) send(now clock.Instant, out *Out) {
	h.tx.send(&h.flight, h.session, out)
	h.timer.start(now)
}

// resend sends the flight again because the peer repeated its own, at most once
// for a datagram.
func (h *handshake) resend(now clock.Instant, out *Out) {
	if h.repeated {
		return
	}
	h.repeated = true
	h.tx.send(&h.flight, h.session, out)
	h.timer.restart(now)
}

// key computes the keys and makes the session.
func (h *handshake) key(secret []byte, s *Session, clientCID, serverCID []byte) {
	var sessionHash []byte
	if h.masterSecret {
		sessionHash = h.sum()
	}
	h.master = master(secret, &h.clientRandom, &h.serverRandom, sessionHash)
	h.prf = newPRF(h.master[:])
	block := h.prf.keyBlock(&h.clientRandom, &h.serverRandom)
	keys := KeysFromBlock(&block, clientCID, serverCID)
	s.setKeys(&keys)
	h.session = s
}

// keepEarly keeps a copy of a record of epoch 1 for when it can be read.
func (h *handshake) keepEarly(raw []byte) DropReason {
	if len(h.early) >= maxEarly || len(raw) > maxEarlySize {
		return DropNotReady
	}
	h.early = append(h.early, bytes.Clone(raw))
	return DropNone
}

// readable reports whether records of epoch 1 can be read. Device OS: a
// Finished that overtook its ChangeCipherSpec waits for it.
func (h *handshake) readable() bool { return h.session != nil && h.changed }

// secrets returns what a key log needs, if it is wanted.
func (h *handshake) secrets(keep bool) *Secrets {
	if !keep {
		return nil
	}
	return &Secrets{ClientRandom: h.clientRandom, ServerRandom: h.serverRandom, Master: h.master}
}

// established reports whether the handshake has ended well.
func (h *handshake) established() bool { return h.over && h.session != nil && !h.session.over }

// receive takes a datagram. What follows the end of the handshake in it goes to
// the session.
func (h *handshake) receive(by role, now clock.Instant, datagram []byte, out *Out) {
	h.repeated = false
	if h.over || h.stuck {
		out.dropped(DropOver)
		return
	}
	for len(datagram) > 0 && (!h.over || h.established()) {
		r, rest, why := splitRecord(datagram, by.readCIDSize())
		if why != DropNone {
			out.dropped(why)
			return
		}
		h.receiveRecord(by, now, &r, datagram[:len(datagram)-len(rest)], out)
		datagram = rest
	}
}

// receiveRecord takes one record, which is raw with its header.
func (h *handshake) receiveRecord(by role, now clock.Instant, r *record, raw []byte, out *Out) {
	if h.established() {
		var a Arrival
		h.session.receiveRecord(r, out, &a)
		return
	}
	if r.epoch() != 0 {
		h.receiveProtected(by, now, r, raw, out)
		return
	}
	if why := h.checkPlain(r); why != DropNone {
		out.dropped(why)
		return
	}
	switch r.typ {
	case TypeHandshake:
		h.receiveFragments(by, now, 0, r.body, out)
	case TypeChangeCipherSpec:
		if h.changed || !isChangeCipherSpec(r.body) {
			out.dropped(DropChangeCipher)
			return
		}
		h.changed = true
		h.openEarly(by, now, out)
	case TypeAlert:
		level, d, ok := parseAlert(r.body)
		if !ok || level != AlertFatal && d != CloseNotify {
			out.dropped(DropAlert)
			return
		}
		// Not authenticated, but every Device OS obeys it, and the worst it can
		// do to a cloud is cost a device a retry.
		by.end(&AlertError{Level: level, Description: d}, out)
	default:
		out.dropped(DropType)
	}
}

// receiveProtected takes a record of epoch 1.
func (h *handshake) receiveProtected(by role, now clock.Instant, r *record, raw []byte, out *Out) {
	if !h.readable() {
		if why := h.keepEarly(raw); why != DropNone {
			out.dropped(why)
		}
		return
	}
	t, content, _, why := h.session.open(out.Ciphers, r)
	switch {
	case why != DropNone:
		out.dropped(why)
	case t == TypeHandshake:
		h.receiveFragments(by, now, 1, content, out)
	case t == TypeAlert && len(content) == 2 && AlertLevel(content[0]) == AlertFatal:
		by.end(&AlertError{Level: AlertFatal, Description: AlertDescription(content[1])}, out)
	default:
		// Application data before Finished: the peer may repeat them.
		out.dropped(DropNotReady)
	}
}

// openEarly takes the records that came before they could be read.
func (h *handshake) openEarly(by role, now clock.Instant, out *Out) {
	if !h.readable() {
		return
	}
	early := h.early
	h.early = nil
	for _, raw := range early {
		if r, _, why := splitRecord(raw, by.readCIDSize()); why == DropNone && (!h.over || h.established()) {
			h.receiveRecord(by, now, &r, raw, out)
		}
	}
}

// receiveFragments takes the body of a handshake record.
func (h *handshake) receiveFragments(by role, now clock.Instant, epoch uint16, body []byte, out *Out) {
	for len(body) > 0 && !h.over && !h.stuck {
		f, rest, why := splitFragment(body)
		if why == DropNone {
			why = h.receiveFragment(by, now, epoch, &f, out)
		}
		if why != DropNone {
			out.dropped(why)
		}
		body = rest
	}
}

func (h *handshake) receiveFragment(by role, now clock.Instant, epoch uint16, f *fragment, out *Out) DropReason {
	if !belongs(f.typ, epoch) {
		return DropHandshake
	}
	if why := by.receiveFirst(f.typ, f.seq); why != DropNone {
		return why
	}
	if h.wholeOnly && !f.whole() {
		return DropFragment
	}
	why := h.in.add(epoch, f)
	if why == DropPast && by.repeats(f.typ, f.seq) {
		// RFC 6347 Section 4.2.4: the peer repeats its flight because ours was
		// lost.
		h.resend(now, out)
		return DropNone
	}
	for !h.over && !h.stuck {
		m, ok := h.in.take()
		if !ok {
			break
		}
		by.receiveMessage(now, m, out)
	}
	return why
}

// belongs reports whether a message may come in an epoch: Finished is the only
// one that is protected, and always is.
func belongs(t handshakeType, epoch uint16) bool { return (t == typeFinished) == (epoch == 1) }

// checkPlain judges a record of epoch 0.
func (h *handshake) checkPlain(r *record) DropReason {
	switch {
	case r.version != version12 && r.version != version10:
		return DropVersion
	case !h.plain.fresh(r.sequence(), windowSize):
		return DropReplay
	}
	h.plain.mark(r.sequence())
	return DropNone
}

// isChangeCipherSpec reports whether body is that of a ChangeCipherSpec
// (RFC 5246 Section 7.1).
func isChangeCipherSpec(body []byte) bool { return len(body) == 1 && body[0] == 1 }
