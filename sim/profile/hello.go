package profile

import "github.com/muster/muster/protocol/pdc"

// The flags of Hello (PDC-2.1).
const (
	helloMetrics    = 0x0002
	helloImmediate  = 0x0004
	helloGoodbye    = 0x0010
	helloDescribes  = 0x0020
	helloCompressed = 0x0040
	helloOTA3       = 0x0080
)

// HelloFlags returns the flags of Hello without the one that reports an
// applied update. The typical values of PDC-2.1 are the check.
//
// The recorded gcc device announces Goodbye though it never sends one.
func (p *Profile) HelloFlags() uint16 {
	var flags uint16
	if p.AtLeast(pdc.OS0_8) {
		flags |= helloMetrics
	}
	if p.AtLeast(pdc.OS1_2) {
		flags |= helloImmediate
	}
	if p.AtLeast(pdc.OS2_0) {
		flags |= helloGoodbye | helloDescribes
		if p.Board.Platform.Gen3() {
			flags |= helloCompressed
		}
	}
	if p.OTA3() {
		flags |= helloOTA3
	}
	return flags
}

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
