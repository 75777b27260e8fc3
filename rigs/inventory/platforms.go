package inventory

import "fmt"

// A Mode is what a board runs, as far as its USB ids tell.
type Mode string

const (
	Normal Mode = "normal" // Device OS: application, listening or safe mode
	DFU    Mode = "DFU"    // the bootloader, waiting for dfu-util; it has no console
)

// USB vendors of Particle's boards. The Core predates Particle's own vendor id.
const (
	vendorParticle = 0x2b04
	vendorOpenMoko = 0x1d50
)

// platforms are the names by platform id, which is the low byte of the USB
// product id (Device OS: build/platform-id.mk; Particle's udev rules:
// vendor 2b04, product [cd]0??).
//
// A Tachyon in its loader shows 05c6:9008, as every Qualcomm chip does: it is
// left out, because that id does not prove a Particle board.
var platforms = map[uint16]string{
	0x06: "Photon", 0x08: "P1", 0x0a: "Electron", 0x0c: "Argon", 0x0d: "Boron", 0x0e: "Xenon",
	0x0f: "E SoM X", 0x16: "A SoM", 0x17: "B SoM", 0x18: "X SoM", 0x19: "B5 SoM", 0x1a: "Tracker",
	0x1c: "Tracker M", 0x20: "P2", 0x23: "M SoM", 0x25: "Electron 2", 0x26: "Sulu", 0x2a: "Tachyon",
}

// identify returns the platform and mode behind USB ids; ok is false if they are
// not Particle's. A platform newer than the table goes by its number.
func identify(vendor, product uint16) (platform string, mode Mode, ok bool) {
	switch {
	case vendor == vendorOpenMoko && product == 0x607d:
		return "Core", Normal, true
	case vendor == vendorOpenMoko && product == 0x607f:
		return "Core", DFU, true
	case vendor == vendorParticle && product&0xff00 == 0xc000:
		mode = Normal
	case vendor == vendorParticle && product&0xff00 == 0xd000:
		mode = DFU
	default:
		return "", "", false
	}
	platform, known := platforms[product&0xff]
	if !known {
		platform = fmt.Sprintf("platform %d", product&0xff)
	}
	return platform, mode, true
}
