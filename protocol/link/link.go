package link

import (
	"errors"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
)

// ErrReset reports that the peer ended the session with a CoAP RST
// (coap.Params.ResetEnds).
var ErrReset = errors.New("link: peer sent RST")

// A Link is one established session of one peer.
//
//	open --close_notify, fatal alert, RST, protocol violation--> over   (Closed)
//	open --Close--> over
//
// A Link that is over ignores everything. It is used by one goroutine at a time.
type Link struct {
	exchange coap.Exchange
	held     [][]byte // messages that wait for a reservation
	tcp      *lightssl.Session
	over     bool
	strict   bool // over TCP: a malformed message ends the session
	udp      dtls.Session
}

// OverDTLS returns a Link over s, which it copies: from then on the session is
// the one that DTLS returns.
func OverDTLS(s *dtls.Session, x coap.Exchange) Link { return Link{udp: *s, exchange: x} }

// OverLightSSL returns a Link over s, which it keeps.
func OverLightSSL(s *lightssl.Session, x coap.Exchange) Link {
	return Link{tcp: s, exchange: x, strict: x.Strict()}
}

// DTLS returns the session below, to export it or to look at its sequence; nil
// when it is not DTLS. It must not be used to send.
func (l *Link) DTLS() *dtls.Session {
	if l.tcp != nil {
		return nil
	}
	return &l.udp
}

// Over reports whether the session is over.
func (l *Link) Over() bool { return l.over }

// LastID returns the message ID that was sent last.
func (l *Link) LastID() uint16 { return l.exchange.LastID() }

// Waiting returns the number of Confirmable messages that are not acknowledged.
func (l *Link) Waiting() int { return l.exchange.Waiting() }

// SetDeaf makes the message layer throw away everything but ACK and RST, see
// [coap.Exchange.SetDeaf].
func (l *Link) SetDeaf(deaf bool) { l.exchange.SetDeaf(deaf) }

// Forget treats a message that was Received as if it had not been, so that its
// retransmission is Received again.
func (l *Link) Forget(received coap.Message) { l.exchange.Forget(received) }

// Clear forgets what waits and what was received, as when a device has
// reconnected and resumed.
func (l *Link) Clear() { l.exchange.Clear(); l.held = nil }

// ForgetSent forgets what was sent and is not acknowledged, as when the device
// has restored its session. See [coap.Exchange.ForgetSent].
func (l *Link) ForgetSent() { l.exchange.ForgetSent() }

// Receive takes one datagram, or any piece of the stream, and opens what is in
// it, in place. Over UDP no bytes end the session but those that the peer
// authenticated. The Arrival says what a datagram proved about its sender; over
// TCP it says nothing.
func (l *Link) Receive(now clock.Instant, wire []byte, out *Out) dtls.Arrival {
	switch {
	case l.over:
		return dtls.Arrival{}
	case l.tcp != nil:
		l.receiveStream(now, wire, out)
		return dtls.Arrival{}
	default:
		return l.receiveDatagram(now, wire, out)
	}
}

// Send sends a request or a separate response and returns its ID. Tag comes back
// with its outcome, see [coap.Exchange.Send].
func (l *Link) Send(now clock.Instant, m coap.Message, tag uint32, out *Out) uint16 {
	if l.over {
		return 0
	}
	id := l.exchange.Send(now, m, tag, &out.coap)
	l.flush(out)
	return id
}

// Ping sends a Confirmable Empty message and returns its ID.
func (l *Link) Ping(now clock.Instant, tag uint32, out *Out) uint16 {
	return l.Send(now, coap.Message{Type: coap.Confirmable}, tag, out)
}

// Reply answers a message that was Received, see [coap.Exchange.Reply].
func (l *Link) Reply(now clock.Instant, to, m coap.Message, out *Out) {
	if l.over {
		return
	}
	l.exchange.Reply(now, to, m, &out.coap)
	l.flush(out)
}

// SendRaw protects and sends wire as it is, past the message layer. Puppet
// peers send so what no correct peer would.
func (l *Link) SendRaw(wire []byte, out *Out) {
	if !l.over {
		l.seal(wire, out)
	}
}

// Advance does what is due.
func (l *Link) Advance(now clock.Instant, out *Out) {
	if l.over {
		return
	}
	if l.tcp != nil {
		if err := l.tcp.Advance(now); err != nil {
			l.closed(err, out)
			return
		}
	}
	l.exchange.Advance(now, &out.coap)
	l.flush(out)
}

// Deadline returns when Advance is due, [clock.Never] when nothing waits.
func (l *Link) Deadline() clock.Instant {
	switch {
	case l.over:
		return clock.Never
	case l.tcp != nil:
		return min(l.tcp.Deadline(), l.exchange.Deadline())
	default:
		return l.exchange.Deadline()
	}
}

// Close ends the session. Over DTLS it sends close_notify, which makes a device
// discard the session: a cloud that only restarts must not do this. No event
// follows.
func (l *Link) Close(out *Out) {
	if !l.over && l.tcp == nil {
		l.closeNotify(out)
	}
	l.end()
}

// closed ends the Link and reports why.
func (l *Link) closed(err error, out *Out) {
	l.end()
	out.event(Event{Kind: Closed, Err: err})
}

func (l *Link) end() {
	l.over, l.held = true, nil
	l.exchange.Clear()
}

// flush moves what the message layer has produced to out.
func (l *Link) flush(out *Out) {
	messages, events := out.coap.Messages, out.coap.Events
	out.coap.Messages, out.coap.Events = messages[:0], events[:0]
	for _, m := range messages {
		l.seal(m, out)
	}
	for i := range events {
		e := events[i]
		out.event(Event{Kind: Exchange, CoAP: e})
		switch {
		case e.Ends:
			l.closed(ErrReset, out)
			return
		case l.strict && e.Kind == coap.Malformed && e.Err.Reason != coap.TooShort:
			// There is no tag over TCP: a frame that does not parse is all
			// that shows an attack or a lost stream. Device OS: one byte would
			// be its keep-alive, which is ignored.
			l.closed(e.Err, out)
			return
		}
	}
}

// seal protects one message and makes packets of it.
func (l *Link) seal(message []byte, out *Out) {
	switch {
	case l.over:
	case l.tcp != nil:
		l.sealFrame(message, out)
	default:
		l.sealRecord(message, out)
	}
}
