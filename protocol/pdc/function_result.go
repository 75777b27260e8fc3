package pdc

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/coap"
)

// A FunctionResult is what a function returned (PDC-5.1). Results come in any
// order; the token tells the call.
type FunctionResult struct {
	Token []byte // that of the call
	Value int32
}

// ParseFunctionResult reads a FunctionResult.
func ParseFunctionResult(m coap.Message) (FunctionResult, error) {
	if err := checkResponse(KindFunctionResult, m, coap.Changed); err != nil {
		return FunctionResult{}, err
	}
	if len(m.Payload) != 4 {
		return FunctionResult{}, faultf(KindFunctionResult, "PDC-5.1", "payload of %d bytes, want 4", len(m.Payload))
	}
	return FunctionResult{Token: m.Token, Value: int32(binary.BigEndian.Uint32(m.Payload))}, nil
}

// Message returns the message of a device of dialect d.
func (r FunctionResult) Message(d Dialect) coap.Message {
	return coap.Message{
		Type: d.con(), Code: coap.Changed, Token: r.Token,
		Payload: binary.BigEndian.AppendUint32(nil, uint32(r.Value)),
	}
}
