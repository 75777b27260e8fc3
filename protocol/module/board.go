package module

import "github.com/muster/muster/protocol/pdc"

// A Board is what a device knows of itself when it validates an image
// (PDC-7.5).
//
// Device OS: the gcc platform accepts everything and has no use for a Board.
type Board struct {
	Platform pdc.Platform
	// MaxSize is the size of the OTA slot in bytes; 0 means no limit.
	MaxSize uint32
	// Installed are the slots of the flash; what is not listed satisfies no
	// dependency and has no address range to check.
	Installed []Installed
	// HasNCP says that the board's network co-processor takes updates; NCP is its
	// id.
	HasNCP bool
	NCP    uint8
	// AssetStorage is the size of the asset storage in bytes; 0 means no limit.
	AssetStorage uint32
}

// Validate makes a device's checks of an image in a device's order and returns its
// modules. Bytes behind the last module are not looked at, because the legacy
// transfer pads its last chunk. The error is a [*Error] with the number that the
// device reports.
func (b *Board) Validate(image []byte) ([]Module, error) {
	var all []Module
	installed := b.Installed
	for {
		if err := b.checkSize(image); err != nil {
			return nil, err
		}
		m, rest, err := Cut(image)
		if err != nil {
			return nil, err
		}
		if err := b.validate(&m, installed); err != nil {
			return nil, err
		}
		all, installed = append(all, m), with(installed, &m)
		switch {
		case m.Flags&Combined == 0:
			return all, nil
		case len(all) == combinedMax:
			return nil, fault(pdc.ErrModuleFormat, "more than %d modules combined", combinedMax)
		}
		image = rest
	}
}

// checkSize is step 1, on the prefix alone: the rest may not be there.
func (b *Board) checkSize(image []byte) error {
	p, err := PrefixOf(image)
	if err != nil {
		return err
	}
	if b.MaxSize > 0 && p.Length() > int64(b.MaxSize) {
		return fault(pdc.ErrModuleSize, "%d bytes, the slot holds %d", p.Length(), b.MaxSize)
	}
	return nil
}

// validate is steps 2 to 6. The SHA-256 is not looked at.
func (b *Board) validate(m *Module, installed []Installed) error {
	if !m.CRCValid() {
		return fault(pdc.ErrIntegrity, "the CRC is wrong")
	}
	if err := checkDependencies(m, installed); err != nil {
		return err
	}
	if err := b.checkRange(m); err != nil {
		return err
	}
	if m.Platform != b.Platform {
		return fault(pdc.ErrPlatform, "made for %s, this is %s", m.Platform, b.Platform)
	}
	if err := m.checkFormat(); err != nil {
		return err
	}
	return b.checkSpecial(m)
}

// checkDependencies is step 3: user parts are not checked, a bootloader as second
// dependency is optional, and a system part must leave the other system parts
// satisfied.
func checkDependencies(m *Module, installed []Installed) error {
	if m.Function == pdc.ModuleUserPart {
		return nil
	}
	for i, d := range m.AllDependencies() {
		isOptional := i == 1 && d.Function == pdc.ModuleBootloader
		if !isOptional && !satisfied(d, installed) {
			return missingError(d)
		}
	}
	if m.Function != pdc.ModuleSystemPart {
		return nil
	}
	after := with(installed, m)
	for _, other := range after {
		if other.Function != pdc.ModuleSystemPart || other.Index == m.Index || other.Empty {
			continue
		}
		for _, d := range other.Dependencies {
			if d.Function == m.Function && d.Index == m.Index && !satisfied(d, after) {
				return fault(pdc.ErrDependency, "system part %d needs version %d of it", other.Index, d.Version)
			}
		}
	}
	return nil
}

// checkRange is step 4. Assets and co-processor firmware have no place in the
// address space.
func (b *Board) checkRange(m *Module) error {
	if m.Function == pdc.ModuleAsset || m.Function == pdc.ModuleNCP {
		return nil
	}
	for _, slot := range b.Installed {
		if slot.Function != m.Function || slot.Index != m.Index || slot.Size == 0 {
			continue
		}
		end := int64(slot.Start) + int64(slot.Size)
		if m.Start < slot.Start || int64(m.Start)+m.Length() > end {
			return fault(pdc.ErrAddressRange, "addresses %08x to %08x, the slot is %08x to %08x", m.Start, m.End, slot.Start, end)
		}
	}
	return nil
}

// checkSpecial is the rest of step 6: what depends on the board.
func (b *Board) checkSpecial(m *Module) error {
	switch {
	case m.Function == pdc.ModuleNCP && !b.HasNCP:
		return fault(pdc.ErrModuleFunction, "no network co-processor that takes updates")
	case m.Function == pdc.ModuleNCP && m.Target != b.NCP:
		return fault(pdc.ErrPlatform, "made for co-processor %d, this is %d", m.Target, b.NCP)
	case m.Function == pdc.ModuleAsset && b.AssetStorage > 0 && m.Length() > int64(b.AssetStorage):
		return fault(pdc.ErrTooLarge, "an asset of %d bytes, the storage holds %d", m.Length(), b.AssetStorage)
	}
	return nil
}
