package pdc

import "github.com/muster/muster/protocol/coap"

// A Signal makes the device's LED shout a rainbow, or stop (PDC-8.3).
type Signal struct {
	Token []byte // one byte
	On    bool
}

// ParseSignal reads a Signal.
func ParseSignal(m coap.Message) (Signal, error) {
	if err := checkRequest(KindSignal, m); err != nil {
		return Signal{}, err
	}
	q, ok := m.Query(0)
	if !ok || len(q) != 1 || q[0] > 1 {
		return Signal{}, fault(KindSignal, "PDC-8.3", "Uri-Query is not one byte 00 or 01")
	}
	return Signal{Token: m.Token, On: q[0] == 1}, nil
}

// Message returns the message for a device.
func (s Signal) Message(Dialect) coap.Message {
	on := byte(0)
	if s.On {
		on = 1
	}
	return request(coap.Confirmable, coap.PUT, "s", s.Token, coap.Opaque(coap.URIQuery, []byte{on}))
}

// OnDeviceSignal reads a signal as a board does.
//
// Device OS: byte 8 says start if it is not 0, whatever the token length is.
func OnDeviceSignal(wire []byte) Signal {
	return Signal{Token: token4(wire), On: len(wire) > 8 && wire[8] != 0}
}

// A SignalResponse is the ACK of a [Signal].
type SignalResponse struct {
	Token []byte // that of the request
}

// ParseSignalResponse reads a SignalResponse.
func ParseSignalResponse(m coap.Message) (SignalResponse, error) {
	if err := checkResponse(KindSignalResponse, m, coap.Changed); err != nil {
		return SignalResponse{}, err
	}
	return SignalResponse{Token: m.Token}, nil
}

// Message returns the message of a device.
func (r SignalResponse) Message(Dialect) coap.Message {
	return coap.Message{Type: coap.Acknowledgement, Code: coap.Changed, Token: r.Token}
}
