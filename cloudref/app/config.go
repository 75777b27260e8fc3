package app

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// A DeviceID is the 12-byte id of a device.
type DeviceID = [12]byte

// Config is what all devices of a cloud share. Zero fields mean the default
// that is stated.
type Config struct {
	// Epoch is the Unix time in seconds at [clock.Instant] zero: devices ask
	// for the time.
	Epoch int64

	// AnswerTimeout is how long a function, a variable, a describe or a
	// signal may take, from the command on. 30 s.
	AnswerTimeout time.Duration

	// QueueMax bounds how many commands and deliveries wait for one device. 64, and
	// 240 at most: each command that waits has a token of one byte, and an update needs
	// some besides.
	QueueMax int

	// SubscriptionsMax bounds the subscriptions of one session. 64: a device
	// of any version has at most six handlers, so more is abuse.
	SubscriptionsMax int

	// ChunkInterval paces the chunks of the legacy firmware transfer, which
	// nothing acknowledges. 10 ms: a burst of more than ten datagrams can
	// overflow a device's socket.
	ChunkInterval time.Duration

	// WindowMax bounds the chunks in flight of OTA protocol v3, below what the
	// device announces. 16.
	WindowMax int

	// FlashPatience is how long a firmware transfer may make no progress
	// before it is given up. 120 s.
	FlashPatience time.Duration

	// FlashResumeDelay is how long a device that is back is left alone before an
	// interrupted transfer goes on: it has its own messages to send first, and
	// sends none while it is updated. 2 s.
	FlashResumeDelay time.Duration

	// RestartPatience is how long a device may take from the end of a
	// transfer until it is back with the new image. 10 min.
	RestartPatience time.Duration

	// Ledgers says that somebody answers [LedgerAsked]. Without it no ledger exists.
	Ledgers bool

	// Share returns the value that was stored under key, or what make returns
	// and stores that. It keeps the describes of a fleet of equal devices in
	// memory once. Nil: nothing is shared.
	Share func(key string, make func() any) any

	Faults Faults
}

// queueMost keeps some of the 256 tokens of one byte free.
const queueMost = 240

// Defaults returns c with every zero field set to its default.
func (c Config) Defaults() Config {
	setDuration(&c.AnswerTimeout, 30*time.Second)
	setDuration(&c.ChunkInterval, 10*time.Millisecond)
	setDuration(&c.FlashPatience, 120*time.Second)
	setDuration(&c.FlashResumeDelay, 2*time.Second)
	setDuration(&c.RestartPatience, 10*time.Minute)
	setInt(&c.QueueMax, 64)
	c.QueueMax = min(c.QueueMax, queueMost)
	setInt(&c.SubscriptionsMax, 64)
	setInt(&c.WindowMax, 16)
	if c.Share == nil {
		c.Share = func(_ string, make func() any) any { return make() }
	}
	return c
}

func setDuration(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func setInt(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}

// unix returns the Unix time in seconds at now.
func (c *Config) unix(now clock.Instant) uint32 {
	return uint32(c.Epoch + int64(now)/int64(time.Second))
}
