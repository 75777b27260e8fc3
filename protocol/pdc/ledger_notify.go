package pdc

import "github.com/muster/muster/protocol/coap"

// A LedgerNotify carries a request of the cloud: [LedgerNotifyUpdate] or
// [LedgerResetInfo] (PDC-8.9).
type LedgerNotify struct {
	Token   []byte // exactly one byte; ignored by the device otherwise
	Payload []byte // what [ParseLedgerCall] reads
}

// ParseLedgerNotify reads a LedgerNotify. Blocks are not possible here: a
// device answers Block1 with RST.
func ParseLedgerNotify(m coap.Message) (LedgerNotify, error) {
	if err := checkRequest(KindLedgerNotify, m); err != nil {
		return LedgerNotify{}, err
	}
	if m.Has(coap.Block1) {
		return LedgerNotify{}, fault(KindLedgerNotify, "N-17", "has a Block1")
	}
	return LedgerNotify{Token: m.Token, Payload: m.Payload}, nil
}

// Message returns the message for a device.
func (n LedgerNotify) Message(Dialect) coap.Message {
	m := request(coap.Confirmable, coap.POST, "L", n.Token)
	m.Payload = n.Payload
	return m
}

// A LedgerNotifyResponse answers a [LedgerNotify]: CON 2.04, or 4.00 when it
// could not be decoded.
type LedgerNotifyResponse struct {
	Token []byte // that of the request
	OK    bool
}

// ParseLedgerNotifyResponse reads a LedgerNotifyResponse.
func ParseLedgerNotifyResponse(m coap.Message) (LedgerNotifyResponse, error) {
	err := checkResponse(KindLedgerNotifyResponse, m, coap.Changed, coap.BadRequest)
	if err != nil {
		return LedgerNotifyResponse{}, err
	}
	return LedgerNotifyResponse{Token: m.Token, OK: m.Code == coap.Changed}, nil
}

// Message returns the message of a device.
func (r LedgerNotifyResponse) Message(Dialect) coap.Message {
	m := coap.Message{Type: coap.Confirmable, Code: coap.BadRequest, Token: r.Token}
	if r.OK {
		m.Code = coap.Changed
	}
	return m
}
