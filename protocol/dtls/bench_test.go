package dtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/muster/muster/protocol/seed"
)

// floor is what the asymmetric operations of a handshake cost alone: two ECDHE
// keys, two agreements, two signatures, two verifications. Nothing can be below
// it.
func floor(b *testing.B, rand io.Reader, sum []byte) {
	device, cloud := ephemeral(rand), ephemeral(rand)
	if _, ok := premaster(device, cloud.PublicKey().Bytes()); !ok {
		b.Fatal("point")
	}
	if _, ok := premaster(cloud, device.PublicKey().Bytes()); !ok {
		b.Fatal("point")
	}
	for _, key := range []*ecdsa.PrivateKey{testDeviceKey, testCloudKey} {
		if !ecdsa.VerifyASN1(&key.PublicKey, sum, sign(key, sum, crypto.SHA256)) {
			b.Fatal("signature")
		}
	}
}

func BenchmarkFloor(b *testing.B) {
	sum := sha256.Sum256([]byte("floor"))
	rand := seed.Bytes(1, "floor")
	for b.Loop() {
		floor(b, rand, sum[:])
	}
}

// An arena is a full mutual handshake with both ends and the gate, in memory.
type arena struct {
	client   *ClientConfig
	server   *ServerConfig
	gate     *Gate
	up, down Out
}

func newArena() *arena {
	return &arena{client: testClient(1, GenF), server: testServer(1), gate: NewGate(seed.Bytes(1, "gate"), 0, GateFaults{})}
}

func (a *arena) handshake(b *testing.B) {
	peer := []byte("peer")
	c, s := NewClient(a.client), NewServer(a.server)
	a.up.Reset()
	c.Start(0, &a.up)
	a.down.Reset()
	if a.gate.Receive(0, peer, a.up.Datagrams[0], &a.down) != Challenged {
		b.Fatal("not challenged")
	}
	a.up.Reset()
	c.Receive(0, a.down.Datagrams[0], &a.up)
	a.down.Reset()
	if a.gate.Receive(0, peer, a.up.Datagrams[0], &a.down) != Admitted {
		b.Fatal("not admitted")
	}
	s.Receive(0, a.up.Datagrams[0], &a.down)
	a.up.Reset()
	c.Receive(0, a.down.Datagrams[0], &a.up)
	a.down.Reset()
	s.Receive(0, a.up.Datagrams[0], &a.down)
	a.up.Reset()
	c.Receive(0, a.down.Datagrams[0], &a.up)
	if !c.established() || !s.established() {
		b.Fatal("not established")
	}
}

func BenchmarkHandshake(b *testing.B) {
	a := newArena()
	b.ReportAllocs()
	for b.Loop() {
		a.handshake(b)
	}
}

// The two in turn, in CPU time, so that the ratio holds on a busy machine.
func BenchmarkHandshakeOverFloor(b *testing.B) {
	const turn = 50
	a := newArena()
	sum := sha256.Sum256([]byte("floor"))
	rand := seed.Bytes(1, "floor")
	var floors, handshakes time.Duration
	for b.Loop() {
		start := cpuTime(b)
		for range turn {
			floor(b, rand, sum[:])
		}
		middle := cpuTime(b)
		for range turn {
			a.handshake(b)
		}
		floors, handshakes = floors+middle-start, handshakes+cpuTime(b)-middle
	}
	b.ReportMetric(float64(handshakes)/float64(floors), "×floor")
	b.ReportMetric(float64(floors)/float64(b.N*turn), "cpu-ns/floor")
	b.ReportMetric(float64(handshakes)/float64(b.N*turn), "cpu-ns/handshake")
}

// cpuTime returns the CPU time of the process so far.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// A device's message of 40 bytes, with and without a cache of ciphers.
func BenchmarkSeal(b *testing.B) {
	for _, cached := range []bool{true, false} {
		b.Run(map[bool]string{true: "cached", false: "expanded"}[cached], func(b *testing.B) {
			device, _ := pair(GenF)
			var ciphers *Ciphers
			if cached {
				ciphers = NewCiphers(16)
			}
			text, buf := make([]byte, 40), make([]byte, 0, 128)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = device.SealWith(ciphers, buf[:0], TypeApplication, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The same message in the cloud, from the datagram to the event.
func BenchmarkReceive(b *testing.B) {
	for _, cached := range []bool{true, false} {
		b.Run(map[bool]string{true: "cached", false: "expanded"}[cached], func(b *testing.B) {
			device, cloud := pair(GenF)
			var out Out
			if cached {
				out.Ciphers = NewCiphers(16)
			}
			sealed := seal(b, device, TypeApplication, make([]byte, 40))
			buf := make([]byte, len(sealed))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, sealed)
				out.Reset()
				cloud.received = window{}
				if !cloud.Receive(buf, &out).Authentic {
					b.Fatal(describe(&out))
				}
			}
		})
	}
}

// A stored session, from its bytes to its first record.
func BenchmarkRestore(b *testing.B) {
	device, _ := pair(GenF)
	st := device.Export()
	stored := st.Append(nil)
	var s Session
	b.ReportAllocs()
	for b.Loop() {
		st, err := ParseState(stored)
		if err != nil {
			b.Fatal(err)
		}
		s.Restore(&st)
	}
	b.StopTimer()
	if _, err := s.Seal(nil, TypeApplication, nil); err != nil {
		b.Fatal(err)
	}
}

// A ClientHello without a cookie: what an attacker costs us.
func BenchmarkGate(b *testing.B) {
	gate := NewGate(seed.Bytes(1, "gate"), 0, GateFaults{})
	hello := vector("2-handshake", "client-hello-1")
	var out Out
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if gate.Receive(0, []byte("192.0.2.1:5684"), hello, &out) != Challenged {
			b.Fatal("not challenged")
		}
	}
}
