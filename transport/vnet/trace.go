package vnet

import (
	"fmt"
	"hash/crc32"
	"io"

	"github.com/muster/muster/transport"
)

// Trace returns a tap that writes one line for everything that passes: the
// sighting and a checksum of its bytes. Two runs with one seed write the same
// lines. The first error of w ends the trace.
func Trace(w io.Writer) transport.Tap {
	failed := false
	return func(s transport.Sighting) {
		if failed {
			return
		}
		_, err := fmt.Fprintf(w, "%v %08x\n", s, crc32.ChecksumIEEE(s.Data))
		failed = err != nil
	}
}
