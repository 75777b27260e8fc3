package lightssl

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
)

var hello = []byte{0x50, 0x02, 0xa1, 0xa1, 0xb1, 0x68}

// finish lets the device send Hello and returns both sessions.
func (h *handshakeTest) finish() (cloud, device *Session) {
	h.t.Helper()
	device = h.wantDevice(nil).Session
	h.send(device.Seal(nil, hello), true)
	e := h.wantCloud(nil)
	if got := messages(h.t, e.Session, e.Rest); len(got) != 1 || !bytes.Equal(got[0], hello) {
		h.t.Fatalf("first message is %x, want %x", got, hello)
	}
	return e.Session, device
}

// 40 bytes come first, unprompted, others each time, and nothing more.
func TestNonceComesFirst(t *testing.T) {
	h := newHandshakeTest(t)
	h.start()
	first := h.toDevice
	h.toDevice = nil
	h.wait(CloudStep - 1)
	if len(first) != NonceSize || len(h.toDevice) > 0 {
		t.Errorf("%d bytes, then %d, want 40 and none", len(first), len(h.toDevice))
	}
	h.toDevice = nil
	h.start()
	if bytes.Equal(first, h.toDevice) {
		t.Error("two connections have the same nonce")
	}
}

// the segmentation of the stream does not matter, to either side.
func TestAnySegmentation(t *testing.T) {
	for _, size := range []int{0, 1, 2, 39, 41, 127, 255} {
		h := newHandshakeTest(t)
		h.segment = size
		h.run()
		h.finish()
	}
}

// C1 is new for each nonce and for the same one.
func TestC1IsAlwaysNew(t *testing.T) {
	h := newHandshakeTest(t)
	nonce := bytes.Repeat([]byte{7}, NonceSize)
	var all [2][]byte
	for i := range all {
		h.start()
		h.toDevice = nonce
		h.toCloud = nil
		h.deliver()
		all[i], h.toCloud = h.toCloud, nil
		block := rawBlock(vectorCloud, all[i])
		if !bytes.Equal(block[:2], []byte{0, 2}) || bytes.IndexByte(block[2:], 0) != 39 {
			t.Errorf("block begins with %x", block[:42])
		}
		want := slices.Concat(nonce, vectorID[:], vector(vectorKeys, "device-spki"))
		if !bytes.Equal(block[42:], want) {
			t.Errorf("plaintext is %x, want %x", block[42:], want)
		}
	}
	if bytes.Equal(all[0], all[1]) {
		t.Error("two C1 are the same")
	}
}

// the Core sends no key; the answer is for the one registered.
func TestCoreForm(t *testing.T) {
	h := newHandshakeTest(t)
	h.device.Core = true
	h.run()
	h.finish()
	if e := h.events.cloud[0]; e.SPKI != nil || e.DeviceID != vectorID {
		t.Errorf("established with key %x for %x", e.SPKI, e.DeviceID)
	}

	h = newHandshakeTest(t)
	h.device.Core, h.device.ID = true, DeviceID{9}
	h.run()
	h.wantCloud(ErrRefused)
}

