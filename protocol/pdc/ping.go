package pdc

import "github.com/muster/muster/protocol/coap"

// A Ping is an empty CON of either side (PDC-8.2). It must be answered with an
// empty ACK.
//
// Device OS: the RST of RFC 7252 Section 4.3 makes a device discard its
// session.
type Ping struct{}

// ParsePing reads a Ping.
func ParsePing(m coap.Message) (Ping, error) {
	if m.Code != coap.Empty {
		return Ping{}, faultf(KindPing, "PDC-8.2", "code %v, want 0.00", m.Code)
	}
	return Ping{}, check(KindPing, m)
}

// Message returns the message.
func (Ping) Message(Dialect) coap.Message { return coap.Message{Type: coap.Confirmable} }

// An Acknowledgement is an empty ACK.
type Acknowledgement struct{}

// Message returns the message.
func (Acknowledgement) Message(Dialect) coap.Message { return coap.Message{Type: coap.Acknowledgement} }

// A SessionReset is a RST of the cloud: the device discards its session,
// whatever message ID it carries (PDC-0.4). Over UDP only.
type SessionReset struct{}

// ParseSessionReset reads a SessionReset.
func ParseSessionReset(m coap.Message) (SessionReset, error) {
	if m.Code != coap.Empty {
		return SessionReset{}, faultf(KindSessionReset, "PDC-0.4", "code %v, want 0.00", m.Code)
	}
	return SessionReset{}, check(KindSessionReset, m)
}

// Message returns the message.
func (SessionReset) Message(Dialect) coap.Message { return coap.Message{Type: coap.Reset} }

// A Rejection is a RST of a device: it refuses one message, that with its ID.
type Rejection struct{}

// Message returns the message.
func (Rejection) Message(Dialect) coap.Message { return coap.Message{Type: coap.Reset} }
