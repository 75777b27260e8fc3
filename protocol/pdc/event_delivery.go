package pdc

import (
	"strings"

	"github.com/muster/muster/protocol/coap"
)

// An EventDelivery is an event from the cloud (PDC-4.3). A device acknowledges
// it only when it is CON and over UDP.
type EventDelivery struct {
	Token   []byte // 0 to 8 bytes; usually none
	Private bool   // letter E; a device does not look at it
	Name    string // at most 64 bytes, not empty (C-26)
	// SplitName sends every part of the name in a path segment of its own, as
	// RFC 7252 Section 5.10.1 has it. A device joins them again.
	SplitName bool
	Data      []byte // nil for none; see [NeedsData]
	// TTL is in seconds; sent only if HasTTL is set.
	TTL    uint32
	HasTTL bool
	// Format is sent only if HasFormat is set and only since 6.2 (C-25).
	Format      ContentFormat
	HasFormat   bool
	Reliability Reliability
}

// ParseEventDelivery reads an EventDelivery.
func ParseEventDelivery(m coap.Message) (EventDelivery, error) {
	if err := checkRequest(KindEventDelivery, m); err != nil {
		return EventDelivery{}, err
	}
	e := EventDelivery{
		Token: m.Token, Private: m.PathChar() == 'E', Name: nameOf(m), Data: dataOf(m),
		SplitName: segments(m) > 2, Reliability: reliabilityOf(m.Type),
	}
	if e.Name == "" {
		return EventDelivery{}, fault(KindEventDelivery, "C-26", "no event name")
	}
	err := eventOptions(KindEventDelivery, m, &e.TTL, &e.HasTTL, &e.Format, &e.HasFormat)
	if err != nil {
		return EventDelivery{}, err
	}
	return e, nil
}

// Message returns the message for a device of dialect d.
func (e EventDelivery) Message(d Dialect) coap.Message {
	letter := "e"
	if e.Private {
		letter = "E"
	}
	m := request(e.Reliability.coapType(d), coap.POST, letter, e.Token)
	if e.SplitName {
		for part := range strings.SplitSeq(e.Name, "/") {
			m.Options = append(m.Options, coap.Text(coap.URIPath, part))
		}
	} else {
		m.Options = append(m.Options, coap.Text(coap.URIPath, e.Name))
	}
	if e.HasFormat && d.System >= OS6_2 {
		// Any further option makes an older device pass no data to its handler.
		m.Options = append(m.Options, coap.Uint(coap.ContentFormat, uint32(e.Format)))
	}
	if e.HasTTL {
		m.Options = append(m.Options, maxAge(d, e.TTL))
	}
	m.Payload = e.Data
	return m
}

// OnDeviceEvent reads an event as a board of dialect d does. Wire is the whole
// message. Data is nil when the handler gets a null pointer.
//
// Device OS: up to 6.1 the parser knows one option behind the path, of delta 3
// and any length, and passes over it; anything else ends it without data. An
// event without a name ends the connection up to 6.1 and is ignored since.
func OnDeviceEvent(wire []byte, d Dialect) (EventDelivery, error) {
	if d.System < OS6_2 {
		return oldEvent(wire)
	}
	m, err := coap.Parse(wire)
	if err != nil {
		return EventDelivery{}, &Error{
			Kind: KindEventDelivery, Rule: "N-3", Reason: err.Error(), Reaction: Disconnect,
		}
	}
	e := EventDelivery{
		Token: m.Token, Private: m.PathChar() == 'E', Name: nameOf(m), Data: m.Payload,
		Reliability: reliabilityOf(m.Type),
	}
	if e.Name == "" {
		return EventDelivery{}, &Error{
			Kind: KindEventDelivery, Rule: "N-12", Reason: "no event name", Reaction: Ignore,
		}
	}
	if len(e.Name) > maxEventName {
		e.Name = e.Name[:maxEventName]
	}
	if v, ok := m.Uint(coap.ContentFormat); ok {
		e.Format, e.HasFormat = ContentFormat(v), true
	}
	return e, nil
}

// maxEventName is where 6.2 cuts a name.
const maxEventName = 64

func oldEvent(wire []byte) (EventDelivery, error) {
	var e EventDelivery
	b := wire[min(len(wire), 4+int(wire[0]&15)):]
	if len(b) >= 2 {
		e.Private = b[1] == 'E'
	}
	b = b[min(len(b), 2):]
	var name []byte
	for len(b) > 0 && b[0]>>4 == 0 {
		value, rest, ok := oldOption(b)
		if !ok {
			break
		}
		if name != nil {
			name = append(name, '/')
		}
		name, b = append(name, value...), rest
	}
	if len(name) == 0 {
		return e, &Error{
			Kind: KindEventDelivery, Rule: "N-12", Reason: "no event name", Reaction: Disconnect,
		}
	}
	e.Name = string(name)
	if len(b) > 0 && b[0]>>4 == 3 {
		value, rest, ok := oldOption(b)
		if !ok {
			return e, nil
		}
		e.TTL, e.HasTTL = coap.ParseUint(value)
		b = rest
	}
	if len(b) > 1 && b[0] == 0xff {
		e.Data = b[1:]
	}
	e.Reliability = reliabilityOf(coap.Type(wire[0] >> 4 & 3))
	return e, nil
}

// oldOption takes one option off b by its length nibble alone, with the
// extensions 13 and 14.
func oldOption(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	n, at := int(b[0]&15), 1
	switch {
	case n == 13 && len(b) >= 2:
		n, at = 13+int(b[1]), 2
	case n == 14 && len(b) >= 3:
		n, at = 269+int(b[1])<<8+int(b[2]), 3
	case n >= 13:
		return nil, nil, false
	}
	if at+n > len(b) {
		return nil, nil, false
	}
	return b[at : at+n], b[at+n:], true
}
