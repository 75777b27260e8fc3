package dtls

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"io"
	"math"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// DefaultCookiePeriod is how long a [Gate] makes cookies with one secret.
const DefaultCookiePeriod = 2 * time.Minute

const minCookiePeriod = time.Minute

// A Gate answers ClientHellos without a valid cookie with HelloVerifyRequest
// (RFC 6347 Section 4.2.1) and keeps no state about the peer, so that only
// peers that receive at their address cost a handshake. It is not safe for
// concurrent use.
type Gate struct {
	rand   io.Reader
	period time.Duration
	faults GateFaults
	turn   int64        // period that secrets[0] belongs to
	macs   [2]hash.Hash // with the present secret and the one before
}

// GateFaults make a [Gate] misbehave. The zero value is correct behaviour.
type GateFaults struct {
	// Admit lets every ClientHello in without a cookie, against R-22.
	Admit bool
	// AcceptAnyCookie lets every ClientHello with a cookie in, against R-23.
	AcceptAnyCookie bool
	// AcceptVersion10 treats a ClientHello of DTLS 1.0 like any other, against
	// See also ServerFaults.
	AcceptVersion10 bool
	// Cookie, if not nil, is the cookie, 1 to 255 bytes, for everybody. The
	// answer may then be larger than the ClientHello.
	Cookie []byte
	// Version12 puts fefd instead of feff into HelloVerifyRequest, and
	// RecordVersion10 puts feff into the header of its record. Every Device OS
	// takes either.
	Version12       bool
	RecordVersion10 bool
}

// A Verdict is what a [Gate] decided.
type Verdict uint8

// The verdicts.
const (
	// Dropped: the datagram is no ClientHello that can be answered. The reason
	// is in Out.
	Dropped Verdict = iota
	// Challenged: a HelloVerifyRequest is in Out.
	Challenged
	// Admitted: make a [Server], and give it this datagram.
	Admitted
	// Refused: the client speaks no DTLS 1.2. The alert is in Out.
	Refused
)

// NewGate returns a Gate that draws its secrets, 32 bytes each, from rand when
// it needs them and replaces them every period, at least 60 s (0 means
// DefaultCookiePeriod). A cookie is valid for at least one period: a repeated
// ClientHello comes up to 21 s after the first.
func NewGate(rand io.Reader, period time.Duration, f GateFaults) *Gate {
	if period == 0 {
		period = DefaultCookiePeriod
	}
	return &Gate{rand: rand, period: max(period, minCookiePeriod), faults: f, turn: -math.MaxInt64}
}

// Receive judges a datagram from peer, the bytes of an address and port. It
// keeps nothing of either.
func (g *Gate) Receive(now clock.Instant, peer, datagram []byte, out *Out) Verdict {
	h, at, why := peekHello(datagram)
	switch {
	case why != DropNone:
		out.dropped(why)
		return Dropped
	case (h.version>>8 != version12>>8 || h.version > version12) && !g.faults.AcceptVersion10:
		// No DTLS 1.2 in it. The alert is smaller than any ClientHello.
		out.send(func(b []byte) []byte {
			return appendRecord(b, TypeAlert, at.record, []byte{byte(AlertFatal), byte(ProtocolVersion)})
		})
		return Refused
	case g.faults.Admit, len(h.cookie) > 0 && g.faults.AcceptAnyCookie:
		return Admitted
	}
	g.rotate(now)
	if len(h.cookie) > 0 && g.valid(peer, &h) {
		return Admitted
	}
	return g.challenge(peer, &h, at, out)
}

// challenge sends a HelloVerifyRequest, of 60 bytes: the front of a ClientHello
// alone has 61, so nobody gets more than he sent. Its numbers are those of the
// ClientHello (RFC 6347 Section 4.2.1 for that of the record), so that a second
// one, after a change of secret, is not old for the client.
func (g *Gate) challenge(peer []byte, h *clientHello, at helloNumbers, out *Out) Verdict {
	value := g.faults.Cookie
	if value == nil {
		mac := cookie(g.macs[0], peer, h)
		value = mac[:]
	}
	version := uint16(version10) // RFC 6347 Section 4.2.1 recommends it
	if g.faults.Version12 {
		version = version12
	}
	out.send(func(b []byte) []byte {
		body := appendHelloVerifyRequest(nil, version, value)
		start := len(b)
		b = appendRecord(b, TypeHandshake, at.record, appendMessage(nil, typeHelloVerifyRequest, at.message, body))
		if g.faults.RecordVersion10 {
			binary.BigEndian.PutUint16(b[start+1:], version10)
		}
		return b
	})
	return Challenged
}

// rotate replaces the secrets whose time is over.
func (g *Gate) rotate(now clock.Instant) {
	turn := int64(now) / int64(g.period)
	if turn == g.turn {
		return
	}
	if g.macs[1] = g.macs[0]; turn != g.turn+1 {
		g.macs[1] = g.newMAC() // the last one is too old as well
	}
	g.macs[0] = g.newMAC()
	g.turn = turn
}

// newMAC returns HMAC-SHA256 with a new secret.
func (g *Gate) newMAC() hash.Hash {
	var secret [32]byte
	draw(g.rand, secret[:])
	return hmac.New(sha256.New, secret[:])
}

// valid reports whether the cookie was made for this peer and ClientHello with
// the present secret or the one before.
func (g *Gate) valid(peer []byte, h *clientHello) bool {
	for _, mac := range g.macs {
		mac := cookie(mac, peer, h)
		if subtle.ConstantTimeCompare(mac[:], h.cookie) == 1 {
			return true
		}
	}
	return false
}

// cookie returns the cookie of a peer and a ClientHello: what RFC 6347 Section
// 4.2.1 suggests, over the parts that a client repeats.
func cookie(mac hash.Hash, peer []byte, h *clientHello) (c [sha256.Size]byte) {
	mac.Reset()
	mac.Write([]byte{byte(len(peer))})
	mac.Write(peer)
	mac.Write(h.random[:])
	mac.Write(h.sessionID)
	mac.Sum(c[:0])
	return c
}

// helloNumbers are the numbers of a ClientHello.
type helloNumbers struct {
	record  uint64
	message uint16
}

// peekHello parses the front of a ClientHello, which must begin in the first
// fragment of the first record of datagram. The rest may be in later ones: a
// Gate keeps nothing, and the front holds all it needs.
func peekHello(datagram []byte) (h clientHello, at helloNumbers, why DropReason) {
	r, _, why := splitRecord(datagram, 0)
	if why != DropNone {
		return h, at, why
	}
	if r.typ != TypeHandshake || r.epoch() != 0 {
		return h, at, DropNotClientHello
	}
	if r.version != version12 && r.version != version10 {
		return h, at, DropVersion
	}
	f, _, why := splitFragment(r.body)
	switch {
	case why != DropNone:
		return h, at, why
	case f.typ != typeClientHello:
		return h, at, DropNotClientHello
	case f.offset != 0 || !h.parseFront(&reader{b: f.body}):
		return h, at, DropHello
	}
	return h, helloNumbers{record: r.sequence(), message: f.seq}, DropNone
}
