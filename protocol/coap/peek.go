package coap

import "encoding/binary"

// A Peeked is what the dispatcher of Device OS reads of a message.
type Peeked struct {
	Type Type
	Code Code
	ID   uint16

	// Char is the byte at offset 5+TKL, which is the first character of the path
	// when the first option is a Uri-Path with a header of one byte. It is 0
	// when the message is shorter (a board would read a stale byte).
	Char byte
}

// Peek reads b as the dispatcher of Device OS does, and reports false when b is
// shorter than four bytes: such messages are ignored.
//
// Device OS: options are not parsed, the option header is not looked at, the
// version is not checked and a token length above 8 is taken as it stands
// (communication/src/messages.cpp). Something before the Uri-Path therefore
// hides the request, and a message of version 0 is executed.
func Peek(b []byte) (Peeked, bool) {
	if len(b) < headerLen {
		return Peeked{}, false
	}
	p := Peeked{Type: Type(b[0] >> 4 & 3), Code: Code(b[1]), ID: binary.BigEndian.Uint16(b[2:])}
	if at := headerLen + 1 + int(b[0]&15); at < len(b) {
		p.Char = b[at]
	}
	return p, true
}
