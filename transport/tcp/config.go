package tcp

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// Config configures an Engine. The zero Config means the documented defaults.
type Config struct {
	// Clock is the time of the run; nil: a new one.
	Clock *transport.Clock
	// Tap, if not nil, sees every stream and chunk.
	Tap transport.Tap
	// IDs names streams; nil: names of the engine's own. Outs that dial
	// through the engine draw from the same.
	IDs *transport.StreamIDs
	// Streams is how many streams may be open, half-closed ones included;
	// 0: 65536.
	Streams int
	// StreamsPerAddress is how many of them may have the same peer address;
	// 0: no limit of its own.
	StreamsPerAddress int
	// Backlog is how many bytes may wait to be written to one stream; 0:
	// 64 KiB. A stream that needs more is reset.
	Backlog int
	// WriteTimeout is how long a peer may leave its receive window closed;
	// 0: 20 s, which is what a device allows for one blocking write.
	WriteTimeout time.Duration
	// DialTimeout limits a Dial; 0: 20 s.
	DialTimeout time.Duration
	// Linger is how long the peer may take to close its side after a Close;
	// 0: 1 s. Closing at once would turn the FIN into a RST whenever bytes of
	// the peer are still unread, and take back what was written last.
	Linger time.Duration
}

func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = transport.NewClock()
	}
	if c.IDs == nil {
		c.IDs = new(transport.StreamIDs)
	}
	if c.Streams == 0 {
		c.Streams = 65536
	}
	if c.StreamsPerAddress == 0 {
		c.StreamsPerAddress = c.Streams
	}
	if c.Backlog == 0 {
		c.Backlog = 64 << 10
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 20 * time.Second
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 20 * time.Second
	}
	if c.Linger == 0 {
		c.Linger = time.Second
	}
	return c
}

// A Handler is what an engine drives. Calls for one stream come one after the
// other, from its goroutine; different streams call at the same time.
//
// A stream is opened before it gives data and closed once, at the end; a dial
// that fails is only closed. A stream that was closed or aborted from this side
// is not reported again, but a call may be under way at that moment.
type Handler interface {
	StreamOpened(now clock.Instant, s transport.Stream)
	// StreamData takes the next bytes. They may be overwritten and must not be
	// kept.
	StreamData(now clock.Instant, id transport.StreamID, b []byte)
	StreamClosed(now clock.Instant, id transport.StreamID, cause transport.Cause)
}
