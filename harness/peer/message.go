package peer

import (
	"bytes"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
)

// A Message is a CoAP message that a puppet heard.
type Message struct {
	At   clock.Instant
	Wire []byte
	// CoAP aliases Wire. It is not valid when Err is not nil.
	CoAP coap.Message
	Err  error
}

func newMessage(at clock.Instant, wire []byte) Message {
	m := Message{At: at, Wire: bytes.Clone(wire)}
	m.CoAP, m.Err = coap.Parse(m.Wire)
	return m
}

// An Answer says what a puppet answers to a message. It returns whole CoAP
// messages and true, or false to leave the answer to the puppet's courtesy.
type Answer func(m Message) (replies [][]byte, handled bool)

// Silent is an Answer that says nothing to anything.
func Silent(Message) ([][]byte, bool) { return nil, true }

// Ack is an empty acknowledgement of m (RFC 7252 Section 4.2).
func Ack(m Message) []byte { return []byte{0x60, 0, m.Wire[2], m.Wire[3]} }

// Reply is a piggybacked response to m, with its token (RFC 7252 Section 5.2.1).
func Reply(m Message, code coap.Code, payload []byte) []byte {
	return coap.Message{Type: coap.Acknowledgement, Code: code, ID: m.CoAP.ID, Token: m.CoAP.Token, Payload: payload}.Append(nil)
}

// mouth is what both puppets have: what they heard, and how they answer.
type mouth struct {
	heard  []Message
	answer Answer
	habit  Answer
	lastID uint16
}

// Heard returns the messages that were heard from an instant on, in order.
func (p *mouth) Heard(since clock.Instant) []Message {
	var list []Message
	for _, m := range p.heard {
		if m.At >= since {
			list = append(list, m)
		}
	}
	return list
}

// SetAnswer makes the puppet ask f before it answers with courtesy; nil ends
// that.
func (p *mouth) SetAnswer(f Answer) { p.answer = f }

// SetHabit makes the puppet ask f about what the answer leaves to it, before its courtesy:
// what a device does all the time, whatever a check is about.
func (p *mouth) SetHabit(f Answer) { p.habit = f }

// Answered returns what SetAnswer was given, or an Answer that leaves everything
// to the puppet's courtesy.
func (p *mouth) Answered() Answer {
	if p.answer == nil {
		return func(Message) ([][]byte, bool) { return nil, false }
	}
	return p.answer
}

// NextID returns the message ID for the next message.
func (p *mouth) NextID() uint16 {
	p.lastID++
	return p.lastID
}

// SetLastID makes the IDs go on behind id.
func (p *mouth) SetLastID(id uint16) { p.lastID = id }

// hear keeps a message and returns the answers to it.
func (p *mouth) hear(now clock.Instant, wire []byte, courtesy Answer) [][]byte {
	m := newMessage(now, wire)
	p.heard = append(p.heard, m)
	for _, f := range []Answer{p.answer, p.habit} {
		if f == nil {
			continue
		}
		if replies, handled := f(m); handled {
			return replies
		}
	}
	replies, _ := courtesy(m)
	return replies
}

// An EventKind says what happened to a puppet.
type EventKind uint8

// The kinds of events.
const (
	// Secured: the handshake is complete. Secrets is set over UDP, Credentials over TCP
	// in the cloud.
	Secured EventKind = 1 + iota
	// Failed: the handshake is over without a session. Err says why.
	Failed
	// Ended: the session or its stream is over. Err says why.
	Ended
)

// String returns the kind in words.
func (k EventKind) String() string {
	return [...]string{"nothing", "secured", "failed", "ended"}[min(int(k), 3)]
}
