package transport

import (
	"fmt"

	"github.com/muster/muster/protocol/clock"
)

// SightingKind says what was seen.
type SightingKind uint8

// The kinds of sighting.
const (
	DatagramSeen SightingKind = iota + 1 // one UDP datagram
	StreamOpened                         // a TCP connection, at the end that is Local
	StreamChunk                          // bytes of a TCP connection
	StreamEnded                          // the connection is over for Local; Cause tells why
	// SendBegins is shown before something is given to the system, SendEnds with the
	// same At when it was told, or failed. In between an answer may be seen already:
	// a goroutine can stand still between sending and telling. Both carry nothing but
	// At, and a virtual network has no need of them.
	SendBegins
	SendEnds
	numSightingKinds
)

var sightingKinds = [numSightingKinds]string{
	DatagramSeen: "udp",
	StreamOpened: "tcp open",
	StreamChunk:  "tcp",
	StreamEnded:  "tcp end",
	SendBegins:   "send begins",
	SendEnds:     "send ends",
}

// String returns a short name, such as udp, tcp open, tcp, tcp end.
func (k SightingKind) String() string {
	if k == 0 || k >= numSightingKinds {
		return "unknown"
	}
	return sightingKinds[k]
}

// A Sighting is one thing that passed between a host and its network. The
// Packet's Local is that host's address: a datagram between two tapped hosts is
// seen twice, once at either end, and with the addresses that it had there.
type Sighting struct {
	At   clock.Instant
	Kind SightingKind
	// Sent is true for what Local sent, false for what it received. Of an
	// opened stream it is true at the end that dialled, of an ended one when
	// Local ended it.
	Sent   bool
	Stream StreamID // 0 for datagrams
	Cause  Cause    // of StreamEnded
	// Lost names what a virtual network did with a datagram or segment that
	// it did not deliver; "" when it was delivered, and on real sockets.
	Lost string
	Packet
}

// String returns one line without the bytes.
func (s Sighting) String() string {
	arrow := "<"
	if s.Sent {
		arrow = ">"
	}
	line := fmt.Sprintf("%v %v %s %v %v", s.At, s.Local, arrow, s.Peer, s.Kind)
	switch s.Kind {
	case DatagramSeen, StreamChunk:
		line += fmt.Sprintf(" %d", len(s.Data))
	case StreamEnded:
		line += fmt.Sprintf(" (%v)", s.Cause)
	case StreamOpened, SendBegins, SendEnds:
		// The kind says it all.
	default: // no other is a kind
	}
	if s.Lost != "" {
		line += " lost: " + s.Lost
	}
	return line
}

// A Tap observes everything that crosses an engine or a virtual network. It is
// called before the receiving host and after the system took what is sent; around
// that it hears SendBegins and SendEnds. It must not keep or change Data. On real sockets it is called from many
// goroutines at once.
type Tap func(Sighting)
