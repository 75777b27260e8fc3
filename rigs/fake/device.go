//go:build linux

package fake

// A Device is what runs inside a board and talks to a cloud, as far as the board
// knows it. Its methods come one at a time and must not wait for the board.
type Device interface {
	// PowerOn boots it with what is in the flash memory: after power came, after
	// a reset, and when DFU mode ends.
	PowerOn(Memory)
	// Reset stops it at once and keeps its retained memory, as the reset pin
	// does. PowerOn follows.
	Reset()
	// PowerOff takes its power away at once.
	PowerOff()
}

// A Restart is why a device inside a board restarts by itself, or stops.
type Restart uint8

// The reasons.
const (
	Restarted Restart = iota // an update was applied, or the cloud asked for it: it boots again by itself
	IntoSafe                 // it boots again by itself, into safe mode
	IntoDFU                  // it stopped: PowerOn boots it when DFU mode ends
	Asleep                   // it sleeps, and USB with it, until Awake
	Awake                    // it boots again by itself
)