// refusals are the ways to be refused that must look alike.
var refusals = []struct {
	name   string
	change func(*handshakeTest)
	want   Refusal
}{
	{"garbage", func(h *handshakeTest) { h.device.Faults.GarbageC1 = true }, RefusedBlock},
	{"not-below-modulus", func(h *handshakeTest) { h.device.Faults.HugeC1 = true }, RefusedBlock},
	{"block-type-1", func(h *handshakeTest) { h.device.Faults.BlockType = 1 }, RefusedBlock},
	{"zero-in-padding", func(h *handshakeTest) { h.device.Faults.ZeroInPadding = true }, RefusedBlock},
	{"empty", func(h *handshakeTest) { h.device.Faults.PlaintextSize = 1 }, RefusedShort},
	{"51-bytes", func(h *handshakeTest) { h.device.Faults.PlaintextSize = 51 }, RefusedShort},
	{"wrong-nonce", func(h *handshakeTest) { h.device.Faults.FlipNonceBit = true }, RefusedNonce},
	{"unknown-id", func(h *handshakeTest) { h.device.ID[11] ^= 1 }, RefusedUnknown},
	{"another-key", func(h *handshakeTest) {
		h.device.Key = GenerateDeviceKey(seed.Bytes(2, "another"))
	}, RefusedKey},
	{"part-of-key", func(h *handshakeTest) { h.device.Faults.PlaintextSize = 213 }, RefusedKey},
	{"one-byte-of-key", func(h *handshakeTest) { h.device.Faults.PlaintextSize = 53 }, RefusedKey},
	{"key-and-more", func(h *handshakeTest) {
		h.device.Faults.OfferSPKI = append(slices.Clone(vector(vectorKeys, "device-spki")), 0)
	}, RefusedKey},
	{"other-server-key", func(h *handshakeTest) {
		h.device.ServerKey = &otherCloud().PublicKey
	}, RefusedBlock},
	{"registered-key-unusable", func(h *handshakeTest) {
		h.cloud.Lookup = func(DeviceID) []byte { h.lookups++; return make([]byte, 91) }
	}, RefusedUnknown},
}

// TestRefusalsAreSilent: no byte, the stream ends, the same error, whatever the
// reason; only the operator is told it.
func TestRefusalsAreSilent(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			h := newHandshakeTest(t)
			test.change(h)
			h.run()
			if e := h.wantCloud(ErrRefused); e.Refusal != test.want {
				t.Errorf("refused as %v, want %v", e.Refusal, test.want)
			}
			h.wantNothingAfterNonce()
			if h.lookups != 1 {
				t.Errorf("%d lookups, want 1", h.lookups)
			}
			if !h.server.Over() || h.server.Deadline() != clock.Never {
				t.Error("the server is not over")
			}
		})
	}
}

// wantNothingAfterNonce checks that the device waits for an answer still.
func (h *handshakeTest) wantNothingAfterNonce() {
	h.t.Helper()
	if len(h.events.device) > 0 || len(h.client.buf) > 0 {
		h.t.Errorf("the device has got %d bytes after the nonce", len(h.client.buf))
	}
}

// TestRefusalsDoTheSameWork: an answer is made every time, by one decryption, one
// encryption and one signature, and thrown away.
func TestRefusalsDoTheSameWork(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			h := newHandshakeTest(t)
			h.cloud.Inline = false
			test.change(h)
			h.run()
			if len(h.events.cloud) != 1 || h.events.cloud[0].Kind != EventWork {
				t.Fatalf("events %+v, want work", h.events.cloud)
			}
			r := h.events.cloud[0].Work.Run()
			if r.refusal != test.want || len(r.answer) != AnswerSize || h.lookups != 1 {
				t.Errorf("%v with an answer of %d bytes and %d lookups", r.refusal, len(r.answer), h.lookups)
			}
		})
	}
}

// TestWorkElsewhere: the result comes back later, or too late.
func TestWorkElsewhere(t *testing.T) {
	h := newHandshakeTest(t)
	h.cloud.Inline = false
	h.run()
	work := h.events.cloud[0].Work
	h.events.cloud = nil
	results := make(chan Result)
	go func() { results <- work.Run() }()
	r := <-results
	var out Out
	h.server.Finish(h.now, r, &out)
	h.take(&out, true)
	h.deliver()
	h.finish()

	h = newHandshakeTest(t)
	h.cloud.Inline = false
	h.run()
	work = h.events.cloud[0].Work
	h.events.cloud = nil
	h.server.Advance(h.now.Add(CloudStep), &out)
	out.Reset()
	h.server.Finish(h.now, work.Run(), &out)
	if len(out.Chunks)+len(out.Events) > 0 {
		t.Errorf("a late result gave %+v", out)
	}
}

