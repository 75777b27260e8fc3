package module

import "encoding/binary"

// An ExtensionType says what an [Extension] holds.
type ExtensionType uint16

// The types.
const (
	ExtensionEnd             ExtensionType = 0 // ends a chain, or fills it up
	ExtensionProduct         ExtensionType = 1
	ExtensionDynamicLocation ExtensionType = 2
	ExtensionDependency      ExtensionType = 3
	ExtensionHash            ExtensionType = 0x10
	ExtensionName            ExtensionType = 0x11
	ExtensionAsset           ExtensionType = 0x12 // an asset that the application needs
	ExtensionSecurity        ExtensionType = 0x13
)

const (
	extensionHeader = 4
	extensionMax    = 0xffff - extensionHeader
)

// An Extension is one part of a chain behind a prefix or before a suffix.
type Extension struct {
	Type ExtensionType
	Data []byte // at most 65531 bytes
}

func (e Extension) append(b []byte) []byte {
	if len(e.Data) > extensionMax {
		panic("module: an extension of more than 65531 bytes")
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(e.Type))
	b = binary.LittleEndian.AppendUint16(b, uint16(extensionHeader+len(e.Data)))
	return append(b, e.Data...)
}

// cutExtension reads one extension.
func cutExtension(b []byte) (e Extension, rest []byte, ok bool) {
	if len(b) < extensionHeader {
		return e, nil, false
	}
	size := int(binary.LittleEndian.Uint16(b[2:]))
	if size < extensionHeader || size > len(b) {
		return e, nil, false
	}
	e.Type, e.Data = ExtensionType(binary.LittleEndian.Uint16(b)), b[extensionHeader:size:size]
	return e, b[size:], true
}

// parseChain reads extensions that fill b.
func parseChain(b []byte) (all []Extension, ok bool) {
	for len(b) > 0 {
		e, rest, ok := cutExtension(b)
		if !ok {
			return nil, false
		}
		all, b = append(all, e), rest
	}
	return all, true
}

// Product is the product that a module belongs to, 0xffff in both for none.
type Product struct {
	ID      uint32 // 16 bits in product words, 32 in an extension
	Version uint16
}

// Extension returns p as an extension, as images for RTL872x have it.
func (p Product) Extension() Extension {
	b := binary.LittleEndian.AppendUint32(nil, p.ID)
	return Extension{ExtensionProduct, binary.LittleEndian.AppendUint16(b, p.Version)}
}

// DynamicLocation returns the extension of an image that can lie at three
// addresses: module start, and start and source of its data in RAM.
func DynamicLocation(addresses [3]uint32) Extension {
	var b []byte
	for _, a := range addresses {
		b = binary.LittleEndian.AppendUint32(b, a)
	}
	return Extension{ExtensionDynamicLocation, b}
}

// An ExtraDependency is a dependency beyond the two of the prefix.
type ExtraDependency struct {
	Dependency
	Target uint32 // microcontroller, as in the prefix
}

// Extension returns d as an extension.
func (d ExtraDependency) Extension() Extension {
	return Extension{ExtensionDependency, binary.LittleEndian.AppendUint32(d.append(nil), d.Target)}
}

// A Security is how a module is protected.
type Security struct {
	Mode        uint8  // 0 none, 1 protected
	Certificate []byte // DER, may be empty
}

// Extension returns s as an extension.
func (s Security) Extension() Extension {
	return Extension{ExtensionSecurity, append([]byte{s.Mode}, s.Certificate...)}
}

// find returns the data of the first extension of type t with at least size
// bytes.
func find(all []Extension, t ExtensionType, size int) ([]byte, bool) {
	for _, e := range all {
		if e.Type == t && len(e.Data) >= size {
			return e.Data, true
		}
	}
	return nil, false
}

// ProductOf returns the product that the module belongs to, from its words or its
// extension. It is false when none is set.
func (m *Module) ProductOf() (Product, bool) {
	if data, found := find(m.Extensions, ExtensionProduct, 6); found {
		return Product{binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint16(data[4:])}, true
	}
	if m.Product != nil && *m.Product != unset {
		return *m.Product, true
	}
	return Product{}, false
}

// Security returns how the module is protected. It is false when it does not
// say.
func (m *Module) Security() (Security, bool) {
	data, found := find(m.Extensions, ExtensionSecurity, 1)
	if !found {
		return Security{}, false
	}
	return Security{Mode: data[0], Certificate: data[1:]}, true
}

// AllDependencies returns what the module needs, from its prefix and its
// extensions.
func (m *Module) AllDependencies() []Dependency {
	var all []Dependency
	for _, d := range m.Dependencies {
		if d.Function != 0 {
			all = append(all, d)
		}
	}
	for _, e := range m.Extensions {
		if e.Type == ExtensionDependency && len(e.Data) >= 8 {
			all = append(all, parseDependency(e.Data))
		}
	}
	return all
}
