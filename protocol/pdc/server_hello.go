package pdc

import "github.com/muster/muster/protocol/coap"

// A ServerHello answers a [Hello] over TCP, within four seconds. Over UDP it is
// never needed, but on every transport it is what makes a device forget that
// its last update was applied (PDC-2.2).
type ServerHello struct {
	Token       []byte // 0 to 8 bytes, of no meaning
	Reliability Reliability
}

// ParseServerHello reads a ServerHello. Its payload has no meaning.
func ParseServerHello(m coap.Message) (ServerHello, error) {
	if err := checkRequest(KindServerHello, m); err != nil {
		return ServerHello{}, err
	}
	return ServerHello{Token: m.Token, Reliability: reliabilityOf(m.Type)}, nil
}

// Message returns the message for a device of dialect d.
func (h ServerHello) Message(d Dialect) coap.Message {
	return request(h.Reliability.coapType(d), coap.POST, "h", h.Token)
}
