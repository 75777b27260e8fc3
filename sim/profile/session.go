package profile

import "github.com/muster/muster/protocol/pdc"

// SessionSize returns the size in bytes of the structure in which the release
// keeps a session (TRN-3.2). The size is its version: another size discards
// the session.
func (p *Profile) SessionSize() uint16 {
	switch {
	case !p.AtLeast(pdc.OS0_6):
		return 208
	case !p.AtLeast(pdc.OS2_0):
		return 220
	case !p.AtLeast(pdc.OS3_0):
		return 228
	case !p.AtLeast(pdc.OS3_1):
		return 238
	}
	return 262
}
