package target

import (
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/profile"
)

// Image returns an application image of size bytes that fits the device: for its
// platform and its slot, one version newer than the one it left the factory with.
func Image(d *Device, size int) []byte { return image(d, size, d.Profile.Board.Platform) }

// ForeignImage returns the same image for another platform.
func ForeignImage(d *Device, size int) []byte {
	foreign := pdc.Boron
	if d.Profile.Board.Platform == foreign {
		foreign = pdc.Argon
	}
	return image(d, size, foreign)
}

func image(d *Device, size int, platform pdc.Platform) []byte {
	slot := userSlot(d.Profile)
	m := module.Module{Prefix: module.Prefix{
		Start: slot.Start, Version: slot.Version + 1, Platform: platform,
		Function: module.Function(slot.Function), Index: slot.Index,
	}}
	m.Fill(size, seed.Bytes(uint64(size), "image/"+d.Hex()))
	return m.Append(nil)
}

// userSlot is where the application of a board lies.
func userSlot(p *profile.Profile) profile.Module {
	modules := p.Factory()
	for _, m := range modules {
		if m.Function == profile.UserPart {
			return m
		}
	}
	return modules[len(modules)-1] // one module holds everything
}
