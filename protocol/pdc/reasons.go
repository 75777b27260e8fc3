package pdc

import "strconv"

// A CloudDisconnectReason is why a device leaves the cloud (PDC-2.5).
type CloudDisconnectReason uint32

// The reasons to leave the cloud.
const (
	CloudError             CloudDisconnectReason = 1
	CloudUser              CloudDisconnectReason = 2
	CloudNetworkDisconnect CloudDisconnectReason = 3
	CloudListening         CloudDisconnectReason = 4
	CloudSystemReset       CloudDisconnectReason = 5
	CloudSleep             CloudDisconnectReason = 6
	CloudUnknown           CloudDisconnectReason = 7
	CloudServerMoved       CloudDisconnectReason = 8
)

var cloudReasons = [...]string{
	CloudError: "error", CloudUser: "user", CloudNetworkDisconnect: "network disconnect",
	CloudListening: "listening mode", CloudSystemReset: "system reset", CloudSleep: "sleep",
	CloudUnknown: "unknown", CloudServerMoved: "server moved",
}

// String returns the reason in words, its number when it has none.
func (r CloudDisconnectReason) String() string { return word(cloudReasons[:], uint32(r)) }

// A NetworkDisconnectReason is why a device leaves its network (PDC-2.5).
type NetworkDisconnectReason uint32

// The reasons to leave the network.
const (
	NetworkError     NetworkDisconnectReason = 1
	NetworkUser      NetworkDisconnectReason = 2
	NetworkOff       NetworkDisconnectReason = 3
	NetworkListening NetworkDisconnectReason = 4
	NetworkSleep     NetworkDisconnectReason = 5
	NetworkReset     NetworkDisconnectReason = 6
	NetworkUnknown   NetworkDisconnectReason = 7
)

var networkReasons = [...]string{
	NetworkError: "error", NetworkUser: "user", NetworkOff: "network off",
	NetworkListening: "listening mode", NetworkSleep: "sleep", NetworkReset: "reset",
	NetworkUnknown: "unknown",
}

// String returns the reason in words, its number when it has none.
func (r NetworkDisconnectReason) String() string { return word(networkReasons[:], uint32(r)) }

func word(words []string, i uint32) string {
	if i < uint32(len(words)) && words[i] != "" {
		return words[i]
	}
	return strconv.FormatUint(uint64(i), 10)
}

// A ResetReason is why a device resets, or did (PDC-2.5).
type ResetReason uint32

// The reasons to reset.
const (
	ResetUnknown         ResetReason = 10
	ResetPin             ResetReason = 20
	ResetPowerManagement ResetReason = 30
	ResetPowerDown       ResetReason = 40
	ResetBrownout        ResetReason = 50
	ResetWatchdog        ResetReason = 60
	ResetUpdate          ResetReason = 70
	ResetUpdateError     ResetReason = 80
	ResetUpdateTimeout   ResetReason = 90
	ResetFactory         ResetReason = 100
	ResetSafeMode        ResetReason = 110
	ResetDFU             ResetReason = 120
	ResetPanic           ResetReason = 130
	ResetUser            ResetReason = 140
	ResetConfigUpdate    ResetReason = 150
)

// resetWords are the words of the event spark/device/last_reset, by a tenth of
// the reason.
var resetWords = [...]string{
	1: "unknown", 2: "pin_reset", 3: "power_management", 4: "power_down", 5: "power_brownout",
	6: "watchdog", 7: "update", 8: "update_error", 9: "update_timeout", 10: "factory_reset",
	11: "safe_mode", 12: "dfu_mode", 13: "panic", 14: "user", 15: "config_update",
}

// String returns the word that the event spark/device/last_reset has for the
// reason, its number when it has none.
func (r ResetReason) String() string {
	if r%10 == 0 && r != 0 && int(r/10) < len(resetWords) {
		return resetWords[r/10]
	}
	return strconv.FormatUint(uint64(r), 10)
}

// ParseResetReason is the inverse of [ResetReason.String].
func ParseResetReason(s string) (ResetReason, bool) {
	for i, w := range resetWords {
		if w == s && w != "" {
			return ResetReason(10 * i), true
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return ResetReason(n), err == nil
}