// TestEarlyBytes: a device knows nothing to say before it has the answer.
func TestEarlyBytes(t *testing.T) {
	h := newHandshakeTest(t)
	h.device.Faults.C1Size = C1Size + 1
	h.run()
	if e := h.wantCloud(ErrRefused); e.Refusal != RefusedEarly {
		t.Errorf("refused as %v", e.Refusal)
	}

	h = newHandshakeTest(t)
	h.cloud.Inline = false
	h.run()
	h.events.cloud = nil
	h.send([]byte{0}, true)
	if e := h.wantCloud(ErrRefused); e.Refusal != RefusedEarly {
		t.Errorf("refused as %v", e.Refusal)
	}
}

// 30 s for C1 and 30 s for the first frame, whatever comes in between.
func TestCloudTimeouts(t *testing.T) {
	t.Run("C1", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.start()
		h.client = nil
		for range 29 {
			h.wait(time.Second)
			h.send([]byte{1}, true)
		}
		h.wait(time.Second - 1)
		h.wantNoEvent()
		h.wait(1)
		h.wantCloud(ErrTimeout)
	})
	t.Run("first-frame", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.run()
		h.client = nil
		h.wait(CloudStep - 1)
		h.send([]byte{0, 32, 1, 2, 3}, true)
		if got := h.server.Deadline(); got != h.now.Add(1) {
			t.Errorf("deadline is %v, want %v", got, h.now.Add(1))
		}
		h.wait(1)
		h.wantCloud(ErrTimeout)
	})
}

// a device gives up after 20 s at the nonce, and at C2 and S; what trickles
// in does not help.
func TestDeviceTimeouts(t *testing.T) {
	t.Run("nonce", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.start()
		h.server, h.toDevice = nil, nil
		for range 19 {
			h.wait(time.Second)
			h.send([]byte{1}, false)
		}
		h.wait(time.Second - 1)
		h.wantNoEvent()
		h.wait(1)
		h.wantDevice(ErrNonce)
	})
	t.Run("answer", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.cloud.Faults.AnswerSize = AnswerSize - 1
		h.run()
		h.server = nil
		h.wait(DeviceStall - 1)
		h.wantNoEvent()
		h.wait(1)
		h.wantDevice(ErrAnswer)
	})
}

// TestStreamEnds: each side says what it lacked.
func TestStreamEnds(t *testing.T) {
	var out Out
	h := newHandshakeTest(t)
	h.start()
	h.client.PeerClosed(&out)
	only(t, "device", out.Events, ErrNonce)

	h = newHandshakeTest(t)
	h.start()
	h.deliver()
	out.Reset()
	h.client.PeerClosed(&out)
	h.client.PeerClosed(&out)
	only(t, "device", out.Events, ErrAnswer)
	out.Reset()
	h.server.PeerClosed(&out)
	h.server.PeerClosed(&out)
	only(t, "cloud", out.Events, ErrPeerClosed)
}

// what a device refuses, with the numbers of its log, and that it
// sends nothing then.
func TestDeviceRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		faults ServerFaults
		want   Error
		number uint8
	}{
		{"flipped-bit", ServerFaults{FlipSignatureBit: true}, ErrSignature, 8},
		{"digest-info", ServerFaults{DigestInfoInSignature: true}, ErrSignature, 8},
		{"another-key", ServerFaults{SignatureKey: otherCloud()}, ErrSignature, 8},
		{"garbage", ServerFaults{GarbageC2: true}, ErrDecrypt, 6},
		{"garbage-and-bad-signature", ServerFaults{GarbageC2: true, FlipSignatureBit: true}, ErrDecrypt, 6},
		{"short-credentials", ServerFaults{ShortCredentials: true}, ErrDecrypt, 6},
		{"swapped", ServerFaults{SwapAnswer: true}, ErrDecrypt, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHandshakeTest(t)
			h.cloud.Faults = test.faults
			h.run()
			if e := h.wantDevice(test.want); number(e.Err) != test.number {
				t.Errorf("error number %d, want %d", number(e.Err), test.number)
			}
			if len(h.toCloud) > 0 || !h.client.Over() || h.client.Deadline() != clock.Never {
				t.Errorf("the device goes on, %d bytes sent", len(h.toCloud))
			}
			h.wantNoEventInCloud()
		})
	}
}

