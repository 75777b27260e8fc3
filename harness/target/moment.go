package target

import (
	"context"
	"fmt"
	"sync"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// A Moment is a place in the conversation of a device and its cloud, as it shows
// on the wire.
type Moment struct {
	Text string
	fits func(*trace.Message) bool
}

// String says which it is.
func (m Moment) String() string { return m.Text }

// AfterChunk is when the device has acknowledged n chunks of an image, without a
// gap. The chunked transfer of Device OS before 3.0 acknowledges none where it is
// fast: there it is when chunk n was sent.
func AfterChunk(n int) Moment {
	return Moment{fmt.Sprintf("after chunk %d is acknowledged", n), func(m *trace.Message) bool {
		switch {
		case !m.HasChunk:
			return false
		case m.Kind == pdc.KindUpdateAck:
			return int(m.Chunk) >= n
		}
		return m.Kind == pdc.KindChunk && int(m.Chunk)+1 >= n
	}}
}

// AfterMessage is when a message of the kind crosses the wire.
func AfterMessage(k pdc.Kind) Moment {
	return Moment{fmt.Sprintf("after %s", k), func(m *trace.Message) bool { return m.Kind == k }}
}

// moments are who waits for what on the wire.
type moments struct {
	mu   sync.Mutex
	wait map[*moment]struct{}
}

type moment struct {
	Moment
	device  trace.DeviceID
	reached chan struct{}
	do      func()
}

// When does something when the moment comes, once, on a goroutine of its own. The
// channel is closed when it is done. cancel ends the wait.
func (d *Device) When(m Moment, do func()) (done <-chan struct{}, cancel func()) {
	w := &moment{m, trace.DeviceID(d.ID), make(chan struct{}), do}
	all := &d.env.moments
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.wait == nil {
		all.wait = make(map[*moment]struct{})
	}
	all.wait[w] = struct{}{}
	return w.reached, func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		delete(all.wait, w)
	}
}

// pass looks at a packet for those who wait.
func (all *moments) pass(p *trace.Packet) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for w := range all.wait {
		if w.device != p.Device {
			continue
		}
		for _, m := range p.Messages() {
			if m.Malformed == "" && w.fits(m) {
				delete(all.wait, w)
				go func() { // whoever decodes must not wait for a relay
					defer close(w.reached)
					w.do()
				}()
				break
			}
		}
	}
}

// A cutter is a Board whose power can be cut at once, unverified.
type cutter interface {
	CutPower(context.Context) error
}

// CutPower takes the power of the device away at once. Unlike [Device.Suspend]
// nothing of its memory is kept but what is in flash.
func (d *Device) CutPower() {
	if d.board == nil {
		if d.need(Power) == nil {
			d.env.fleet.PowerOff(d.index)
		}
		return
	}
	d.boardDo(Power, func(b Board, ctx context.Context) error {
		if c, ok := b.(cutter); ok {
			return c.CutPower(ctx)
		}
		return b.PowerOff(ctx)
	})
}
