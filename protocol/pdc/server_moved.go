package pdc

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/coap"
)

// DefaultServerPort is the port of a [ServerMoved] that names none.
const DefaultServerPort = 5684

// A ServerMoved sends the device to another server for good (PDC-8.6), since
// 4.1. An empty ACK and a [ServerMovedResponse] answer it.
type ServerMoved struct {
	Token     []byte // exactly one byte: two or more crash a device
	Address   string // may contain "$id"
	Port      uint16 // 0 for DefaultServerPort
	PublicKey []byte // DER
	// Signature is ECDSA P-256 with SHA-256 over [ServerMoved.Signed], made
	// with a key whose public half is compiled into Device OS.
	Signature []byte
}

// ParseServerMoved reads a ServerMoved.
func ParseServerMoved(m coap.Message) (ServerMoved, error) {
	if err := checkRequest(KindServerMoved, m); err != nil {
		return ServerMoved{}, err
	}
	s, err := parseServerMoved(m.Payload)
	s.Token = m.Token
	return s, err
}

func parseServerMoved(payload []byte) (ServerMoved, error) {
	var s ServerMoved
	err := protoFields(KindServerMoved, payload, func(f protoField) bool {
		switch f.num {
		case 1:
			s.Address = string(f.bytes)
			return f.isBytes()
		case 2:
			s.Port = uint16(f.value)
			return f.isVarint() && f.value <= 0xffff
		case 3:
			s.PublicKey = f.bytes
			return f.isBytes()
		case 4:
			s.Signature = f.bytes
			return f.isBytes()
		}
		return true
	})
	if err != nil {
		return ServerMoved{}, err
	}
	return s, nil
}

// OnDeviceServerMoved reads a ServerMoved as a board does. The *Error's
// Reaction says whether the message is ignored, crashes the board, or is
// answered by a CON 4.00 with the diagnostic -280.
//
// Device OS: a token of two or more bytes fails an assertion.
func OnDeviceServerMoved(m coap.Message) (ServerMoved, error) {
	e := &Error{Kind: KindServerMoved, Rule: "N-16"}
	switch {
	case m.Type != coap.Confirmable:
		e.Reason, e.Reaction = "not confirmable", Ignore
		return ServerMoved{}, e
	case len(m.Token) == 0:
		e.Reason, e.Reaction = "no token", Ignore
		return ServerMoved{}, e
	case len(m.Token) > 1:
		e.Reason, e.Reaction = "token of more than one byte", Crash
		return ServerMoved{}, e
	}
	s, err := parseServerMoved(m.Payload)
	s.Token = m.Token
	if err != nil {
		e.Reason, e.Answer = "payload is not protobuf", ErrBadData.Code()
		return s, e
	}
	return s, nil
}

// Message returns the message for a device.
func (s ServerMoved) Message(Dialect) coap.Message {
	m := request(coap.Confirmable, coap.POST, "M", s.Token)
	b := appendProtoString(nil, 1, s.Address)
	b = appendProtoUint(b, 2, uint64(s.Port))
	b = appendProtoBytes(b, 3, s.PublicKey)
	m.Payload = appendProtoBytes(b, 4, s.Signature)
	return m
}

// Signed returns the bytes that Signature is over: key and address, each behind
// its length in four bytes, then the port in two, all little-endian.
func (s ServerMoved) Signed() []byte {
	port := s.Port
	if port == 0 {
		port = DefaultServerPort
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(s.PublicKey)))
	b = append(b, s.PublicKey...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.Address)))
	b = append(b, s.Address...)
	return binary.LittleEndian.AppendUint16(b, port)
}

// A ServerMovedResponse answers a [ServerMoved].
type ServerMovedResponse struct {
	Token      []byte    // that of the request
	Refused    coap.Code // of an error response, 0 for 2.04
	Diagnostic Diagnostic
}

// ParseServerMovedResponse reads a ServerMovedResponse.
func ParseServerMovedResponse(m coap.Message) (ServerMovedResponse, error) {
	if err := checkRequest(KindServerMovedResponse, m); err != nil {
		return ServerMovedResponse{}, err
	}
	r := ServerMovedResponse{Token: m.Token}
	switch {
	case isError(m.Code):
		r.Refused, r.Diagnostic = failed(m)
	case m.Code != coap.Changed:
		return ServerMovedResponse{}, faultf(KindServerMovedResponse, "PDC-8.6", "code %v", m.Code)
	}
	return r, nil
}

// Message returns the message of a device.
func (r ServerMovedResponse) Message(Dialect) coap.Message {
	m := coap.Message{Type: coap.Confirmable, Code: coap.Changed, Token: r.Token}
	if r.Refused != 0 {
		m.Code, m.Payload = r.Refused, r.Diagnostic.Append(nil)
	}
	return m
}
