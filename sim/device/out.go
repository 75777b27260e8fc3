package device

import (
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/link"
)

// An ActionKind says what a driver is to do.
type ActionKind uint8

// The kinds of actions.
const (
	// OpenSocket: what follows is sent from a new socket (a new source port,
	// unless the profile has a fixed one), and only what arrives there is
	// given to Datagram.
	OpenSocket ActionKind = 1 + iota
	// SendDatagram: send Data to the cloud as one datagram.
	SendDatagram
	// CloseSocket: the socket is no longer used.
	CloseSocket
	// DialStream: open a stream to the cloud; StreamOpened or StreamClosed
	// tells the outcome.
	DialStream
	// WriteStream: send Data on the stream, in one write.
	WriteStream
	// CloseStream: close the stream. No StreamClosed follows.
	CloseStream

	numActionKinds
)

var actionNames = [numActionKinds]string{
	"invalid", "open socket", "send datagram", "close socket", "dial stream", "write stream", "close stream",
}

// String returns the name of k.
func (k ActionKind) String() string { return actionNames[min(k, numActionKinds-1)] }

// An Action is something that a driver is to do.
type Action struct {
	Kind ActionKind
	Data []byte // of SendDatagram and WriteStream; holds until Out.Reset
}

// An Out receives what a [Device] produces, in order. Its driver owns it, reads
// it after each call and resets it; one Out serves many Devices. The zero value
// is ready.
type Out struct {
	Actions []Action
	Events  []Event

	// Ciphers, if not nil, spares the expansion of recently used keys.
	Ciphers *dtls.Ciphers

	link link.Out
	dtls dtls.Out
	ssl  lightssl.Out
	// How many packets of each became actions, and how many events were
	// handled.
	sent, seen         int
	dtlsSent, dtlsSeen int
	sslSent, sslSeen   int
}

// Reset empties out and keeps its storage.
func (out *Out) Reset() {
	clear(out.Actions)
	out.Actions = out.Actions[:0]
	clear(out.Events)
	out.Events = out.Events[:0]
	out.link.Reset()
	out.dtls.Reset()
	out.ssl.Reset()
	out.sent, out.seen, out.dtlsSent, out.dtlsSeen = 0, 0, 0, 0
	out.sslSent, out.sslSeen = 0, 0
}

func (out *Out) event(e Event) {
	e.Actions = len(out.Actions)
	out.Events = append(out.Events, e)
}

func (out *Out) do(k ActionKind, data []byte) {
	out.Actions = append(out.Actions, Action{Kind: k, Data: data})
}
