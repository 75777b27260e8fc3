package coap

import (
	"fmt"
	"slices"
)

// optionHeaderMax is the longest header of an option: a byte, and two more for
// each of delta and length (RFC 7252 Section 3.1).
const optionHeaderMax = 5

// optionValueMax is the longest value that such a header can announce.
const optionValueMax = 65535 + 269

// Append appends the encoding of m to dst and returns the extended slice. It
// panics when m breaks the format: a token above 8 bytes, options that do not
// ascend, option number 0, or content in an Empty message.
func (m Message) Append(dst []byte) []byte {
	m.check()
	dst = append(dst, 1<<6|byte(m.Type&3)<<4|byte(len(m.Token)), byte(m.Code), byte(m.ID>>8), byte(m.ID))
	dst = append(dst, m.Token...)
	if len(m.Options) > 0 {
		dst = appendOptions(dst, m.Options)
	}
	if len(m.Payload) > 0 || m.LoneMarker {
		dst = append(dst, marker)
		dst = append(dst, m.Payload...)
	}
	return dst
}

func appendOptions(dst []byte, options Options) []byte {
	size := 0
	for _, o := range options {
		size += optionHeaderMax + len(o.Value)
	}
	dst = slices.Grow(dst, size)
	n, err := options.Marshal(dst[len(dst):cap(dst)])
	if err != nil {
		panic(fmt.Sprintf("coap: encoding options: %v", err))
	}
	return dst[:len(dst)+n]
}

func (m *Message) check() {
	if len(m.Token) > tokenLenMax {
		panic(fmt.Sprintf("coap: a token of %d bytes", len(m.Token)))
	}
	if m.Code > 255 || m.Type < 0 || m.Type > 3 {
		panic(fmt.Sprintf("coap: type %d, code %d", m.Type, m.Code))
	}
	if m.Code == Empty && (len(m.Token) > 0 || len(m.Options) > 0 || len(m.Payload) > 0 || m.LoneMarker) {
		panic("coap: an Empty message with content")
	}
	if m.LoneMarker && len(m.Payload) > 0 {
		panic("coap: a lone marker with a payload behind it")
	}
	previous := OptionID(0)
	for _, o := range m.Options {
		if o.ID == 0 || o.ID < previous || len(o.Value) > optionValueMax {
			panic(fmt.Sprintf("coap: option %d of %d bytes after option %d", o.ID, len(o.Value), previous))
		}
		previous = o.ID
	}
}
