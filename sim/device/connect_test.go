package device

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// The connect sequences of PDC-1.1 (D-1, D-19).
func TestConnectSequence(t *testing.T) {
	const (
		updates = "particle/device/updates/enabled, particle/device/updates/forced"
		subs2   = "Subscribe particle, Subscribe spark, Subscribe vdev/in"
	)
	for _, c := range []struct{ profile, want string }{
		{"electron@0.5.3", "Hello, spark/device/claim/code, spark/device/ident/0, Subscribe spark, Time request, Subscribe vdev/in"},
		{"photon@0.5.3", "Hello, spark/device/claim/code, spark/device/ident/0, spark/hardware/max_binary, spark/hardware/ota_chunk_size, Subscribe spark, Time request, Subscribe vdev/in"},
		{"core@0.7.0", "Hello, spark/device/claim/code, spark/device/ident/0, spark/hardware/max_binary, spark/hardware/ota_chunk_size, spark/cc3000-patch-version, spark/device/last_reset, Subscribe spark, Time request, Subscribe vdev/in"},
		{"electron@1.4.4", "Hello, spark/device/claim/code, spark/device/ident/0, spark/device/last_reset, " + updates + ", Subscribe spark, Subscribe particle, Time request, Subscribe vdev/in"},
		{"boron@2.3.1", "Hello, describe 1, spark/device/claim/code, spark/device/ident/0, spark/hardware/max_binary, spark/device/last_reset, " + updates + ", Time request, describe 2, " + subs2},
		{"boron@3.1.0", "Hello, describe 1, spark/device/claim/code, spark/device/ident/0, spark/device/last_reset, " + updates + ", Time request, describe 2, " + subs2},
		{"argon@5.9.0", "Hello, describe 1, spark/device/claim/code, Time request, spark/device/last_reset, " + updates + ", describe 2, " + subs2},
		{"argon@6.1.1", "Hello, describe 1, spark/device/claim/code, spark/device/ident/0, spark/device/last_reset, " + updates + ", Time request, describe 2, " + subs2},
		{"p2@6.2.0", "Hello, describe 1, spark/device/claim/code, Time request, spark/device/last_reset, " + updates + ", describe 2, " + subs2},
	} {
		t.Run(c.profile, func(t *testing.T) {
			w := newWorld(t, c.profile, func(c *Config) { c.Serial = "SN1" })
			w.dev.NVRAM().ClaimCode = strings.Repeat("c", pdc.ClaimCodeSize)
			w.online()
			if got := strings.Join(w.kinds(), ", "); got != c.want {
				t.Errorf("got\n %s\nwant\n %s", got, c.want)
			}
			checkIDs(t, w)
		})
	}
}

// checkIDs checks that message ids count up by one, acknowledgements aside.
func checkIDs(t *testing.T, w *world) {
	t.Helper()
	for i := 1; i < len(w.sent); i++ {
		if a, b := w.sent[i-1].m, w.sent[i].m; b.Type != coap.Acknowledgement && a.Type != coap.Acknowledgement && b.ID != a.ID+1 {
			t.Errorf("message id %#x after %#x", b.ID, a.ID)
		}
	}
}

// The Hello examples of PDC-2.1 (D-1), with the ids of a first connection.
func TestHelloBytes(t *testing.T) {
	for _, c := range []struct{ profile, want string }{
		{"photon@1.5.2", "50 02 ____ b1 68 ff 00 06 ff ff 00 06 00 06"},
		{"electron@1.5.2", "40 02 00 01 b1 68 ff 00 0a ff ff 00 06 00 0a 00 0c e0 0f ce 68 a1 b2 c3 d4 e5 f6 07 18"},
		{"boron@6.2.0", "40 02 00 01 b1 68 ff 00 0d ff ff 00 f6 00 0d 00 0c e0 0f ce 68 a1 b2 c3 d4 e5 f6 07 18 18 38 04 80 00 17 70 00 02 00"},
	} {
		w := newWorld(t, c.profile).online()
		got := w.sent[0].wire
		want := gen.Hex(strings.ReplaceAll(c.want, "____", "0000"))
		if strings.Contains(c.want, "____") {
			copy(want[2:4], got[2:4])
		}
		if string(got) != string(want) {
			t.Errorf("%s: got  %x\nwant %x", c.profile, got, want)
		}
	}
}

