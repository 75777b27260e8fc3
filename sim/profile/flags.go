package profile

import "github.com/muster/muster/protocol/pdc"

// The protocol flags that the device compares on resume (TRN-4.4). They never
// travel.
const (
	flagHelloAnswer    = 0x01
	flagDescribes      = 0x08
	flagCompressedOTA  = 0x10
	protocolFlagsSince = pdc.OS2_0
)

// ProtocolFlags returns the flags that belong to the cached application state
// (TRN-4.4).
func (p *Profile) ProtocolFlags() uint32 {
	var flags uint32
	if !p.Board.UDP {
		flags |= flagHelloAnswer
	}
	if p.AtLeast(protocolFlagsSince) {
		flags |= flagDescribes
		if p.Board.Platform.Gen3() {
			flags |= flagCompressedOTA
		}
	}
	return flags
}
