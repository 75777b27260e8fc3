package device

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/hex"
	"io"
	"time"

	"github.com/muster/muster/sim/profile"
)

// An ID is a device id.
type ID [12]byte

// String returns the id as 24 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// A Config is what many devices share. It must not change while a Device uses
// it. The zero value of an optional field is the documented default.
type Config struct {
	// Profile is the board and the Device OS release. Required.
	Profile *profile.Profile

	// Key returns the private key of a device: *ecdsa.PrivateKey on P-256 over
	// UDP, *rsa.PrivateKey of 1024 bits over TCP. It is asked once a handshake,
	// so that a fleet need not hold a million parsed keys. Required.
	Key func(ID) crypto.PrivateKey

	// CloudKey is the cloud's key that the devices pin: *ecdsa.PublicKey over
	// UDP, *rsa.PublicKey over TCP. Required.
	CloudKey crypto.PublicKey

	// Server names the cloud's address. It is compared only: a stored session
	// is discarded when it belongs to another one (TRN-3.5).
	Server string

	// App is the application. Nil has no functions, variables or subscriptions.
	App *App

	// Rand yields handshake randoms and ephemeral keys. Runs with real peers
	// give crypto/rand. Nil draws from Seed, and one run equals the next.
	Rand io.Reader

	// Seed is the run's seed, from which jitter and first tokens are drawn, by
	// device id.
	Seed uint64

	// Product and ProductVersion stand in Hello; zero means the platform id and
	// "not set".
	Product, ProductVersion uint16

	// Serial is the secondary identifier that spark/device/ident/0 reports;
	// empty sends no such event.
	Serial string

	// KeepAlive replaces the profile's ping interval, if not zero.
	KeepAlive time.Duration

	// MTU of the path in bytes, for links below 1280; zero is enough.
	MTU uint16

	// UpdatesDisabled starts with System.disableUpdates().
	UpdatesDisabled bool

	// ManualConnect waits for Connect after power-on instead of connecting.
	ManualConnect bool

	// MoveKey verifies ServerMoved: the public half of the key that real
	// firmware has compiled in. Nil refuses every move.
	MoveKey *ecdsa.PublicKey

	// Ledgers are the ledgers that the application creates. Releases without
	// ledgers ignore them.
	Ledgers []Ledger

	// Secrets reports the secrets of each session as an event, for captures.
	Secrets bool

	// Faults make the devices misbehave. Nil is correct behavior.
	Faults *Faults
}