// TCP: the first id is that of the salt, and Hello is the first frame.
func TestFirstIDOverTCP(t *testing.T) {
	w := newWorld(t, "photon@2.3.1")
	w.peer.ssl.Rand = &salted{conns: readRecording(t, "v2.3.0-tcp-session").c.Conns}
	w.online()
	conn := readRecording(t, "v2.3.0-tcp-session").c.Conns[0]
	if got, want := w.sent[0].m.ID, uint16(conn.Salt[0])+uint16(conn.Salt[1])<<8+1; got != want || w.sent[0].kind != pdc.KindHello {
		t.Errorf("first message %v %#x, want Hello %#x", w.sent[0].kind, got, want)
	}
}

// R-20, N-48: without an answer to Hello a TCP device closes after 4 s.
func TestNoHelloOverTCP(t *testing.T) {
	w := newWorld(t, "photon@3.1.0")
	w.peer.deaf = true
	w.do(w.dev.PowerOn)
	w.run(profile.BootTime + 3900*time.Millisecond)
	w.wantNoEvent(Offline)
	w.pass(200 * time.Millisecond)
	w.gone(MessageTimeout, false)
	w.pass(time.Second)
	if w.streams != 2 {
		t.Errorf("%d streams, want a second attempt after 1 s", w.streams)
	}
}

// no nonce within 20 s.
func TestNoNonce(t *testing.T) {
	w := newWorld(t, "photon@3.1.0")
	w.peer.silent = true
	w.do(w.dev.PowerOn)
	w.run(profile.BootTime + 19*time.Second)
	w.wantNoEvent(Offline)
	w.pass(2 * time.Second)
	w.gone(NonceTimeout, false)
}

// an answer that is not the cloud's.
func TestImpostorOverTCP(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(*world)
		why   Error
	}{
		{"flipped bit", func(w *world) { w.peer.ssl.Faults.FlipSignatureBit = true }, BadSignature},
		{"DigestInfo", func(w *world) { w.peer.ssl.Faults.DigestInfoInSignature = true }, BadSignature},
		{"garbage C2", func(w *world) { w.peer.ssl.Faults.GarbageC2 = true }, DecryptionFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "photon@3.1.0")
			c.fault(w)
			w.do(w.dev.PowerOn)
			w.run(profile.BootTime)
			w.gone(c.why, false)
			if len(w.sent) != 0 {
				t.Errorf("sent %v", w.kinds())
			}
		})
	}
}

// the ClientHello goes at 0, 3, 9 and 21 s and is given up at 45 s (0, 3
// and 9 s up to 1.4.0); then the back-off of TRN-5.6.
func TestHandshakeRetransmission(t *testing.T) {
	for _, c := range []struct {
		profile string
		want    []time.Duration
	}{
		{"boron@6.2.0", []time.Duration{0, 3, 9, 21, 46}},
		{"boron@1.4.4", []time.Duration{0, 3, 9, 21, 46}},
		{"electron@1.2.1", []time.Duration{0, 3, 10, 13, 20}},
		{"electron@0.5.3", []time.Duration{0, 3, 10, 13, 20}},
	} {
		w := newWorld(t, c.profile)
		w.peer.silent = true
		w.do(w.dev.PowerOn)
		w.run(profile.BootTime + 60*time.Second)
		for i, want := range c.want {
			if got := time.Duration(w.wire[i].at) - profile.BootTime; got != want*time.Second {
				t.Errorf("%s: ClientHello %d at %v, want %v s", c.profile, i, got, int(want))
			}
		}
		w.gone(HandshakeFailed, true)
	}
}

// a handshake with a server that is not the cloud, or not one
// that this device can use.
func TestBadServer(t *testing.T) {
	for _, c := range []struct {
		name, profile string
		fault         func(*dtls.ServerConfig)
	}{
		{"other key", "boron@6.2.0", func(c *dtls.ServerConfig) { c.Key = testDeviceEC }},
		{"no connection id", "boron@6.2.0", func(c *dtls.ServerConfig) { c.Faults.Extensions = []uint16{19, 20} }},
		{"certificate", "boron@2.3.1", func(c *dtls.ServerConfig) { c.Faults.SendCertificate = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.profile)
			c.fault(&w.peer.config)
			w.do(w.dev.PowerOn)
			w.run(profile.BootTime + 500*time.Millisecond)
			w.gone(HandshakeFailed, true)
			if len(w.sent) != 0 {
				t.Errorf("sent %v", w.kinds())
			}
			w.clear().pass(time.Second)
			w.wantEvent(Connecting)
		})
	}
}

