package coap

import (
	"fmt"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
)

// The names of go-coap's message layer, so that its users need one import.
type (
	// Type is one of the four message types (RFC 7252 Section 3).
	Type = message.Type
	// Code is the code byte, class<<5 | detail (RFC 7252 Section 3).
	Code = codes.Code
	// OptionID is an option number, 1 to 65535.
	OptionID = message.OptionID
	// Option is one option: its number and its value.
	Option = message.Option
	// Options are a message's options in ascending order of their numbers.
	Options = message.Options
)

// The message types (RFC 7252 Section 3).
const (
	Confirmable     = message.Confirmable
	NonConfirmable  = message.NonConfirmable
	Acknowledgement = message.Acknowledgement
	Reset           = message.Reset
)

// The codes that Device OS and its cloud use (RFC 7252 Section 12.1, RFC 7959
// Section 2.9).
const (
	Empty              = codes.Empty                   // 0.00
	GET                = codes.GET                     // 0.01
	POST               = codes.POST                    // 0.02
	PUT                = codes.PUT                     // 0.03
	DELETE             = codes.DELETE                  // 0.04
	Created            = codes.Created                 // 2.01
	Changed            = codes.Changed                 // 2.04
	Content            = codes.Content                 // 2.05
	Continue           = codes.Continue                // 2.31
	BadRequest         = codes.BadRequest              // 4.00
	Unauthorized       = codes.Unauthorized            // 4.01
	BadOption          = codes.BadOption               // 4.02
	Forbidden          = codes.Forbidden               // 4.03
	NotFound           = codes.NotFound                // 4.04
	MethodNotAllowed   = codes.MethodNotAllowed        // 4.05
	EntityIncomplete   = codes.RequestEntityIncomplete // 4.08
	EntityTooLarge     = codes.RequestEntityTooLarge   // 4.13
	TooManyRequests    = codes.TooManyRequests         // 4.29
	InternalError      = codes.InternalServerError     // 5.00
	NotImplemented     = codes.NotImplemented          // 5.01
	ServiceUnavailable = codes.ServiceUnavailable      // 5.03
	GatewayTimeout     = codes.GatewayTimeout          // 5.04
)

// IsRequest reports whether c is a method (class 0 but not Empty).
func IsRequest(c Code) bool { return c>>5 == 0 && c != Empty }

// IsResponse reports whether c is a response code (class 2, 4 or 5).
func IsResponse(c Code) bool { k := c >> 5; return k == 2 || k == 4 || k == 5 }

// IsSuccess reports whether c has class 2.
func IsSuccess(c Code) bool { return c>>5 == 2 }

// A Message is one CoAP message (RFC 7252 Section 3). A Message that was parsed
// aliases the bytes it was parsed from.
type Message struct {
	Type    Type
	Code    Code
	ID      uint16
	Token   []byte  // 0 to 8 bytes
	Options Options // ascending
	Payload []byte

	// LoneMarker says that the payload marker ff was there with nothing behind
	// it. RFC 7252 Section 3 makes that a format error.
	//
	// Device OS: up to 2.x an event whose data is an empty string ends so, and
	// every version accepts it.
	LoneMarker bool
}

// String returns a short text of the form "CON 0.02 0x1010 token 5a /E/temp,
// 4 bytes". It shows no payload.
func (m Message) String() string {
	s := fmt.Sprintf("%s %d.%02d %#04x", typeNames[m.Type&3], m.Code>>5, m.Code&31, m.ID)
	if len(m.Token) > 0 {
		s += fmt.Sprintf(" token %x", m.Token)
	}
	if m.Has(URIPath) {
		s += " /" + m.Path()
	}
	if len(m.Payload) > 0 {
		s += fmt.Sprintf(", %d bytes", len(m.Payload))
	}
	return s
}

var typeNames = [4]string{"CON", "NON", "ACK", "RST"}
