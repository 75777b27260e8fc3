package device

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// A Device is one simulated device. It is not safe for concurrent use. While it
// is online and idle it takes less than a kilobyte, its session included.
type Device struct {
	cfg   *Config
	nv    *NVRAM
	id    ID
	state State
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
	return &Device{cfg: c, id: id, nv: nv}
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

// Dialect returns what the device speaks at present; its system module may have
// been updated.
func (d *Device) Dialect() pdc.Dialect { return d.cfg.dialect() }

// PowerOn boots the device, which then connects unless Config.ManualConnect.
func (d *Device) PowerOn(now clock.Instant, out *Out) {}

// PowerOff takes the power away. Nothing is sent, and what was not flushed is
// lost.
func (d *Device) PowerOff(now clock.Instant, out *Out) {}

// Suspend puts the live session into the NVRAM without a word to the cloud and
// leaves the device off, as if the process had been killed and its retained
// memory kept. PowerOn continues with a resume.
func (d *Device) Suspend(now clock.Instant, out *Out) {}

// Reset restarts the device in an orderly way, saying goodbye if it does.
func (d *Device) Reset(now clock.Instant, why pdc.ResetReason, out *Out) {}

// Sleep says goodbye for the duration and sleeps; the device wakes by itself
// and connects again.
func (d *Device) Sleep(now clock.Instant, duration time.Duration, out *Out) {}

// Connect is Particle.connect().
func (d *Device) Connect(now clock.Instant, out *Out) {}

// Disconnect is Particle.disconnect().
func (d *Device) Disconnect(now clock.Instant, out *Out) {}

// NetworkChanged tells that the device has another address: over UDP it goes
// on from a new source port, over TCP the stream is gone.
func (d *Device) NetworkChanged(now clock.Instant, out *Out) {}

// SocketFailed tells that sending or receiving failed at the socket.
func (d *Device) SocketFailed(now clock.Instant, out *Out) {}

// Datagram takes one datagram from the cloud, which it may overwrite.
func (d *Device) Datagram(now clock.Instant, b []byte, out *Out) {}

// StreamOpened tells that DialStream has succeeded.
func (d *Device) StreamOpened(now clock.Instant, out *Out) {}

// StreamData takes the next bytes of the stream, which it may overwrite.
func (d *Device) StreamData(now clock.Instant, b []byte, out *Out) {}

// StreamClosed tells that the stream is closed or could not be opened.
func (d *Device) StreamClosed(now clock.Instant, out *Out) {}

// Advance does what is due.
func (d *Device) Advance(now clock.Instant, out *Out) {}

// Deadline returns when Advance is due next, [clock.Never] when the device
// waits for input only.
func (d *Device) Deadline() clock.Instant { return clock.Never }

// A Publication is an event of the application.
type Publication struct {
	Name string
	Data []byte
	// TTL in seconds; 0 means 60, which is not sent.
	TTL uint32
	// Public publishes to everybody, up to 6.1.
	Public bool
	// NoAck sends it Non-confirmable, WithAck confirmable even over TCP and
	// reports the outcome within 20 s.
	NoAck, WithAck bool
	// Format is the Content-Format, since 6.2; 0 is text.
	Format uint16
	// Tag comes back in the events Published and PublishFailed.
	Tag uint32
}

// A PublishError is why an event was refused before it was sent (PDC-4.1).
type PublishError uint8

// The reasons to refuse an event.
const (
	NotConnected PublishError = 1 + iota
	RateLimited               // five within a second
	UpdateBusy                // a firmware update is running
	NameTooLong
	DataTooLong
)

// Error says why the event was refused.
func (e PublishError) Error() string {
	return "device: publish: " + [...]string{"", "not connected", "rate limited", "firmware update running", "name too long", "data too long"}[e]
}

// Publish publishes an event. An error is a [PublishError] and nothing is sent.
func (d *Device) Publish(now clock.Instant, p Publication, out *Out) error { return NotConnected }

// Subscribe adds a handler while the device runs. It reports false when there
// is no room for it.
func (d *Device) Subscribe(now clock.Instant, s Subscription, out *Out) bool { return false }

// Ping sends a ping now, as an application can ask for.
func (d *Device) Ping(now clock.Instant, out *Out) {}

// SyncTime asks the cloud for the time. Nothing is sent while an earlier
// request is unanswered (PDC-8.1).
func (d *Device) SyncTime(now clock.Instant, out *Out) {}

// PublishVitals posts the metrics describe (PDC-3.7), since 0.8.
func (d *Device) PublishVitals(now clock.Instant, out *Out) {}

// SetUpdatesEnabled is System.enableUpdates() or disableUpdates().
func (d *Device) SetUpdatesEnabled(now clock.Instant, enabled bool, out *Out) {}

// SetKeepAlive changes the ping interval, which must be above zero.
func (d *Device) SetKeepAlive(now clock.Instant, interval time.Duration) {}

// ClearSession forgets the stored session; the next connect is a full
// handshake.
func (d *Device) ClearSession() {}

// Updating reports whether a firmware update is running.
func (d *Device) Updating() bool { return false }

// Unix returns the device's idea of the time in seconds since 1970, 0 while its
// clock is not set.
func (d *Device) Unix(now clock.Instant) int64 { return 0 }
