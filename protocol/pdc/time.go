package pdc

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/coap"
)

// A TimeRequest asks the cloud for the time (PDC-8.1).
type TimeRequest struct {
	Token []byte // one byte
}

// ParseTimeRequest reads a TimeRequest.
func ParseTimeRequest(m coap.Message) (TimeRequest, error) {
	if err := checkRequest(KindTimeRequest, m); err != nil {
		return TimeRequest{}, err
	}
	return TimeRequest{Token: m.Token}, nil
}

// Message returns the message of a device: CON over TCP too.
func (r TimeRequest) Message(Dialect) coap.Message {
	return request(coap.Confirmable, coap.GET, "t", r.Token)
}

// A TimeResponse is the ACK of a [TimeRequest] (PDC-8.1).
type TimeResponse struct {
	Token []byte // that of the request, exactly one byte
	Unix  uint32 // seconds since 1970
}

// ParseTimeResponse reads a TimeResponse: piggybacked, with one token byte and
// no options (C-11).
func ParseTimeResponse(m coap.Message) (TimeResponse, error) {
	if err := checkResponse(KindTimeResponse, m, coap.Content); err != nil {
		return TimeResponse{}, err
	}
	if len(m.Options) != 0 || len(m.Payload) != 4 {
		return TimeResponse{}, faultf(KindTimeResponse, "C-11",
			"%d options and %d bytes of payload, want none and 4", len(m.Options), len(m.Payload))
	}
	return TimeResponse{Token: m.Token, Unix: binary.BigEndian.Uint32(m.Payload)}, nil
}

// Message returns the message for a device. It panics when the token is not one
// byte: every device would set a wrong clock (N-51).
func (r TimeResponse) Message(Dialect) coap.Message {
	if len(r.Token) != 1 {
		panic("pdc: a time response needs the request's token of one byte")
	}
	return coap.Message{
		Type: coap.Acknowledgement, Code: coap.Content, Token: r.Token,
		Payload: binary.BigEndian.AppendUint32(nil, r.Unix),
	}
}

// OnDeviceTime reads a time response as a board does. It reports false when
// wire is shorter than ten bytes, where a board would set its clock from what
// the last message left in its buffer.
//
// Device OS: bytes 6 to 9 of every 2.05 are the time, whatever its type, token
// and options are.
func OnDeviceTime(wire []byte) (unix uint32, ok bool) {
	if len(wire) < 10 {
		return 0, false
	}
	return binary.BigEndian.Uint32(wire[6:]), true
}
