package device

import (
	"errors"
	"slices"

	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
)

// board returns what the device knows of itself when it judges an image.
func (d *Device) board() module.Board {
	b := module.Board{
		Platform: d.prof.Board.Platform, MaxSize: d.prof.MaxBinary(),
		HasNCP: d.prof.Board.NCP, AssetStorage: assetStorage,
	}
	b.Installed = module.FromDescribe(&pdc.SystemDescribe{Modules: d.modules()})
	for _, slot := range d.cfg.Profile.Factory() {
		for i := range b.Installed {
			if have := &b.Installed[i]; have.Function == pdc.ModuleFunction(slot.Function) && have.Index == slot.Index {
				have.Start, have.Size = slot.Start, slot.Size
			}
		}
	}
	return b
}

// judge validates an image that was received (PDC-7.5) and returns what installs
// it.
func (d *Device) judge(image []byte) (pdc.SystemError, func()) {
	if d.prof.Board.Virtual {
		return 0, func() { d.installVirtual(image) }
	}
	b := d.board()
	all, err := b.Validate(image)
	var fault *module.Error
	switch {
	case err != nil && d.faults().AcceptAnyImage:
		return 0, func() {}
	case errors.As(err, &fault):
		return fault.Code, nil
	case err != nil:
		return pdc.ErrUnknown, nil
	}
	return 0, func() {
		for i := range all {
			d.install(&all[i])
		}
		d.recheck()
		d.nv.Applied = true
	}
}

// installVirtual is what the virtual device does with any image: it looks at the
// header, and lists what that says since 4.0 (captures).
func (d *Device) installVirtual(image []byte) {
	p, err := module.PrefixOf(image)
	if err != nil || !d.atLeast(pdc.OS4_0) || p.Platform != d.prof.Board.Platform || p.Function != pdc.ModuleMonolithic {
		return
	}
	modules := slices.Clone(d.modules())
	for i := range modules {
		if modules[i].Function == p.Function {
			modules[i].Version, modules[i].Dependencies = uint32(p.Version), nil
		}
	}
	d.nv.Modules = modules
}

// install puts a module in its slot, in place of what was there, or an asset in
// its storage.
func (d *Device) install(m *module.Module) {
	if asset, ok := m.Asset(); ok && m.Function == pdc.ModuleAsset {
		info := assetInfo(asset)
		info.Size, info.StorageSize = uint32(len(m.Body)), uint32(len(m.Raw()))
		d.nv.Assets = append(slices.DeleteFunc(slices.Clone(d.nv.Assets), func(a pdc.AssetInfo) bool { return a.Name == info.Name }), info)
		return
	}
	info := moduleInfo(m)
	info.MaxSize = uint32(len(m.Raw()))
	modules := slices.Clone(d.modules())
	at := slices.IndexFunc(modules, func(old pdc.ModuleInfo) bool {
		return old.Function == info.Function && old.Index == info.Index
	})
	if at < 0 {
		d.nv.Modules = append(modules, info)
		return
	}
	info.MaxSize = modules[at].MaxSize
	modules[at] = info
	d.nv.Modules = modules
}

// recheck passes or fails every module by its dependencies, as a boot does.
func (d *Device) recheck() {
	for i := range d.nv.Modules {
		m := &d.nv.Modules[i]
		rest := slices.Clone(d.nv.Modules)
		for j := range rest {
			rest[j].Passed = rest[j].Checked // the others are there, valid or not
			if j != i {
				rest[j].Dependencies = nil
			}
		}
		m.Passed = m.Checked
		if len(pdc.SystemDescribe{Modules: rest}.Missing()) > 0 {
			m.Passed &^= pdc.CheckDependencies
		}
	}
}

// moduleInfo describes a module that passed all checks.
func moduleInfo(m *module.Module) pdc.ModuleInfo {
	info := pdc.ModuleInfo{
		Function: m.Function, Index: uint32(m.Index), Version: uint32(m.Version),
		Size: uint32(len(m.Raw())), Checked: checksBoard, Passed: checksBoard,
	}
	if m.Function == pdc.ModuleUserPart {
		info.Hash = slices.Clone(m.Hash[:])
	}
	for _, dep := range m.AllDependencies() {
		info.Dependencies = append(info.Dependencies, pdc.ModuleDependency{
			Function: dep.Function, Index: uint32(dep.Index), Version: uint32(dep.Version),
		})
	}
	for _, a := range m.NeededAssets() {
		info.Assets = append(info.Assets, assetInfo(a))
	}
	return info
}

func assetInfo(a module.Asset) pdc.AssetInfo {
	return pdc.AssetInfo{Name: a.Name, Hash: slices.Clone(a.Hash[:])}
}

// describeImage returns what an image says of itself, nothing when it says
// nothing that makes sense.
func describeImage(image []byte) pdc.ModuleInfo {
	m, _, err := module.Cut(image)
	if err != nil {
		return pdc.ModuleInfo{}
	}
	return moduleInfo(&m)
}
