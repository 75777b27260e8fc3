package pdc

import "fmt"

// A SystemDescribe tells what is on the device: in JSON up to 5.4
// ([ParseSystemDescribeJSON]), in protobuf since ([ParseSystemDescribe]).
type SystemDescribe struct {
	// Platform is in the JSON form only; HasPlatform says that it was there.
	Platform    Platform
	HasPlatform bool
	Modules     []ModuleInfo
	// IMEI, ICCID and ModemFirmware are empty on boards without a modem.
	IMEI          string
	ICCID         string
	ModemFirmware string
	Assets        []AssetInfo // valid ones in storage, since 5.5
	// ProtectedState is that of protected mode, since 6.0.
	ProtectedState bool
	// EnvVarsHash is the hash of the environment variables, after 6.2; nil
	// for none.
	EnvVarsHash []byte
}

// A ModuleFunction is what a module is for: the number in module headers and
// in the protobuf describe (PDC-7.3).
type ModuleFunction uint8

// The functions.
const (
	ModuleNone       ModuleFunction = 0
	ModuleResource   ModuleFunction = 1
	ModuleBootloader ModuleFunction = 2
	ModuleMonolithic ModuleFunction = 3
	ModuleSystemPart ModuleFunction = 4
	ModuleUserPart   ModuleFunction = 5
	ModuleSettings   ModuleFunction = 6
	ModuleNCP        ModuleFunction = 7
	ModuleRadioStack ModuleFunction = 8
	ModuleAsset      ModuleFunction = 9
)

// String returns the function in the words of Device OS, but for the user part,
// which everybody calls the application.
func (f ModuleFunction) String() string {
	names := [...]string{
		"none", "resource", "bootloader", "monolithic firmware", "system part", "application", "settings", "NCP firmware", "radio stack", "asset",
	}
	if int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("module of function %d", uint8(f))
}

// moduleLetters are the functions in JSON. Settings and asset have none.
const moduleLetters = "nrbmsu\x00ca\x00"

// A ModuleStore is where a module lies: the number in the protobuf describe.
type ModuleStore uint8

// The stores.
const (
	StoreMain       ModuleStore = 0
	StoreFactory    ModuleStore = 1
	StoreBackup     ModuleStore = 2
	StoreScratchpad ModuleStore = 3
)

// storeLetters are the stores in JSON.
const storeLetters = "mfbt"

// ModuleChecks are validity checks (PDC-3.5).
type ModuleChecks uint32

// The checks.
const (
	CheckIntegrity        ModuleChecks = 0x02
	CheckDependencies     ModuleChecks = 0x04
	CheckRange            ModuleChecks = 0x08
	CheckPlatform         ModuleChecks = 0x10
	CheckProduct          ModuleChecks = 0x20
	CheckDependenciesFull ModuleChecks = 0x40
)

// A ModuleInfo describes one slot and the module in it.
type ModuleInfo struct {
	Function ModuleFunction
	Index    uint32
	Version  uint32
	Store    ModuleStore
	MaxSize  uint32 // of the slot in bytes
	Size     uint32 // of the module in bytes, protobuf only
	Checked  ModuleChecks
	Passed   ModuleChecks
	// Empty is true for a slot without a module, of which only MaxSize, Store
	// and the checks are reported. JSON only.
	Empty bool
	// Hash is the SHA-256 of the module, user part only; nil for none.
	Hash         []byte
	Dependencies []ModuleDependency
	Assets       []AssetInfo // that the module depends on, protobuf only
	Security     *ModuleSecurity
}

// Valid reports whether the module can be used: it passed every check made.
func (m ModuleInfo) Valid() bool { return !m.Empty && m.Passed == m.Checked }

// A ModuleDependency is a module that another needs, in at least that version.
type ModuleDependency struct {
	Function ModuleFunction
	Index    uint32
	Version  uint32
}

// A ModuleSecurity tells how a module is protected.
type ModuleSecurity struct {
	Mode        uint32 // 0 none, 1 protected
	Fingerprint []byte // of the certificate
}

// An AssetInfo names an asset.
type AssetInfo struct {
	Hash        []byte // SHA-256
	Name        string
	Size        uint32 // bytes
	StorageSize uint32 // bytes
}

// Missing returns the dependencies of the modules that no valid module
// satisfies: what a cloud sends to a device in safe mode (PDC-3.5, C-32).
func (s SystemDescribe) Missing() []ModuleDependency {
	var missing []ModuleDependency
	for _, m := range s.Modules {
		if m.Empty {
			continue
		}
		for _, want := range m.Dependencies {
			if want.Function != ModuleNone && !s.has(want) {
				missing = append(missing, want)
			}
		}
	}
	return missing
}

func (s SystemDescribe) has(want ModuleDependency) bool {
	for _, m := range s.Modules {
		if m.Store == StoreMain && m.Function == want.Function && m.Index == want.Index &&
			m.Version >= want.Version && m.Valid() {
			return true
		}
	}
	return false
}
