package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// updateChunk stores a chunk and acknowledges by the rules (PDC-6.6).
func (d *Device) updateChunk(now clock.Instant, e coap.Event, out *Out) error {
	if e.Err != nil {
		return strictly(pdc.KindUpdateChunk, e)
	}
	c, err := pdc.OnDeviceUpdateChunk(e.Message)
	if err != nil {
		return d.refuseUpdate(now, e, err, out)
	}
	u := d.v3()
	if u == nil {
		d.reply(now, e, coap.Message{Type: coap.Reset}, out)
		return nil
	}
	at, size, ok := u.geometry.Chunk(c.Index)
	if !ok || int(size) != len(c.Data) {
		return d.refuseUpdate(now, e, &pdc.Error{
			Kind: pdc.KindUpdateChunk, Rule: "N-27", Reason: "impossible index or size", Reaction: pdc.Disconnect,
		}, out)
	}
	u.receive(d, now, c.Index, at, c.Data, out)
	return nil
}

func (u *transfer) receive(d *Device, now clock.Instant, index, at uint32, data []byte, out *Out) {
	u.stalled = d.stall(now)
	late := now.Sub(u.last) >= ackDelay
	u.last = now
	u.stats.Received++
	u.unacked++
	duplicate := index <= u.done || u.have.has(index-1)
	switch {
	case duplicate:
		u.stats.Duplicate++
	case index > u.done+pdc.WindowFor(u.geometry.ChunkSize):
		// Beyond the window: ignored, but acknowledged by the rules.
	default:
		u.store(index, at, data)
		u.flush(d, now)
		out.event(Event{Kind: UpdateProgress, Offset: u.prefix(), Size: u.geometry.FileSize})
	}
	gap := u.highest > u.done
	switch {
	case duplicate, gap, gap != u.gap, late, u.unacked >= ackEvery, u.done == u.geometry.Count():
		u.gap = gap
		u.ack(d, now, out)
	case u.ackDue == clock.Never:
		u.ackDue = now.Add(ackDelay)
	}
}

func (u *transfer) store(index, at uint32, data []byte) {
	if index < u.highest {
		u.stats.OutOfOrder++
	}
	u.highest = max(u.highest, index)
	if need := int(at) + len(data) - len(u.data); need > 0 {
		u.data = append(u.data, make([]byte, need)...)
	}
	copy(u.data[at:], data)
	u.have.set(index - 1)
	for u.done < u.geometry.Count() && u.have.has(u.done) {
		u.done++
	}
}

// ack tells which chunks are there.
func (u *transfer) ack(d *Device, now clock.Instant, out *Out) {
	u.unacked, u.ackDue = 0, clock.Never
	if d.faults().NoChunkAcks {
		return
	}
	u.stats.SentAcks++
	a := pdc.UpdateAck{Count: u.done}
	if u.highest > u.done {
		a.Selective = pdc.SelectiveAfter(u.done, u.geometry.Count(), func(i uint32) bool { return u.have.has(i - 1) })
	}
	d.send(now, a.Message(d.Dialect()), tagOther, out)
}

// prefix returns how many bytes of the file are there without a gap.
func (u *transfer) prefix() uint32 {
	return min(u.geometry.Offset+u.done*u.geometry.ChunkSize, u.geometry.FileSize)
}

// flush writes progress to the flash, at most every 30 s.
func (u *transfer) flush(d *Device, now clock.Instant) {
	if now.Sub(u.flushed) >= flushInterval {
		u.flushed = now
		u.save(d, true)
	}
}

// save keeps the prefix for a later Start with the same file.
func (u *transfer) save(d *Device, flushed bool) {
	if u.sha == nil || d.prof.Board.ForgetsPartial {
		d.nv.Partial = nil
		return
	}
	p := &Partial{Size: u.geometry.FileSize, Data: u.data[:u.prefix():u.prefix()]}
	copy(p.SHA256[:], u.sha)
	if old := d.nv.Partial; old != nil && old.SHA256 == p.SHA256 {
		p.Flushed = min(old.Flushed, u.prefix())
	}
	if flushed {
		p.Flushed = u.prefix()
	}
	d.nv.Partial = p
}
