package profile

import (
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
)

// The first releases of what the DTLS library differs in (TRN-0.2, TRN-2.8,
// TRN-3.3), as system module versions.
const (
	os1_1   = 1100
	os1_4_1 = 1403 // the numbers of 1.4.0 are below
	os2_1   = 2100
)

// Generation returns the generation of the DTLS library (TRN-0.2).
func (p *Profile) Generation() dtls.Generation {
	switch {
	case p.AtLeast(pdc.OS3_1):
		return dtls.GenF
	case p.AtLeast(os2_1):
		return dtls.GenE
	case p.AtLeast(pdc.OS1_4):
		return dtls.GenD
	case p.AtLeast(os1_1), p.Board.Platform.Gen3():
		return dtls.GenC
	case p.AtLeast(pdc.OS0_7):
		return dtls.GenB
	}
	return dtls.GenA
}

// Mark returns how the release marks the records of a resumed session
// (TRN-3.3).
func (p *Profile) Mark() dtls.Mark {
	switch {
	case p.AtLeast(pdc.OS4_0):
		return dtls.Mark253
	case p.AtLeast(pdc.OS3_1):
		return dtls.Mark25
	}
	return dtls.Mark254
}

// HandshakeTimers returns the retransmission timers of the handshake (TRN-2.8).
func (p *Profile) HandshakeTimers() dtls.Timers {
	if p.AtLeast(os1_4_1) {
		return dtls.DeviceTimers
	}
	return dtls.EarlyDeviceTimers
}
