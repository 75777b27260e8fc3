package target

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// A Moment is a place in the conversation of a device and its cloud, as it shows
// on the wire.
type Moment struct {
	Text   string
	fits   func(*trace.Message) bool
	chunks int // of an update that are acknowledged by then, 0: it is no such moment
}

// String says which it is.
func (m Moment) String() string { return m.Text }

// AfterChunk is when the device has acknowledged n chunks of an image, without a
// gap. The chunked transfer of Device OS before 3.0 acknowledges none where it is
// fast: there it is when chunk n was sent.
func AfterChunk(n int) Moment {
	return Moment{Text: fmt.Sprintf("after chunk %d is acknowledged", n), chunks: n, fits: func(m *trace.Message) bool {
		switch {
		case !m.HasChunk:
			return false
		case m.Kind == pdc.KindUpdateAck:
			return int(m.Chunk) >= n
		}
		return m.Kind == pdc.KindChunk && int(m.Chunk)+1 >= n
	}}
}

// AfterMessage is when a message of one of the kinds crosses the wire.
func AfterMessage(kinds ...pdc.Kind) Moment {
	return Moment{Text: fmt.Sprintf("after %s", kinds[0]), fits: func(m *trace.Message) bool {
		for _, k := range kinds {
			if m.Kind == k {
				return true
			}
		}
		return false
	}}
}

// moments are who waits for what on a wire.
type moments struct {
	mu   sync.Mutex
	wait map[*moment]struct{}
	// running are those that have come, as long as what is done then goes on.
	running map[*moment]struct{}
}

type moment struct {
	Moment
	device  trace.DeviceID
	come    chan struct{} // closed when it has come
	reached chan struct{} // closed when it is done
	do      func()

	freed sync.Once
	free  chan struct{} // closed when the cloud may go on
}

// when does something when the moment comes, once.
func (all *moments) when(id trace.DeviceID, m Moment, do func()) *moment {
	w := &moment{Moment: m, device: id, come: make(chan struct{}), reached: make(chan struct{}), free: make(chan struct{}), do: do}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.wait == nil {
		all.wait, all.running = make(map[*moment]struct{}), make(map[*moment]struct{})
	}
	all.wait[w] = struct{}{}
	return w
}

func (all *moments) forget(w *moment) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.wait, w)
}

// end ends the wait, and waits for what has begun.
func (all *moments) end(w *moment) {
	all.mu.Lock()
	_, waits := all.wait[w]
	delete(all.wait, w)
	all.mu.Unlock()
	if !waits {
		<-w.reached
	}
}

// come returns those whose moment a packet is.
func (all *moments) come(p *trace.Packet) []*moment {
	all.mu.Lock()
	defer all.mu.Unlock()
	var list []*moment
	for w := range all.wait {
		if w.device != p.Device {
			continue
		}
		for _, m := range p.Messages() {
			if m.Malformed == "" && w.fits(m) {
				delete(all.wait, w)
				all.running[w] = struct{}{}
				close(w.come)
				list = append(list, w)
				break
			}
		}
	}
	return list
}

// run does what is to be done.
func (all *moments) run(w *moment) {
	defer close(w.reached)
	w.do()
	w.release()
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.running, w)
}

func (w *moment) release() { w.freed.Do(func() { close(w.free) }) }

// pass looks at a packet for those who wait, on goroutines of their own: whoever
// decodes must not wait for a relay.
func (all *moments) pass(p *trace.Packet) {
	for _, w := range all.come(p) {
		go all.run(w)
	}
}

// passNow looks at a packet of virtual time, which stands still meanwhile.
func (all *moments) passNow(p *trace.Packet) {
	for _, w := range all.come(p) {
		all.run(w)
	}
}

// due returns those of a device who wait for at most so many chunks, or for whom
// they are there.
func (all *moments) due(id trace.DeviceID, chunks int) []*moment {
	all.mu.Lock()
	defer all.mu.Unlock()
	var list []*moment
	for _, set := range []map[*moment]struct{}{all.wait, all.running} {
		for w := range set {
			if w.device == id && w.chunks > 0 && w.chunks <= chunks {
				list = append(list, w)
			}
		}
	}
	return list
}

// When does something when the moment comes, once, on a goroutine of its own. The
// channel is closed when it is done. cancel ends the wait.
//
// At a moment of an update the cloud says nothing more until that is done, or until
// [Device.Release]: a whole image takes a millisecond on loopback, in which nobody
// can cut anything.
func (d *Device) When(m Moment, do func()) (done <-chan struct{}, cancel func()) {
	w := d.env.moments.when(trace.DeviceID(d.ID), m, do)
	return w.reached, func() { d.env.moments.forget(w) }
}

// Release lets the cloud go on that a moment holds up.
func (d *Device) Release() {
	all := &d.env.moments
	all.mu.Lock()
	defer all.mu.Unlock()
	for w := range all.running {
		if w.device == trace.DeviceID(d.ID) {
			w.release()
		}
	}
}

// How long a cloud is held up: until what it has heard by then was decoded, and, once
// the moment has come, until what is to be done then is done. That is as long as a PDU
// may take for its command and the board's capacitors behind it; devices before Device
// OS 3.0 reset themselves 30 s after their last chunk.
const (
	holdComing = 3 * time.Second
	holdDone   = 25 * time.Second
)

// hold holds the cloud up when somebody waits for what an update has reached. It is
// called by the cloud.
func (d *Device) hold(p app.FlashProgress) {
	if p.Stage != app.FlashTransferring || p.Sent == 0 {
		return
	}
	for _, w := range d.env.moments.due(trace.DeviceID(d.ID), p.Sent/d.chunkSize()) {
		// Nothing else tells the decoder that time passes.
		w.hold(func() { d.env.wire.decoder.Advance(d.env.clock.Now()) })
	}
}

// hold waits until what is to be done at the moment is done, or until the cloud may go
// on. It does not wait for long for a moment that has not come.
func (w *moment) hold(advance func()) {
	come, end := w.come, time.After(holdComing)
	for {
		advance()
		select {
		case <-w.free:
			return
		case <-come:
			come, end = nil, time.After(holdDone)
		case <-end:
			return
		case <-time.After(reorder / 4):
		}
	}
}

// chunkSize is that of updates of the device in bytes, at most.
func (d *Device) chunkSize() int {
	if !d.Profile.OTA3() {
		return pdc.DefaultChunkSize
	}
	return int(min(pdc.MaxChunkSize(d.Profile.Dialect().Limits().Message), chunkMax))
}

// chunkMax is the largest chunk in bytes that the reference cloud sends.
const chunkMax = 1024

// CutPower takes the power of the device away at once. Unlike [Device.Suspend]
// nothing of its memory is kept but what is in flash.
func (d *Device) CutPower() {
	if d.board == nil {
		if d.need(PowerCut) == nil {
			d.env.fleet.PowerOff(d.index)
		}
		return
	}
	d.boardDo(PowerCut, func(b Board, ctx context.Context) error {
		defer d.Release()
		return b.CutPower(ctx)
	})
}
