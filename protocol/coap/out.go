package coap

import "fmt"

// An Out receives what an [Exchange] produces. Its driver owns it, reads it
// after each call and resets it; one Out can serve many Exchanges. The zero
// value is ready.
type Out struct {
	// Messages are encoded messages, to be protected and sent in this order.
	// They stay valid until Reset.
	Messages [][]byte

	// Events are what happened, in order. Their Messages alias the bytes that
	// were received and storage of the Out: both hold until Reset.
	Events []Event

	buf     []byte
	options Options
}

// Reset empties out and keeps its storage.
func (out *Out) Reset() {
	out.Messages = out.Messages[:0]
	clear(out.Events)
	out.Events = out.Events[:0]
	out.buf = out.buf[:0]
	clear(out.options)
	out.options = out.options[:0]
}

// An EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	// Received is a request or a separate response that was not received
	// before. When its Type is Confirmable the owner calls Reply exactly once,
	// at once or later; until then duplicates are dropped.
	Received EventKind = 1 + iota

	// Acknowledged is the ACK of a Confirmable message that was sent. Message is
	// the ACK: empty, or the piggybacked response.
	Acknowledged

	// TimedOut is a Confirmable message that was not acknowledged in time, after
	// all retransmissions.
	//
	// Device OS: the session is discarded and the connection closed.
	TimedOut

	// WasReset is a RST. Matched says whether it is about a message that is
	// waiting; Ends whether it ends the session (Params.ResetEnds).
	WasReset

	// Ping is a Confirmable Empty message. It was answered already.
	Ping

	// Duplicate is a Confirmable message that was received before. Its reply was
	// sent again if there was one, else it was dropped.
	Duplicate

	// Unmatched is an ACK of nothing that waits (often a duplicate ACK), or an
	// Empty Non-confirmable message. It was dropped.
	Unmatched

	// Malformed is a message that cannot be parsed; Err says why. Message holds
	// what its header told, if there were four bytes. It was dropped.
	Malformed

	numEventKinds
)

var eventNames = [numEventKinds]string{
	"invalid", "received", "acknowledged", "timed out", "reset",
	"ping", "duplicate", "unmatched", "malformed",
}

// String returns the name of k.
func (k EventKind) String() string {
	if k >= numEventKinds {
		return fmt.Sprintf("EventKind(%d)", uint8(k))
	}
	return eventNames[k]
}

// An Event is something that happened in an [Exchange].
type Event struct {
	Kind EventKind

	// Message is what was received, in all kinds but TimedOut.
	Message Message

	// Wire is the whole message as received, in all kinds but TimedOut.
	Wire []byte

	// ID is that of the message that was sent, in Acknowledged, TimedOut and
	// WasReset; else that of the received one.
	ID uint16

	// Tag is what the owner gave to Send, in Acknowledged, TimedOut and a
	// matched WasReset.
	Tag uint32

	Matched bool         // WasReset: about a message that was waiting
	Ends    bool         // WasReset: the session is over
	Err     *FormatError // Malformed, and Received under Params.HeaderOnly
}

func (out *Out) event(e Event) { out.Events = append(out.Events, e) }

// message appends the encoding of m and returns it.
func (out *Out) message(m Message) []byte {
	start := len(out.buf)
	out.buf = m.Append(out.buf)
	return out.push(start)
}

// bytes appends a copy of wire.
func (out *Out) bytes(wire []byte) {
	start := len(out.buf)
	out.buf = append(out.buf, wire...)
	out.push(start)
}

// push makes a message of the buffer from start on. A message that was pushed
// before stays where it is when the buffer grows elsewhere.
func (out *Out) push(start int) []byte {
	wire := out.buf[start:len(out.buf):len(out.buf)]
	out.Messages = append(out.Messages, wire)
	return wire
}

// parse decodes wire into storage of out.
func (out *Out) parse(wire []byte) (Message, *FormatError) {
	used := len(out.options)
	m := Message{Options: out.options[used:]}
	err := parseInto(&m, wire)
	if n := len(m.Options); n <= cap(out.options)-used {
		out.options = out.options[:used+n]
	} else {
		// It was parsed into storage of its own: take that over. What was
		// parsed before stays in the old one.
		out.options = m.Options
	}
	m.Options = m.Options[:len(m.Options):len(m.Options)]
	return m, err
}
