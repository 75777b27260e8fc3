package coap

import (
	"encoding/binary"
	"errors"

	"github.com/plgd-dev/go-coap/v3/message"
)

const (
	headerLen   = 4
	marker      = 0xff
	tokenLenMax = 8
)

// Parse decodes b. The result aliases b. It fails with a *[FormatError].
//
// Known options have no length limits here: Device OS sends a function's
// argument as one Uri-Query of up to 1024 bytes, where RFC 7252 Section 5.10
// has 255, and a codec that skipped it would lose the argument in silence.
func Parse(b []byte) (Message, error) {
	var m Message
	if err := parseInto(&m, b); err != nil {
		return Message{}, err
	}
	return m, nil
}

// ParseInto decodes b into m, which aliases b afterwards. It reuses the storage
// of m.Options and allocates nothing when that is large enough. When it fails,
// m holds as much of the header as could be read.
func ParseInto(m *Message, b []byte) error {
	if err := parseInto(m, b); err != nil {
		return err
	}
	return nil
}

func parseInto(m *Message, b []byte) *FormatError {
	*m = Message{Options: m.Options[:0]}
	if len(b) < headerLen {
		return formatError(TooShort, len(b))
	}
	m.Type = Type(b[0] >> 4 & 3)
	m.Code = Code(b[1])
	m.ID = binary.BigEndian.Uint16(b[2:])
	tokenEnd := headerLen + int(b[0]&15)
	if tokenEnd <= len(b) && tokenEnd > headerLen && tokenEnd <= headerLen+tokenLenMax {
		m.Token = b[headerLen:tokenEnd]
	}
	switch {
	case b[0]>>6 != 1:
		return formatError(BadVersion, 0)
	case tokenEnd > headerLen+tokenLenMax:
		return formatError(BadTokenLength, 0)
	case tokenEnd > len(b):
		return formatError(TokenTruncated, len(b))
	case m.Code == Empty && len(b) > headerLen:
		return formatError(EmptyNotEmpty, headerLen)
	case m.Code>>5 != 0 && !IsResponse(m.Code):
		return formatError(BadCodeClass, 1)
	}
	return m.parseOptions(b, tokenEnd)
}

// parseOptions decodes what follows the token, with go-coap's decoder. No
// option definitions are given to it, so it checks no lengths and skips
// nothing but option number 0, which is refused here first.
func (m *Message) parseOptions(b []byte, start int) *FormatError {
	rest := b[start:]
	if len(rest) > 0 && rest[0] < 0x10 {
		return formatError(BadOptionNumber, start)
	}
	n, err := m.Options.Unmarshal(rest, nil)
	for errors.Is(err, message.ErrOptionsTooSmall) {
		m.Options = make(Options, 0, 2*cap(m.Options)+8)
		n, err = m.Options.Unmarshal(rest, nil)
	}
	if err != nil {
		m.Options = m.Options[:0]
		return locate(b, start)
	}
	if n < len(rest) {
		m.Payload = rest[n:]
	} else {
		m.LoneMarker = n > 0 && rest[n-1] == marker && n > m.optionsEnd(rest)
	}
	return nil
}

// optionsEnd returns where in rest the last option ends. Values alias rest, so
// the capacity that is left behind a value tells where it begins.
func (m *Message) optionsEnd(rest []byte) int {
	if len(m.Options) == 0 {
		return 0
	}
	last := m.Options[len(m.Options)-1].Value
	return cap(rest) - cap(last) + len(last)
}

// locate walks options that go-coap has refused, to say where and why.
func locate(b []byte, at int) *FormatError {
	number := 0
	for at < len(b) {
		delta, length := int(b[at]>>4), int(b[at]&15)
		if delta == 15 || length == 15 {
			return formatError(BadOptionNibble, at)
		}
		next := at + 1
		delta, next = extended(b, next, delta)
		length, next = extended(b, next, length)
		if next+length > len(b) {
			return formatError(OptionTruncated, len(b))
		}
		if number += delta; number > 65535 {
			return formatError(BadOptionNumber, at)
		}
		at = next + length
	}
	panic("coap: go-coap refused options that are in order")
}

// extended reads the extension of an option nibble at offset at, and returns
// the value and the offset behind it, which may lie beyond b.
func extended(b []byte, at, nibble int) (value, next int) {
	switch {
	case nibble < message.ExtendOptionByteCode:
		return nibble, at
	case nibble == message.ExtendOptionByteCode && at < len(b):
		return int(b[at]) + message.ExtendOptionByteAddend, at + 1
	case nibble == message.ExtendOptionWordCode && at+1 < len(b):
		return int(binary.BigEndian.Uint16(b[at:])) + message.ExtendOptionWordAddend, at + 2
	default:
		return 0, len(b) + 1
	}
}

func formatError(r Reason, offset int) *FormatError {
	return &FormatError{Offset: offset, Rule: reasons[r].rule, Reason: r}
}
