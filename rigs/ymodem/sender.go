package ymodem

import (
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// The bytes of YMODEM.
const (
	soh = 0x01 // a block of 128 bytes
	stx = 0x02 // a block of 1024 bytes
	eot = 0x04
	ack = 0x06
	nak = 0x15
	can = 0x18
	pad = 0x1a
)

const (
	shortBlock = 128
	longBlock  = 1024
	nameMax    = 64 // bytes, so that block 0 has room for the size
)

// Patience. The board erases flash before it acknowledges block 0, and reads all
// of the image before it acknowledges the end.
const (
	headerPatience = 20 * time.Second
	blockPatience  = 10 * time.Second
	endPatience    = time.Minute
	closePatience  = 3 * time.Second
	closeMoment    = time.Second
	tries          = 10 // of one block
	closes         = 2  // of the empty block
)

// Why a transfer ended.
var (
	// ErrRefused: the board gave up, and its console says why.
	ErrRefused = errors.New("the board refused the image")
	// ErrSilent: the board stopped answering.
	ErrSilent = errors.New("the board stopped answering")
)

type step uint8

const (
	stepHeader step = iota // block 0 is out
	stepBegin              // acknowledged; C is to come
	stepBlocks             // a block is out
	stepEnd                // EOT is out
	stepClose              // it was acknowledged; an empty block 0 says that no file follows
	stepDone
)

// A Sender sends one image. Its driver writes what Next gives and tells Receive
// what the board sends, until Done.
type Sender struct {
	name  string
	image []byte

	step  step
	sent  int // bytes of the image acknowledged
	size  int // of the block that is out
	block uint8
	tried int
	due   bool // there is something to write
	end   clock.Instant
	cans  int // in a row
	err   error
}

// NewSender begins to send an image, which stays the caller's to keep unchanged,
// under the last element of name.
func NewSender(name string, image []byte, now clock.Instant) *Sender {
	name = path.Base(name)
	s := &Sender{name: name[:min(len(name), nameMax)], image: image}
	s.transmit(now, headerPatience)
	return s
}

// Done reports whether the transfer ended.
func (s *Sender) Done() bool { return s.step == stepDone }

// Err returns why it failed, nil if the board took the image.
func (s *Sender) Err() error { return s.err }

// Taken reports whether the board has the whole image: it may leave now.
func (s *Sender) Taken() bool { return s.step == stepClose || s.Done() && s.err == nil }

// Sent returns how many bytes of the image the board acknowledged.
func (s *Sender) Sent() int { return s.sent }

// Deadline returns when Next has something to do without input.
func (s *Sender) Deadline() clock.Instant {
	if s.Done() {
		return clock.Never
	}
	return s.end
}

// transmit has Next give what is due.
func (s *Sender) transmit(now clock.Instant, patience time.Duration) {
	s.due, s.end = true, now.Add(patience)
}

// Next returns what to write at now, nil for nothing.
func (s *Sender) Next(now clock.Instant) []byte {
	if s.Done() {
		return nil
	}
	if !now.Before(s.end) {
		s.again(now, false)
	}
	if !s.due || s.Done() {
		return nil
	}
	s.due = false
	switch s.step {
	case stepHeader:
		return header(s.name, len(s.image))
	case stepBlocks:
		return block(s.block, s.image[s.sent:s.sent+s.size])
	case stepEnd:
		return []byte{eot}
	case stepClose:
		return frame(0, nil, 0)
	case stepBegin, stepDone: // nothing is due
	}
	return nil
}

// again sends the same once more, because the board wants it so, or did not
// answer in time; or gives up.
func (s *Sender) again(now clock.Instant, wanted bool) {
	if s.step == stepClose {
		if s.tried++; s.tried > closes {
			s.finish(nil)
			return
		}
		s.transmit(now, closePatience)
		return
	}
	if s.tried++; s.tried >= tries || s.step == stepEnd && !wanted {
		s.finish(ErrSilent)
		return
	}
	switch s.step {
	case stepHeader:
		s.transmit(now, headerPatience)
	case stepBegin: // the C was lost
		s.blocks(now)
	case stepBlocks:
		s.transmit(now, blockPatience)
	case stepEnd: // receivers may want to hear it twice
		s.transmit(now, endPatience)
	case stepClose, stepDone: // handled above
	}
}

func (s *Sender) finish(err error) {
	s.step = stepDone
	if err != nil {
		s.err = fmt.Errorf("after %d of %d bytes: %w", s.sent, len(s.image), err)
	}
}

// Receive takes what the board sent. Text between the protocol's bytes is passed
// over.
func (s *Sender) Receive(now clock.Instant, b []byte) {
	for _, c := range b {
		if s.Done() {
			return
		}
		s.receive(now, c)
	}
}

func (s *Sender) receive(now clock.Instant, c byte) {
	if c != can {
		s.cans = 0
	}
	switch {
	case c == can:
		if s.cans++; s.cans == 2 && s.step != stepClose {
			s.finish(ErrRefused)
		}
	case c == nak:
		s.again(now, true)
	case c == ack:
		s.acknowledged(now)
	case c == 'C' && s.step == stepBegin:
		s.blocks(now)
	case c == 'C' && s.step == stepClose:
		s.again(now, true)
	}
}

func (s *Sender) acknowledged(now clock.Instant) {
	s.tried = 0
	switch s.step {
	case stepHeader:
		s.step, s.end = stepBegin, now.Add(blockPatience)
	case stepBlocks:
		s.sent += s.size
		s.block++
		s.blocks(now)
	case stepEnd:
		// Device OS: early releases wait for the empty block, ask for it very late, and
		// apply nothing before; later ones restart, and are gone before they read it.
		// Other receivers throw away what they have not asked for.
		s.step, s.end = stepClose, now.Add(closeMoment)
	case stepClose:
		s.finish(nil)
	case stepBegin, stepDone: // a second ACK to block 0, or none of ours
	}
}

// blocks sends the next block, or the end.
func (s *Sender) blocks(now clock.Instant) {
	if s.step == stepBegin {
		s.block = 1
	}
	if s.sent == len(s.image) {
		s.step = stepEnd
		s.transmit(now, endPatience)
		return
	}
	s.step, s.size = stepBlocks, min(longBlock, len(s.image)-s.sent)
	s.transmit(now, blockPatience)
}

// header is block 0, filled up with zeros.
func header(name string, size int) []byte {
	return frame(0, fmt.Appendf(nil, "%s\x00%d ", name, size), 0)
}

// block is a part of the image, the last one filled up with ^Z.
func block(number uint8, data []byte) []byte { return frame(number, data, pad) }

func frame(number uint8, data []byte, fill byte) []byte {
	start, size := byte(soh), shortBlock
	if len(data) > shortBlock {
		start, size = stx, longBlock
	}
	b := append(make([]byte, 0, size+5), start, number, ^number)
	b = append(b, data...)
	for len(b) < size+3 {
		b = append(b, fill)
	}
	sum := crc(b[3:])
	return append(b, byte(sum>>8), byte(sum))
}

// crc is CRC-16/XMODEM: polynomial 0x1021, begin 0.
func crc(b []byte) (sum uint16) {
	for _, c := range b {
		sum ^= uint16(c) << 8
		for range 8 {
			high := sum&0x8000 != 0
			sum <<= 1
			if high {
				sum ^= 0x1021
			}
		}
	}
	return sum
}
