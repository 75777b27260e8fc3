package pdc

import (
	"encoding/hex"
	"strings"

	"github.com/muster/muster/protocol/coap"
)

// A SubscriptionScope says whose events a subscription wants.
type SubscriptionScope uint8

// The scopes. From 6.2 on every subscription means the owner's devices and
// says nothing.
const (
	ScopeFirehose  SubscriptionScope = iota // everybody's public events
	ScopeMyDevices                          // the owner's events
	ScopeOneDevice                          // events of one device
)

// A HandlerType says which data a subscription's handler takes, since 6.2.
type HandlerType uint8

// The handler types.
const (
	HandlerText       HandlerType = iota // formats 0, 40, 41 and 50
	HandlerBinary                        // every format; query "b"
	HandlerStructured                    // format 60 only; query "c"
)

// A Subscribe asks for the events whose names begin with Filter (PDC-4.2). An
// ACK answers it, a token-less 4.00 refuses it.
type Subscribe struct {
	Filter string // at most 64 bytes; empty takes every event
	Scope  SubscriptionScope
	// DeviceID is the id of the device of ScopeOneDevice, 24 hex digits on the
	// wire.
	DeviceID    [deviceIDSize]byte
	Type        HandlerType
	Reliability Reliability // since 6.2; CON before
}

// ParseSubscribe reads a Subscribe of any version (C-27).
func ParseSubscribe(m coap.Message) (Subscribe, error) {
	s := Subscribe{Filter: nameOf(m), Reliability: reliabilityOf(m.Type)}
	if err := check(KindSubscribe, m); err != nil {
		return Subscribe{}, err
	}
	for i := 0; ; i++ {
		q, ok := m.Query(i)
		if !ok {
			break
		}
		switch string(q) {
		case "u":
			s.Scope = ScopeMyDevices
		case "b":
			s.Type = HandlerBinary
		case "c":
			s.Type = HandlerStructured
		default:
			// A query of a later version: what it asks for cannot be given,
			// the events can.
		}
	}
	if len(m.Payload) == 0 {
		return s, nil
	}
	if len(m.Payload) != 2*deviceIDSize {
		return Subscribe{}, faultf(KindSubscribe, "C-27", "device id of %d digits, want 24", len(m.Payload))
	}
	if _, err := hex.Decode(s.DeviceID[:], m.Payload); err != nil {
		return Subscribe{}, fault(KindSubscribe, "C-27", "device id is not hexadecimal")
	}
	s.Scope = ScopeOneDevice
	return s, nil
}

// Message returns the message of a device of dialect d.
//
// Device OS: up to 6.1 a subscription is CON over TCP too, an empty filter has
// no option and the scope is sent; 6.2 sends the handler's type instead.
func (s Subscribe) Message(d Dialect) coap.Message {
	m := request(coap.Confirmable, coap.GET, "e", nil)
	if s.Filter != "" || d.System >= OS6_2 {
		m.Options = append(m.Options, coap.Text(coap.URIPath, s.Filter))
	}
	if d.System >= OS6_2 {
		m.Type = s.Reliability.coapType(d)
		switch s.Type {
		case HandlerBinary:
			m.Options = append(m.Options, coap.Text(coap.URIQuery, "b"))
		case HandlerStructured:
			m.Options = append(m.Options, coap.Text(coap.URIQuery, "c"))
		default:
			// Text is what no query means.
		}
		return m
	}
	switch s.Scope {
	case ScopeMyDevices:
		m.Options = append(m.Options, coap.Text(coap.URIQuery, "u"))
	case ScopeOneDevice:
		m.Payload = hex.AppendEncode(nil, s.DeviceID[:])
	default:
		// The firehose says nothing.
	}
	return m
}

// Matches reports whether an event of that name is one that s asked for by
// name: Filter is a byte prefix of it.
func (s Subscribe) Matches(name string) bool { return strings.HasPrefix(name, s.Filter) }

// Takes reports whether a handler of type t gets data of format f (PDC-4.3).
func (t HandlerType) Takes(f ContentFormat) bool {
	switch t {
	case HandlerBinary:
		return true
	case HandlerStructured:
		return f == FormatCBOR
	default:
		return f.Text()
	}
}
