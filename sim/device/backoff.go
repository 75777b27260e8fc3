package device

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// The delays of TRN-5.6: five attempts each.
const (
	attemptsPerDelay = 5
	delayFirst       = time.Second
	delayDoublings   = 7 // 128 s
)

// reconnectDelay is from the loss of a connection that was established to the
// next attempt. Recorded: 3 to 10 ms.
const reconnectDelay = 5 * time.Millisecond

// backoff returns the wait after the failure of attempt number n, from 1.
func backoff(n uint16) time.Duration {
	return delayFirst << min((n-1)/attemptsPerDelay, delayDoublings)
}

// wait starts the next attempt after the delay.
func (d *Device) wait(now clock.Instant, delay time.Duration) {
	d.state, d.timer = Waiting, now.Add(delay)
}
