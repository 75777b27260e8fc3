package lightssl

import (
	"crypto/cipher"
	"encoding/binary"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// Receive takes the next bytes of the stream, cut at any place, decrypts them in
// place and calls emit with each message, in order, valid during the call. The
// error is an [Error]: the session is over and the stream must be closed.
//
// A cloud ends the session at anything unusual. A device takes what a
// device takes; see [FrameFaults] for the rest.
//
// Device OS: a length that is no multiple of 16 gives the body as it is, less as
// many bytes as its last one says; padding is not checked; a padding byte greater
// than the length drops the frame.
func (s *Session) Receive(now clock.Instant, stream []byte, emit func(message []byte)) error {
	for len(stream) > 0 && !s.over {
		frame, rest, err := s.gather(now, stream)
		if err == nil && frame != nil {
			err = s.open(frame[prefixSize:], emit)
		}
		if err != nil {
			s.over, s.partial = true, nil
			return err
		}
		stream = rest
	}
	return nil
}

// gather returns the next frame, nil when the stream does not hold its end yet.
// The frame aliases stream when it lies in it as a whole.
func (s *Session) gather(now clock.Instant, stream []byte) (frame, rest []byte, err error) {
	if len(s.partial) == 0 {
		size, err := s.frameSize(stream)
		switch {
		case err != nil:
			return nil, nil, err
		case size > 0 && len(stream) >= size:
			return stream[:size:size], stream[size:], nil
		case size == 0 && s.faults&FaultLoneByteLost != 0:
			return nil, nil, nil
		}
		s.giveUp = now.Add(s.patience())
	}
	for len(stream) > 0 {
		size, err := s.frameSize(s.partial)
		if err != nil {
			return nil, nil, err
		}
		n := min(max(size, prefixSize)-len(s.partial), len(stream))
		s.partial, stream = append(s.partial, stream[:n]...), stream[n:]
		if size > 0 && len(s.partial) == size {
			frame, s.partial = s.partial, nil
			return frame, stream, nil
		}
	}
	// The length may have become complete with the last byte.
	_, err = s.frameSize(s.partial)
	return nil, nil, err
}

// frameSize returns the size of the frame that begins at b, its length included;
// 0 when the length is not complete.
func (s *Session) frameSize(b []byte) (int, error) {
	if len(b) < prefixSize {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(b))
	switch {
	case n > int(s.limit):
		return 0, ErrFrameTooLong
	case n == 0, n%blockSize != 0 && !s.lenient():
		// Device OS: a device that gets length 0 reads before its buffer, which
		// is nothing to imitate.
		return 0, ErrFrameLength
	}
	return prefixSize + n, nil
}

func (s *Session) lenient() bool { return s.isDevice || s.faults&FaultAcceptBadFrames != 0 }

func (s *Session) patience() time.Duration {
	if s.isDevice {
		return DeviceStall
	}
	return CloudStep
}

// open decrypts the body of a frame in place and emits its message.
func (s *Session) open(body []byte, emit func(message []byte)) error {
	iv := s.nextIV
	s.chain(&s.nextIV, body)
	if len(body)%blockSize == 0 {
		s.cbc(cipher.NewCBCDecrypter, iv[:], body)
	}
	p := int(body[len(body)-1])
	switch {
	case s.lenient() && p > len(body):
		return nil
	case !s.lenient() && !padded(body, p):
		// An oracle only in name: the next connection has other keys.
		return ErrPadding
	}
	emit(body[:len(body)-p])
	return nil
}

// padded reports whether b ends with p bytes of p, 1 to 16.
func padded(b []byte, p int) bool {
	if p < 1 || p > blockSize {
		return false
	}
	for _, x := range b[len(b)-p:] {
		if int(x) != p {
			return false
		}
	}
	return true
}

// Deadline returns when Advance is due: [clock.Never] unless a frame is coming in.
func (s *Session) Deadline() clock.Instant {
	if s.over || len(s.partial) == 0 || s.faults&FaultNoStall != 0 {
		return clock.Never
	}
	return s.giveUp
}

// Advance ends the session when the rest of a frame has not come in time.
func (s *Session) Advance(now clock.Instant) error {
	if now.Before(s.Deadline()) {
		return nil
	}
	s.over, s.partial = true, nil
	return ErrStall
}
