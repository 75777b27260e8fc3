package app

import (
	"fmt"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// legacyState is what a legacySender waits for.
type legacyState uint8

const (
	awaitBeginAck legacyState = iota
	awaitReady
	sendFast          // chunks go out, paced
	awaitChunkAck     // slow: one chunk at a time
	awaitChunkVerdict // slow
	awaitDoneAck
	awaitMissed
)

// A legacySender sends an image by the chunked transfer that every device
// without OTA v3 has (PDC-6.2).
//
//	UpdateBegin --accepted--> UpdateReady --fast--> all chunks --> UpdateDone --2.04--> done
//	                               |                  ^              |--4.00, ChunkMissed--|
//	                               |--slow--> chunk, verdict, chunk, … --> UpdateDone
type legacySender struct {
	data    []byte
	state   legacyState
	due     clock.Instant
	begins  int   // how often UpdateBegin was sent
	next    int   // index of the next chunk
	missing []int // chunks that the device asked for again
	asked   bool  // the device has asked for chunks
}

// legacyChunk is the chunk size in bytes. 512 is safe for every buffer and
// every image below 1 MiB (PDC-6.2).
const legacyChunk = pdc.DefaultChunkSize

// UpdateReady may be late or never come, when the device prepares its flash:
// three times every 6 s, then once after 90 s (PDC-6.2).
const (
	legacyBeginsMax  = 4
	legacyReadyWait  = 6 * time.Second
	legacyReadyPause = 90 * time.Second
)

// A transfer ends when it took this many times its chunks, and so many more.
const (
	legacyRepeatsMax = 10
	legacyRepeatsMin = 100
)

func newLegacySender(data []byte) *legacySender {
	return &legacySender{data: data, due: clock.Never}
}

func (s *legacySender) count() int { return (len(s.data) + legacyChunk - 1) / legacyChunk }

func (s *legacySender) begin(_ clock.Instant, d *Device, out *Out) {
	s.state, s.due = awaitBeginAck, clock.Never
	s.begins++
	d.askFlash(pdc.UpdateBegin{
		Token: d.nextToken(), Fast: true, ChunkSize: legacyChunk, Length: uint32(len(s.data)),
		Store: pdc.StoreFirmware,
	}.Message(d.profile.dialect), out)
}

func (s *legacySender) acknowledged(now clock.Instant, d *Device, m coap.Message, out *Out) {
	switch s.state {
	case awaitBeginAck:
		if m.Code != coap.Empty && !coap.IsSuccess(m.Code) {
			failure := d.fail(Refused, "updates may be disabled, or the image too large")
			failure.Code = m.Code
			d.failFlash(failure, out)
			return
		}
		if d.c.Faults.Sends.Eager {
			s.state, s.due = sendFast, now
			return
		}
		s.state, s.due = awaitReady, now.Add(legacyReadyWait)
		if s.begins == legacyBeginsMax-1 {
			s.due = now.Add(legacyReadyPause)
		}
	case awaitChunkAck:
		s.state = awaitChunkVerdict
	case awaitDoneAck:
		s.done(now, d, m, out)
	case awaitReady, sendFast, awaitChunkVerdict, awaitMissed:
		// An ACK that came twice.
	}
}

// done takes the answer to UpdateDone.
func (s *legacySender) done(now clock.Instant, d *Device, m coap.Message, out *Out) {
	if !coap.IsSuccess(m.Code) {
		s.state = awaitMissed // ChunkMissed follows (C-46)
		return
	}
	if len(m.Payload) == 0 && d.profile.dialect.System >= pdc.OS0_8 {
		// Since 0.8 a complete update has a report. Without one the device answers
		// for no update at all: its connection was lost meanwhile (PDC-6.2).
		d.restartFlash(now, out)
		return
	}
	// Firmware of 1.4 puts garbage into its report. What cannot be read counts
	// as success: the Hello after the restart decides.
	if result, err := pdc.ParseUpdateReport(m.Payload); err == nil && result != 0 {
		failure := d.fail(NotApplied, result.String())
		failure.System = int32(result)
		d.failFlash(failure, out)
		return
	}
	d.validated(now, out)
}

func (s *legacySender) response(now clock.Instant, d *Device, m coap.Message, out *Out) bool {
	out.ack(m)
	switch s.state {
	case awaitBeginAck, awaitReady:
		s.ready(now, d, m, out)
	case awaitChunkAck, awaitChunkVerdict:
		verdict, err := pdc.ParseChunkReceived(m)
		if err != nil {
			return true
		}
		// C-47: an accepted chunk is never sent again; it would be written as
		// the next.
		if verdict.OK && !(d.c.Faults.Sends.TwiceAccepted && d.work.flash.packets == 1) {
			s.next++
			d.progress(now, s.next*legacyChunk, out)
		}
		s.slow(now, d, out)
	case sendFast, awaitDoneAck, awaitMissed:
		// UpdateReady once more, after a second UpdateBegin.
	}
	return true
}

func (s *legacySender) ready(now clock.Instant, d *Device, m coap.Message, out *Out) {
	ready, err := pdc.ParseUpdateReady(m)
	if err != nil {
		return
	}
	d.progress(now, 0, out)
	if ready.Fast {
		s.state, s.due = sendFast, now
		s.advance(now, d, out)
		return
	}
	s.slow(now, d, out)
}

// slow sends the next chunk and waits for its verdict, or ends the transfer.
func (s *legacySender) slow(now clock.Instant, d *Device, out *Out) {
	s.due = clock.Never
	if s.next >= s.count() {
		s.finish(now, d, out)
		return
	}
	s.state = awaitChunkAck
	d.work.flash.packets++
	d.askFlash(s.chunk(s.next, false, d), out)
}

// chunk returns one chunk, padded with zeros to its full size.
//
// Device OS: every chunk is stored with the size of UpdateBegin; the CRC covers
// the padding.
func (s *legacySender) chunk(i int, fast bool, d *Device) coap.Message {
	data := make([]byte, legacyChunk)
	copy(data, s.data[i*legacyChunk:])
	return pdc.Chunk{
		Token: d.nextToken(), CRC: pdc.ChunkCRC(data), Fast: fast, Index: uint16(i), Data: data,
	}.Message(d.profile.dialect)
}

// advance sends the next fast chunk, or offers the image again when the device
// did not get ready.
func (s *legacySender) advance(now clock.Instant, d *Device, out *Out) {
	switch s.state {
	case awaitReady:
		if s.begins >= legacyBeginsMax {
			d.failFlash(d.fail(NoAnswer, fmt.Sprintf("it accepted the update %d times and never got ready", s.begins)), out)
			return
		}
		s.begin(now, d, out)
	case sendFast:
		s.fast(now, d, out)
	case awaitBeginAck, awaitChunkAck, awaitChunkVerdict, awaitDoneAck, awaitMissed:
		s.due = clock.Never
	}
}

func (s *legacySender) fast(now clock.Instant, d *Device, out *Out) {
	i := s.next
	if len(s.missing) > 0 {
		i, s.missing = s.missing[0], s.missing[1:]
	} else {
		s.next++
	}
	if i < s.count() {
		d.work.flash.packets++
		out.Sends = append(out.Sends, Send{Message: s.chunk(i, true, d)})
		d.progress(now, min(s.next, s.count())*legacyChunk, out)
	}
	if len(s.missing) == 0 && s.next >= s.count() {
		if s.asked && d.profile.dialect.System < pdc.OS0_8 {
			// Up to 0.7 the device goes on by itself: it asks for the next batch,
			// or sends its own UpdateDone (PDC-6.2).
			s.state, s.due = awaitMissed, clock.Never
			return
		}
		s.finish(now, d, out)
		return
	}
	s.due = now.Add(d.c.ChunkInterval)
}

func (s *legacySender) finish(_ clock.Instant, d *Device, out *Out) {
	s.state, s.due = awaitDoneAck, clock.Never
	d.reportFlash(d.work.flash, FlashFinishing, nil, out)
	d.askFlash(pdc.UpdateDone{Token: d.nextToken()}.Message(d.profile.dialect), out)
}

func (s *legacySender) deadline() clock.Instant { return s.due }

// receiveChunkMissed takes the list of chunks that the device still wants, and
// sends exactly those (C-46).
func (d *Device) receiveChunkMissed(now clock.Instant, m coap.Message, out *Out) {
	missed, err := pdc.ParseChunkMissed(m)
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	out.ack(m)
	if !d.flashing() {
		return
	}
	s, ok := d.work.flash.sender.(*legacySender)
	if !ok || s.state != awaitMissed && s.state != awaitDoneAck {
		return
	}
	if d.work.flash.packets > legacyRepeatsMax*s.count()+legacyRepeatsMin {
		d.failFlash(d.fail(NoAnswer, "it asks for the same chunks again and again: its network may lose all large messages"), out)
		return
	}
	d.hopeFlash(now)
	s.asked = true
	if d.c.Faults.Sends.AllMissing && len(missed.Indices) > 0 {
		missed.Indices = append([]uint16{0}, missed.Indices...)
	}
	for _, i := range missed.Indices {
		if int(i) < s.count() {
			s.missing = append(s.missing, int(i))
		}
	}
	if d.c.Faults.ResendAll {
		s.missing, s.next = nil, 0
	}
	s.state, s.due = sendFast, now
	s.advance(now, d, out)
}

// receiveDeviceUpdateDone takes the end of a transfer as devices up to 0.7 tell
// it (C-48).
func (d *Device) receiveDeviceUpdateDone(now clock.Instant, m coap.Message, out *Out) {
	out.ack(m)
	if !d.flashing() || d.c.Faults.Sends.IgnoresDone {
		return
	}
	if _, legacy := d.work.flash.sender.(*legacySender); legacy {
		d.validated(now, out)
	}
}
