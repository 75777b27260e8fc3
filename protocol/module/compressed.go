package module

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/muster/muster/protocol/pdc"
)

const compressionSize = 8

// methodDeflate is the only compression method: raw DEFLATE (RFC 1951).
const methodDeflate = 0

// windowBits is what the standard library compresses with.
const windowBits = 15

// A Compression is the header of the body of a compressed module.
type Compression struct {
	Method       uint8  // 0 is raw DEFLATE
	WindowBits   uint8  // 8 to 15; 0 means 15
	OriginalSize uint32 // in bytes
	Extra        []byte // of a header longer than 8 bytes
}

func (c *Compression) append(b []byte) []byte {
	size := compressionSize + len(c.Extra)
	if size > 0xffff {
		panic(fmt.Sprintf("module: a compression header of %d bytes", size))
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(size))
	b = append(b, c.Method, c.WindowBits)
	b = binary.LittleEndian.AppendUint32(b, c.OriginalSize)
	return append(b, c.Extra...)
}

func parseCompression(b []byte) (*Compression, []byte, error) {
	if len(b) < compressionSize {
		return nil, nil, fault(pdc.ErrModuleFormat, "no room for the header of compressed data")
	}
	c := &Compression{Method: b[2], WindowBits: b[3], OriginalSize: binary.LittleEndian.Uint32(b[4:])}
	size := int(binary.LittleEndian.Uint16(b))
	switch {
	case size < compressionSize || size > len(b):
		return nil, nil, fault(pdc.ErrModuleFormat, "a header of compressed data of %d bytes", size)
	case c.Method != methodDeflate || c.WindowBits != 0 && (c.WindowBits < 8 || c.WindowBits > 15):
		return nil, nil, fault(pdc.ErrModuleFormat, "compression method %d with %d window bits", c.Method, c.WindowBits)
	}
	c.Extra = b[compressionSize:size:size]
	return c, b[size:], nil
}

// Compress returns a module with the given prefix whose body is original,
// compressed: a whole image, as boards expect it.
func Compress(p Prefix, original []byte) Module {
	var data bytes.Buffer
	w, err := flate.NewWriter(&data, flate.BestCompression)
	if err != nil {
		panic(err) // the level is valid
	}
	// A Buffer takes everything.
	_, _ = w.Write(original)
	_ = w.Close()
	return Module{
		Prefix:      p,
		Compression: &Compression{WindowBits: windowBits, OriginalSize: uint32(len(original))},
		Body:        data.Bytes(),
	}
}

// Decompress returns what the body of a compressed module holds, at most limit
// bytes. The error is a [*Error].
func (m *Module) Decompress(limit int) ([]byte, error) {
	switch {
	case m.Compression == nil:
		return nil, fault(pdc.ErrModuleFormat, "the module is not compressed")
	case int64(m.Compression.OriginalSize) > int64(limit):
		return nil, fault(pdc.ErrModuleSize, "%d bytes when decompressed", m.Compression.OriginalSize)
	}
	size := int64(m.Compression.OriginalSize)
	original, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(m.Body)), size+1))
	if err != nil {
		return nil, fault(pdc.ErrModuleFormat, "compressed data are damaged: %v", err)
	}
	if int64(len(original)) != size {
		return nil, fault(pdc.ErrModuleFormat, "the header says %d bytes, there are others", size)
	}
	return original, nil
}