// TRN-5.6: the delay doubles every five attempts, up to 128 s.
func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		n    uint16
		want time.Duration
	}{{1, 1}, {5, 1}, {6, 2}, {10, 2}, {11, 4}, {16, 8}, {21, 16}, {26, 32}, {31, 64}, {36, 128}, {1000, 128}} {
		if got := backoff(c.n); got != c.want*time.Second {
			t.Errorf("attempt %d: got %v, want %v s", c.n, got, int(c.want))
		}
	}
}

// N-23: what the cloud says before it has acknowledged Hello is thrown away; its
// retransmission is answered.
func TestDeafBeforeHelloIsAcknowledged(t *testing.T) {
	w := newWorld(t, "boron@6.2.0")
	w.peer.answer = func(m message) ([][]byte, bool) { return nil, m.kind == pdc.KindHello }
	w.do(w.dev.PowerOn)
	w.run(profile.BootTime + time.Second)
	const call = "41 02 20 21 62 b1 66 03 6c 65 6e 41 61"
	w.clear().send(call)
	w.send("40 00 20 22") // not even a ping is answered
	w.wantSent()
	w.peer.answer = nil
	w.send("60 00 00 01")
	w.pass(time.Second)
	if !w.dev.Online() {
		t.Fatal("not online")
	}
	w.clear().send(call)
	if got := w.kinds(); len(got) != 2 {
		t.Errorf("the repeated call got %v", got)
	}
}

// D-5: connected only when everything is acknowledged, since 1.4; a single ACK
// that is missing ends the connection after 60 to 90 s.
func TestConnectedWaitsForEveryAck(t *testing.T) {
	for _, c := range []struct {
		profile string
		waits   bool
	}{{"boron@6.2.0", true}, {"boron@1.4.4", true}, {"boron@1.2.1", false}, {"electron@0.5.3", false}} {
		t.Run(c.profile, func(t *testing.T) {
			w := newWorld(t, c.profile, func(c *Config) { c.KeepAlive = time.Hour })
			w.peer.answer = func(m message) ([][]byte, bool) { return nil, m.kind == pdc.KindTimeRequest }
			w.do(w.dev.PowerOn)
			w.run(profile.BootTime + 55*time.Second)
			if got := w.dev.State(); got == Connected == c.waits {
				t.Errorf("%v after 55 s", got)
			}
			w.run(profile.BootTime + 92*time.Second)
			w.gone(MessageTimeout, true)
		})
	}
}

// D-13, R-21, R-87: the ping comes after silence, and the end after that.
func TestKeepAlive(t *testing.T) {
	for _, c := range []struct {
		profile        string
		ping, give     time.Duration
		resumes, dials bool
	}{
		{"argon@6.2.0", 25 * time.Second, 30 * time.Second, true, false},
		{"argon@2.3.1", 30 * time.Second, 30 * time.Second, true, false},
		{"boron@6.2.0", 23 * time.Minute, 30 * time.Second, true, false},
		{"electron@0.5.3", 23 * time.Minute, 30 * time.Second, true, false},
		{"photon@3.1.0", 15 * time.Second, 10 * time.Second, false, true},
	} {
		t.Run(c.profile, func(t *testing.T) {
			w := newWorld(t, c.profile).online()
			last := w.sent[len(w.sent)-1].at
			w.clear()
			w.peer.deaf = true
			w.run(time.Duration(last) + c.ping - time.Millisecond)
			w.wantSent()
			w.pass(time.Millisecond)
			if len(w.sent) != 1 || w.sent[0].kind != pdc.KindPing {
				t.Fatalf("after %v sent %v", c.ping, w.kinds())
			}
			w.run(time.Duration(last) + c.ping + c.give - time.Millisecond)
			w.wantNoEvent(Offline)
			w.pass(time.Millisecond)
			w.gone(PingTimeout, false)
			w.pass(time.Second)
			if e := w.wantEvent(Connecting); e.Resumed != c.resumes {
				t.Errorf("resumes %v, want %v", e.Resumed, c.resumes)
			}
		})
	}
}

