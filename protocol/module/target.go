package module

import "github.com/muster/muster/protocol/pdc"

// A Target is what a cloud knows of a device before it sends an image (C-39).
type Target struct {
	// Platform is that of Hello.
	Platform pdc.Platform
	// MaxSize is the largest image in bytes, of Hello or of the event
	// spark/hardware/max_binary; 0 means not known.
	MaxSize uint32
	// Compressed says that Hello had the flag 0x40: the device takes compressed
	// and combined images.
	Compressed bool
	// Installed is what the latest system describe lists ([FromDescribe]), nil
	// when there was none: then dependencies are not checked.
	Installed []Installed
	// StrictUser checks the dependencies of user parts too. Otherwise an
	// application that needs a newer system is sent, and the device asks for the
	// rest in safe mode (PDC-6.10).
	StrictUser bool
}

// Check parses an image and checks all that the cloud can know: structure and
// exact length, CRC, SHA-256, platform, function, size, flags and dependencies.
// The error is a [*Error] with the number of the check that a device would make.
func (t *Target) Check(image []byte) ([]Module, error) {
	all, err := ParseAll(image)
	if err != nil {
		return nil, err
	}
	if t.MaxSize > 0 && int64(len(image)) > int64(t.MaxSize) {
		return nil, fault(pdc.ErrModuleSize, "%d bytes, the device takes %d", len(image), t.MaxSize)
	}
	if len(all) > 1 && !t.Compressed {
		return nil, fault(pdc.ErrModuleFormat, "a combined image, which the device does not take")
	}
	installed := t.Installed
	for i := range all {
		m := &all[i]
		if err := t.check(m, installed); err != nil {
			return nil, err
		}
		if installed != nil {
			installed = with(installed, m)
		}
	}
	return all, nil
}

func (t *Target) check(m *Module, installed []Installed) error {
	switch {
	case !m.CRCValid():
		return fault(pdc.ErrIntegrity, "the CRC is wrong")
	case !m.HashValid():
		return fault(pdc.ErrIntegrity, "the SHA-256 is wrong")
	case m.Platform != t.Platform:
		return fault(pdc.ErrPlatform, "made for %s, the device is %s", m.Platform, t.Platform)
	case m.Compression != nil && !t.Compressed:
		return fault(pdc.ErrModuleFormat, "compressed, which the device does not take")
	}
	if err := m.checkFormat(); err != nil {
		return err
	}
	if installed == nil || m.Function == pdc.ModuleUserPart && !t.StrictUser {
		return nil
	}
	if missing := m.Missing(installed); len(missing) > 0 {
		return missingError(missing[0])
	}
	return nil
}

func missingError(d Dependency) error {
	return fault(pdc.ErrDependency, "needs function %d, index %d in version %d", d.Function, d.Index, d.Version)
}

// sendable are the functions that an update can have.
var sendable = [...]bool{
	pdc.ModuleBootloader: true, pdc.ModuleMonolithic: true, pdc.ModuleSystemPart: true, pdc.ModuleUserPart: true,
	pdc.ModuleNCP: true, pdc.ModuleRadioStack: true, pdc.ModuleAsset: true,
}

// checkFormat makes the checks of form that depend on nothing but the module
// (PDC-7.5, step 6).
func (m *Module) checkFormat() error {
	isSendable := int(m.Function) < len(sendable) && sendable[m.Function]
	switch {
	case m.VectorTable != nil && m.Flags&(DropInfo|Compressed) != 0:
		return fault(pdc.ErrModuleFormat, "a vector table with the flags %s", m.Flags)
	case !isSendable:
		return fault(pdc.ErrModuleFunction, "function %d cannot be updated", m.Function)
	case m.Compression != nil && m.Function != pdc.ModuleSystemPart && m.Function != pdc.ModuleUserPart && m.Function != pdc.ModuleAsset:
		return fault(pdc.ErrModuleFunction, "function %d cannot be compressed", m.Function)
	case m.Function != pdc.ModuleAsset:
		return nil
	case m.Flags&DropInfo == 0 || m.Flags&PrefixExtensions != 0:
		return fault(pdc.ErrModuleFormat, "an asset with the flags %s", m.Flags)
	}
	if _, ok := m.Asset(); !ok {
		return fault(pdc.ErrAssetFormat, "an asset without name or hash")
	}
	return nil
}
