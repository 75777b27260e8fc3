package lightssl

import (
	"bytes"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
)

// TestServerFaults: each fault of a cloud does what it says, seen from the wire.
func TestServerFaults(t *testing.T) {
	nonce := func(f ServerFaults) []byte {
		h := newHandshakeTest(t)
		h.cloud.Faults = f
		h.start()
		return h.toDevice
	}
	if got := nonce(ServerFaults{NonceSize: 39}); len(got) != 39 {
		t.Errorf("NonceSize 39: %d bytes", len(got))
	}
	if got := nonce(ServerFaults{NonceSize: 80}); len(got) != 80 {
		t.Errorf("NonceSize 80: %d bytes", len(got))
	}
	if got := nonce(ServerFaults{NonceSize: -1}); len(got) != 0 {
		t.Errorf("NonceSize -1: %d bytes", len(got))
	}
	if got := nonce(ServerFaults{FixedNonce: true}); !bytes.Equal(got, make([]byte, 40)) {
		t.Errorf("FixedNonce: %x", got)
	}

	t.Run("AcceptAnyNonce", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.cloud.Faults.AcceptAnyNonce, h.device.Faults.FlipNonceBit = true, true
		h.run()
		h.finish()
	})
	t.Run("AcceptAnyKey", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.cloud.Faults.AcceptAnyKey, h.device.ID = true, DeviceID{1}
		h.device.Key = GenerateDeviceKey(seed.Bytes(2, "another"))
		h.run()
		h.finish()
	})
	t.Run("RefuseCoreForm", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.cloud.Faults.RefuseCoreForm, h.device.Core = true, true
		h.run()
		h.wantCloud(ErrRefused)
	})
	t.Run("RefuseFast", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.cloud.Faults.RefuseFast, h.cloud.Inline, h.device.ID = true, false, DeviceID{1}
		h.run()
		if r := h.events.cloud[0].Work.Run(); r.answer != nil {
			t.Error("made an answer")
		}
	})
	t.Run("AnswerRefused", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.cloud.Faults.AnswerRefused, h.device.ID = true, DeviceID{1}
		h.run()
		h.wantCloud(ErrRefused)
		if len(h.client.buf) != 1 {
			t.Errorf("device got %d bytes, want 1", len(h.client.buf))
		}
	})
	t.Run("NoTimeout", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.cloud.Faults.NoTimeout = true
		h.start()
		if got := h.server.Deadline(); got != clock.Never {
			t.Errorf("deadline %v", got)
		}
	})
	t.Run("Frames", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.cloud.Faults.Frames, h.device.Faults.Frames = FaultConstantIV, FaultConstantIV
		h.run()
		cloud, device := h.finish()
		if cloud.faults != FaultConstantIV || device.faults != FaultConstantIV {
			t.Error("the sessions have other faults")
		}
	})
}

// TestClientFaults: each fault of a device that is not among the refusals.
func TestClientFaults(t *testing.T) {
	t.Run("FixedPadding", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.device.Faults.FixedPadding = true
		h.start()
		h.deliver()
		if block := rawBlock(vectorCloud, h.toCloud); !bytes.Equal(block[2:41], bytes.Repeat([]byte{1}, 39)) {
			t.Errorf("padding is %x", block[2:41])
		}
	})
	t.Run("C1Size", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.device.Faults.C1Size = 100
		h.start()
		h.deliver()
		if len(h.toCloud) != 100 {
			t.Errorf("%d bytes of C1", len(h.toCloud))
		}
	})
	t.Run("AcceptAnySignature", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.device.Faults.AcceptAnySignature, h.cloud.Faults.FlipSignatureBit = true, true
		h.run()
		h.finish()
	})
	t.Run("AcceptDigestInfo", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.device.Faults.AcceptDigestInfo, h.cloud.Faults.DigestInfoInSignature = true, true
		h.run()
		h.finish()
	})
	t.Run("NoTimeout", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.device.Faults.NoTimeout = true
		h.start()
		if got := h.client.Deadline(); got != clock.Never {
			t.Errorf("deadline %v", got)
		}
	})
	t.Run("RestartTimeout", func(t *testing.T) {
		h := newHandshakeTest(t)
		h.device.Faults.RestartTimeout = true
		h.start()
		h.wait(time.Second)
		h.send([]byte{1}, false)
		if got := h.client.Deadline(); got != h.now.Add(DeviceStall) {
			t.Errorf("deadline %v", got)
		}
	})
}
