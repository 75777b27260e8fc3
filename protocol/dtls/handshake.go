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
	over         bool
	scratch      []byte
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
