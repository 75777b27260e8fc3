package lightssl

import (
	"bytes"
	"crypto/rsa"
	"testing"
)

// BenchmarkServer is a cloud's whole handshake, and each refusal: their times are
// to be alike. The floor is its two RSA-2048 private operations.
func BenchmarkServer(b *testing.B) {
	bench := func(name string, change func(*ServerConfig, *ClientConfig)) {
		b.Run(name, func(b *testing.B) {
			cfg := ServerConfig{Key: vectorCloud, Inline: true, Lookup: func(id DeviceID) []byte {
				if id == vectorID {
					return vector(vectorKeys, "device-spki")
				}
				return nil
			}}
			device := ClientConfig{ID: vectorID, Key: vectorDevice, ServerKey: &vectorCloud.PublicKey, Rand: script(counting(39))}
			change(&cfg, &device)
			c1 := (&Client{cfg: &device}).c1(vector(vectorKeys, "nonce"))
			var out Out
			b.ReportAllocs()
			for b.Loop() {
				cfg.Rand = script(vector(vectorKeys, "nonce"), vector(vectorKeys, "credentials"), counting(85))
				s := NewServer(&cfg)
				out.Reset()
				s.Start(0, &out)
				s.Receive(0, c1, &out)
			}
		})
	}
	bench("accepted", func(*ServerConfig, *ClientConfig) {})
	bench("garbage", func(_ *ServerConfig, c *ClientConfig) { c.Faults.GarbageC1 = true })
	bench("not-below-modulus", func(_ *ServerConfig, c *ClientConfig) { c.Faults.HugeC1 = true })
	bench("51-bytes", func(_ *ServerConfig, c *ClientConfig) {
		c.Faults.PlaintextSize, c.Rand = 51, script(counting(202))
	})
	bench("wrong-nonce", func(_ *ServerConfig, c *ClientConfig) { c.Faults.FlipNonceBit = true })
	bench("unknown-id", func(_ *ServerConfig, c *ClientConfig) { c.ID[0] ^= 1 })
	bench("another-key", func(_ *ServerConfig, c *ClientConfig) {
		c.Faults.OfferSPKI = bytes.Repeat([]byte{3}, DeviceSPKISize)
	})
}

// BenchmarkFloor is the RSA of a cloud's handshake alone.
func BenchmarkFloor(b *testing.B) {
	c1 := vector(vectorC1, "c1")
	for b.Loop() {
		if _, err := rsa.DecryptPKCS1v15(nil, vectorCloud, c1); err != nil { //nolint:staticcheck // PKCS #1 v1.5 is what LightSSL has
			b.Fatal(err)
		}
		if _, err := rsa.SignPKCS1v15(nil, vectorCloud, 0, c1[:20]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClient is a device's whole handshake.
func BenchmarkClient(b *testing.B) {
	cfg := ClientConfig{ID: vectorID, Key: vectorDevice, ServerKey: &vectorCloud.PublicKey}
	stream := bytes.Join([][]byte{vector(vectorKeys, "nonce"), vector(vectorAnswer, "c2"), vector(vectorAnswer, "s")}, nil)
	var out Out
	b.ReportAllocs()
	for b.Loop() {
		cfg.Rand = script(counting(39))
		c := NewClient(&cfg)
		out.Reset()
		c.Start(0, &out)
		c.Receive(0, stream, &out)
		if out.Events[0].Kind != EventEstablished {
			b.Fatal(out.Events)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	s := NewCloudSession(&testCredentials)
	var buf []byte
	message := plain(32)
	b.ReportAllocs()
	for b.Loop() {
		buf = s.Seal(buf[:0], message)
	}
}

func BenchmarkOpen(b *testing.B) {
	frame := NewDeviceSession(&testCredentials, 0).Seal(nil, plain(32))
	wire := make([]byte, len(frame))
	n := 0
	emit := func(m []byte) { n += len(m) }
	b.ReportAllocs()
	for b.Loop() {
		copy(wire, frame)
		s := *NewCloudSession(&testCredentials)
		if err := s.Receive(0, wire, emit); err != nil {
			b.Fatal(err)
		}
	}
}
