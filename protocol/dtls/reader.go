package dtls

import "encoding/binary"

// A reader takes the fields of a message off its front. After the first field
// that is not there, all are empty and bad is set. Results alias the input.
type reader struct {
	b   []byte
	bad bool
}

// take returns the next n bytes.
func (r *reader) take(n int) []byte {
	if n > len(r.b) || r.bad {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uint8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// vector8, vector16 and vector24 return a field behind its length in 1, 2 or 3
// bytes.
func (r *reader) vector8() []byte  { return r.take(int(r.uint8())) }
func (r *reader) vector16() []byte { return r.take(int(r.uint16())) }
func (r *reader) vector24() []byte {
	if b := r.take(3); b != nil {
		return r.take(uint24(b))
	}
	return nil
}

// done reports whether all fields were there and nothing is left.
func (r *reader) done() bool { return !r.bad && len(r.b) == 0 }

// appendVector8 and its like append b behind its length.
func appendVector8(dst, b []byte) []byte {
	return append(append(dst, byte(len(b))), b...)
}

func appendVector16(dst, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(b))), b...)
}

func appendVector24(dst, b []byte) []byte { return append(appendUint24(dst, len(b)), b...) }

// hasUint16 reports whether a list of 16-bit codes holds code.
func hasUint16(list []byte, code uint16) bool {
	for ; len(list) >= 2; list = list[2:] {
		if binary.BigEndian.Uint16(list) == code {
			return true
		}
	}
	return false
}

// appendUint16s appends a list of 16-bit codes.
func appendUint16s(dst []byte, list []uint16) []byte {
	for _, code := range list {
		dst = binary.BigEndian.AppendUint16(dst, code)
	}
	return dst
}
