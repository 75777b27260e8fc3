package lightssl

import (
	"bytes"
	"slices"
	"testing"
)

func TestVectorKeys(t *testing.T) {
	for _, test := range []struct {
		name string
		got  []byte
	}{
		{"cloud-spki", AppendCloudSPKI(nil, &vectorCloud.PublicKey)},
		{"device-spki", AppendDeviceSPKI(nil, &vectorDevice.PublicKey)},
		{"device-private-pkcs1", AppendDeviceKey(nil, vectorDevice)},
	} {
		if want := vector(vectorKeys, test.name); !bytes.Equal(test.got, want) {
			t.Errorf("%s: got %x, want %x", test.name, test.got, want)
		}
	}
	cloud, err := ParseCloudSPKI(vector(vectorKeys, "cloud-spki"))
	if err != nil || !cloud.Equal(&vectorCloud.PublicKey) {
		t.Errorf("cloud key: %v", err)
	}
	device, err := ParseDeviceSPKI(vector(vectorKeys, "device-spki"))
	if err != nil || !device.Equal(&vectorDevice.PublicKey) {
		t.Errorf("device key: %v", err)
	}
	private, err := ParseDeviceKey(vector(vectorKeys, "device-private-pkcs1"))
	if err != nil || !private.Equal(vectorDevice) {
		t.Errorf("device private key: %v", err)
	}
}

// TestVectorC1 proves the device's message: offsets, padding and RSA.
func TestVectorC1(t *testing.T) {
	h := newHandshakeTest(t)
	random := script(counting(39))
	h.device.Rand = random
	h.start()
	h.toDevice = vector(vectorKeys, "nonce")
	h.deliver()
	if want := vector(vectorC1, "c1"); !bytes.Equal(h.toCloud, want) {
		t.Errorf("got %x, want %x", h.toCloud, want)
	}
	if random.Len() > 0 {
		t.Errorf("%d random bytes were not drawn", random.Len())
	}
	if m, ok := decryptC1(vectorCloud, vector(vectorC1, "c1")); !ok || !bytes.Equal(m, vector(vectorC1, "block")[42:]) {
		t.Errorf("plaintext of C1 is %x", m)
	}
}

// vectorHandshake runs both sides with the random bytes of the vectors.
func vectorHandshake(t *testing.T) *handshakeTest {
	t.Helper()
	h := newHandshakeTest(t)
	random := script(vector(vectorKeys, "nonce"), vector(vectorKeys, "credentials"), counting(85))
	h.cloud.Rand = random
	h.device.Rand = script(counting(39))
	h.start()
	for range 3 {
		h.deliver()
	}
	if random.Len() > 0 {
		t.Errorf("%d random bytes were not drawn", random.Len())
	}
	return h
}

// TestVectorAnswer proves C2 and S, without DigestInfo.
func TestVectorAnswer(t *testing.T) {
	h := newHandshakeTest(t)
	h.cloud.Rand = script(vector(vectorKeys, "nonce"), vector(vectorKeys, "credentials"), counting(85))
	h.start()
	if want := vector(vectorKeys, "nonce"); !bytes.Equal(h.toDevice, want) {
		t.Fatalf("nonce is %x, want %x", h.toDevice, want)
	}
	h.toDevice = nil
	h.send(vector(vectorC1, "c1"), true)
	if want := slices.Concat(vector(vectorAnswer, "c2"), vector(vectorAnswer, "s")); !bytes.Equal(h.toDevice, want) {
		t.Errorf("got %x, want %x", h.toDevice, want)
	}
	credentials := Credentials(vector(vectorKeys, "credentials"))
	if got, want := credentials.mac(vector(vectorAnswer, "c2")), vector(vectorAnswer, "mac"); !bytes.Equal(got, want) {
		t.Errorf("mac is %x, want %x", got, want)
	}
}

// TestVectorConversation goes from the first byte to the last frame (R-3, R-7,
//
func TestVectorConversation(t *testing.T) {
	h := vectorHandshake(t)
	device := h.wantDevice(nil).Session
	if got := device.FirstID(); got != 0xa1a1 {
		t.Errorf("first message ID is %04x, want a1a1", got)
	}
	if got := device.Credentials().CoreFirstID(); got != 0xa0a2 {
		t.Errorf("first message ID of a Core is %04x, want a0a2", got)
	}
	h.send(vector(vectorFrames, "up-1-hello-frame"), true)
	e := h.wantCloud(nil)
	if e.DeviceID != vectorID || !bytes.Equal(e.SPKI, vector(vectorKeys, "device-spki")) {
		t.Errorf("established with %x and key %x", e.DeviceID, e.SPKI)
	}
	cloud := e.Session
	for i, step := range []struct {
		name string
		from *Session
		to   *Session
	}{
		{"up-1-hello", device, cloud},
		{"down-1-hello", cloud, device},
		{"up-2-ping", device, cloud},
		{"down-2-ack", cloud, device},
		{"up-3-zeros", device, cloud},
	} {
		plaintext, frame := vector(vectorFrames, step.name+"-plaintext"), vector(vectorFrames, step.name+"-frame")
		if got := step.from.Seal(nil, plaintext); !bytes.Equal(got, frame) {
			t.Errorf("%s: sealed as %x, want %x", step.name, got, frame)
		}
		stream := frame
		if i == 0 {
			stream = e.Rest // what the Server handed up is the same
		}
		if got := messages(t, step.to, stream); len(got) != 1 || !bytes.Equal(got[0], plaintext) {
			t.Errorf("%s: opened as %x, want %x", step.name, got, plaintext)
		}
	}
}
