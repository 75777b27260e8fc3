package transport

import (
	"net/netip"

	"github.com/muster/muster/protocol/clock"
)

// A Host is anything with addresses: one device, a shard of a fleet, a cloud.
//
// Its driver calls it, with the time first and the output last, and never while
// another call is in progress unless the Host has said that it is safe for
// concurrent use. A Host never blocks, starts no goroutine and reads no clock.
//
// A stream is a TCP connection. Of each stream a Host hears StreamOpened,
// StreamData any number of times and StreamClosed, in this order; a stream that
// could not be opened is only closed. A Host hears no more of a stream that it
// closed or aborted itself, except that on real sockets a call may already be
// under way: streams that a Host does not know are to be ignored.
type Host interface {
	// Datagram takes one datagram. The Host may overwrite p.Data (to decrypt
	// in place) and must not keep it.
	Datagram(now clock.Instant, p Packet, out *Out)

	// StreamOpened reports an accepted stream, or the success of a Dial.
	StreamOpened(now clock.Instant, s Stream, out *Out)
	// StreamData takes the next bytes of a stream, cut at any place. The Host
	// may overwrite b and must not keep it.
	StreamData(now clock.Instant, id StreamID, b []byte, out *Out)
	// StreamClosed reports that a stream is over, both ways.
	StreamClosed(now clock.Instant, id StreamID, cause Cause, out *Out)

	// Advance does what is due. Afterwards Deadline is later than now.
	Advance(now clock.Instant, out *Out)
	// Deadline returns when Advance wants to be called, clock.Never when the
	// Host waits for input only. It is asked after every call: it must cost
	// next to nothing.
	Deadline() clock.Instant
}

// A StreamID names a stream for its driver and its host. It is unique among
// all streams of a driver for ever, and never 0.
type StreamID uint64

// A Stream describes a stream to the host that it belongs to.
type Stream struct {
	ID          StreamID
	Local, Peer netip.AddrPort
	// Accepted is true at the end that listened, false at the end that
	// dialled.
	Accepted bool
}

// A Cause says why a stream is over.
type Cause uint8

// The causes that a host is told, and a tap for all of them.
const (
	ClosedByPeer  Cause = iota + 1 // the peer sent FIN after its last byte
	ResetByPeer                    // the peer sent RST; bytes may be lost
	Refused                        // nobody listens there
	Unreachable                    // no route, or the local address is not ours
	TimedOut                       // the peer does not acknowledge
	SlowPeer                       // the peer does not read: more waits than may wait
	TooMany                        // a limit on the number of streams is reached
	Failed                         // any other failure of the local system
	ClosedLocally                  // the host said Close
	ResetLocally                   // the host said Abort
	DriverStopped                  // the driver is shut down
	numCauses
)

var causes = [numCauses]string{
	ClosedByPeer:  "closed by peer",
	ResetByPeer:   "reset by peer",
	Refused:       "refused",
	Unreachable:   "unreachable",
	TimedOut:      "timed out",
	SlowPeer:      "slow peer",
	TooMany:       "too many streams",
	Failed:        "failed",
	ClosedLocally: "closed locally",
	ResetLocally:  "reset locally",
	DriverStopped: "driver stopped",
}

// String returns the cause in words.
func (c Cause) String() string {
	if c == 0 || c >= numCauses {
		return "no cause"
	}
	return causes[c]
}
