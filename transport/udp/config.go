package udp

import (
	"runtime"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// Config configures sockets. The zero Config means the documented defaults.
type Config struct {
	// Clock is the time of the run; nil: a new one.
	Clock *transport.Clock
	// Tap, if not nil, sees every datagram.
	Tap transport.Tap
	// NewOut makes the Out of each shard; nil: without a place for streams.
	NewOut func() *transport.Out
	// Shards is how many sockets Listen opens; 0: one a core that Go may use,
	// where the system can spread datagrams over sockets (Linux), else 1.
	Shards int
	// Batch is how many datagrams one read takes at most; 0: 64.
	Batch int
	// ReceiveBuffer is the kernel's receive buffer of each socket in bytes;
	// 0: 4 MiB. The kernel may give less: see Engine.ReceiveBuffer.
	ReceiveBuffer int
}

func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = transport.NewClock()
	}
	if c.NewOut == nil {
		c.NewOut = func() *transport.Out { return new(transport.Out) }
	}
	if c.Shards == 0 {
		c.Shards = 1
		if canShare {
			c.Shards = runtime.GOMAXPROCS(0)
		}
	}
	if c.Batch == 0 {
		c.Batch = 64
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = 4 << 20
	}
	return c
}

// A Handler is what an engine drives. Calls for one shard come from one
// goroutine, one after the other; different shards call at the same time.
type Handler interface {
	// Datagrams takes the datagrams of one read, 1 to Config.Batch of them.
	// Their data may be overwritten and must not be kept.
	Datagrams(shard int, now clock.Instant, batch []transport.Packet, out *transport.Out)
	// Wake is called when Deadline has come, and after Engine.WakeAt.
	Wake(shard int, now clock.Instant, out *transport.Out)
	// Deadline returns when the shard wants Wake; clock.Never: not at all. A
	// deadline that moves nearer outside of a call needs Engine.WakeAt.
	Deadline(shard int) clock.Instant
}
