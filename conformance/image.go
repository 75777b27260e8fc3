package conformance

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"

	"github.com/muster/muster/harness/target"
)

// A firmware is a module image to be made, right or wrong (PDC-7.1). It is an
// encoder of its own: the one of protocol/module is under test too.
type firmware struct {
	start           uint32
	flags           byte
	version         uint16
	platform        uint16
	function, index byte
	needs           [2]need
	body            []byte
	table           bool // a vector table in front
}

// A need is a dependency on a module.
type need struct {
	function, index byte
	version         uint16
}

// Module functions and flags (PDC-7.1, PDC-7.3).
const (
	bootloader = 2
	systemPart = 4
	userPart   = 5
	compressed = 2
)

const vectorTableSize = 0x200

// firmwareFor is an image for the slot that a board has for a module of that
// function, one version newer than that from the factory.
func firmwareFor(p *target.DeviceProfile, function byte, size int) firmware {
	f := firmware{platform: uint16(p.Board.Platform), function: function, body: make([]byte, size)}
	for i := range f.body {
		f.body[i] = byte(i * 7)
	}
	for _, slot := range p.Factory() {
		if slot.Function == function {
			f.start, f.version, f.index = slot.Start, slot.Version+1, slot.Index
			for i, d := range slot.Dependencies {
				f.needs[i] = need{d.Function, d.Index, d.Version}
			}
			break
		}
	}
	return f
}

// bytes encodes the image.
func (f firmware) bytes() []byte {
	var b []byte
	if f.table {
		b = make([]byte, vectorTableSize)
		binary.LittleEndian.PutUint32(b, 0x2000_4000) // a stack pointer
	}
	const prefix, suffix, crc = 24, 40, 4
	end := f.start + uint32(len(b)+prefix+len(f.body)+suffix)
	b = binary.LittleEndian.AppendUint32(b, f.start)
	b = binary.LittleEndian.AppendUint32(b, end)
	b = append(b, 0, f.flags)
	b = binary.LittleEndian.AppendUint16(b, f.version)
	b = binary.LittleEndian.AppendUint16(b, f.platform)
	b = append(b, f.function, f.index)
	for _, n := range f.needs {
		b = append(b, n.function, n.index)
		b = binary.LittleEndian.AppendUint16(b, n.version)
	}
	b = append(b, f.body...)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0, 0) // product words, reserved
	hash := sha256.Sum256(b)
	b = append(b, hash[:]...)
	b = binary.LittleEndian.AppendUint16(b, suffix)
	return sealImage(append(b, make([]byte, crc)...))
}

// sealImage puts the right CRC at the end of an image.
func sealImage(b []byte) []byte {
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-4]))
	return b
}

// deflated makes the body that of a compressed module: a header, and data that
// nobody looks at before it is applied.
func (f firmware) deflated() firmware {
	f.flags |= compressed
	header := binary.LittleEndian.AppendUint32([]byte{8, 0, 0, 15}, uint32(len(f.body)))
	f.body = append(header, f.body...)
	return f
}
