package link

import (
	"bytes"
	"fmt"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
)

// An Out receives what a [Link] produces. Its driver owns it, acts on it after
// each call and resets it; one Out can serve many Links. The zero value is
// ready.
type Out struct {
	// Packets are to be sent to the peer, in this order: one datagram each, or
	// one frame each, which must reach the socket in one write. They are valid
	// until Reset.
	//
	// Device OS: a board over TCP that finds one byte of a frame's length alone
	// in its socket loses it, and with it the stream.
	Packets [][]byte

	// Events are what happened, in order. They alias the bytes that were
	// received and storage of the Out: both hold until Reset.
	Events []Event

	// Watch makes the Link note every message in Clear, for who shows people what
	// is said. It costs a copy of each message.
	Watch bool
	Clear []Clear

	// Ciphers, if not nil, spares the expansion of recently used DTLS keys.
	Ciphers *dtls.Ciphers

	buf  []byte
	dtls dtls.Out
	coap coap.Out
}

// Reset empties out and keeps its storage.
func (out *Out) Reset() {
	clear(out.Packets)
	clear(out.Events)
	clear(out.Clear)
	out.Packets, out.Events, out.buf, out.Clear = out.Packets[:0], out.Events[:0], out.buf[:0], out.Clear[:0]
	out.dtls.Reset()
	out.coap.Reset()
}

// A Clear is one message without its protection.
type Clear struct {
	Message []byte // CoAP, whole, valid for ever
	Packet  int    // the index of the packet that carries it; -1: it was received
}

func (out *Out) watch(message []byte, packet int) {
	if out.Watch {
		out.Clear = append(out.Clear, Clear{bytes.Clone(message), packet})
	}
}

func (out *Out) event(e Event) { out.Events = append(out.Events, e) }

// push makes a packet of the buffer from start on.
func (out *Out) push(start int) {
	out.Packets = append(out.Packets, out.buf[start:len(out.buf):len(out.buf)])
}

// An EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	// Exchange: something happened in the message layer, see Event.CoAP.
	Exchange EventKind = 1 + iota

	// Dropped: a record was not authentic, old, or not meant for this session;
	// Reason says why. The session goes on.
	Dropped

	// Closed: the session is over, Err says why: what the DTLS or LightSSL
	// session reports, a *[coap.FormatError], or [ErrReset]. The Link does
	// nothing more.
	Closed

	// NeedReservation: a message waits because the send sequence is used up to
	// its reservation. Store a higher one, then call Reserve.
	NeedReservation

	numEventKinds
)

var eventNames = [numEventKinds]string{"invalid", "exchange", "dropped", "closed", "need reservation"}

// String returns the name of k.
func (k EventKind) String() string {
	if k >= numEventKinds {
		return fmt.Sprintf("EventKind(%d)", uint8(k))
	}
	return eventNames[k]
}

// An Event is something that happened on a [Link].
type Event struct {
	Kind   EventKind
	CoAP   coap.Event      // Exchange
	Reason dtls.DropReason // Dropped
	Err    error           // Closed
}
