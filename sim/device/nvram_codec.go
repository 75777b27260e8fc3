package device

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/muster/muster/protocol/pdc"
)

// nvramVersion is the first byte of the encoding.
const nvramVersion = 1

// ErrNVRAM reports bytes that are not an encoded NVRAM of this version.
var ErrNVRAM = errors.New("device: not a stored NVRAM")

// rare is the part of an NVRAM that few devices have.
type rare struct {
	Modules []pdc.ModuleInfo `json:",omitempty"`
	Assets  []pdc.AssetInfo  `json:",omitempty"`
}

// Append appends the encoding of nv to b. It holds the keys of a session and
// must be kept secret.
func (nv *NVRAM) Append(b []byte) []byte {
	b = append(b, nvramVersion, bit(nv.Applied)|bit(nv.SafeMode)<<1)
	for _, n := range []uint64{uint64(nv.Reset), uint64(nv.KeyErrors), uint64(nv.Boots), uint64(nv.Handshakes), uint64(uint32(nv.Unix))} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendBytes(b, []byte(nv.ClaimCode))
	b = appendBytes(b, []byte(nv.MovedTo))
	b = appendBytes(b, nv.Session.append(nil))
	b = appendBytes(b, nv.Partial.append(nil))
	if nv.Modules == nil && nv.Assets == nil {
		return appendBytes(b, nil)
	}
	text, err := json.Marshal(rare{nv.Modules, nv.Assets})
	if err != nil {
		panic(err) // plain structs always have JSON
	}
	return appendBytes(b, text)
}

// ParseNVRAM decodes what Append encoded. The error is [ErrNVRAM]. The result
// does not alias b.
func ParseNVRAM(b []byte) (*NVRAM, error) {
	r := reader{b: b}
	if r.byte() != nvramVersion {
		return nil, ErrNVRAM
	}
	flags := r.byte()
	nv := &NVRAM{Applied: flags&1 != 0, SafeMode: flags&2 != 0}
	nv.Reset = pdc.ResetReason(r.uint())
	nv.KeyErrors, nv.Boots, nv.Handshakes = r.uint(), r.uint(), r.uint()
	nv.Unix = int64(r.uint())
	nv.ClaimCode, nv.MovedTo = string(r.bytes()), string(r.bytes())
	if s := r.bytes(); len(s) > 0 {
		nv.Session = parseSession(&reader{b: s}, &r)
	}
	if p := r.bytes(); len(p) > 0 {
		nv.Partial = parsePartial(&reader{b: p}, &r)
	}
	if text := r.bytes(); len(text) > 0 {
		var more rare
		if json.Unmarshal(text, &more) != nil {
			return nil, ErrNVRAM
		}
		nv.Modules, nv.Assets = more.Modules, more.Assets
	}
	if r.bad || len(r.b) > 0 || flags > 3 {
		return nil, ErrNVRAM
	}
	return nv, nil
}

func (s *Session) append(b []byte) []byte {
	if s == nil {
		return b
	}
	b = binary.BigEndian.AppendUint16(b, s.Size)
	b = append(b, s.Uses, s.App.Valid)
	b = binary.BigEndian.AppendUint16(b, s.LastID)
	a := &s.App
	for _, n := range []uint32{s.Server, s.Keys, a.Subscriptions, a.Application, a.System, a.ProtocolFlags, a.MaxBinary} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for _, n := range []uint16{a.Version, a.MaxMessage, a.ChunkSize} {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return append(b, s.DTLS...)
}

func parseSession(r, outer *reader) *Session {
	s := new(Session)
	s.Size = r.uint16()
	s.Uses, s.App.Valid = r.byte(), r.byte()
	s.LastID = r.uint16()
	a := &s.App
	for _, n := range []*uint32{&s.Server, &s.Keys, &a.Subscriptions, &a.Application, &a.System, &a.ProtocolFlags, &a.MaxBinary} {
		*n = uint32(r.uint16())<<16 | uint32(r.uint16())
	}
	a.Version, a.MaxMessage, a.ChunkSize = r.uint16(), r.uint16(), r.uint16()
	s.DTLS = append([]byte(nil), r.b...)
	outer.bad = outer.bad || r.bad
	return s
}

func (p *Partial) append(b []byte) []byte {
	if p == nil {
		return b
	}
	b = append(b, p.SHA256[:]...)
	b = binary.AppendUvarint(b, uint64(p.Size))
	b = binary.AppendUvarint(b, uint64(p.Flushed))
	return append(b, p.Data...)
}

func parsePartial(r, outer *reader) *Partial {
	p := new(Partial)
	if len(r.b) < len(p.SHA256) {
		outer.bad = true
		return nil
	}
	r.b = r.b[copy(p.SHA256[:], r.b):]
	p.Size, p.Flushed = r.uint(), r.uint()
	p.Data = append([]byte(nil), r.b...)
	outer.bad = outer.bad || r.bad || uint64(p.Flushed) > uint64(len(p.Data)) || uint64(len(p.Data)) > uint64(p.Size)
	return p
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// A reader takes fields off its bytes; a field that is not there makes it bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uint16() uint16 { return uint16(r.byte())<<8 | uint16(r.byte()) }

func (r *reader) uint() uint32 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<32-1 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return uint32(v)
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if uint64(n) > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
