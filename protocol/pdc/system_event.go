package pdc

import "strings"

// The names of system events. Those up to EventRandom cross the wire (PDC-4.4,
// 4.5); those behind are of the users' stream only (PDC-4.6).
const (
	// From the cloud. A name that ends in a slash is a prefix.
	EventClaimed        = "spark/device/claim/"      // clears the claim code
	EventReset          = "spark/device/reset"       // data is a Command
	EventKeyRestore     = "spark/device/key/restore" // factory server key and address
	EventUpdatesPending = "particle/device/updates/pending"

	// From the device, and from the cloud.
	EventUpdatesForced = "particle/device/updates/forced"

	// From the device.
	EventClaimCode      = "spark/device/claim/code"
	EventIdent          = "spark/device/ident/0"
	EventMaxBinary      = "spark/hardware/max_binary"
	EventChunkSize      = "spark/hardware/ota_chunk_size"
	EventCorePatch      = "spark/cc3000-patch-version"
	EventSafeMode       = "spark/device/safemode"
	EventLastReset      = "spark/device/last_reset"
	EventUpdatesEnabled = "particle/device/updates/enabled"
	EventOTAResult      = "spark/device/ota_result"
	EventKeyError       = "spark/device/key/error"

	// Requests of the device that the cloud answers with an event of the same
	// name. Each also exists with the prefix particle instead of spark.
	EventName   = "spark/device/name"
	EventIP     = "spark/device/ip"
	EventRandom = "spark/device/random"

	// On the users' stream.
	EventStatus            = "spark/status"
	EventFlashStatus       = "spark/flash/status"
	EventAppHash           = "spark/device/app-hash"
	EventStatusSafeMode    = "spark/status/safe-mode"
	EventSafeModeUpdating  = "spark/safe-mode-updater/updating"
	EventDiagnosticsUpdate = "spark/device/diagnostics/update"
)

// The data of events on the users' stream.
const (
	StatusOnline     = "online"
	StatusOffline    = "offline"
	StatusAutoUpdate = "auto-update"
	FlashStarted     = "started " // the trailing spaces are historic
	FlashSuccess     = "success "
	FlashFailed      = "failed "
)

// ParticleSource is the device id of events that the cloud makes itself.
const ParticleSource = "particle-internal"

// ClaimCodeSize is the number of characters in the claim code of
// [EventClaimCode].
const ClaimCodeSize = 63

// A Command is the data of [EventReset], compared exactly.
type Command string

// The commands. A device ignores any other.
const (
	CommandSafeMode Command = "safe mode"
	CommandDFU      Command = "dfu"
	CommandReboot   Command = "reboot"
	CommandNetwork  Command = "network" // since 2.3
)

// IsSystemEvent reports whether a device of dialect d takes an event of that
// name for one of the system: another rate limit applies to it.
//
// Device OS: 0.5 takes "spark" in any letter case, later releases "spark" and
// "particle" as they stand.
func IsSystemEvent(name string, d Dialect) bool {
	if d.System < OS0_6 {
		return len(name) >= 5 && strings.EqualFold(name[:5], "spark")
	}
	return strings.HasPrefix(name, "spark") || strings.HasPrefix(name, "particle")
}

// NeedsData reports whether a delivery of that name must have data: without a
// payload a board crashes on it (PDC-4.4, C-26).
func NeedsData(name string) bool { return strings.HasPrefix(name, "particle/device/updates/") }

// Truth reads the data of the updates events as a device does.
//
// Device OS: every prefix of "true" is true, the empty string included.
func Truth(data []byte) bool { return strings.HasPrefix("true", string(data)) }

// TruthData returns the data that says v.
func TruthData(v bool) string {
	if v {
		return "true"
	}
	return "false"
}

// A RequestedValue is what a device asks the cloud for by an event.
type RequestedValue uint8

// The values.
const (
	NothingRequested RequestedValue = iota
	NameRequested                   // the device's name
	IPRequested                     // its public address, dotted
	RandomRequested                 // random bytes, 40 characters
)

// Requested returns what an event of that name from a device asks for (C-30).
func Requested(name string) RequestedValue {
	rest, ok := strings.CutPrefix(name, "spark/device/")
	if !ok {
		rest, ok = strings.CutPrefix(name, "particle/device/")
	}
	if !ok {
		return NothingRequested
	}
	switch rest {
	case "name":
		return NameRequested
	case "ip":
		return IPRequested
	case "random":
		return RandomRequested
	}
	return NothingRequested
}

// LastReset returns the data of [EventLastReset]. Detail is the name or number
// of a panic, empty for none.
func LastReset(r ResetReason, detail string) string {
	if detail == "" {
		return r.String()
	}
	return r.String() + ", " + detail
}

// ParseLastReset is the inverse of [LastReset].
func ParseLastReset(data string) (r ResetReason, detail string, ok bool) {
	word, detail, _ := strings.Cut(data, ", ")
	r, ok = ParseResetReason(word)
	return r, detail, ok
}
