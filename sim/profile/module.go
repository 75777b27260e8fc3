package profile

import "github.com/muster/muster/protocol/pdc"

// Module functions (PDC-7.3), as far as this table needs them.
const (
	Bootloader = 2
	Monolithic = 3
	SystemPart = 4
	UserPart   = 5
	Asset      = 9
)

// A Dependency is a module that another one needs.
type Dependency struct {
	Function, Index uint8
	Version         uint16 // at least
}

// A Module is one slot of a board's flash and what it holds from the factory.
type Module struct {
	Function, Index uint8
	Version         uint16 // of the release
	// Start is the first address of the slot and Size its length in bytes.
	Start, Size  uint32
	Dependencies []Dependency // at most two
}

// Factory returns what the board has installed at the release, in the order of
// its describe. The virtual device lists nothing before 4.0 (captures).
//
// The versions are consistent with one another; addresses and bootloader
// versions are simulator's choice (PDC-13).
func (p *Profile) Factory() []Module {
	v := p.Version.System
	switch {
	case p.Board.Virtual && !p.AtLeast(pdc.OS4_0):
		return nil
	case p.Board.Virtual:
		return []Module{
			{Function: Bootloader, Version: 1000, Size: slotGCC6_2},
			{Function: Monolithic, Version: v, Size: slotGCC6_2, Dependencies: []Dependency{{Bootloader, 0, 1000}}},
		}
	case p.Board.Platform == pdc.Core:
		return []Module{{Function: Monolithic, Version: v, Start: 0x0800_5000, Size: 108 << 10}}
	case p.Board.Platform == pdc.Electron:
		return p.gen2(0x0806_0000, 3)
	case p.Board.Platform.Generation() == pdc.Gen2:
		return p.gen2(0x0802_0000, 2)
	case p.Board.Platform.Generation() == pdc.Gen3RTL:
		return []Module{
			{Function: Bootloader, Version: 1200, Start: 0x0800_4000, Size: 76 << 10},
			{Function: SystemPart, Index: 1, Version: v, Start: 0x0806_0000, Size: 1536 << 10, Dependencies: []Dependency{{Bootloader, 0, 1200}}},
			{Function: UserPart, Index: 1, Version: 6, Start: 0x0848_0000, Size: 1536 << 10, Dependencies: []Dependency{{SystemPart, 1, v}}},
		}
	}
	return p.gen3()
}

// gen2 lists a bootloader, n chained system parts and a user part.
func (p *Profile) gen2(first uint32, n uint8) []Module {
	const part = 128 << 10
	v := p.Version.System
	all := []Module{{Function: Bootloader, Version: 400, Start: 0x0800_0000, Size: 16 << 10}}
	for i := uint8(1); i <= n; i++ {
		m := Module{Function: SystemPart, Index: i, Version: v, Start: first + uint32(i-1)*part, Size: part}
		if i > 1 {
			m.Dependencies = []Dependency{{SystemPart, i - 1, v}}
		}
		all = append(all, m)
	}
	return append(all, Module{
		Function: UserPart, Index: 1, Version: 4, Start: first + uint32(n)*part, Size: part,
		Dependencies: []Dependency{{SystemPart, n, v}},
	})
}

// gen3 lists the modules of an nRF52840. The user part grew to 256 KiB in 3.1.
func (p *Profile) gen3() []Module {
	v := p.Version.System
	user := Module{Function: UserPart, Index: 1, Version: 6, Start: 0x000d_4000, Size: 128 << 10, Dependencies: []Dependency{{SystemPart, 1, v}}}
	if p.AtLeast(pdc.OS3_1) {
		user.Start, user.Size = 0x000b_4000, 256<<10
	}
	bootloader := uint16(500)
	if p.AtLeast(pdc.OS2_0) {
		bootloader = 1000
	}
	return []Module{
		{Function: Bootloader, Version: bootloader, Start: 0x000f_4000, Size: 40 << 10},
		{Function: SystemPart, Index: 1, Version: v, Start: 0x0003_0000, Size: 656 << 10, Dependencies: []Dependency{{Bootloader, 0, bootloader}}},
		user,
	}
}
