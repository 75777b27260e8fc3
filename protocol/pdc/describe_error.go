package pdc

import "github.com/muster/muster/protocol/coap"

// A DescribeError is how a device refuses a [DescribeRequest], since 3.3: 4.00,
// 4.02 or 4.04 without a payload (PDC-3.1).
type DescribeError struct {
	Token []byte // that of the request
	Code  coap.Code
	// Unconfirmed is true for the answer to a NON request.
	Unconfirmed bool
}

// ParseDescribeError reads a DescribeError.
func ParseDescribeError(m coap.Message) (DescribeError, error) {
	err := checkResponse(KindDescribeError, m, coap.BadRequest, coap.BadOption, coap.NotFound)
	if err != nil {
		return DescribeError{}, err
	}
	return DescribeError{Token: m.Token, Code: m.Code, Unconfirmed: m.Type == coap.NonConfirmable}, nil
}

// Message returns the message of a device.
func (e DescribeError) Message(Dialect) coap.Message {
	m := coap.Message{Type: coap.Acknowledgement, Code: e.Code, Token: e.Token}
	if e.Unconfirmed {
		m.Type = coap.NonConfirmable
	}
	return m
}
