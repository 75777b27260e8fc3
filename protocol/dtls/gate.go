package dtls

import (
	"io"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// DefaultCookiePeriod is how long a [Gate] makes cookies with one secret.
const DefaultCookiePeriod = 2 * time.Minute

// A Gate answers ClientHellos without a valid cookie with HelloVerifyRequest
// (RFC 6347 Section 4.2.1) and keeps no state about the peer, so that only
// peers that receive at their address cost a handshake. It is not safe for
// concurrent use.
type Gate struct {
	rand   io.Reader
	period time.Duration
	faults GateFaults
}

// GateFaults make a [Gate] misbehave. The zero value is correct behaviour.
type GateFaults struct {
	// Admit lets every ClientHello in without a cookie, against R-22.
	Admit bool
	// AcceptAnyCookie lets every ClientHello with a cookie in, against R-23.
	AcceptAnyCookie bool
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
// DefaultCookiePeriod). A cookie is valid for at least one period.
func NewGate(rand io.Reader, period time.Duration, f GateFaults) *Gate {
	return &Gate{rand: rand, period: period, faults: f}
}

// Receive judges a datagram from peer, the bytes of an address and port.
func (g *Gate) Receive(now clock.Instant, peer, datagram []byte, out *Out) Verdict {
	return Dropped
}
