package device

import (
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// NVRAM is what survives a reset of a device: retained memory, configuration
// and flash. A device without one starts from the factory. It belongs to one
// Device, which changes it; a driver that wants to keep it across processes
// calls [Device.Suspend] first and then AppendNVRAM.
type NVRAM struct {
	// Session is the stored session, nil when there is none or while it is in
	// use.
	Session *Session

	// ClaimCode is published at each full handshake while it is not empty.
	ClaimCode string

	// Modules are what is installed, nil for the factory's.
	Modules []Module

	// Applied says that the last update was applied (Hello flag 0x01), until
	// the cloud has seen it.
	Applied bool

	// SafeMode starts the device without its application.
	SafeMode bool

	// Reset is why the device restarted last; 0 is reported as a power-on.
	Reset pdc.ResetReason

	// KeyErrors is the bit set that spark/device/key/error reports once.
	KeyErrors uint32

	// Partial is an unfinished update that can be resumed, nil when there is
	// none.
	Partial *Partial

	// Boots counts restarts, Handshakes secured connections: names of random
	// streams, so that no draw of a seeded run repeats.
	Boots, Handshakes uint32
}

// A Partial is an unfinished update of OTA protocol v3 (PDC-6.9).
type Partial struct {
	SHA256 [32]byte // of the complete file
	Size   uint32   // of the complete file
	Data   []byte   // the contiguous prefix that is stored
	// Flushed is how much of Data is in flash. Loss of power keeps only that.
	Flushed uint32
}

// A Module is a firmware module on a device, with what its describe says of it.
type Module struct {
	Function, Index uint8
	Version         uint16
	Store           uint8
	MaxSize         uint32
	Size            uint32
	Checked, Passed uint32
	Hash            []byte // SHA-256, user parts only
	Dependencies    []profile.Dependency
	// Name is that of an asset.
	Name string
}
