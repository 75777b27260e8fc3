package module

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/muster/muster/protocol/pdc"
)

// Sizes and places in bytes.
const (
	PrefixSize      = 24
	VectorTableSize = 0x200
	SuffixSize      = 36 // of its base: reserved, SHA-256, size
	CRCSize         = 4
	HashSize        = 32

	minSize = PrefixSize + SuffixSize + CRCSize
)

// Flags are the flags of a prefix.
type Flags uint8

// The flags.
const (
	DropInfo         Flags = 0x01 // prefix and suffix are not stored with the body
	Compressed       Flags = 0x02
	Combined         Flags = 0x04 // another module follows in the file
	Encrypted        Flags = 0x08
	PrefixExtensions Flags = 0x10
)

var flagNames = []string{"drop info", "compressed", "combined", "encrypted", "prefix extensions"}

// String returns the names of the flags, "none" when there is none.
func (f Flags) String() string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if rest := f >> len(flagNames); rest != 0 {
		names = append(names, fmt.Sprintf("%#x", uint8(rest<<len(flagNames))))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// A Function is what a module is for.
type Function = pdc.ModuleFunction

// A Dependency is a module that another needs, in at least that version. The zero
// value is none.
type Dependency struct {
	Function Function
	Index    uint8
	Version  uint16
}

// A Prefix is the head of a module.
type Prefix struct {
	// Start is the first address of the module in flash.
	Start uint32
	// End is the address of the CRC: Start plus the length less 4. Append
	// computes it.
	End uint32
	// Target is the microcontroller that the module is for: 0, or the id of the
	// network co-processor.
	Target       uint8
	Flags        Flags
	Version      uint16
	Platform     pdc.Platform
	Function     Function
	Index        uint8
	Dependencies [2]Dependency
}

// Length returns the length of the module in bytes, 0 when the addresses make no
// sense.
func (p *Prefix) Length() int64 {
	if p.End < p.Start {
		return 0
	}
	return int64(p.End) - int64(p.Start) + CRCSize
}

func parsePrefix(b []byte) Prefix {
	le := binary.LittleEndian
	return Prefix{
		Start: le.Uint32(b), End: le.Uint32(b[4:]),
		Target: b[8], Flags: Flags(b[9]), Version: le.Uint16(b[10:]),
		Platform: pdc.Platform(le.Uint16(b[12:])), Function: Function(b[14]), Index: b[15],
		Dependencies: [2]Dependency{parseDependency(b[16:]), parseDependency(b[20:])},
	}
}

func (p *Prefix) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, p.Start)
	b = le.AppendUint32(b, p.End)
	b = append(b, p.Target, byte(p.Flags))
	b = le.AppendUint16(b, p.Version)
	b = le.AppendUint16(b, uint16(p.Platform))
	b = append(b, byte(p.Function), p.Index)
	return p.Dependencies[1].append(p.Dependencies[0].append(b))
}

func parseDependency(b []byte) Dependency {
	return Dependency{Function(b[0]), b[1], binary.LittleEndian.Uint16(b[2:])}
}

func (d Dependency) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint16(append(b, byte(d.Function), d.Index), d.Version)
}

// prefixOffset returns where the prefix of an image lies: behind a Cortex vector
// table if the first word, the initial stack pointer, looks like an address in
// RAM.
func prefixOffset(image []byte) int {
	if len(image) >= 4 && image[3] == 0x20 && image[2] == 0x00 {
		return VectorTableSize
	}
	return 0
}

// PrefixOf returns the prefix of the module that image begins with, without
// looking at more. The error is a [*Error].
func PrefixOf(image []byte) (Prefix, error) {
	at := prefixOffset(image)
	if len(image) < at+PrefixSize {
		return Prefix{}, fault(pdc.ErrModuleNotFound, "%d bytes hold no module", len(image))
	}
	return parsePrefix(image[at:]), nil
}
