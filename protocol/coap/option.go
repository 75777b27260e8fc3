package coap

import "github.com/plgd-dev/go-coap/v3/message"

// The options that Device OS and its cloud use (RFC 7252 Section 5.10, RFC 7959
// Section 2.1, RFC 7967, RFC 9175).
const (
	ETag          = message.ETag          // 4
	URIHost       = message.URIHost       // 3
	URIPath       = message.URIPath       // 11
	ContentFormat = message.ContentFormat // 12
	MaxAge        = message.MaxAge        // 14
	URIQuery      = message.URIQuery      // 15
	Block2        = message.Block2        // 23
	Block1        = message.Block1        // 27
	NoResponse    = message.NoResponse    // 258

	RequestTag OptionID = 292
)

// The options of update protocol v3.
//
// Device OS: numbers in the range for experiments (communication/inc/
// coap_defs.h). All are critical.
const (
	ChunkIndex     OptionID = 2049 // uint, from 1
	WindowSize     OptionID = 2053 // uint, chunks
	FileSize       OptionID = 2057 // uint, bytes
	FileSHA256     OptionID = 2061 // 32 bytes
	ChunkSize      OptionID = 2065 // uint, bytes
	DiscardData    OptionID = 2069 // empty
	CancelUpdate   OptionID = 2073 // empty
	ModuleFunction OptionID = 2077 // uint
)

// Opaque returns the option id with the given value, which it aliases.
func Opaque(id OptionID, value []byte) Option { return Option{ID: id, Value: value} }

// Text returns the option id whose value is s.
func Text(id OptionID, s string) Option { return Option{ID: id, Value: []byte(s)} }

// Uint returns the option id with v in the width that Device OS would choose
// (see [AppendUint]).
func Uint(id OptionID, v uint32) Option { return Option{ID: id, Value: AppendUint(nil, v)} }

// AppendUint appends v to dst in 0, 1, 2 or 4 bytes, the shortest that holds it.
//
// Device OS: never three bytes, where RFC 7252 Section 3.2 would have them.
func AppendUint(dst []byte, v uint32) []byte {
	switch {
	case v == 0:
		return dst
	case v < 1<<8:
		return append(dst, byte(v))
	case v < 1<<16:
		return append(dst, byte(v>>8), byte(v))
	default:
		return append(dst, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
}

// AppendUintFixed appends the low width bytes of v to dst, big-endian. Width is
// 0 to 4.
//
// Device OS: up to 6.1 the Max-Age of an event has always three bytes.
func AppendUintFixed(dst []byte, v uint32, width int) []byte {
	for i := width - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

// ParseUint reads an option value of 0 to 4 bytes as an unsigned integer, with
// or without leading zeros (RFC 7252 Section 3.2). It reports false for more
// than four bytes.
func ParseUint(v []byte) (uint32, bool) {
	if len(v) > 4 {
		return 0, false
	}
	var n uint32
	for _, b := range v {
		n = n<<8 | uint32(b)
	}
	return n, true
}

// Option returns the value of the first option id and whether there is one.
func (m Message) Option(id OptionID) ([]byte, bool) { return m.OptionAt(id, 0) }

// OptionAt returns the value of the i-th option id, from 0, and whether there
// are so many.
func (m Message) OptionAt(id OptionID, i int) ([]byte, bool) {
	for _, o := range m.Options {
		if o.ID != id {
			continue
		}
		if i == 0 {
			return o.Value, true
		}
		i--
	}
	return nil, false
}

// Has reports whether m has an option id.
func (m Message) Has(id OptionID) bool { _, ok := m.Option(id); return ok }

// Uint returns the value of the first option id as an unsigned integer. It
// reports false when there is none or when it has more than four bytes.
func (m Message) Uint(id OptionID) (uint32, bool) {
	v, ok := m.Option(id)
	if !ok {
		return 0, false
	}
	return ParseUint(v)
}

// Path returns the Uri-Path segments joined with "/", without a leading one. A
// segment may itself contain "/": Device OS sends the whole name of an event as
// one segment, where RFC 7252 Section 5.10.1 would split it.
func (m Message) Path() string { return string(m.AppendPath(nil, 0)) }

// AppendPath appends the Uri-Path segments from number skip on, joined with
// "/", to dst.
func (m Message) AppendPath(dst []byte, skip int) []byte {
	n := 0
	for _, o := range m.Options {
		if o.ID != URIPath {
			continue
		}
		if n > skip {
			dst = append(dst, '/')
		}
		if n >= skip {
			dst = append(dst, o.Value...)
		}
		n++
	}
	return dst
}

// PathChar returns the first Uri-Path segment when that is one character, else
// 0. Every Particle request begins with such a segment.
func (m Message) PathChar() byte {
	if v, _ := m.Option(URIPath); len(v) == 1 {
		return v[0]
	}
	return 0
}

// Query returns the i-th Uri-Query, from 0, and whether there are so many. It
// is raw bytes: the argument of a function may be up to 1024 of them.
func (m Message) Query(i int) ([]byte, bool) { return m.OptionAt(URIQuery, i) }