func (h *handshakeTest) wantNoEventInCloud() {
	h.t.Helper()
	if len(h.events.cloud) > 0 {
		h.t.Errorf("the cloud has events %+v", h.events.cloud)
	}
}

// TestRandomAnswer: 384 random bytes are error 6.
func TestRandomAnswer(t *testing.T) {
	h := newHandshakeTest(t)
	h.start()
	h.send(make([]byte, NonceSize), false)
	answer := make([]byte, AnswerSize)
	seed.Bytes(4, "answer").Read(answer)
	h.send(answer, false)
	h.wantDevice(ErrDecrypt)
}

// TestFramesBehindTheAnswer: what a cloud sends at once is not lost.
func TestFramesBehindTheAnswer(t *testing.T) {
	h := newHandshakeTest(t)
	h.start()
	h.deliver()
	h.deliver()
	s := NewCloudSession(h.server.session.Credentials())
	h.send(s.Seal(h.toDevice, hello), false)
	e := h.wantDevice(nil)
	if got := messages(t, e.Session, e.Rest); len(got) != 1 || !bytes.Equal(got[0], hello) {
		t.Errorf("behind the answer is %x, want %x", got, hello)
	}
}

// TestFirstFrameIsChecked: the cloud waits for no frame that it would not take.
func TestFirstFrameIsChecked(t *testing.T) {
	for _, test := range []struct {
		name   string
		stream []byte
		want   error
	}{
		{"empty", []byte{0, 0}, ErrFrameLength},
		{"odd", []byte{0, 17}, ErrFrameLength},
		{"too-long", []byte{0xff, 0xf0}, ErrFrameTooLong},
		{"HTTP", []byte("GET / HTTP/1.1"), ErrFrameTooLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHandshakeTest(t)
			h.run()
			h.send(test.stream, true)
			h.wantCloud(test.want)
		})
	}
}

func TestMisuseIsOurBug(t *testing.T) {
	h := newHandshakeTest(t)
	h.start()
	for name, use := range map[string]func(){
		"no-key":         func() { NewServer(&ServerConfig{Key: vectorDevice, Rand: h.cloud.Rand, Lookup: h.cloud.Lookup}) },
		"no-lookup":      func() { NewServer(&ServerConfig{Key: vectorCloud, Rand: h.cloud.Rand}) },
		"no-rand":        func() { NewClient(&ClientConfig{Key: vectorDevice, ServerKey: &vectorCloud.PublicKey}) },
		"keys-swapped":   func() { NewClient(&ClientConfig{Key: vectorCloud, ServerKey: &vectorDevice.PublicKey}) },
		"start-twice":    func() { h.server.Start(0, &Out{}) },
		"before-start":   func() { NewClient(&h.device).Receive(0, nil, &Out{}) },
		"finish-early":   func() { h.server.Finish(0, Result{}, &Out{}) },
		"rand-fails":     func() { fill(script(), make([]byte, 1)) },
		"limit":          func() { NewDeviceSession(new(Credentials), 15) },
		"huge-plaintext": func() { NewCloudSession(new(Credentials)).Seal(nil, make([]byte, MaxPlaintext+1)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			use()
		}()
	}
}

func TestErrorsHaveWords(t *testing.T) {
	for e := ErrNonce; e < numErrors; e++ {
		if errorTable[e].text == "" {
			t.Errorf("error %d has no words", e)
		}
	}
	for r := range numRefusals {
		if refusalNames[r] == "" {
			t.Errorf("refusal %d has no name", r)
		}
	}
	if got := Error(200).Error() + Refusal(200).String(); got != "lightssl: error 200Refusal(200)" {
		t.Errorf("got %q", got)
	}
}
