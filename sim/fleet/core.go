package fleet

import (
	"math/rand/v2"
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
)

// A network is where the devices of a core have their sockets.
type network interface {
	// open gives m another socket; false when there is none to be had.
	open(m *member, cloud netip.AddrPort) bool
	// close ends the use of the present one.
	close(m *member)
	// local is where m sends from.
	local(m *member) netip.AddrPort
	// dialFrom is where m opens streams from.
	dialFrom(m *member) netip.AddrPort
	// move gives m another address, before it opens another socket.
	move(m *member)
}

// A core does what devices want and tells what happened to them. One goroutine
// at a time uses it, and all of its devices share its buffers.
type core struct {
	options    *Options
	network    network
	watchers   *watchers
	counters   counters
	out        device.Out
	clouds     map[int32]netip.AddrPort       // of members that have their own
	streams    map[transport.StreamID]*member // nil: members are found otherwise
	pipes      map[int32]*pipe                // of members whose streams may have a bad network
	left       map[int32]transport.StreamID   // streams that only the cloud still believes in
	connecting int

	number int        // of the core
	hold   func(held) // keeps a datagram until it is due
	chance *rand.Rand // of what happens to datagrams; nil: not needed yet
}

// cloud is where m connects to.
func (c *core) cloud(m *member) netip.AddrPort {
	if m.elsewhere {
		return c.clouds[m.index]
	}
	if m.device.Profile().Board.UDP {
		return c.options.UDP
	}
	return c.options.TCP
}

// setCloud gives m a cloud of its own.
func (c *core) setCloud(m *member, a netip.AddrPort) {
	if c.clouds == nil {
		c.clouds = make(map[int32]netip.AddrPort)
	}
	c.clouds[m.index], m.elsewhere = a, true
}

// act does what m wants and tells what happened to it, until there is nothing
// left in c.out.
func (c *core) act(now clock.Instant, m *member, out *transport.Out) {
	for len(c.out.Actions) > 0 || len(c.out.Events) > 0 {
		broken := false
		for i := range c.out.Actions {
			broken = !c.do(now, m, &c.out.Actions[i], out) || broken
		}
		metered := 0
		for i := range c.out.Events {
			e := &c.out.Events[i]
			metered = c.meter(now, m, metered, e.Actions)
			c.note(now, m, e)
		}
		c.meter(now, m, metered, len(c.out.Actions))
		c.out.Reset()
		if broken {
			m.device.SocketFailed(now, &c.out)
		}
	}
	c.out.Reset()
}

// do does one thing that m wants. It reports false when the socket fails.
func (c *core) do(now clock.Instant, m *member, a *device.Action, out *transport.Out) bool {
	switch a.Kind {
	case device.OpenSocket:
		m.open = c.network.open(m, c.cloud(m))
		return m.open
	case device.SendDatagram:
		if m.open {
			c.send(now, m, a.Data, out)
		}
	case device.CloseSocket:
		c.network.close(m)
		m.open = false
	case device.DialStream:
		c.dial(now, m, out)
	case device.WriteStream:
		c.write(now, m, a.Data, out)
	case device.CloseStream:
		c.hangUp(now, m, out)
	default:
		panic("fleet: unknown action of a device")
	}
	return true
}

// note keeps the books of an event and passes it on.
func (c *core) note(now clock.Instant, m *member, e *device.Event) {
	if e.Kind == device.Secrets && !c.options.Secrets {
		return
	}
	switch e.Kind {
	case device.Connecting:
		c.setConnecting(m, true)
		m.began = now
	case device.Online:
		if m.connecting {
			c.counters.connected(now.Sub(m.began))
		}
		c.setConnecting(m, false)
		c.setOnline(m, true)
	case device.Offline:
		c.setConnecting(m, false)
		c.setOnline(m, false)
	case device.Moved:
		if a, ok := c.options.cloudOf(e.Name); ok {
			c.setCloud(m, a)
		}
	default:
		// It changes nothing about the member.
	}
	c.counters.event(e)
	if c.options.Observe != nil {
		c.options.Observe(int(m.index), now, *e)
	}
	c.watchers.note(int(m.index), now, e)
}

func (c *core) setConnecting(m *member, on bool) {
	if m.connecting == on {
		return
	}
	m.connecting = on
	if on {
		c.connecting++
	} else {
		c.connecting--
	}
	c.counters.connecting.Store(int64(c.connecting))
}

func (c *core) setOnline(m *member, on bool) {
	if m.online.Load() == on {
		return
	}
	m.online.Store(on)
	if on {
		c.counters.online.Add(1)
	} else {
		c.counters.online.Add(-1)
	}
}
