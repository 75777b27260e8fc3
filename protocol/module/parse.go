package module

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/pdc"
)

// legacySize is the size of a suffix with product words.
const legacySize = SuffixSize + 4

// combinedMax is how many modules an image may hold.
const combinedMax = 2

// Parse decodes an image that is one module, exactly. It checks the structure and
// neither CRC nor hash. The result aliases image. The error is a [*Error].
func Parse(image []byte) (Module, error) {
	m, rest, err := Cut(image)
	if err == nil && len(rest) > 0 {
		return Module{}, fault(pdc.ErrModuleSize, "%d bytes behind the module", len(rest))
	}
	return m, err
}

// ParseAll decodes an image of one module, or of two that are combined. The
// results alias image. The error is a [*Error].
func ParseAll(image []byte) ([]Module, error) {
	var all []Module
	for {
		m, rest, err := Cut(image)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
		switch isLast := m.Flags&Combined == 0; {
		case isLast && len(rest) > 0:
			return nil, fault(pdc.ErrModuleSize, "%d bytes behind the last module", len(rest))
		case isLast:
			return all, nil
		case len(all) == combinedMax:
			return nil, fault(pdc.ErrModuleFormat, "more than %d modules combined", combinedMax)
		}
		image = rest
	}
}

// Cut decodes the module that b begins with and returns what is behind it. The
// results alias b. The error is a [*Error].
func Cut(b []byte) (m Module, rest []byte, err error) {
	m.Prefix, err = PrefixOf(b)
	if err != nil {
		return Module{}, nil, err
	}
	at := prefixOffset(b)
	switch length := m.Length(); {
	case length < int64(at+minSize):
		return Module{}, nil, fault(pdc.ErrModuleNotFound, "addresses %08x to %08x hold no module", m.Start, m.End)
	case length > int64(len(b)):
		return Module{}, nil, fault(pdc.ErrIntegrity, "%d bytes of a module of %d", len(b), length)
	default:
		m.raw, rest = b[:length:length], b[length:]
	}
	if at > 0 {
		m.VectorTable = m.raw[:at:at]
	}
	if err := m.parseParts(m.raw[at+PrefixSize:]); err != nil {
		return Module{}, nil, err
	}
	return m, rest, nil
}

// parseParts reads what follows the prefix.
func (m *Module) parseParts(b []byte) error {
	b, err := m.parseSuffix(b)
	if err != nil {
		return err
	}
	if m.Flags&PrefixExtensions != 0 {
		if b, err = m.parsePrefixExtensions(b); err != nil {
			return err
		}
	}
	if m.Flags&Compressed != 0 {
		if m.Compression, b, err = parseCompression(b); err != nil {
			return err
		}
	}
	m.Body = b[:len(b):len(b)]
	return nil
}

// parseSuffix reads from the end and returns what is before.
func (m *Module) parseSuffix(b []byte) ([]byte, error) {
	m.CRC = binary.BigEndian.Uint32(b[len(b)-CRCSize:])
	size := int(binary.LittleEndian.Uint16(b[len(b)-CRCSize-2:]))
	end := len(b) - CRCSize
	if size < SuffixSize || size > end {
		return nil, fault(pdc.ErrModuleFormat, "a suffix of %d bytes in %d", size, end)
	}
	before, suffix := b[:end-size], b[end-size:end]
	base := suffix[size-SuffixSize:]
	m.Reserved = binary.LittleEndian.Uint16(base)
	m.Hash = [HashSize]byte(base[2:])
	if !m.parseSuffixExtensions(suffix[:size-SuffixSize]) {
		return nil, fault(pdc.ErrModuleFormat, "malformed extensions before the suffix")
	}
	return before, nil
}

// parseSuffixExtensions reads product words, or extensions, or extensions and
// product words.
func (m *Module) parseSuffixExtensions(b []byte) bool {
	if len(b) == 0 {
		m.Bare = true
		return true
	}
	if len(b) != legacySize-SuffixSize {
		if all, ok := parseChain(b); ok {
			m.Extensions = all
			return true
		}
	}
	words := len(b) - 4
	if words < 0 {
		return false
	}
	all, ok := parseChain(b[:words])
	m.Extensions = all
	m.Product = &Product{uint32(binary.LittleEndian.Uint16(b[words:])), binary.LittleEndian.Uint16(b[words+2:])}
	return ok
}

// parsePrefixExtensions reads a chain up to its end and returns what is behind.
func (m *Module) parsePrefixExtensions(b []byte) ([]byte, error) {
	for {
		e, rest, ok := cutExtension(b)
		if !ok {
			return nil, fault(pdc.ErrModuleFormat, "malformed extensions behind the prefix")
		}
		m.PrefixExtensions, b = append(m.PrefixExtensions, e), rest
		if e.Type == ExtensionEnd {
			return b, nil
		}
	}
}
