package device

import (
	"github.com/muster/muster/protocol/pdc"
)

// NVRAM is what survives a reset of a device: retained memory, configuration
// and flash. A device without one starts from the factory. It belongs to one
// Device, which changes it; a driver that wants to keep it across processes
// calls [Device.Suspend] first and then Append.
type NVRAM struct {
	// Session is the stored session, nil when there is none or while it is in
	// use.
	Session *Session

	// ClaimCode is published at each full handshake while it is not empty.
	ClaimCode string

	// Modules are what is installed, nil for the factory's.
	Modules []pdc.ModuleInfo

	// Assets are what the asset storage holds.
	Assets []pdc.AssetInfo

	// Applied says that the last update was applied (Hello flag 0x01), until
	// the cloud has seen it.
	Applied bool

	// SafeMode starts the device without its application.
	SafeMode bool

	// Reset is why the device restarted last; 0 is reported as a power-on.
	Reset pdc.ResetReason

	// MovedTo is the server address that a ServerMoved has set, empty for the
	// configured one. The driver changes Config and address accordingly.
	MovedTo string

	// KeyErrors is the bit set that spark/device/key/error reports once.
	KeyErrors uint32

	// Partial is an unfinished update that can be resumed, nil when there is
	// none.
	Partial *Partial

	// Unix is the real-time clock when the device was suspended, in seconds since
	// 1970; 0 for not set.
	Unix int64

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
