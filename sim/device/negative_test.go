package device

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// N-1 to N-13: malformed and foreign CoAP. An empty Err means that the
// connection lives on.
func TestMalformedMessages(t *testing.T) {
	name65 := strings.Repeat("6e", 65)
	for _, c := range []struct {
		name, profile, wire string
		ends                Error
	}{
		{"N-1 one byte", "boron@6.2.0", "00", 0},
		{"N-1 two bytes", "boron@6.2.0", "40 00", 0},
		{"N-1 three bytes", "electron@0.5.3", "40 00 01", 0},
		{"N-2 version 2, function", "boron@6.2.0", "81 02 20 21 62 b1 66 03 6c 65 6e 41 61", 0},
		{"N-2 version 2, describe", "boron@6.2.0", "81 01 20 02 5a b1 64 41 02", MalformedMessage},
		{"N-2 version 2, event", "boron@6.2.0", "80 02 20 02 b1 45 01 61 ff 78", MalformedMessage},
		{"N-2 version 2, event up to 6.1", "boron@6.1.1", "80 02 20 02 b1 45 01 61 ff 78", 0},
		{"N-3 nibble 15 in an event", "boron@6.2.0", "40 02 20 03 b1 45 f1 00", MalformedMessage},
		{"N-3 nibble 15 in an event up to 6.1", "boron@3.1.0", "40 02 20 03 b1 45 01 61 f1 00", 0},
		{"N-4 TKL 9, function", "boron@6.2.0", "49 02 20 04 01 02 03 04 05 06 07 08 09 b1 66 01 61 40", MissingToken},
		{"N-4 TKL 9, describe", "boron@6.2.0", "49 01 20 04 01 02 03 04 05 06 07 08 09 b1 64 41 02", MalformedMessage},
		{"N-5 TKL 0, function", "boron@6.2.0", "40 02 20 05 b1 66 03 6c 65 6e 41 61", MissingToken},
		{"N-5 TKL 2, variable", "boron@2.3.1", "42 01 20 05 01 02 b1 76 04 76 49 6e 74", MissingToken},
		{"N-5 TKL 2 before 1.5", "electron@1.4.4", "42 02 20 05 01 02 b1 66 03 6c 65 6e 41 61", 0},
		{"N-6 unknown", "boron@6.2.0", "40 01 20 06 b1 71", 0},
		{"N-6 unknown", "electron@0.5.3", "40 01 20 06 b1 71", 0},
		{"unknown and malformed, with the new channel", "boron@6.2.0", "49 01 20 06 01 02 03 04 05 06 07 08 09 b1 71", MalformedMessage},
		{"unknown and malformed, without it", "boron@5.3.2", "49 01 20 06 01 02 03 04 05 06 07 08 09 b1 71", 0},
		{"N-9 Uri-Host first", "boron@6.2.0", "41 01 20 09 5a 31 78 81 64 41 02", 0},
		{"N-12 empty name up to 6.1", "boron@6.1.1", "40 02 20 0c b1 45", MalformedMessage},
		{"N-12 empty name", "boron@6.2.0", "40 02 20 0c b1 45", 0},
		{"N-13 name of 65", "boron@6.2.0", "40 02 20 0d b1 45 0d 34" + name65 + "ff 78", 0},
		{"ledger garbage", "boron@6.2.0", "41 02 20 0e 61 b1 4c ff ff ff", 0},
		{"mesh", "boron@6.2.0", "41 03 20 0f 61 b1 6d 01 6e", 0},
	} {
		t.Run(c.name+" "+c.profile, func(t *testing.T) {
			w := newWorld(t, c.profile).online()
			w.clear().send("%s", c.wire)
			if c.ends != 0 {
				w.gone(c.ends, false)
				w.pass(2 * time.Second)
				if e := w.wantEvent(Online); !e.Resumed {
					t.Error("not resumed")
				}
				return
			}
			w.wantNoEvent(Offline)
			w.alive()
		})
	}
}

// N-13: a message of one byte more than the buffer is lost.
func TestMessageTooLong(t *testing.T) {
	for name, limit := range map[string]int{"boron@6.2.0": 1152, "electron@3.1.0": 960, "boron@2.3.1": 800, "electron@0.5.3": 768} {
		for _, more := range []int{0, 1} {
			w := newWorld(t, name).online()
			head := gen.Hex("40 02 20 11 b1 45 07 76 64 65 76 2f 69 6e ff")
			w.clear()
			w.peer.raw(append(head, make([]byte, limit+more-len(head))...))
			w.settle()
			if len(w.sent) != 1-more {
				t.Errorf("%s: %d bytes: %v", name, limit+more, w.kinds())
			}
			w.alive()
		}
	}
}

// N-2: the old dispatcher executes a function call of another version.
func TestWrongVersionIsExecuted(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.clear().send("81 02 20 21 62 b1 66 03 6c 65 6e 41 61")
	w.wantEvent(FunctionCalled)
}

// N-6: no reply, not even to retransmissions.
func TestUnknownIsNeverAnswered(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	for range 4 {
		w.clear().send("40 01 20 06 b1 71")
		w.wantSent()
		w.pass(4 * time.Second)
	}
	w.alive()
}

