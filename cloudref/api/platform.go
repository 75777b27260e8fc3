package api

import (
	"strconv"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// platformOf returns the platform of a device: what its last Hello said, else what
// it was registered as, else what is likely.
func (s *Server) platformOf(d *store.Device, st endpoint.Status) pdc.Platform {
	switch {
	case seen(st):
		return st.Dialect.Platform
	case d.Platform != 0:
		return pdc.Platform(d.Platform)
	default:
		return likelyPlatform(d)
	}
}

// likelyPlatform guesses the platform of a device of which nothing is known but its
// key and its id. Clients want a number, and zero is a Core, which has no key for
// UDP at all: people would take their new board for lost. The generation is right,
// the board need not be.
func likelyPlatform(d *store.Device) pdc.Platform {
	switch id := d.ID.String(); {
	case len(d.P256) == 0 && len(d.RSA) == 0:
		return pdc.Core // nothing can connect with it
	case len(d.P256) == 0:
		return pdc.Photon
	case id[:8] == "e00fce68": // boards with an nRF52840
		return pdc.Boron
	case id[:8] == "0a10aced": // boards with an RTL872x
		return pdc.P2
	default:
		return pdc.Electron
	}
}

// registeredPlatform reads the platform that whoever registers a key says the device
// has, zero if it is none: what is called product_id there is that of a product, too.
func registeredPlatform(text string) uint16 {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || pdc.Platform(n).Generation() == pdc.NoGeneration {
		return 0
	}
	return uint16(n)
}