// Anything that arrives is a sign of life.
func TestTrafficPostponesThePing(t *testing.T) {
	w := newWorld(t, "argon@6.2.0").online()
	w.pass(20 * time.Second)
	w.alive()
	w.pass(24 * time.Second)
	w.wantSent()
	w.pass(time.Second)
	if len(w.sent) != 1 {
		t.Errorf("sent %v", w.kinds())
	}
}

// D-2: a message goes four times, at 0, 4 to 6, 12 to 18 and 28 to 42 s, and 60
// to 90 s after the first the session is discarded.
func TestRetransmission(t *testing.T) {
	w := newWorld(t, "boron@3.1.0").online()
	w.clear()
	w.peer.deaf = true
	start := w.now
	w.do(func(now clock.Instant, out *Out) {
		if err := w.dev.Publish(now, Publication{Name: "temp", Data: []byte("21.5")}, out); err != nil {
			t.Error(err)
		}
	})
	w.pass(91 * time.Second)
	ranges := [][2]time.Duration{{0, 0}, {4, 6}, {12, 18}, {28, 42}}
	var times []time.Duration
	for _, m := range w.sent {
		if m.kind == pdc.KindPublish {
			times = append(times, m.at.Sub(start))
		}
	}
	if len(times) < 4 {
		t.Fatalf("%d transmissions", len(times))
	}
	for i, r := range ranges {
		if times[i] < r[0]*time.Second || times[i] > r[1]*time.Second {
			t.Errorf("transmission %d after %v, want %d to %d s", i, times[i], r[0], r[1])
		}
	}
	w.gone(MessageTimeout, true)
	if e := w.wantEvent(Connecting); e.Resumed {
		t.Error("resumes a session that was discarded")
	}
}

// An orderly disconnect says goodbye, since 2.0, and keeps the session.
func TestGoodbye(t *testing.T) {
	for _, c := range []struct{ profile, want string }{
		{"boron@6.2.0", "40 02 __ __ b1 78 ff 01 02"},
		{"photon@3.1.0", "50 02 __ __ b1 78 d0 ea ff 01 02"},
		{"boron@1.4.4", ""},
		{"gcc-udp@6.2.0", ""},
	} {
		t.Run(c.profile, func(t *testing.T) {
			w := newWorld(t, c.profile).online()
			w.clear()
			w.do(w.dev.Disconnect)
			var got string
			for _, m := range w.sent {
				got = strings.TrimSpace(strings.ReplaceAll(strings.ToLower(hexSpaced(m.wire, 2, 3)), "  ", " "))
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			w.gone(DisconnectWanted, false)
			if w.dev.State() != Idle || w.dev.Deadline() != clock.Never {
				t.Errorf("%v, deadline %v", w.dev.State(), w.dev.Deadline())
			}
		})
	}
}

// A device waits for the ACK of its Goodbye, for 60 s at most.
func TestGoodbyeWaits(t *testing.T) {
	w := newWorld(t, "argon@6.2.0").online()
	w.clear()
	w.peer.deaf = true
	w.do(func(now clock.Instant, out *Out) { w.dev.Sleep(now, time.Hour, out) })
	if w.dev.State() != Closing {
		t.Fatal(w.dev.State())
	}
	w.pass(59 * time.Second)
	w.wantNoEvent(Offline)
	w.pass(2 * time.Second)
	w.wantEvent(Offline)
	if w.dev.State() != Off || w.sent[0].kind != pdc.KindGoodbye || string(w.sent[0].m.Payload) != "\x05\x06\x90\x1c" {
		t.Errorf("%v after %v %x", w.dev.State(), w.kinds(), w.sent[0].m.Payload)
	}
	w.peer.deaf = false
	w.clear().pass(time.Hour + time.Minute)
	if e := w.wantEvent(Online); !e.Resumed {
		t.Error("does not resume after sleep")
	}
}

func hexSpaced(b []byte, hide ...int) string {
	var s strings.Builder
	for i, c := range b {
		hidden := false
		for _, h := range hide {
			hidden = hidden || h == i
		}
		if hidden {
			s.WriteString("__ ")
			continue
		}
		const digits = "0123456789abcdef"
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
		s.WriteByte(' ')
	}
	return s.String()
}
