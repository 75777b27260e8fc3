package target

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/rigs/inventory"
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

// Image returns an image for an update of the device: about size bytes that are made
// up, or what the user has given. A board on a rig would start what is made up, and
// crash: without an image that it can run there is none.
func (e *Env) Image(d *Device, size int) ([]byte, error) {
	switch {
	case e.given != nil:
		return e.given, nil
	case e.need(Flashable) != nil:
		return nil, e.need(Flashable)
	}
	return Image(d, size), nil
}

// Runs reports whether the device runs that very image already, as far as it has said
// what it runs.
func (e *Env) Runs(d *Device, data []byte) bool {
	image, err := app.ParseImage(data)
	if err != nil || e.cloud == nil {
		return false
	}
	return slices.ContainsFunc(modulesOf(e.cloud.Node().Status(store.DeviceID(d.ID))), func(m pdc.ModuleInfo) bool {
		return m.Store == pdc.StoreMain && bytes.Equal(m.Hash, image.Hash[:])
	})
}

// takesAny reports whether devices take images that are made up.
func (e *Env) takesAny() bool {
	d := e.options.Spec.Device
	return d == nil || d.Rig == "" || e.fakeBoards()
}

// fakeBoards reports whether the boards are fake ones, which start anything.
func (e *Env) fakeBoards() bool {
	return inventory.Root() != "" || e.options.Rig != nil && e.options.Rig.AnyImage
}

// findImage reads the image that the user has given.
func (e *Env) findImage(d *DeviceSpec) error {
	if d.Image == "" {
		if d.Rig != "" && !e.fakeBoards() {
			e.lack("no image was given that the board can run: name one of its application with --device-image", Flashable)
		}
		return nil
	}
	b, err := os.ReadFile(d.Image)
	if err != nil {
		return fmt.Errorf("the image for updates: %w", err)
	}
	if _, err := app.ParseImage(b); err != nil {
		return fmt.Errorf("the image for updates, %s: %w", d.Image, err)
	}
	e.given = b
	return nil
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
	if len(modules) == 0 {
		return profile.Module{Function: profile.Monolithic} // the virtual device lists none before 4.0
	}
	return modules[len(modules)-1] // one module holds everything
}
