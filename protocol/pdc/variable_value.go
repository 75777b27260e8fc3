package pdc

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/muster/muster/protocol/coap"
)

// A VariableValue answers a [VariableRequest] (PDC-5.2). Payload has no type of
// its own: the application describe has it (see [DecodeVariable]).
type VariableValue struct {
	Token []byte // that of the request
	// Code is 2.05, 4.04 for an unknown variable (since 1.5), 4.00 or 5.00.
	Code    coap.Code
	Payload []byte // empty for an empty string, too
	// Piggybacked is true when the response is the ACK: always up to 1.4,
	// later for some refusals.
	Piggybacked bool
}

// ParseVariableValue reads a VariableValue.
func ParseVariableValue(m coap.Message) (VariableValue, error) {
	err := checkResponse(KindVariableValue, m,
		coap.Content, coap.NotFound, coap.BadRequest, coap.InternalError)
	if err != nil {
		return VariableValue{}, err
	}
	return VariableValue{
		Token: m.Token, Code: m.Code, Payload: m.Payload, Piggybacked: m.Type == coap.Acknowledgement,
	}, nil
}

// Message returns the message of a device of dialect d: piggybacked if that is
// asked for or d is older than 1.5. A Code of zero is 2.05.
func (v VariableValue) Message(d Dialect) coap.Message {
	m := coap.Message{Type: d.con(), Code: v.Code, Token: v.Token, Payload: v.Payload}
	if v.Piggybacked || d.System < OS1_5 {
		m.Type = coap.Acknowledgement
	}
	if m.Code == 0 {
		m.Code = coap.Content
	}
	return m
}

// A VariableType is the type of a variable, as the application describe codes
// it (PDC-3.4).
type VariableType uint8

// The types.
const (
	VariableBool   VariableType = 1
	VariableInt    VariableType = 2
	VariableString VariableType = 4
	VariableDouble VariableType = 9
)

// String returns the name that the cloud's API has for the type.
func (t VariableType) String() string {
	switch t {
	case VariableBool:
		return "bool"
	case VariableInt:
		return "int32"
	case VariableString:
		return "string"
	case VariableDouble:
		return "double"
	}
	return fmt.Sprintf("VariableType(%d)", uint8(t))
}

// A Value is the value of a variable: the field that Type names.
type Value struct {
	Type   VariableType
	Bool   bool
	Int    int32
	String string // bytes, not necessarily UTF-8
	Double float64
}

// DecodeVariable reads the payload of a [VariableValue] as a value of type t
// (C-36).
//
// Device OS: an int is big-endian, a double little-endian.
func DecodeVariable(t VariableType, payload []byte) (Value, error) {
	v, n := Value{Type: t}, len(payload)
	switch {
	case t == VariableBool && n == 1:
		v.Bool = payload[0] != 0
	case t == VariableInt && n == 4:
		v.Int = int32(binary.BigEndian.Uint32(payload))
	case t == VariableString:
		v.String = string(payload)
	case t == VariableDouble && n == 8:
		v.Double = math.Float64frombits(binary.LittleEndian.Uint64(payload))
	default:
		return Value{}, faultf(KindVariableValue, "C-36", "%d bytes for a variable of type %v", n, t)
	}
	return v, nil
}

// Append appends the payload of v to b. It panics when v has no type: the
// caller's bug.
func (v Value) Append(b []byte) []byte {
	switch v.Type {
	case VariableBool:
		if v.Bool {
			return append(b, 1)
		}
		return append(b, 0)
	case VariableInt:
		return binary.BigEndian.AppendUint32(b, uint32(v.Int))
	case VariableString:
		return append(b, v.String...)
	case VariableDouble:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Double))
	}
	panic(fmt.Sprintf("pdc: a value of %v", v.Type))
}
