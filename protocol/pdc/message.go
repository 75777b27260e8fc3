package pdc

import (
	"strings"

	"github.com/muster/muster/protocol/coap"
)

// A Message is one of the structs of this package.
type Message interface {
	// Message returns the CoAP message for, or from, a device of dialect d.
	// Its ID is zero: the exchange assigns it. It aliases the struct.
	Message(d Dialect) coap.Message
}

// check tests what every message of kind k has: its type and, in a request,
// its method and path character.
func check(k Kind, m coap.Message) error {
	r := &kinds[k]
	if !r.typ.possible(m.Type) {
		return faultf(k, "PDC-9", "type %v, want %v", m.Type, r.typ)
	}
	if r.chars == "" {
		return nil
	}
	if m.Code != r.code {
		return faultf(k, "PDC-9", "code %v, want %v", m.Code, r.code)
	}
	if strings.IndexByte(r.chars, m.PathChar()) < 0 || m.PathChar() == 0 {
		return faultf(k, "PDC-0.2", "path %q, want %q first", m.Path(), r.chars)
	}
	return nil
}

// checkToken tests the token length of a message whose answer needs it.
func checkToken(k Kind, m coap.Message) error {
	shortest, longest := k.TokenLengths()
	if n := len(m.Token); n < shortest || n > longest {
		return faultf(k, "PDC-0.3", "token of %d bytes, want %d to %d", n, shortest, longest)
	}
	return nil
}

// checkRequest is check and checkToken.
func checkRequest(k Kind, m coap.Message) error {
	if err := check(k, m); err != nil {
		return err
	}
	return checkToken(k, m)
}

// checkResponse tests type, token and that the code is among codes.
func checkResponse(k Kind, m coap.Message, codes ...coap.Code) error {
	if err := checkRequest(k, m); err != nil {
		return err
	}
	for _, c := range codes {
		if m.Code == c {
			return nil
		}
	}
	return faultf(k, "PDC-9", "code %v", m.Code)
}

// request returns a request whose first option is the path character char.
func request(t coap.Type, code coap.Code, char string, token []byte, more ...coap.Option) coap.Message {
	options := make(coap.Options, 0, 1+len(more))
	options = append(options, coap.Text(coap.URIPath, char))
	return coap.Message{Type: t, Code: code, Token: token, Options: append(options, more...)}
}

// minimalUint returns the option id with v in the shortest form, three bytes
// included, as a cloud encodes it (RFC 7252 Section 3.2). Device OS accepts
// 0 to 4 bytes.
func minimalUint(id coap.OptionID, v uint32) coap.Option {
	width := 0
	for n := v; n != 0; n >>= 8 {
		width++
	}
	return coap.Opaque(id, coap.AppendUintFixed(nil, v, width))
}

// segments returns the number of Uri-Path options.
func segments(m coap.Message) int {
	n := 0
	for _, o := range m.Options {
		if o.ID == coap.URIPath {
			n++
		}
	}
	return n
}

// nameOf returns the path segments behind the first, joined.
func nameOf(m coap.Message) string { return string(m.AppendPath(nil, 1)) }

// deviceIDSize is the size of a device id in bytes.
const deviceIDSize = 12
