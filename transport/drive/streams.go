package drive

import (
	"context"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// streamHandler gives the host what its streams receive.
type streamHandler struct{ *Driver }

// StreamOpened gives an open stream to the host.
func (h streamHandler) StreamOpened(_ clock.Instant, s transport.Stream) {
	h.Do(func(now clock.Instant, out *transport.Out) { h.host.StreamOpened(now, s, out) })
}

// StreamData gives bytes to the host.
func (h streamHandler) StreamData(_ clock.Instant, id transport.StreamID, b []byte) {
	h.Do(func(now clock.Instant, out *transport.Out) { h.host.StreamData(now, id, b, out) })
}

// StreamClosed gives the end of a stream to the host.
func (h streamHandler) StreamClosed(_ clock.Instant, id transport.StreamID, cause transport.Cause) {
	h.Do(func(now clock.Instant, out *transport.Out) { h.host.StreamClosed(now, id, cause, out) })
}

// keepTime advances a host that has no UDP socket, until ctx is done.
func (d *Driver) keepTime(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-d.alarm:
		}
		if d.due() {
			d.Do(func(now clock.Instant, out *transport.Out) { d.host.Advance(now, out) })
		}
		d.enter()
		if deadline := d.exit(); deadline != clock.Never {
			timer.Reset(d.config.Clock.Until(deadline))
		} else {
			timer.Stop()
		}
	}
}

// due reports whether the host's deadline has come.
func (d *Driver) due() bool {
	now := d.enter()
	return d.exit() <= now
}
