package device

import (
	"fmt"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// assetStorage is the size of the asset storage in bytes: simulator's choice.
const assetStorage = 512 << 10

// modules returns what is installed.
func (d *Device) modules() []pdc.ModuleInfo {
	if d.nv.Modules == nil {
		return Factory(d.prof)
	}
	return d.nv.Modules
}

// Checks that every module undergoes; the virtual device skips one (captures).
const (
	checksBoard   = pdc.CheckIntegrity | pdc.CheckDependencies | pdc.CheckRange | pdc.CheckPlatform | pdc.CheckProduct
	checksVirtual = pdc.CheckIntegrity | pdc.CheckDependencies | pdc.CheckRange | pdc.CheckPlatform
)

// crcSize is the size of the CRC behind a module. The virtual device counts it
// twice (captures).
const crcSize = 4

// Factory returns what a board has from the factory.
func Factory(p *profile.Profile) []pdc.ModuleInfo {
	checks := checksBoard
	if p.Board.Virtual {
		checks = checksVirtual
	}
	var all []pdc.ModuleInfo
	for _, m := range p.Factory() {
		info := pdc.ModuleInfo{
			Function: pdc.ModuleFunction(m.Function), Index: uint32(m.Index), Version: uint32(m.Version),
			MaxSize: m.Size, Size: m.Size, Checked: checks, Passed: checks,
		}
		if p.Board.Virtual {
			info.Size += crcSize
		}
		if info.Function == pdc.ModuleUserPart {
			info.Hash = make([]byte, 32)
		}
		for _, dep := range m.Dependencies {
			info.Dependencies = append(info.Dependencies, pdc.ModuleDependency{
				Function: pdc.ModuleFunction(dep.Function), Index: uint32(dep.Index), Version: uint32(dep.Version),
			})
		}
		all = append(all, info)
	}
	return all
}

// systemVersion returns the version of the system module, which Hello carries.
func (d *Device) systemVersion() uint16 {
	for _, m := range d.nv.Modules {
		if m.Function == pdc.ModuleMonolithic || m.Function == pdc.ModuleSystemPart {
			return uint16(m.Version)
		}
	}
	return d.cfg.Profile.Version.System
}

// dependenciesMet reports whether every installed module has what it needs;
// otherwise the device runs in safe mode (PDC-6.10).
func (d *Device) dependenciesMet() bool {
	if d.faults().Updates.NeverSafeMode {
		return true
	}
	return len(pdc.SystemDescribe{Modules: d.modules()}.Missing()) == 0
}

// reportedModule is the object in which a legacy update of 0.8 to 1.x reports
// the user part. The virtual device has nothing to tell (captures).
func (d *Device) reportedModule(image []byte) string {
	m := pdc.ModuleInfo{}
	if !d.prof.Board.Virtual {
		m = describeImage(image)
	}
	return fmt.Sprintf(`{"s":%d,"l":"m","vc":%d,"vv":%d,"f":"%c","n":"%d","v":%d,"p":%d,"d":[]}`,
		m.MaxSize, m.Checked, m.Passed, "nrbmsunrca"[min(m.Function, 9)], m.Index, m.Version, 0)
}