// N-7: an unknown critical option behind the path of Start is ignored.
func TestUnknownCriticalOption(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.dialogue("41 02 20 71 b1 b1 53 e2 06 f1 03 e8 82 02 00 21 aa", "60 00 20 71", "41 41 __ __ b1 e2 06 f8 01 00 40")
}

// N-16: ServerMoved.
func TestServerMoved(t *testing.T) {
	key := seed.P256(seed.Bytes(5, "mover"))
	sign := func(s pdc.ServerMoved) pdc.ServerMoved {
		sum := sha256.Sum256(s.Signed())
		var err error
		if s.Signature, err = ecdsa.SignASN1(nil, key, sum[:]); err != nil {
			// An ecdsa key signs without randomness only through Sign.
			s.Signature, err = key.Sign(nil, sum[:], crypto.SHA256)
			if err != nil {
				panic(err)
			}
		}
		return s
	}
	moved := pdc.ServerMoved{Token: []byte{1}, Address: "$id.elsewhere.test", Port: 5684, PublicKey: []byte("key")}
	with := func(c *Config) { c.MoveKey = &key.PublicKey }

	w := newWorld(t, "boron@6.2.0", with).online()
	w.clear().tell(moved) // not signed
	if len(w.sent) != 2 || w.sent[1].m.Code != coap.BadRequest || !strings.HasPrefix(string(w.sent[1].m.Payload), `{"code":-280,`) {
		t.Errorf("bad signature: %v", w.kinds())
	}
	w.alive()
	w.dialogue("41 02 20 71 b1 b1 4d ff ff", "60 00 20 71", "41 80 __ __ b1 ff "+fmt.Sprintf("%x", `{"code":-280,"message":"bad data (-280)"}`))
	w.dialogue("51 02 20 72 b1 b1 4d ff 0a")
	w.dialogue("40 02 20 73 b1 4d ff 0a")
	w.alive()
	w.clear().send("42 02 20 74 b1 b2 b1 4d ff 0a")
	if e := w.wantEvent(Restarting); e.Reset != pdc.ResetPanic {
		t.Errorf("two token bytes: %+v", e)
	}

	w = newWorld(t, "boron@6.2.0", with).online()
	w.clear().tell(sign(moved))
	if e := w.wantEvent(Moved); e.Name != "$id.elsewhere.test" {
		t.Errorf("%+v", e)
	}
	if g, err := pdc.ParseGoodbye(w.sent[len(w.sent)-1].m); err != nil || g.CloudReason != pdc.CloudServerMoved {
		t.Errorf("no goodbye: %v", w.kinds())
	}
	if e := w.wantEvent(Restarting); e.Reset != pdc.ResetConfigUpdate {
		t.Errorf("%+v", e)
	}
	if w.dev.NVRAM().Session != nil || w.dev.NVRAM().MovedTo == "" {
		t.Error("session kept, or address not")
	}

	w = newWorld(t, "gcc-udp@6.2.0", with).online()
	w.clear().tell(sign(moved))
	if len(w.sent) != 2 || w.sent[1].m.Code != coap.NotImplemented {
		t.Errorf("gcc: %v", w.kinds())
	}
	w = newWorld(t, "boron@4.0.2", with).online()
	w.clear().tell(sign(moved))
	w.wantSent()
}

// TCP: frames that are no frames.
func TestBadFrames(t *testing.T) {
	w := newWorld(t, "photon@3.1.0").online()
	w.clear().down([]byte{0xff, 0xf0})
	w.settle()
	w.gone(FrameTooLong, false)

	w = newWorld(t, "photon@3.1.0").online()
	w.clear().down([]byte{0x00, 0x20, 1, 2, 3}) // the body stalls
	w.settle()
	w.pass(19 * time.Second)
	if _, over := w.has(Offline); over && w.dev.Profile().PingInterval() > 25*time.Second {
		t.Error("too early")
	}
	w.pass(8 * time.Second)
	w.wantEvent(Offline)
}

// A board notices that the cloud has closed the stream, the virtual device does
// not.
func TestStreamClosed(t *testing.T) {
	for name, notices := range map[string]bool{"photon@3.1.0": true, "gcc@3.1.0": false} {
		w := newWorld(t, name).online()
		w.clear().do(w.dev.StreamClosed)
		if _, offline := w.has(Offline); offline != notices {
			t.Errorf("%s: notices %v", name, offline)
		}
	}
}

// Datagrams of nothing, in every state.
func TestInputInEveryState(t *testing.T) {
	for _, name := range []string{"boron@6.2.0", "photon@0.5.3"} {
		w := newWorld(t, name)
		poke := func() {
			for _, b := range [][]byte{nil, {0}, make([]byte, 100)} {
				w.dev.Datagram(w.now, b, &w.out)
				w.dev.StreamData(w.now, b, &w.out)
				w.out.Reset()
			}
		}
		poke()
		w.do(w.dev.PowerOn)
		poke()
		w.do(w.dev.StreamClosed)
		w.do(w.dev.SocketFailed)
		w.do(w.dev.NetworkChanged)
		w.do(w.dev.PowerOff)
		w.do(w.dev.PowerOff)
		poke()
	}
}
