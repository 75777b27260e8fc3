package pdc

import "github.com/muster/muster/protocol/coap"

// An UpdateReady says that the device awaits chunks (PDC-6.2).
type UpdateReady struct {
	Token []byte // that of the UpdateBegin
	Fast  bool
	// NoMode is true for the oldest form, without a mode byte: slow.
	NoMode bool
}

// ParseUpdateReady reads an UpdateReady.
func ParseUpdateReady(m coap.Message) (UpdateReady, error) {
	if err := checkResponse(KindUpdateReady, m, coap.Changed); err != nil {
		return UpdateReady{}, err
	}
	r := UpdateReady{Token: m.Token, NoMode: len(m.Payload) == 0}
	if !r.NoMode {
		if m.Payload[0] > 1 {
			return UpdateReady{}, faultf(KindUpdateReady, "PDC-6.2", "mode %d, want 0 or 1", m.Payload[0])
		}
		r.Fast = m.Payload[0] == 1
	}
	return r, nil
}

// Message returns the message of a device of dialect d.
func (r UpdateReady) Message(d Dialect) coap.Message {
	m := coap.Message{Type: d.con(), Code: coap.Changed, Token: r.Token}
	switch {
	case r.NoMode:
	case r.Fast:
		m.Payload = []byte{1}
	default:
		m.Payload = []byte{0}
	}
	return m
}
