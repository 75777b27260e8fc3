package link

import (
	"errors"
	"slices"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
)

// heldMax bounds the messages that wait for a reservation. Beyond it the oldest
// is lost; who wants it sends its message again.
const heldMax = 64

func (l *Link) receiveDatagram(now clock.Instant, datagram []byte, out *Out) dtls.Arrival {
	out.dtls.Ciphers = out.Ciphers
	arrival := l.udp.Receive(datagram, &out.dtls)
	datagrams, events := out.dtls.Datagrams, out.dtls.Events
	out.dtls.Datagrams, out.dtls.Events = datagrams[:0], events[:0]
	out.Packets = append(out.Packets, datagrams...)
	for _, e := range events {
		if l.over {
			break // by a RST in an earlier record
		}
		switch e.Kind {
		case dtls.EventApplication:
			out.watch(e.Data, -1)
			l.exchange.Receive(now, e.Data, &out.coap)
			l.flush(out)
		case dtls.EventDropped:
			out.event(Event{Kind: Dropped, Reason: e.Reason})
		case dtls.EventClosed:
			l.closed(e.Err, out)
		default:
			// The other kinds belong to handshakes.
		}
	}
	return arrival
}

// sealRecord makes a record of message. When no sequence is reserved for it, it
// waits for Reserve behind what waits already.
func (l *Link) sealRecord(message []byte, out *Out) {
	if len(l.held) > 0 {
		l.hold(message)
		return
	}
	switch err := l.sealNow(message, out); {
	case err == nil:
	case errors.Is(err, dtls.ErrReservation):
		l.hold(message)
		out.event(Event{Kind: NeedReservation})
	default:
		l.closed(err, out)
	}
}

func (l *Link) sealNow(message []byte, out *Out) error {
	start := len(out.buf)
	buf, err := l.udp.SealWith(out.Ciphers, out.buf, dtls.TypeApplication, message)
	if err != nil {
		return err
	}
	out.buf = buf
	out.push(start)
	out.watch(message, len(out.Packets)-1)
	return nil
}

func (l *Link) hold(message []byte) {
	if len(l.held) >= heldMax {
		l.held = slices.Delete(l.held, 0, 1)
	}
	l.held = append(l.held, slices.Clone(message))
}

// Reserve allows records with sequences below limit, which the owner has stored
// first, and sends what waited. See [dtls.Session.ReserveUntil].
func (l *Link) Reserve(limit uint64, out *Out) {
	l.udp.ReserveUntil(limit)
	held := l.held
	l.held = nil
	for _, m := range held {
		l.seal(m, out)
	}
}

func (l *Link) closeNotify(out *Out) {
	start := len(out.buf)
	buf, err := l.udp.Close(out.buf)
	if err != nil {
		return // no sequence left: the peer learns it otherwise
	}
	out.buf = buf
	out.push(start)
}
