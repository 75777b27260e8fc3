package pdc

import "github.com/muster/muster/protocol/coap"

// DiscardSession is the value of a [KeyChange] that means something: the
// device drops the connection and makes a full handshake next.
const DiscardSession = 1

// A KeyChange tells the device to discard its session (PDC-8.4).
type KeyChange struct {
	Token       []byte // one byte
	Value       byte
	Reliability Reliability
}

// ParseKeyChange reads a KeyChange.
func ParseKeyChange(m coap.Message) (KeyChange, error) {
	if err := checkRequest(KindKeyChange, m); err != nil {
		return KeyChange{}, err
	}
	q, ok := m.Query(0)
	if !ok || len(q) != 1 {
		return KeyChange{}, fault(KindKeyChange, "PDC-8.4", "Uri-Query is not one byte")
	}
	return KeyChange{Token: m.Token, Value: q[0], Reliability: reliabilityOf(m.Type)}, nil
}

// Message returns the message for a device of dialect d.
func (k KeyChange) Message(d Dialect) coap.Message {
	return request(k.Reliability.coapType(d), coap.PUT, "k", k.Token,
		coap.Opaque(coap.URIQuery, []byte{k.Value}))
}

// OnDeviceKeyChange reads a key change as a board does.
//
// Device OS: the value is the byte at 7 + TKL.
func OnDeviceKeyChange(wire []byte) KeyChange {
	k := KeyChange{Token: token4(wire), Reliability: reliabilityOf(coap.Type(wire[0] >> 4 & 3))}
	if at := 7 + int(wire[0]&15); at < len(wire) {
		k.Value = wire[at]
	}
	return k
}
