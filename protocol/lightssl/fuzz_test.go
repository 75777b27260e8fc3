package lightssl

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
)

// pieces cuts b by a rule that a fuzzer can choose.
func pieces(b []byte, size uint8) [][]byte {
	var all [][]byte
	for p := range slices.Chunk(slices.Clone(b), int(size)+1) {
		all = append(all, p)
	}
	return all
}

// addRecorded seeds a fuzz test with one side of a recorded conversation.
func addRecorded(f *testing.F, op byte) {
	c := fixtures.ByName("v6.2.0-tcp-session")
	var stream []byte
	for _, item := range c.Wire()[:12] {
		if item.Op == op {
			stream = append(stream, item.Data...)
		}
	}
	f.Add(stream, uint8(255))
	f.Add(stream, uint8(0))
}

// FuzzServer: a cloud survives every stream, ends it or waits, keeps no more than
// it needs, and sends nothing to whoever has no key.
func FuzzServer(f *testing.F) {
	addRecorded(f, fixtures.OpUp)
	f.Add(slices.Concat(vector(vectorC1, "c1"), vector(vectorFrames, "up-1-hello-frame")), uint8(100))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		cfg := ServerConfig{
			Key: vectorCloud, Inline: true,
			Rand:   script(vector(vectorKeys, "nonce"), vector(vectorKeys, "credentials"), counting(85)),
			Lookup: func(DeviceID) []byte { return vector(vectorKeys, "device-spki") },
		}
		s := NewServer(&cfg)
		var out Out
		s.Start(0, &out)
		for _, p := range pieces(stream, size) {
			s.Receive(0, p, &out)
			if len(s.buf) > prefixSize+LimitCloud+256 {
				t.Fatalf("%d bytes kept", len(s.buf))
			}
		}
		sent := bytes.Join(out.Chunks, nil)
		isKnown := bytes.HasPrefix(stream, vector(vectorC1, "c1"))
		if len(sent) != NonceSize && !(isKnown && len(sent) == NonceSize+AnswerSize) {
			t.Fatalf("%d bytes sent", len(sent))
		}
		if len(out.Events) > 1 || len(out.Events) == 1 != s.Over() {
			t.Fatalf("%d events, over %t", len(out.Events), s.Over())
		}
		if s.Over() != (s.Deadline() == clock.Never) {
			t.Fatal("the deadline does not fit")
		}
	})
}

// FuzzClient: a device survives every stream and trusts none but the right one.
func FuzzClient(f *testing.F) {
	addRecorded(f, fixtures.OpDown)
	answer := slices.Concat(vector(vectorKeys, "nonce"), vector(vectorAnswer, "c2"), vector(vectorAnswer, "s"))
	f.Add(answer, uint8(40))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		cfg := ClientConfig{ID: vectorID, Key: vectorDevice, ServerKey: &vectorCloud.PublicKey, Rand: script(counting(39))}
		c := NewClient(&cfg)
		var out Out
		c.Start(0, &out)
		for _, p := range pieces(stream, size) {
			c.Receive(0, p, &out)
			if len(c.buf) > AnswerSize {
				t.Fatalf("%d bytes kept", len(c.buf))
			}
		}
		if len(out.Chunks) > 1 || len(out.Events) > 1 || len(out.Events) == 1 != c.Over() {
			t.Fatalf("%d chunks, %d events", len(out.Chunks), len(out.Events))
		}
		signed := len(stream) >= len(answer) && bytes.Equal(stream[NonceSize:len(answer)], answer[NonceSize:])
		if len(out.Events) == 1 && (out.Events[0].Kind == EventEstablished) != signed {
			t.Fatalf("event %+v", out.Events[0])
		}
	})
}

// FuzzFrames: the reader survives every stream in every segmentation, keeps no
// more than a frame, and gives the same however the stream is cut.
func FuzzFrames(f *testing.F) {
	device := NewDeviceSession(&testCredentials, 0)
	stream := device.Seal(device.Seal(nil, plain(3)), plain(16))
	f.Add(stream, uint8(0), false)
	f.Add(stream, uint8(7), true)
	f.Add([]byte{0, 0}, uint8(0), true)
	f.Add([]byte{0, 5, 1, 2, 3, 4, 3}, uint8(3), true)
	f.Fuzz(func(t *testing.T, stream []byte, size uint8, isDevice bool) {
		read := func(cut [][]byte) (all [][]byte, err error) {
			s := NewCloudSession(&testCredentials)
			if isDevice {
				s = NewDeviceSession(&testCredentials, 0)
			}
			for _, p := range cut {
				if err == nil {
					err = s.Receive(0, p, func(m []byte) { all = append(all, bytes.Clone(m)) })
				}
				if len(s.partial) > prefixSize+s.Limit() {
					t.Fatalf("%d bytes kept", len(s.partial))
				}
			}
			if (err != nil) != s.Over() {
				t.Fatalf("over %t with %v", s.Over(), err)
			}
			return all, err
		}
		cut, cutErr := read(pieces(stream, size))
		whole, wholeErr := read([][]byte{bytes.Clone(stream)})
		if !errors.Is(cutErr, wholeErr) || !slices.EqualFunc(cut, whole, bytes.Equal) {
			t.Fatalf("cut: %x, %v; whole: %x, %v", cut, cutErr, whole, wholeErr)
		}
	})
}

// FuzzFrameRoundTrip: every message comes back, and the second depends on the IV
// that the first has left.
func FuzzFrameRoundTrip(f *testing.F) {
	f.Add([]byte{}, hello)
	f.Fuzz(func(t *testing.T, one, two []byte) {
		if len(one) >= LimitCloud || len(two) >= LimitCloud {
			t.Skip("longer than a cloud takes")
		}
		device, cloud := NewDeviceSession(&testCredentials, 0), NewCloudSession(&testCredentials)
		got := messages(t, cloud, device.Seal(device.Seal(nil, one), two))
		if len(got) != 2 || !bytes.Equal(got[0], one) || !bytes.Equal(got[1], two) {
			t.Fatalf("got %x", got)
		}
	})
}

// FuzzKeys: what is read is written back to the same bytes.
func FuzzKeys(f *testing.F) {
	f.Add(vector(vectorKeys, "device-spki"))
	f.Add(vector(vectorKeys, "cloud-spki"))
	f.Add(vector(vectorKeys, "device-private-pkcs1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := ParseDeviceSPKI(b); err == nil && !bytes.Equal(AppendDeviceSPKI(nil, k), b) {
			t.Error("device SPKI")
		}
		if k, err := ParseCloudSPKI(b); err == nil && !bytes.Equal(AppendCloudSPKI(nil, k), b) {
			t.Error("cloud SPKI")
		}
		if k, err := ParseDeviceKey(b); err == nil && !bytes.HasPrefix(b, AppendDeviceKey(nil, k)) {
			t.Error("private key")
		}
	})
}
