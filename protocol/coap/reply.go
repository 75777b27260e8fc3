package coap

import (
	"slices"

	"github.com/muster/muster/protocol/clock"
)

// Reply answers the message that was Received. With m.Code Empty it sends an
// empty ACK, or a RST when m.Type is Reset; else it sends m as a piggybacked
// response in the ACK (RFC 7252 Section 5.2.1). The ID is that of to; the token
// is m's, because Device OS and its cloud refuse some requests without one.
//
// The reply is remembered and sent again for duplicates of to. When to is
// Non-confirmable, a response goes out Non-confirmable with an ID of its own,
// an empty ACK is not sent at all, and nothing is remembered.
func (x *Exchange) Reply(now clock.Instant, to, m Message, out *Out) {
	if to.Type != Confirmable {
		x.replyNonConfirmable(now, to, m, out)
		return
	}
	if x.faults.NoReply {
		return
	}
	m.ID = to.ID
	if m.Type != Reset {
		m.Type = Acknowledgement
	}
	wire := x.put(m, out)
	if s := x.find(now, to.ID); s != nil {
		s.state = x.keep(s, m, wire)
	}
}

func (x *Exchange) replyNonConfirmable(now clock.Instant, to, m Message, out *Out) {
	switch {
	case m.Type == Reset:
		out.message(Message{Type: Reset, ID: to.ID})
	case m.Code == Empty:
		// RFC 7252 Section 4.3: a Non-confirmable message is never acknowledged.
	default:
		m.Type = NonConfirmable
		x.Send(now, m, 0, out)
	}
}

// put sends a reply, with the faults that concern replies, and returns its
// bytes.
func (x *Exchange) put(m Message, out *Out) []byte {
	if x.faults.WrongAckID {
		m.ID++
	}
	wire := out.message(m)
	if x.faults.DoubleReply {
		out.bytes(wire)
	}
	return wire
}

// replyState says what is known of a Confirmable message that was received.
type replyState uint8

const (
	inProgress   replyState = iota // not answered; duplicates are dropped
	repliedEmpty                   // by an empty ACK, which needs no storage
	repliedReset                   // by RST, likewise
	repliedWith                    // by a response among the replies
)

// seen is a Confirmable message that was received. It is 8 bytes: a cloud holds
// some for each of a million devices.
type seen struct {
	born  ticks
	id    uint16
	state replyState
}

// reply is a piggybacked response, kept for duplicates of its request.
type reply struct {
	wire []byte
	born ticks
	id   uint16
}

// keep stores what answers duplicates of s and returns the new state of s.
func (x *Exchange) keep(s *seen, m Message, wire []byte) replyState {
	switch {
	case m.Type == Reset:
		return repliedReset
	case m.Code == Empty:
		return repliedEmpty
	case len(wire) > x.params.ReplyBytesMax:
		return inProgress
	}
	x.replies = append(x.replies, reply{wire: slices.Clone(wire), born: s.born, id: s.id})
	size := 0
	for i := len(x.replies) - 1; i >= 0; i-- {
		if size += len(x.replies[i].wire); size > x.params.ReplyBytesMax {
			x.replies = slices.Delete(x.replies, 0, i+1)
			break
		}
	}
	return repliedWith
}

// repeat answers a duplicate of s as s was answered.
func (x *Exchange) repeat(s *seen, out *Out) {
	switch {
	case x.faults.DropDuplicates || x.faults.NoReply:
	case s.state == repliedEmpty:
		x.put(Message{Type: Acknowledgement, ID: s.id}, out)
	case s.state == repliedReset:
		x.put(Message{Type: Reset, ID: s.id}, out)
	case s.state == repliedWith:
		for i := len(x.replies) - 1; i >= 0; i-- {
			if x.replies[i].id == s.id {
				out.bytes(x.replies[i].wire)
				break
			}
		}
	default:
		// In progress. Device OS: silence, until it has been answered.
	}
}
