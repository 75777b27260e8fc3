package pdc

import "github.com/muster/muster/protocol/coap"

// DispatchOnDevice returns what a board takes a message for (PDC-0.2). Wire
// is the whole message. A message of less than four bytes is [KindInvalid]: it
// is ignored. [KindUnknown] gets no reply from a board of Device OS up to 5.7;
// later ones hand it to their new channel, whose decoder drops the connection
// when the message is not well-formed.
//
// Whether the board has a handler for the kind is [Kind.SpokenBy].
//
// Device OS: the dispatcher looks at the code and at the one byte behind the
// first option header, at offset 5 + TKL. It checks neither the CoAP version
// nor the option header, and it takes every 2.05, of any type, for the time
// (communication/src/messages.cpp).
func DispatchOnDevice(wire []byte) Kind {
	if len(wire) < 4 {
		return KindInvalid
	}
	code := coap.Code(wire[1])
	switch code {
	case coap.Empty:
		if coap.Type(wire[0]>>4&3) == coap.Confirmable {
			return KindPing
		}
		return KindAcknowledgement
	case coap.Content:
		return KindTimeResponse
	default:
		// A request, or nothing that the dispatcher knows.
	}
	// Behind a short message a board reads what the last one left in its
	// buffer. Nothing there has a meaning, so nothing is what is seen here.
	var char byte
	if at := 5 + int(wire[0]&15); at < len(wire) {
		char = wire[at]
	}
	return cloudRequest(code, char)
}
