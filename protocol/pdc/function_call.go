package pdc

import "github.com/muster/muster/protocol/coap"

// A FunctionCall calls a function of the device (PDC-5.1). The device answers
// with an empty ACK, and with a [FunctionResult] when the function has run; an
// unknown function has no result ever.
type FunctionCall struct {
	Token    []byte // one byte
	Name     string // at most 64 bytes, 12 before 0.8
	Argument string // bytes, at most Limits.Argument
}

// ParseFunctionCall reads a FunctionCall: its path of two segments and its one
// Uri-Query, which must be there even for an empty argument (C-33).
func ParseFunctionCall(m coap.Message) (FunctionCall, error) {
	if err := checkRequest(KindFunctionCall, m); err != nil {
		return FunctionCall{}, err
	}
	if segments(m) != 2 {
		return FunctionCall{}, faultf(KindFunctionCall, "PDC-5.1", "path of %d segments, want 2", segments(m))
	}
	q, ok := m.Query(0)
	if !ok {
		return FunctionCall{}, fault(KindFunctionCall, "C-33", "no argument option")
	}
	if len(m.Options) != 3 {
		return FunctionCall{}, fault(KindFunctionCall, "PDC-5.1", "more options than path and argument")
	}
	return FunctionCall{Token: m.Token, Name: nameOf(m), Argument: string(q)}, nil
}

// Message returns the message for a device.
func (c FunctionCall) Message(Dialect) coap.Message {
	return request(coap.Confirmable, coap.POST, "f", c.Token,
		coap.Text(coap.URIPath, c.Name), coap.Text(coap.URIQuery, c.Argument))
}

// OnDeviceFunctionCall reads a function call as a board of dialect d does. Wire
// is the whole message, of at least four bytes. A name or an argument above the
// limit is cut, and tooLong tells of the argument: the board then answers 4.00
// and, since 0.6, runs the function all the same.
//
// Device OS: the name's option is at byte 7 and the argument's directly behind
// the name, whatever their deltas are. A name that was cut has the argument
// read from its own rest.
func OnDeviceFunctionCall(wire []byte, d Dialect) (c FunctionCall, tooLong bool, err error) {
	if err := oneToken(KindFunctionCall, wire, d); err != nil {
		return FunctionCall{}, false, err
	}
	name, rest := fixedName(wire, d)
	c = FunctionCall{Token: token4(wire), Name: string(name)}
	argument, _, ok := oldOption(rest)
	if !ok && len(rest) > 1 {
		// Longer than the message: a board reads on in its buffer.
		argument = rest[1:]
	}
	if limit := d.Limits().Argument; len(argument) > limit {
		argument, tooLong = argument[:limit], true
	}
	c.Argument = string(argument)
	return c, tooLong, nil
}

// oneToken is the check that since 1.5 ends the connection when the token of a
// function call or variable request is not one byte (N-4, N-5).
func oneToken(k Kind, wire []byte, d Dialect) error {
	if n := wire[0] & 15; d.System >= OS1_5 && n != 1 {
		return &Error{Kind: k, Rule: "N-5", Reason: "token is not one byte", Reaction: Disconnect}
	}
	return nil
}

// token4 is the byte that a board takes for the token.
func token4(wire []byte) []byte {
	if len(wire) < 5 {
		return nil
	}
	return wire[4:5:5]
}

// fixedName takes the name whose option stands at byte 7. Its length may have
// the extension 13 since 0.8.
func fixedName(wire []byte, d Dialect) (name, rest []byte) {
	b := wire[min(len(wire), 7):]
	if len(b) == 0 {
		return nil, nil
	}
	n, at := int(b[0]&15), 1
	if n == 13 && d.System >= OS0_8 && len(b) >= 2 {
		n, at = 13+int(b[1]), 2
	}
	n = min(n, d.Limits().Name, len(b)-at)
	return b[at : at+n], b[at+n:]
}
