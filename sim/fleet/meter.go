package fleet

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
)

// A Meter hears of every datagram of a device, and of every write and every piece
// read of its stream: how many bytes, without headers of the network. It is called
// on the goroutine of the device's shard, between the calls of the Observer and in
// the order in which things happened: what is sent before a device calls itself
// online comes before the event Online.
type Meter func(index int, at clock.Instant, up bool, bytes int)

// meter tells of what the actions with the numbers from..to-1 have sent, and
// returns to.
func (c *core) meter(now clock.Instant, m *member, from, to int) int {
	if c.options.Meter == nil {
		return to
	}
	for i := from; i < to; i++ {
		if a := &c.out.Actions[i]; a.Kind == device.SendDatagram || a.Kind == device.WriteStream {
			c.options.Meter(int(m.index), now, true, len(a.Data))
		}
	}
	return max(from, to)
}

// received tells of what m has received.
func (c *core) received(now clock.Instant, m *member, bytes int) {
	if c.options.Meter != nil {
		c.options.Meter(int(m.index), now, false, bytes)
	}
}
