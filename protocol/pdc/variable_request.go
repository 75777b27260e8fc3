package pdc

import "github.com/muster/muster/protocol/coap"

// A VariableRequest reads a variable of the device (PDC-5.2). A
// [VariableValue] answers it.
type VariableRequest struct {
	Token []byte // one byte
	Name  string // at most 64 bytes, 12 before 0.8
}

// ParseVariableRequest reads a VariableRequest.
func ParseVariableRequest(m coap.Message) (VariableRequest, error) {
	if err := checkRequest(KindVariableRequest, m); err != nil {
		return VariableRequest{}, err
	}
	if segments(m) != 2 || nameOf(m) == "" {
		return VariableRequest{}, fault(KindVariableRequest, "PDC-5.2", "no variable name in the second path segment")
	}
	return VariableRequest{Token: m.Token, Name: nameOf(m)}, nil
}

// Message returns the message for a device.
func (r VariableRequest) Message(Dialect) coap.Message {
	return request(coap.Confirmable, coap.GET, "v", r.Token, coap.Text(coap.URIPath, r.Name))
}

// OnDeviceVariableRequest reads a variable request as a board of dialect d
// does. Wire is the whole message, of at least four bytes.
//
// Device OS: the name's option is at byte 7, whatever its delta is.
func OnDeviceVariableRequest(wire []byte, d Dialect) (VariableRequest, error) {
	if err := oneToken(KindVariableRequest, wire, d); err != nil {
		return VariableRequest{}, err
	}
	name, _ := fixedName(wire, d)
	return VariableRequest{Token: token4(wire), Name: string(name)}, nil
}
