package module

import (
	"encoding/binary"
	"testing"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// A defect makes an image, and says what a cloud and a device think of it. 0 is
// acceptance.
type defect struct {
	name   string
	make   func() []byte
	cloud  pdc.SystemError
	device pdc.SystemError
}

// user returns a user part for the board with changes.
func user(change func(*Module)) func() []byte {
	return func() []byte {
		m := userPart()
		change(&m)
		return m.Append(nil)
	}
}

func system(change func(*Module)) func() []byte {
	return func() []byte {
		m := systemPart()
		change(&m)
		return m.Append(nil)
	}
}

// damaged returns a user part with one byte changed and nothing computed anew.
func damaged(at int) func() []byte {
	return func() []byte {
		m := userPart()
		image := m.Append(nil)
		image[(at+len(image))%len(image)] ^= 1
		return image
	}
}

func asset(change func(*Module)) func() []byte {
	return func() []byte {
		content := []byte("a song")
		m := NewAsset("song", content).Module(pdc.Boron, content)
		change(&m)
		return m.Append(nil)
	}
}

func same(*Module) {}

// defects are the checks of PDC-7.5, in their order, and N-29 to N-33.
var defects = []defect{
	{"good/user", user(same), 0, 0},
	{"good/system", system(same), 0, 0},
	{"good/asset", asset(same), 0, 0},
	{"good/user-compressed", func() []byte {
		m := userPart()
		c := Compress(m.Prefix, m.Append(nil))
		return c.Append(nil)
	}, 0, 0},
	{"good/ncp", user(func(m *Module) {
		m.Function, m.Index, m.Target, m.Start, m.Dependencies = pdc.ModuleNCP, 0, 2, 0, [2]Dependency{}
	}), 0, 0},
	{"good/softdevice", user(func(m *Module) {
		m.Function, m.Index, m.Start, m.Dependencies = pdc.ModuleRadioStack, 0, 0x1000, [2]Dependency{}
	}), 0, 0},
	{"good/combined", func() []byte {
		first, second := systemPart(), userPart()
		first.Flags |= Combined
		second.Dependencies[0].Version = 6300 // that of the first
		return second.Append(first.Append(nil))
	}, 0, 0},

	{"nothing", func() []byte { return nil }, pdc.ErrModuleNotFound, pdc.ErrModuleNotFound},
	{"random", func() []byte { b := make([]byte, 3000); seed.Bytes(1, "random").Read(b); return b }, pdc.ErrModuleNotFound, pdc.ErrModuleNotFound},
	{"huge", func() []byte { return append([]byte{0, 0, 0, 0, 0, 0, 0, 0x10}, make([]byte, 3000)...) }, pdc.ErrIntegrity, pdc.ErrModuleSize},
	{"too-large", user(func(m *Module) { m.Fill(1536001, seed.Bytes(1, "large")) }), pdc.ErrModuleSize, pdc.ErrModuleSize},
	{"truncated", func() []byte { m := userPart(); return m.Append(nil)[:3999] }, pdc.ErrIntegrity, pdc.ErrIntegrity},
	{"padded", func() []byte { m := userPart(); return append(m.Append(nil), 0, 0) }, pdc.ErrModuleSize, 0},
	{"bit-in-body", damaged(1000), pdc.ErrIntegrity, pdc.ErrIntegrity},
	{"bit-in-crc", damaged(-1), pdc.ErrIntegrity, pdc.ErrIntegrity},
	{"hash-only", func() []byte {
		image := damaged(hashOffset(4000))()
		resum(image)
		return image
	}, pdc.ErrIntegrity, 0},

	{"dependency/system", system(func(m *Module) { m.Dependencies[0].Version = 2401 }), pdc.ErrDependency, pdc.ErrDependency},
	{"dependency/absent", system(func(m *Module) { m.Dependencies[0] = Dependency{pdc.ModuleSystemPart, 2, 1} }), pdc.ErrDependency, pdc.ErrDependency},
	{"dependency/bootloader-second", system(func(m *Module) {
		m.Dependencies = [2]Dependency{{pdc.ModuleRadioStack, 0, 202}, {pdc.ModuleBootloader, 0, 9999}}
	}), pdc.ErrDependency, 0},
	{"dependency/user", user(func(m *Module) { m.Dependencies[0].Version = 9999 }), 0, 0},
	{"dependency/extension", system(func(m *Module) {
		m.Extensions = []Extension{ExtraDependency{Dependency{pdc.ModuleRadioStack, 0, 203}, 0}.Extension()}
	}), pdc.ErrDependency, pdc.ErrDependency},

	{"range/below", user(func(m *Module) { m.Start-- }), 0, pdc.ErrAddressRange},
	{"range/end", user(func(m *Module) { m.Start = 0xf4000 - 3999 }), 0, pdc.ErrAddressRange},
	{"range/last", user(func(m *Module) { m.Start = 0xf4000 - 4000 }), 0, 0},
	{"range/other-slot", user(func(m *Module) { m.Index = 2; m.Start = 0 }), 0, 0},

	{"platform", user(func(m *Module) { m.Platform = pdc.Argon }), pdc.ErrPlatform, pdc.ErrPlatform},
	{"dependency-before-platform", system(func(m *Module) { m.Dependencies[0].Version, m.Platform = 9999, pdc.Argon }), pdc.ErrPlatform, pdc.ErrDependency},

	{"format/table-and-drop", system(func(m *Module) { m.Flags = DropInfo }), pdc.ErrModuleFormat, pdc.ErrModuleFormat},
	{"format/table-and-compressed", system(func(m *Module) { m.Compression = &Compression{} }), pdc.ErrModuleFormat, pdc.ErrModuleFormat},
	{"format/compressed-bootloader", user(func(m *Module) {
		m.Function, m.Index, m.Start, m.Dependencies, m.Compression = pdc.ModuleBootloader, 0, 0xf4000, [2]Dependency{}, &Compression{}
	}), pdc.ErrModuleFunction, pdc.ErrModuleFunction},
	{"format/settings", user(func(m *Module) { m.Function, m.Dependencies = pdc.ModuleSettings, [2]Dependency{} }), pdc.ErrModuleFunction, pdc.ErrModuleFunction},
	{"format/function-200", user(func(m *Module) { m.Function, m.Dependencies = 200, [2]Dependency{} }), pdc.ErrModuleFunction, pdc.ErrModuleFunction},
	{"format/ncp-target", user(func(m *Module) {
		m.Function, m.Target, m.Dependencies = pdc.ModuleNCP, 3, [2]Dependency{}
	}), 0, pdc.ErrPlatform},
	{"asset/keeps-info", asset(func(m *Module) { m.Flags = 0 }), pdc.ErrModuleFormat, pdc.ErrModuleFormat},
	{"asset/prefix-extensions", asset(func(m *Module) { m.PrefixExtensions = []Extension{{}} }), pdc.ErrModuleFormat, pdc.ErrModuleFormat},
	{"asset/no-name", asset(func(m *Module) { m.Extensions = m.Extensions[1:] }), pdc.ErrAssetFormat, pdc.ErrAssetFormat},
	{"asset/no-hash", asset(func(m *Module) { m.Extensions = m.Extensions[:1] }), pdc.ErrAssetFormat, pdc.ErrAssetFormat},
	{"asset/hash-type", asset(func(m *Module) { m.Extensions[1].Data[0] = 1 }), pdc.ErrAssetFormat, pdc.ErrAssetFormat},
	{"asset/too-large", asset(func(m *Module) { m.Body = make([]byte, 512<<10) }), 0, pdc.ErrTooLarge},
	{"three-combined", func() []byte {
		m := userPart()
		m.Flags |= Combined
		return m.Append(m.Append(m.Append(nil)))
	}, pdc.ErrModuleFormat, pdc.ErrModuleFormat},
	{"combined/second-damaged", func() []byte {
		m := userPart()
		m.Flags |= Combined
		return append(m.Append(nil), damaged(50)()...)
	}, pdc.ErrIntegrity, pdc.ErrIntegrity},
}

// resum computes the CRC anew and leaves the hash.
func resum(image []byte) {
	at := len(image) - CRCSize
	binary.BigEndian.PutUint32(image[at:], crcOf(image[:at]))
}

// crcOf is CRC-32 bit by bit, to stand beside the library.
func crcOf(b []byte) uint32 {
	crc := ^uint32(0)
	for _, x := range b {
		crc ^= uint32(x)
		for range 8 {
			crc = crc>>1 ^ 0xedb88320&-(crc&1)
		}
	}
	return ^crc
}

func TestDefects(t *testing.T) {
	cloud, device := target(), board()
	for _, d := range defects {
		t.Run(d.name, func(t *testing.T) {
			image := d.make()
			judge(t, "cloud", d.cloud, func() ([]Module, error) { return cloud.Check(image) })
			judge(t, "device", d.device, func() ([]Module, error) { return device.Validate(image) })
		})
	}
}

func judge(t *testing.T, who string, want pdc.SystemError, check func() ([]Module, error)) {
	t.Helper()
	all, err := check()
	switch {
	case want == 0 && (err != nil || len(all) == 0):
		t.Errorf("%s: refused: %v", who, err)
	case want != 0:
		wantCode(t, err, want)
	}
}

// TestTargetCapabilities: what the flag 0x40 and a missing describe change.
func TestTargetCapabilities(t *testing.T) {
	compressed := Compress(userPart().Prefix, example)
	first, second := systemPart(), userPart()
	first.Flags |= Combined
	combined := second.Append(first.Append(nil))
	old := target()
	old.Compressed = false
	for _, image := range [][]byte{compressed.Append(nil), combined} {
		_, err := old.Check(image)
		wantCode(t, err, pdc.ErrModuleFormat)
	}

	strict := target()
	strict.StrictUser = true
	needy := user(func(m *Module) { m.Dependencies[0].Version = 9999 })()
	_, err := strict.Check(needy)
	wantCode(t, err, pdc.ErrDependency)
	strict.Installed = nil
	if _, err := strict.Check(needy); err != nil {
		t.Errorf("without a describe: %v", err)
	}
	unlimited := target()
	unlimited.MaxSize = 0
	if _, err := unlimited.Check(user(func(m *Module) { m.Fill(2<<20, seed.Bytes(1, "large")) })()); err != nil {
		t.Errorf("without a known size: %v", err)
	}
}

// TestOtherSystemPartsStaySatisfied: a Gen 2 board does not take a part back below
// what the next one needs.
func TestOtherSystemPartsStaySatisfied(t *testing.T) {
	b := Board{Platform: pdc.Photon, Installed: []Installed{
		{Function: pdc.ModuleSystemPart, Index: 1, Version: 2300},
		{Function: pdc.ModuleSystemPart, Index: 2, Version: 2300, Dependencies: []Dependency{{pdc.ModuleSystemPart, 1, 2300}}},
		{Function: pdc.ModuleSystemPart, Index: 3, Empty: true, Dependencies: []Dependency{{pdc.ModuleSystemPart, 1, 9999}}},
	}}
	m := Module{Prefix: Prefix{Platform: pdc.Photon, Function: pdc.ModuleSystemPart, Index: 1, Version: 2299}}
	_, err := b.Validate(m.Append(nil))
	wantCode(t, err, pdc.ErrDependency)
	m.Version = 2300
	if _, err := b.Validate(m.Append(nil)); err != nil {
		t.Error(err)
	}
	b.HasNCP = false
	m.Function = pdc.ModuleNCP
	_, err = b.Validate(m.Append(nil))
	wantCode(t, err, pdc.ErrModuleFunction)
}

func TestFromDescribe(t *testing.T) {
	all := FromDescribe(&pdc.SystemDescribe{Modules: []pdc.ModuleInfo{
		{Function: pdc.ModuleSystemPart, Index: 1, Version: 6200, Dependencies: []pdc.ModuleDependency{{Function: pdc.ModuleBootloader, Version: 3}}},
		{Function: pdc.ModuleUserPart, Index: 1, Version: 9, Store: pdc.StoreFactory},
		{Function: pdc.ModuleUserPart, Index: 1, Empty: true},
		{Function: pdc.ModuleBootloader, Version: 3, Checked: pdc.CheckIntegrity},
	}})
	if len(all) != 3 || all[0].Version != 6200 || !all[1].Empty || !all[2].Empty {
		t.Fatalf("got %+v", all)
	}
	m := userPart()
	if missing := m.Missing(all); missing != nil {
		t.Errorf("missing %+v", missing)
	}
	m.Dependencies[1] = all[0].Dependencies[0]
	if missing := m.Missing(all); len(missing) != 1 || missing[0].Function != pdc.ModuleBootloader {
		t.Errorf("missing %+v, want the bootloader, which is not valid", missing)
	}
}
