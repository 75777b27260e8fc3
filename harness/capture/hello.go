package capture

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/trace"
)

// A reader takes fields off the front of b. After the first that is too long it
// stays failed and yields nothing.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || n > len(r.b) {
		r.failed = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) number(size int) int {
	n := 0
	for _, c := range r.take(size) {
		n = n<<8 | int(c)
	}
	return n
}

// vector takes a field that follows its length of size bytes.
func (r *reader) vector(size int) []byte { return r.take(r.number(size)) }

// parseHello reads a ClientHello (RFC 6347 Section 4.3.2) or a ServerHello (RFC
// 5246 Section 7.4.1.3); nil when it is neither. It copies what it keeps.
func parseHello(body []byte, client bool) *trace.Hello {
	r := reader{b: append([]byte(nil), body...)}
	h := &trace.Hello{Version: uint16(r.number(2))}
	copy(h.Random[:], r.take(len(h.Random)))
	h.SessionID = r.vector(1)
	suites := 2
	if client {
		h.Cookie = r.vector(1)
		suites = r.number(2)
	}
	for b := r.take(suites); len(b) >= 2; b = b[2:] {
		h.CipherSuites = append(h.CipherSuites, binary.BigEndian.Uint16(b))
	}
	if client {
		r.vector(1) // compression methods
	} else {
		r.take(1)
	}
	if !r.failed && len(r.b) > 0 {
		h.Extensions = parseExtensions(&r)
	}
	if r.failed {
		return nil
	}
	return h
}

func parseExtensions(r *reader) (all []trace.Extension) {
	list := reader{b: r.vector(2)}
	for len(list.b) > 0 && !list.failed {
		e := trace.Extension{Type: uint16(list.number(2))}
		e.Data = list.vector(2)
		all = append(all, e)
	}
	r.failed = r.failed || list.failed
	return all
}
