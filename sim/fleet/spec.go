package fleet

import (
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
)

// A Spec is one device to add to a fleet.
type Spec struct {
	// Config is what the device shares with others of its kind: see [Template].
	// Required.
	Config *device.Config
	// ID of the device.
	ID device.ID
	// NVRAM is the memory that it starts with; nil: from the factory. The fleet
	// owns it from then on.
	NVRAM *device.NVRAM
	// Cloud is the address of its cloud, if it is not that of the Options.
	Cloud netip.AddrPort
}

// An Action is something done to a device: a method expression such as
// (*device.Device).Connect behind the order of arguments of a driver.
type Action func(now clock.Instant, d *device.Device, out *device.Out)

// An Observer hears of everything that happens to devices, on the goroutine of
// the device's shard: it must be quick, may give commands and must not wait for
// any. e.Data is valid during the call only. Calls for one device come in order;
// different shards call at the same time.
type Observer func(index int, at clock.Instant, e device.Event)

// Options configure a fleet. Zero fields mean the documented default.
type Options struct {
	// UDP and TCP are the addresses of the cloud for devices of either transport.
	// A transport without devices needs none.
	UDP, TCP netip.AddrPort

	// Observe hears of everything that happens, if not nil.
	Observe Observer
	// Meter hears of every byte that crosses, if not nil.
	Meter Meter
	// Net makes the network worse than it is; nil: it is what it is. Seed is that of
	// its chances.
	Net  Net
	Seed uint64
	// Secrets passes on events of the kind device.Secrets, which devices give
	// only when their Config says so too.
	Secrets bool

	// Resolve finds the cloud that a ServerMoved names. Nil understands IP
	// addresses with an optional port; a device with a name that it cannot find
	// stays where it is.
	Resolve func(name string) (netip.AddrPort, bool)

	// The rest is for Real fleets.

	// Clock is the time of the run; nil: a new one.
	Clock *transport.Clock
	// Tap, if not nil, sees everything that crosses the sockets.
	Tap transport.Tap
	// Shards is how many parts work side by side; 0: one a core that Go may use.
	Shards int
	// Sockets is how many UDP sockets, and so source ports, a shard has on
	// loopback, 1 to 64; 0: 4. A device that opens another socket takes the next.
	Sockets int
	// Capacity is how many devices there is room for on loopback, rounded up to
	// a power of two; 0: 1,048,576. The more room, the fewer addresses a device
	// has to change to: with 1,048,576 there are 15.
	Capacity int
	// Connecting is how many devices of a shard may be on their way to the cloud
	// at a time; the others wait for their turn, as if they booted slowly. It
	// keeps a storm from overflowing the receive buffers of this process. 0: 512;
	// below 0: no limit.
	Connecting int
	// Sources are the local addresses of devices whose cloud is not on loopback,
	// taken in turn; none: the choice of the system.
	Sources []netip.Addr
}

const (
	defaultSockets    = 4
	defaultCapacity   = 1 << 20
	defaultConnecting = 512
)

// cloudOf resolves the name that a ServerMoved gave.
func (o *Options) cloudOf(name string) (netip.AddrPort, bool) {
	if o.Resolve != nil {
		return o.Resolve(name)
	}
	if a, err := netip.ParseAddrPort(name); err == nil {
		return a, true
	}
	a, err := netip.ParseAddr(name)
	return netip.AddrPortFrom(a, PortUDP), err == nil
}

// The ports of a cloud (TRN-6.5).
const (
	PortUDP = 5684
	PortTCP = 5683
)
