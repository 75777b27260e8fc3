package lightssl

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/muster/muster/protocol/clock"
)

var testCredentials = Credentials(counting(CredentialsSize))

// plain returns n bytes that end in no padding of their own.
func plain(n int) []byte { return bytes.Repeat([]byte{0xee}, n) }

// R-8: every length travels both ways, with 1 to 16 bytes of padding.
func TestAnyLength(t *testing.T) {
	cloud, device := NewCloudSession(&testCredentials), NewDeviceSession(&testCredentials, 0)
	for n := range LimitDevice5_8 {
		frame := device.Seal(nil, plain(n))
		if len(frame) != 2+16*(n/16+1) || len(frame) != FrameSize(n) {
			t.Fatalf("%d bytes make a frame of %d", n, len(frame))
		}
		if got := messages(t, cloud, frame); len(got) != 1 || !bytes.Equal(got[0], plain(n)) {
			t.Fatalf("cloud opened %d bytes as %x", n, got)
		}
		if got := messages(t, device, cloud.Seal(nil, plain(n))); len(got) != 1 || !bytes.Equal(got[0], plain(n)) {
			t.Fatalf("device opened %d bytes as %x", n, got)
		}
	}
}

// R-2 for frames: any cut gives the same messages.
func TestStreamIsCutAnywhere(t *testing.T) {
	var stream []byte
	var want [][]byte
	device := NewDeviceSession(&testCredentials, 0)
	for _, n := range []int{0, 1, 15, 16, 17, 40} {
		want = append(want, plain(n))
		stream = device.Seal(stream, plain(n))
	}
	for size := 1; size <= len(stream); size++ {
		cloud := NewCloudSession(&testCredentials)
		var got [][]byte
		for piece := range slices.Chunk(slices.Clone(stream), size) {
			if err := cloud.Receive(0, piece, func(m []byte) { got = append(got, bytes.Clone(m)) }); err != nil {
				t.Fatalf("pieces of %d: %v", size, err)
			}
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("pieces of %d: got %x", size, got)
		}
		if cloud.Deadline() != clock.Never {
			t.Fatalf("pieces of %d: a deadline without a frame", size)
		}
	}
}

// R-10: a cloud closes at anything unusual, as soon as it can know.
func TestCloudRefusesFrames(t *testing.T) {
	for _, test := range []struct {
		name   string
		stream func(device *Session) []byte
		want   error
	}{
		{"length-0", func(*Session) []byte { return []byte{0, 0} }, ErrFrameLength},
		{"length-1", func(*Session) []byte { return []byte{0, 1} }, ErrFrameLength},
		{"length-24", func(*Session) []byte { return []byte{0, 24} }, ErrFrameLength},
		{"over-limit", func(*Session) []byte { return []byte{0x04, 0xa0} }, ErrFrameTooLong},
		{"longest", func(*Session) []byte { return []byte{0xff, 0xff} }, ErrFrameTooLong},
		{"padding-0", func(d *Session) []byte { d.SetFaults(FaultBadPadding); return d.Seal(nil, plain(3)) }, ErrPadding},
		{"no-padding", func(d *Session) []byte { d.SetFaults(FaultNoPadding); return d.Seal(nil, plain(16)) }, ErrPadding},
		{"padding-17", func(d *Session) []byte {
			d.SetFaults(FaultNoPadding)
			return d.Seal(nil, bytes.Repeat([]byte{17}, 32))
		}, ErrPadding},
		{"padding-uneven", func(d *Session) []byte {
			d.SetFaults(FaultNoPadding)
			return d.Seal(nil, append(plain(14), 3, 2))
		}, ErrPadding},
		{"odd", func(d *Session) []byte { d.SetFaults(FaultOddLength); return d.Seal(nil, plain(3)) }, ErrFrameLength},
		{"empty-first", func(d *Session) []byte { d.SetFaults(FaultEmptyFrame); return d.Seal(nil, plain(3)) }, ErrFrameLength},
		{"long", func(d *Session) []byte { d.SetFaults(FaultLongFrame); return d.Seal(nil, plain(3)) }, ErrFrameTooLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			stream := test.stream(NewDeviceSession(&testCredentials, 0))
			for _, size := range []int{1, len(stream)} {
				cloud := NewCloudSession(&testCredentials)
				var err error
				for piece := range slices.Chunk(slices.Clone(stream), size) {
					if err == nil {
						err = cloud.Receive(0, piece, func(m []byte) { t.Errorf("message %x", m) })
					}
				}
				if !errors.Is(err, test.want) || !cloud.Over() || cloud.Deadline() != clock.Never {
					t.Errorf("pieces of %d: got %v, over %t, want %v", size, err, cloud.Over(), test.want)
				}
				if err := cloud.Receive(0, NewDeviceSession(&testCredentials, 0).Seal(nil, plain(1)), nil); err != nil {
					t.Errorf("a session that is over says %v", err)
				}
			}
		})
	}
	if cloud := NewCloudSession(&testCredentials); cloud.Limit() != 1168 {
		t.Errorf("limit is %d, want 1168", cloud.Limit())
	}
}

