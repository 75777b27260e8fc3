package ymodem

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/muster/muster/protocol/clock"
)

func TestCRC(t *testing.T) {
	// The check value of CRC-16/XMODEM.
	if got := crc([]byte("123456789")); got != 0x31c3 {
		t.Errorf("%#x", got)
	}
}

func TestHeader(t *testing.T) {
	b := header("tinker.bin", 12345)
	if len(b) != 133 || b[0] != soh || b[1] != 0 || b[2] != 0xff || !bytes.HasPrefix(b[3:], []byte("tinker.bin\x0012345 \x00\x00")) || b[130] != 0 {
		t.Errorf("%q", b)
	}
}

// board receives as Device OS does.
type board struct {
	image []byte
	size  int
	next  uint8
	naks  int // how often it wants to hear the end again
	ended bool
	whole bool // it knows that no other file follows
}

func (r *board) take(b []byte) []byte {
	switch {
	case b[0] == eot && r.naks > 0:
		r.naks--
		return []byte{nak}
	case r.ended && b[1] == 0 && b[2] == 0xff && b[3] == 0:
		r.whole = true
		return []byte{ack}
	case b[0] == eot:
		r.ended = true
		return []byte{ack}
	case b[0] == 'a':
		return nil
	case b[1] != ^b[2] || b[1] != r.next:
		return []byte{nak}
	}
	r.next++
	data := b[3 : len(b)-2]
	if b[1] == 0 && r.size == 0 && r.image == nil {
		_, rest, _ := bytes.Cut(data, []byte{0})
		digits, _, _ := strings.Cut(string(rest), " ")
		r.size, _ = strconv.Atoi(digits)
		r.image = []byte{}
		return []byte("\r\n\x06C")
	}
	r.image = append(r.image, data...)
	return []byte{ack}
}

func TestSender(t *testing.T) {
	for _, size := range []int{1, 127, 128, 129, 1024, 1025, 300*1024 + 5} { // the last has more than 255 blocks
		image := bytes.Repeat([]byte{0x5a, 0xa5, 1}, size/3+1)[:size]
		s := NewSender("/some/where/app.bin", image, 0)
		r := &board{naks: size % 3}
		for !s.Done() {
			b := s.Next(0)
			if b == nil && r.ended {
				b = s.Next(s.Deadline()) // it is not asked for
			}
			if b == nil {
				t.Fatalf("%d: nothing to do", size)
			}
			s.Receive(0, r.take(b))
		}
		if s.Err() != nil || !bytes.Equal(r.image[:r.size], image) || s.Sent() != size || !r.ended || !r.whole {
			t.Errorf("%d: %v, %d bytes arrived", size, s.Err(), len(r.image))
		}
		if s.Deadline() != clock.Never || s.Next(1<<60) != nil {
			t.Errorf("%d: it goes on", size)
		}
	}
}

func TestSenderRepeats(t *testing.T) {
	s := NewSender("a", []byte("image"), 0)
	first := s.Next(0)
	if s.Next(0) != nil || s.Deadline() == 0 {
		t.Error("the header goes twice")
	}
	s.Receive(0, []byte{nak})
	if !slices.Equal(s.Next(0), first) {
		t.Error("a NAK does not repeat the header")
	}
	s.Receive(0, []byte{ack})
	if s.Next(0) != nil {
		t.Error("blocks begin before the C")
	}
	now := s.Deadline()
	one := s.Next(now) // the C was lost
	if one[1] != 1 {
		t.Fatalf("block %d", one[1])
	}
	now = s.Deadline()
	if !slices.Equal(s.Next(now), one) {
		t.Error("a lost block is not repeated")
	}
	for range tries {
		now = s.Deadline()
		s.Next(now)
	}
	if !s.Done() || !errors.Is(s.Err(), ErrSilent) || !strings.Contains(s.Err().Error(), "0 of 5 bytes") {
		t.Errorf("silence for ever: %v", s.Err())
	}
}

func TestSenderRefused(t *testing.T) {
	s := NewSender("a", []byte("image"), 0)
	s.Receive(0, []byte{can, 'x', can})
	if s.Done() {
		t.Error("one CAN ends it")
	}
	s.Receive(0, []byte{can})
	if !errors.Is(s.Err(), ErrRefused) || s.Next(0) != nil {
		t.Error(s.Err())
	}
}

func FuzzSender(f *testing.F) {
	f.Add([]byte{ack, 'C', ack, ack})
	f.Add([]byte{nak, nak, can, can})
	f.Fuzz(func(t *testing.T, input []byte) {
		s := NewSender("a", make([]byte, 2000), 0)
		var now clock.Instant
		for _, c := range input {
			s.Next(now)
			s.Receive(now, []byte{c})
		}
		for range 2 * tries { // whatever came, it ends by itself
			if s.Done() {
				return
			}
			now = s.Deadline()
			s.Next(now)
			s.Next(now)
		}
		if !s.Done() {
			t.Fatal("it never ends")
		}
	})
}
