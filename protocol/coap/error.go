package coap

import "fmt"

// A Reason is a way in which bytes are not a CoAP message. Drivers count by it.
type Reason uint8

// The reasons, in the order in which a message is read.
const (
	TooShort        Reason = 1 + iota // fewer than the four bytes of the header
	BadVersion                        // the version is not 1
	BadTokenLength                    // a token length of 9 to 15
	TokenTruncated                    // the message ends in the token
	BadCodeClass                      // a code of class 1, 3, 6 or 7
	EmptyNotEmpty                     // bytes behind the header of an Empty message
	BadOptionNibble                   // an option delta or length of 15
	OptionTruncated                   // the message ends in an option
	BadOptionNumber                   // option number 0, or above 65535

	numReasons
)

var reasons = [numReasons]struct{ text, rule string }{
	0:               {"no error", ""},
	TooShort:        {"shorter than a header", "RFC 7252 Section 3"},
	BadVersion:      {"version is not 1", "RFC 7252 Section 3"},
	BadTokenLength:  {"token length above 8", "RFC 7252 Section 3"},
	TokenTruncated:  {"token truncated", "RFC 7252 Section 3"},
	BadCodeClass:    {"reserved code class", "RFC 7252 Section 4.2"},
	EmptyNotEmpty:   {"Empty message with content", "RFC 7252 Section 4.1"},
	BadOptionNibble: {"option delta or length 15", "RFC 7252 Section 3.1"},
	OptionTruncated: {"option truncated", "RFC 7252 Section 3.1"},
	BadOptionNumber: {"option number 0 or above 65535", "RFC 7252 Section 12.2"},
}

// String returns what is wrong, in words.
func (r Reason) String() string {
	if r >= numReasons {
		return fmt.Sprintf("Reason(%d)", uint8(r))
	}
	return reasons[r].text
}

// A FormatError reports bytes that are not a CoAP message. The peer is at
// fault. It never ends a session: a driver counts it and drops the message, as
// RFC 7252 Section 3 requires of messages with format errors.
type FormatError struct {
	Offset int    // of the first offending byte
	Rule   string // the rule broken, as "RFC nnnn Section x.y"
	Reason Reason
}

// Error implements error.
func (e *FormatError) Error() string {
	return fmt.Sprintf("coap: %v at byte %d (%s)", e.Reason, e.Offset, e.Rule)
}