// TestDeviceTakesOddFrames: what firmware does with unusual frames.
func TestDeviceTakesOddFrames(t *testing.T) {
	cloud, device := NewCloudSession(&testCredentials), NewDeviceSession(&testCredentials, 0)
	received := func(stream []byte) [][]byte { t.Helper(); return messages(t, device, stream) }

	// A body that is not a multiple of 16 is taken as it is.
	if got := received(append([]byte{0, 20}, counting(20)...)); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("20 bytes that end in 20: got %x", got)
	}
	if got := received([]byte{0, 5, 1, 2, 3, 4, 3}); len(got) != 1 || !bytes.Equal(got[0], []byte{1, 2}) {
		t.Errorf("5 bytes that end in 3: got %x", got)
	}
	if got := received([]byte{0, 5, 1, 2, 3, 4, 6}); len(got) != 0 {
		t.Errorf("5 bytes that end in 6: got %x", got)
	}
	// The IV has advanced all the same: the first five bytes of it by the last.
	copy(cloud.sendIV[:], counting(16))
	copy(cloud.sendIV[:], []byte{1, 2, 3, 4, 6})
	if got := received(cloud.Seal(nil, plain(4))); len(got) != 1 || !bytes.Equal(got[0], plain(4)) {
		t.Errorf("after odd frames: got %x", got)
	}
	// Padding is not checked.
	cloud.SetFaults(FaultBadPadding)
	if got := received(cloud.Seal(nil, plain(4))); len(got) != 1 || len(got[0]) != 16 {
		t.Errorf("padding of 0: got %x", got)
	}
	cloud.SetFaults(FaultNoPadding)
	if got := received(cloud.Seal(nil, append(plain(31), 32))); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("padding of 32 in 32: got %x", got)
	}
	if got := received(cloud.Seal(nil, append(plain(31), 33))); len(got) != 0 {
		t.Errorf("padding of 33 in 32: got %x", got)
	}
	// Too long is error 4, and so is the end.
	if err := device.Receive(0, []byte{0x04, 0x61}, nil); !errors.Is(err, ErrFrameTooLong) || number(err) != 4 {
		t.Errorf("1121 bytes: %v", err)
	}
	device = NewDeviceSession(&testCredentials, LimitCore)
	if err := device.Receive(0, []byte{0, 0}, nil); !errors.Is(err, ErrFrameLength) {
		t.Errorf("length 0: %v", err)
	}
}

// TestDeviceLimits: the longest frame of each release passes, one more block does
// not.
func TestDeviceLimits(t *testing.T) {
	for limit, longest := range map[int]int{LimitCore: 607, LimitDevice: 767, LimitDevice3_0: 927, LimitDevice5_8: 1119} {
		cloud, device := NewCloudSession(&testCredentials), NewDeviceSession(&testCredentials, limit)
		if got := messages(t, device, cloud.Seal(nil, plain(longest))); len(got) != 1 || len(got[0]) != longest {
			t.Errorf("limit %d: %d bytes gave %d messages", limit, longest, len(got))
		}
		if err := device.Receive(0, cloud.Seal(nil, plain(longest+1)), nil); !errors.Is(err, ErrFrameTooLong) {
			t.Errorf("limit %d: %d bytes gave %v", limit, longest+1, err)
		}
	}
}

