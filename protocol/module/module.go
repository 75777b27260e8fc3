package module

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// A Module is one firmware module. As parsed it aliases the image.
type Module struct {
	Prefix
	// VectorTable is the 512 bytes before the prefix, nil for none. Its first
	// word must look like an address in RAM, 0x2000xxxx.
	VectorTable []byte
	// PrefixExtensions follow the prefix, with the flag of that name; the last is
	// an ExtensionEnd, which Append adds when it is missing.
	PrefixExtensions []Extension
	// Compression stands before the body, with the flag Compressed.
	Compression *Compression
	Body        []byte
	// Extensions stand before the suffix.
	Extensions []Extension
	// Product is the product words of an image for nRF or Gen 2, both 0xffff when
	// none is set; nil when there are none. Append writes unset words for nil
	// when there are no Extensions.
	Product *Product
	// Bare means neither product words nor extensions.
	Bare bool
	// Reserved is the first field of the suffix.
	Reserved uint16
	// Hash and CRC are what the image says. Append computes them.
	Hash [HashSize]byte
	CRC  uint32

	raw []byte
}

// unset are the product words of an image that belongs to no product.
var unset = Product{0xffff, 0xffff}

// Raw returns the bytes that the module was parsed from.
func (m *Module) Raw() []byte { return m.raw }

// CRCValid reports whether the CRC fits the bytes parsed.
func (m *Module) CRCValid() bool {
	return m.CRC == crc32.ChecksumIEEE(m.raw[:len(m.raw)-CRCSize])
}

// HashValid reports whether the SHA-256 fits the bytes parsed.
func (m *Module) HashValid() bool {
	return m.Hash == sha256.Sum256(m.raw[:hashOffset(len(m.raw))])
}

// hashOffset returns where the SHA-256 of a module of that size lies.
func hashOffset(size int) int { return size - CRCSize - 2 - HashSize }

// Append appends the image of m. End, flags of what there is, sizes, Hash and CRC
// are computed; the fields of that name are not looked at. It panics when a part
// has an impossible size.
func (m *Module) Append(b []byte) []byte {
	start := len(b)
	if m.VectorTable != nil {
		if len(m.VectorTable) != VectorTableSize || prefixOffset(m.VectorTable) == 0 {
			panic("module: not a vector table")
		}
		b = append(b, m.VectorTable...)
	}
	p := m.Prefix
	p.Flags &^= Compressed | PrefixExtensions
	if m.Compression != nil {
		p.Flags |= Compressed
	}
	if len(m.PrefixExtensions) > 0 {
		p.Flags |= PrefixExtensions
	}
	at := len(b)
	b = p.append(b)
	b = m.appendPrefixExtensions(b)
	if m.Compression != nil {
		b = m.Compression.append(b)
	}
	b = append(b, m.Body...)
	b = m.appendSuffix(b)
	binary.LittleEndian.PutUint32(b[at+4:], m.Start+uint32(len(b)-start-CRCSize))
	Seal(b[start:])
	return b
}

func (m *Module) appendPrefixExtensions(b []byte) []byte {
	for _, e := range m.PrefixExtensions {
		b = e.append(b)
	}
	if n := len(m.PrefixExtensions); n > 0 && m.PrefixExtensions[n-1].Type != ExtensionEnd {
		b = Extension{}.append(b)
	}
	return b
}

// appendSuffix appends everything behind the body, with zeros for hash and CRC.
func (m *Module) appendSuffix(b []byte) []byte {
	start := len(b)
	for _, e := range m.Extensions {
		b = e.append(b)
	}
	product := m.Product
	if product == nil && len(m.Extensions) == 0 && !m.Bare {
		product = &unset
	}
	if product != nil {
		b = binary.LittleEndian.AppendUint16(b, uint16(product.ID))
		b = binary.LittleEndian.AppendUint16(b, product.Version)
	}
	size := len(b) - start + SuffixSize
	if size > 0xffff {
		panic("module: a suffix of more than 65535 bytes")
	}
	b = binary.LittleEndian.AppendUint16(b, m.Reserved)
	b = append(b, make([]byte, HashSize)...)
	b = binary.LittleEndian.AppendUint16(b, uint16(size))
	return append(b, make([]byte, CRCSize)...)
}

// Seal computes the SHA-256 and the CRC of an image in place: what a test does
// after it has changed a field. It panics when image is too short for a module.
func Seal(image []byte) {
	at := hashOffset(len(image))
	hash := sha256.Sum256(image[:at])
	copy(image[at:], hash[:])
	crc := crc32.ChecksumIEEE(image[:len(image)-CRCSize])
	binary.BigEndian.PutUint32(image[len(image)-CRCSize:], crc)
}

// Fill gives m a body drawn from r that makes its image size bytes long: how test
// images of any size are made. It panics when size is too small for the rest, or r
// fails.
func (m *Module) Fill(size int, r io.Reader) {
	m.Body = nil
	n := size - len(m.Append(nil))
	if n < 0 {
		panic("module: an image that is too small for its prefix and suffix")
	}
	m.Body = make([]byte, n)
	if _, err := io.ReadFull(r, m.Body); err != nil {
		panic("module: filling the body: " + err.Error())
	}
}
