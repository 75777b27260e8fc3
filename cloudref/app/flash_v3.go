package app

import (
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// sackState is what a sackSender waits for.
type sackState uint8

const (
	awaitStart sackState = iota
	sendWindow
	awaitFinish
)

// A sackSender sends an image by OTA protocol v3 (PDC-6.3): unacknowledged
// chunks inside a window, selective acknowledgements back.
//
// It keeps a small number of chunks in flight and repeats only what is missing.
// A chunk is lost when one that was sent later has arrived and more than a round
// trip has passed since it was sent (as RFC 8985 has it for TCP: networks
// reorder, so order alone proves nothing); or when nothing was heard for a
// retransmission time-out, of which the first repeat is a probe that always
// provokes an acknowledgement.
type sackSender struct {
	data     []byte
	geometry pdc.Geometry
	state    sackState
	window   uint32   // the device's, in chunks
	done     uint32   // chunks received without a gap
	next     uint32   // the next chunk that was never sent
	flight   []flying // sent and not known to have arrived, in the order of sending
	order    uint64   // of the next transmission
	arrived  uint64   // order of the latest transmission known to have arrived

	silence clock.Instant // retransmission time-out
	suspect clock.Instant // when a chunk that was overtaken counts as lost
	rto     time.Duration
	rtt     time.Duration // the shortest seen, 0 before the first sample: longer ones may be lost acknowledgements
}

// A flying chunk.
type flying struct {
	index  uint32
	repeat bool // its acknowledgement does not tell which transmission arrived
	order  uint64
	at     clock.Instant
}

const (
	rtoMin = time.Second
	rtoMax = 8 * time.Second

	// reorderMin is the least time after which a chunk that was overtaken counts
	// as lost, beyond a round trip.
	reorderMin = 100 * time.Millisecond

	// chunkPreferred is the chunk size in bytes where the device takes it.
	chunkPreferred = 1024
)

func newSackSender(data []byte, d *Device) *sackSender {
	size := min(pdc.MaxChunkSize(d.profile.dialect.Limits().Message), chunkPreferred)
	if d.c.Faults.Sends.LargeChunks {
		size = chunkPreferred
	}
	return &sackSender{
		data: data, silence: clock.Never, suspect: clock.Never, rto: rtoMin,
		geometry: pdc.Geometry{FileSize: uint32(len(data)), ChunkSize: size},
	}
}

func (s *sackSender) begin(_ clock.Instant, d *Device, out *Out) {
	image := d.work.flash.image
	d.askFlash(pdc.UpdateStart{
		Token: d.nextToken(), FileSize: s.geometry.FileSize, SHA256: image.ID[:],
		ChunkSize: s.geometry.ChunkSize,
		// It lets the device look for space before the transfer, if it knows it.
		ModuleFunction: image.Function, HasModuleFunction: d.profile.dialect.System >= pdc.OS5_5,
	}.Message(d.profile.dialect), out)
}

// acknowledged takes the ACK of UpdateStart or UpdateFinish: empty, or an error
// because the device found the request malformed.
func (s *sackSender) acknowledged(now clock.Instant, d *Device, m coap.Message, out *Out) {
	if m.Code != coap.Empty {
		s.answer(now, d, m, out)
	}
}

func (s *sackSender) response(now clock.Instant, d *Device, m coap.Message, out *Out) bool {
	if !d.c.Faults.Hears.SilentResponses {
		out.ack(m)
	}
	s.answer(now, d, m, out)
	return true
}

func (s *sackSender) answer(now clock.Instant, d *Device, m coap.Message, out *Out) {
	switch s.state {
	case awaitStart:
		s.started(now, d, m, out)
	case awaitFinish:
		s.finished(now, d, m, out)
	case sendWindow:
		// The answer to UpdateStart once more.
	}
}

func (s *sackSender) started(now clock.Instant, d *Device, m coap.Message, out *Out) {
	r, err := pdc.ParseUpdateStartResponse(m)
	switch {
	case err != nil:
		d.failFlash(d.fail(Unusable, err.Error()), out)
		return
	case r.Refused != 0:
		d.failFlash(d.refusedFlash(r.Refused, r.Diagnostic), out)
		return
	case r.Offset > s.geometry.FileSize:
		d.failFlash(d.fail(Unusable, "it wants to go on behind the end of the image"), out)
		return
	}
	if !d.c.Faults.IgnoreOffset && (!d.c.Faults.Sends.NeverEmpty || r.Offset < s.geometry.FileSize) {
		s.geometry.Offset = r.Offset // C-41: chunk 1 begins here
	}
	s.window, s.next = r.Window, 1
	s.state = sendWindow
	d.progress(now, int(s.geometry.Offset), out)
	s.step(now, d, out)
}

// refusedFlash says why the device stopped the update. It is not tried again by
// itself: the same image would fail the same way (C-45).
func (d *Device) refusedFlash(code coap.Code, diagnostic pdc.Diagnostic) *Failure {
	detail := diagnostic.Message
	if diagnostic.Code != 0 {
		detail = diagnostic.Code.String()
	}
	failure := d.fail(Refused, detail)
	failure.Code, failure.System = code, int32(diagnostic.Code)
	return failure
}

// step fills the window, or ends the transfer when all is in (C-44).
func (s *sackSender) step(now clock.Instant, d *Device, out *Out) {
	count := s.geometry.Count()
	limit := min(uint64(count), uint64(s.done)+uint64(s.window))
	for len(s.flight) < d.c.WindowMax && uint64(s.next) <= limit {
		s.send(now, d, s.next, false, out)
		s.next++
	}
	if s.done >= count || d.c.Faults.FinishEarly && s.next > count {
		s.finish(d, out)
	}
}

func (s *sackSender) send(now clock.Instant, d *Device, index uint32, repeat bool, out *Out) {
	at, size, ok := s.geometry.Chunk(index)
	if !ok {
		return
	}
	d.work.flash.packets++
	m := pdc.UpdateChunk{Index: index, Data: s.data[at : at+size]}.Message(d.profile.dialect)
	out.Sends = append(out.Sends, Send{Message: m})
	s.order++
	s.flight = append(s.flight, flying{index: index, repeat: repeat, order: s.order, at: now})
	s.silence = now.Add(s.rto)
}

func (s *sackSender) finish(d *Device, out *Out) {
	s.state, s.silence, s.suspect = awaitFinish, clock.Never, clock.Never
	d.reportFlash(d.work.flash, FlashFinishing, nil, out)
	d.askFlash(pdc.UpdateFinish{Token: d.nextToken()}.Message(d.profile.dialect), out)
}

func (s *sackSender) finished(now clock.Instant, d *Device, m coap.Message, out *Out) {
	r, err := pdc.ParseUpdateFinishResponse(m)
	switch {
	case err != nil:
		d.failFlash(d.fail(Unusable, err.Error()), out)
	case r.Refused != 0:
		image := d.work.flash.image
		d.failFlash(d.refusedFlash(r.Refused, r.Diagnostic), out)
		if d.c.Faults.Sends.TriesAgain {
			d.busy().flash = &flash{
				image: image, stage: FlashInterrupted, patience: now.Add(d.c.RestartPatience), resume: now.Add(d.c.FlashResumeDelay),
			}
		}
	default:
		// The device applies the image when this response is acknowledged.
		d.validated(now, out)
	}
}

// receiveUpdateAck takes a selective acknowledgement.
func (d *Device) receiveUpdateAck(now clock.Instant, m coap.Message, out *Out) {
	ack, err := pdc.ParseUpdateAck(m)
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	if !d.flashing() {
		return
	}
	if s, ok := d.work.flash.sender.(*sackSender); ok && s.state == sendWindow {
		s.acked(now, d, ack, out)
	}
}

func (s *sackSender) acked(now clock.Instant, d *Device, ack pdc.UpdateAck, out *Out) {
	if ack.Count < s.done || ack.Count > s.geometry.Count() {
		return // an older one that was overtaken (C-43), or nonsense
	}
	news := s.landed(now, ack)
	if !news {
		// A duplicate of the last: something arrived twice. It proves life, but
		// moves nothing.
		return
	}
	s.done = ack.Count
	s.rto = min(max(rtoMin, 2*s.rtt), rtoMax)
	s.silence = now.Add(s.rto)
	d.progress(now, int(s.geometry.Offset+s.done*s.geometry.ChunkSize), out)
	s.repeatLost(now, d, out)
	s.step(now, d, out)
	s.rest()
}

// landed removes from flight what ack has, and reports whether it tells
// anything new.
func (s *sackSender) landed(now clock.Instant, ack pdc.UpdateAck) bool {
	news := ack.Count > s.done
	s.flight = slices.DeleteFunc(s.flight, func(f flying) bool {
		if !ack.Has(f.index) {
			return false
		}
		news = true
		rtt := now.Sub(f.at)
		if !f.repeat { // Karn's rule
			s.rtt = minRTT(s.rtt, rtt)
		}
		if !f.repeat || rtt >= s.rtt/2 {
			// Sooner it cannot be the repeat that arrived, only the original.
			s.arrived = max(s.arrived, f.order)
		}
		return true
	})
	return news
}

func minRTT(old, sample time.Duration) time.Duration {
	if old == 0 {
		return sample
	}
	return min(old, sample)
}

// repeatLost sends again what was overtaken long enough ago, and notes when the
// next will be.
func (s *sackSender) repeatLost(now clock.Instant, d *Device, out *Out) {
	if d.c.Faults.ResendAll && len(s.flight) > 0 && s.flight[0].order < s.arrived {
		s.flight, s.next = nil, s.done+1
		return
	}
	s.suspect = clock.Never
	var lost []uint32
	s.flight = slices.DeleteFunc(s.flight, func(f flying) bool {
		if f.order > s.arrived {
			return false
		}
		due := f.at.Add(s.rtt + max(s.rtt/4, reorderMin))
		if due > now {
			s.suspect = min(s.suspect, due)
			return false
		}
		lost = append(lost, f.index)
		return true
	})
	for _, index := range lost {
		s.send(now, d, index, true, out)
	}
}

// advance repeats what is lost. After a time of silence the oldest chunk goes
// again as a probe: if it arrived before, the device acknowledges it at once.
func (s *sackSender) advance(now clock.Instant, d *Device, out *Out) {
	if s.state != sendWindow || len(s.flight) == 0 {
		s.silence, s.suspect = clock.Never, clock.Never
		return
	}
	if s.suspect <= now {
		s.repeatLost(now, d, out)
	}
	if s.silence <= now {
		s.rto = min(2*s.rto, rtoMax)
		s.probe(now, d, out)
	}
}

func (s *sackSender) probe(now clock.Instant, d *Device, out *Out) {
	oldest := 0
	for i := range s.flight {
		if s.flight[i].index < s.flight[oldest].index {
			oldest = i
		}
	}
	index := s.flight[oldest].index
	s.flight = slices.Delete(s.flight, oldest, oldest+1)
	s.send(now, d, index, true, out)
}

// rest stops the timers when nothing is in flight.
func (s *sackSender) rest() {
	if len(s.flight) == 0 {
		s.silence, s.suspect = clock.Never, clock.Never
	}
}

func (s *sackSender) deadline() clock.Instant { return min(s.silence, s.suspect) }
