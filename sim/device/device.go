package device

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// A Device is one simulated device. It is not safe for concurrent use. While it
// is online and idle it takes less than a kilobyte, its session included.
type Device struct {
	cfg  *Config
	prof *profile.Profile // the one of the installed system module
	nv   *NVRAM
	rng  *rand.Rand
	id   ID

	ram
}

// ram is what a reset clears.
type ram struct {
	ch   *link.Link // the secured connection, nil when there is none
	hs   *handshake // nil unless securing
	upd  updater    // nil unless a firmware update runs
	work *work      // nil unless something rare is going on

	timer   clock.Instant // of the state: back-off, Hello, goodbye, wake from sleep
	pingDue clock.Instant // of the keep-alive
	booted  clock.Instant
	rtc     rtc

	known     AppState // what the cloud knows, on the live connection
	keepAlive time.Duration
	rate      eventRate
	extra     []pdc.Subscribe // subscribed at run time

	lastID   uint16 // CoAP message id used last, if hasID
	attempts uint16 // to connect since the device was online
	awaited  uint16 // message id that must be acknowledged while deaf
	after    afterClosing
	resetWhy pdc.ResetReason
	sleepFor time.Duration
	state    State
	token    uint8
	uses     uint8 // restores of the session without an answer
	etag     uint8

	bits
}

// bits are the yes-or-no part of ram.
type bits struct {
	wanted         bool // the application wants to be connected
	hasID          bool // lastID is valid
	persistent     bool // Hello was acknowledged: the session may be stored
	helloSent      bool // since power-up
	resumed        bool // the connection resumed and skipped Hello
	answered       bool // something arrived on this connection
	deaf           bool // only the acknowledgement of awaited is looked at
	pinging        bool // a keep-alive ping is unanswered
	setupDone      bool
	lastReset      bool // last_reset was published
	timePending    bool // a time request is unanswered
	subsFailed     bool // a subscription of the burst was refused
	subsPending    uint8
	updatesOff     bool // System.disableUpdates()
	updatesForced  bool
	updatesPending bool
	safeMode       bool
	moving         bool // ServerMoved was taken
}

// A State is where a device stands on its way to the cloud.
type State uint8

// The states, in the order in which a device passes them.
const (
	Off       State = iota // without power, or asleep
	Idle                   // on, and not meant to be connected
	Waiting                // for the next attempt
	Opening                // TCP: for the stream
	Securing               // in the handshake
	Greeting               // Hello is sent and not answered
	Settling               // the first messages are not all acknowledged
	Connected              // online
	Closing                // saying goodbye

	numStates
)

var stateNames = [numStates]string{
	"off", "idle", "waiting", "opening", "securing", "greeting", "settling", "connected", "closing",
}

// String returns the name of s.
func (s State) String() string { return stateNames[min(s, numStates-1)] }

// New returns a device that is switched off. It panics when c lacks something
// required. Nil nv is a device from the factory.
func New(c *Config, id ID, nv *NVRAM) *Device {
	if c.Profile == nil || c.Key == nil || c.CloudKey == nil {
		panic("device: Config without Profile, Key or CloudKey")
	}
	if nv == nil {
		nv = &NVRAM{}
	}
	d := &Device{cfg: c, prof: c.Profile, id: id, nv: nv}
	d.rng = d.jitter()
	d.timer, d.pingDue = clock.Never, clock.Never
	return d
}

// ID returns the device's id.
func (d *Device) ID() ID { return d.id }

// State returns where the device stands.
func (d *Device) State() State { return d.state }

// Online reports whether the device calls itself connected.
func (d *Device) Online() bool { return d.state == Connected }

// NVRAM returns the device's memory. It is complete only while the device has
// no session in use: after [Device.Suspend] or when it is off.
func (d *Device) NVRAM() *NVRAM { return d.nv }

// Profile returns the board and the release that the device runs at present; an
// update may have changed the release.
func (d *Device) Profile() *profile.Profile { return d.prof }

// Dialect returns what the device speaks at present.
func (d *Device) Dialect() pdc.Dialect {
	t := d.prof.Dialect()
	if mtu := d.cfg.MTU; mtu != 0 && mtu < mtuEnough && d.has(profile.BlockwiseDescribes) {
		// Device OS: since 3.3 the transmit limit shrinks with the MTU.
		t.MaxMessage = uint16(t.Limits().Message) - (mtuEnough - mtu)
	}
	return t
}

// mtuEnough is the MTU from which on no message is cut.
const mtuEnough = 1280

// has reports whether the running release has the feature.
func (d *Device) has(f profile.Feature) bool { return d.prof.Has(f) }

// atLeast reports whether the running release is at or after the system module
// version.
func (d *Device) atLeast(system uint16) bool { return d.prof.AtLeast(system) }

// jitter returns the device's own random stream for what is no secret.
func (d *Device) jitter() *rand.Rand {
	var tail [8]byte
	copy(tail[:], d.id[4:])
	head := uint64(binary.BigEndian.Uint32(d.id[:4]))
	return rand.New(rand.NewPCG(d.cfg.Seed^head<<32, binary.BigEndian.Uint64(tail[:])))
}