// R-19: the rest of a frame has 20 s on a device, from its first byte on.
func TestFrameStalls(t *testing.T) {
	frame := NewCloudSession(&testCredentials).Seal(nil, plain(20))
	for name, s := range map[string]*Session{
		"device": NewDeviceSession(&testCredentials, 0), "cloud": NewCloudSession(&testCredentials),
	} {
		patience := s.patience()
		now := clock.Instant(time.Hour)
		for i := range frame[:len(frame)-1] {
			if err := s.Receive(now.Add(time.Duration(i)*time.Second/4), frame[i:i+1], nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.Deadline(); got != now.Add(patience) {
			t.Errorf("%s: deadline is %v, want %v", name, got, now.Add(patience))
		}
		if err := s.Advance(now.Add(patience - 1)); err != nil {
			t.Errorf("%s: %v too early", name, err)
		}
		if err := s.Advance(now.Add(patience)); !errors.Is(err, ErrStall) || !s.Over() || number(err) != 23 {
			t.Errorf("%s: got %v, want %v", name, err, ErrStall)
		}
	}
	s := NewDeviceSession(&testCredentials, 0)
	s.SetFaults(FaultNoStall)
	if s.Receive(0, frame[:5], nil); s.Deadline() != clock.Never {
		t.Error("FaultNoStall has a deadline")
	}
}

// TestWrongChaining: a peer that chains IVs in another way is understood once.
func TestWrongChaining(t *testing.T) {
	for name, fault := range map[string]FrameFaults{"last-block": FaultLastBlockIV, "constant": FaultConstantIV} {
		device, cloud := NewDeviceSession(&testCredentials, 0), NewCloudSession(&testCredentials)
		device.SetFaults(fault)
		stream := device.Seal(nil, plain(20))
		if got := messages(t, cloud, stream); !bytes.Equal(got[0], plain(20)) {
			t.Errorf("%s: first message is %x", name, got[0])
		}
		if got := messages(t, cloud, device.Seal(nil, plain(20))); bytes.Equal(got[0], plain(20)) {
			t.Errorf("%s: second message is understood", name)
		}
		// Its like understands it.
		device, like := NewDeviceSession(&testCredentials, 0), NewCloudSession(&testCredentials)
		device.SetFaults(fault)
		like.SetFaults(fault)
		for range 3 {
			if got := messages(t, like, device.Seal(nil, plain(20))); !bytes.Equal(got[0], plain(20)) {
				t.Errorf("%s: its like got %x", name, got)
			}
		}
	}
}

// TestLoneByteIsLost is what boards do to a length that comes in two pieces.
func TestLoneByteIsLost(t *testing.T) {
	cloud, device := NewCloudSession(&testCredentials), NewDeviceSession(&testCredentials, 0)
	device.SetFaults(FaultLoneByteLost)
	frame := cloud.Seal(nil, plain(3))
	if err := device.Receive(0, slices.Clone(frame[:1]), nil); err != nil || device.Deadline() != clock.Never {
		t.Fatalf("after one byte: %v", err)
	}
	if err := device.Receive(0, slices.Clone(frame[1:]), nil); err == nil {
		t.Error("the stream goes on after a lost byte")
	}
	device = NewDeviceSession(&testCredentials, 0)
	device.SetFaults(FaultLoneByteLost)
	for _, piece := range [][]byte{frame[:2], frame[2:9], frame[9:]} {
		if err := device.Receive(0, slices.Clone(piece), func(m []byte) {
			if !bytes.Equal(m, plain(3)) {
				t.Errorf("got %x", m)
			}
		}); err != nil {
			t.Error(err)
		}
	}
}

// TestLenientCloud is the mutant of R-10.
func TestLenientCloud(t *testing.T) {
	cloud, device := NewCloudSession(&testCredentials), NewDeviceSession(&testCredentials, 0)
	cloud.SetFaults(FaultAcceptBadFrames)
	device.SetFaults(FaultBadPadding)
	if got := messages(t, cloud, device.Seal(nil, plain(3))); len(got) != 1 {
		t.Errorf("bad padding gave %d messages", len(got))
	}
	if got := messages(t, cloud, []byte{0, 3, 1, 2, 1}); len(got) != 1 || !bytes.Equal(got[0], []byte{1, 2}) {
		t.Errorf("odd length gave %x", got)
	}
}

func TestSessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Session{}); size > 120 {
		t.Errorf("a Session has %d bytes, want at most 120", size)
	}
}

func ExampleSession() {
	credentials := Credentials(counting(CredentialsSize))
	device, cloud := NewDeviceSession(&credentials, 0), NewCloudSession(&credentials)
	stream := device.Seal(device.Seal(nil, []byte("one")), []byte("two"))
	err := cloud.Receive(0, stream, func(message []byte) { fmt.Printf("%s\n", message) })
	fmt.Println(err)
	// Output:
	// one
	// two
	// <nil>
}
