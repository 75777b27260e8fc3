package device

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/profile"
)

// An image is a module for the profile, of about size bytes, changed by change.
func image(w *world, f pdc.ModuleFunction, size int, change ...func(*module.Module)) []byte {
	m := module.Module{Prefix: module.Prefix{Function: f, Platform: w.dev.Profile().Board.Platform, Version: 7}}
	for _, slot := range w.dev.Profile().Factory() {
		if pdc.ModuleFunction(slot.Function) == f {
			m.Start, m.Index = slot.Start, slot.Index
			for i, dep := range slot.Dependencies {
				m.Dependencies[i] = module.Dependency{Function: pdc.ModuleFunction(dep.Function), Index: dep.Index, Version: dep.Version}
			}
			break
		}
	}
	m.Body = make([]byte, size)
	_, _ = seed.Bytes(3, "image").Read(m.Body)
	for _, c := range change {
		c(&m)
	}
	return m.Append(nil)
}

// A sender sends an image by OTA protocol v3 without any cleverness.
type sender struct {
	w     *world
	image []byte
	chunk uint32
	g     pdc.Geometry
	start func(*pdc.UpdateStart)
}

func newSender(w *world, image []byte) *sender { return &sender{w: w, image: image, chunk: 512} }

// begin sends Start and returns the device's answer.
func (s *sender) begin() pdc.UpdateStartResponse {
	s.w.t.Helper()
	sum := sha256.Sum256(s.image)
	u := pdc.UpdateStart{Token: []byte{0xb1}, FileSize: uint32(len(s.image)), SHA256: sum[:], ChunkSize: s.chunk}
	if s.start != nil {
		s.start(&u)
	}
	s.w.clear().tell(u)
	if len(s.w.sent) != 2 || s.w.sent[0].m.Type != coap.Acknowledgement {
		s.w.t.Fatalf("Start was answered by %v", s.w.kinds())
	}
	r, err := pdc.ParseUpdateStartResponse(s.w.sent[1].m)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.g = pdc.Geometry{FileSize: uint32(len(s.image)), Offset: r.Offset, ChunkSize: s.chunk}
	return r
}

// send sends the chunk of that index.
func (s *sender) send(index uint32) {
	at, size, _ := s.g.Chunk(index)
	s.w.tell(pdc.UpdateChunk{Index: index, Data: s.image[at : at+size]})
}

// all sends every chunk.
func (s *sender) all() {
	for i := uint32(1); i <= s.g.Count(); i++ {
		s.send(i)
	}
}

// finish sends Finish and returns the device's answer.
func (s *sender) finish() pdc.UpdateFinishResponse {
	s.w.t.Helper()
	s.w.clear().tell(pdc.UpdateFinish{Token: []byte{0xb2}})
	for _, m := range s.w.sent {
		if m.m.Type == coap.Confirmable && coap.IsResponse(m.m.Code) {
			r, err := pdc.ParseUpdateFinishResponse(m.m)
			if err != nil {
				s.w.t.Fatal(err)
			}
			return r
		}
	}
	s.w.t.Fatalf("Finish was answered by %v", s.w.kinds())
	return pdc.UpdateFinishResponse{}
}

// D-14, D-16: a whole update; applied only after the response to Finish was
// acknowledged, then Goodbye 5/70, and Hello with flag 0x01.
func TestUpdate(t *testing.T) {
	for _, name := range []string{"boron@6.2.0", "boron@3.1.0", "p2@6.2.0"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, name).online()
			s := newSender(w, image(w, pdc.ModuleUserPart, 5000))
			if r := s.begin(); r.Refused != 0 || r.Window != 256 || r.Offset != 0 {
				t.Fatalf("%+v", r)
			}
			s.all()
			withhold := true
			w.peer.answer = func(m message) ([][]byte, bool) { return nil, withhold && m.m.Code == coap.Changed }
			r := s.finish()
			if r.Stats == nil || r.Stats.Received != s.g.Count() {
				t.Fatalf("%+v", r)
			}
			w.wantNoEvent(UpdateApplied)
			withhold = false
			w.pass(7 * time.Second) // the response is retransmitted and acknowledged
			w.wantEvent(UpdateApplied)
			goodbye := false
			for _, m := range w.sent {
				if g, err := pdc.ParseGoodbye(m.m); err == nil {
					goodbye = g.CloudReason == pdc.CloudSystemReset && g.ResetReason == pdc.ResetUpdate
				}
			}
			if !goodbye {
				t.Errorf("no goodbye: %v", w.kinds())
			}
			w.pass(5 * time.Second)
			hello := false
			for _, m := range w.sent {
				if h, err := pdc.ParseHello(m.m); err == nil {
					hello = h.Flags&pdc.HelloUpdated != 0
				}
			}
			if !hello || !strings.Contains(strings.Join(w.kinds(), " "), "last_reset") && w.dev.has(profile.TimeFirst) {
				t.Errorf("after the restart %v", w.kinds())
			}
			for _, m := range w.dev.modules() {
				if m.Function == pdc.ModuleUserPart && m.Version != 7 {
					t.Errorf("still version %d", m.Version)
				}
			}
			w.clear().send("40 02 20 99 b1 68") // PDC-2.2: clears the flag
			if w.dev.NVRAM().Applied {
				t.Error("the flag is still set")
			}
		})
	}
}

// D-15: when acks are sent.
func TestAckPolicy(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	s := newSender(w, image(w, pdc.ModuleUserPart, 5000))
	s.begin()
	w.clear()
	ack := func(want string) {
		t.Helper()
		got := ""
		for _, m := range w.sent {
			got += strings.TrimSpace(hexSpaced(m.wire[4:])) + ";"
		}
		if got != want {
			t.Errorf("acks %q, want %q", got, want)
		}
		w.clear()
	}
	const head = "b1 41 e1 06 e9 "
	s.send(1)
	ack("")
	w.pass(100 * time.Millisecond)
	s.send(2)
	ack(head + "02;")
	w.pass(50 * time.Millisecond)
	s.send(3)
	ack("")
	w.pass(300 * time.Millisecond)
	ack(head + "03;")
	s.send(5)
	ack(head + "03 ff 02 00 00 00;")
	s.send(5)
	ack(head + "03 ff 02 00 00 00;")
	s.send(4)
	ack(head + "05;")
	s.send(1)
	ack(head + "05;")
	for i := uint32(6); i <= s.g.Count(); i++ {
		s.send(i)
	}
	w.clear()
	s.send(s.g.Count())
	if len(w.sent) != 1 {
		t.Errorf("a duplicate of the last chunk: %v", w.kinds())
	}
}

// N-24, N-25: Starts that are refused.
func TestStartRefused(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	sha := strings.Repeat("5a", 32)
	const protocolError = `{"code":-240,`
	for _, c := range []struct{ name, options, want string }{
		{"chunk 508", "e2 06 f1 03 e8 4d 13" + sha + "42 01 fc", "61 a3"},
		{"chunk 514", "e2 06 f1 03 e8 4d 13" + sha + "42 02 02", "61 a3"},
		{"chunk 1140", "e2 06 f1 03 e8 4d 13" + sha + "42 04 74", "61 a3"},
		{"size 0", "e0 06 f1 4d 13" + sha + "42 02 00", "61 a3"},
		{"SHA of 31 bytes", "e2 06 f1 03 e8 4d 12" + sha[2:] + "42 02 00", "61 a3"},
		{"no chunk size", "e2 06 f1 03 e8", "61 a3"},
		{"no file size", "e2 06 f9 02 00", "61 a3"},
	} {
		w.clear().send("41 02 20 70 b1 b1 53 %s", c.options)
		if len(w.sent) != 1 || !strings.HasPrefix(hex.EncodeToString(w.sent[0].wire), strings.ReplaceAll(c.want, " ", "")) || !strings.HasPrefix(string(w.sent[0].m.Payload), protocolError) {
			t.Errorf("%s: %v", c.name, w.kinds())
		}
		w.peer.answer = nil
		w.pass(46 * time.Second)
	}
	w.alive()
	w.clear().send("40 02 20 71 b1 53 e2 06 f1 03 e8 82 02 00") // no token
	if len(w.sent) != 1 || w.sent[0].wire[0] != 0x60 || w.sent[0].wire[1] != 0xa3 {
		t.Errorf("without a token: %v", w.kinds())
	}
	w.alive()
	for _, c := range []struct {
		name  string
		start func(*pdc.UpdateStart)
		want  pdc.SystemError
		code  coap.Code
	}{
		{"too large", func(u *pdc.UpdateStart) { u.FileSize = 1_536_001 }, pdc.ErrModuleSize, coap.ServiceUnavailable},
		{"asset too large", func(u *pdc.UpdateStart) { u.FileSize, u.ModuleFunction, u.HasModuleFunction = 1_000_000, 9, true }, pdc.ErrTooLarge, coap.BadRequest},
		{"disabled", func(*pdc.UpdateStart) {
			w.do(func(now clock.Instant, out *Out) { w.dev.SetUpdatesEnabled(now, false, out) })
		}, pdc.ErrUpdatesDisabled, coap.ServiceUnavailable},
	} {
		s := newSender(w, make([]byte, 2000))
		s.start = c.start
		if c.name == "disabled" {
			c.start(nil)
			s.start = nil
		}
		if r := s.begin(); r.Refused != c.code || r.Diagnostic.Code != c.want {
			t.Errorf("%s: %+v", c.name, r)
		}
		w.alive()
	}
	w.tell(pdc.EventDelivery{Name: pdc.EventUpdatesForced, Data: []byte("true"), Private: true})
	if r := newSender(w, make([]byte, 2000)).begin(); r.Refused != 0 {
		t.Errorf("forced: %+v", r)
	}
	w = newWorld(t, "boron@6.2.0").online()
	w.clear().send("51 02 20 72 b1 b1 53 e2 06 f1 03 e8 82 02 00") // NON
	if len(w.sent) != 1 || w.sent[0].wire[0] != 0x51 || w.sent[0].wire[1] != 0xa3 {
		t.Errorf("NON: %v", w.kinds())
	}
	w.gone(MalformedMessage, false)
}

// N-27: what a chunk may get wrong.
func TestChunkFaults(t *testing.T) {
	data := strings.Repeat("aa", 512)
	for _, c := range []struct {
		name, wire, want string
		idle, ends       bool
	}{
		{"index 0", "50 02 20 71 b1 43 e0 06 e9 ff" + data, "70 00 20 71", false, true},
		{"index above the count", "50 02 20 71 b1 43 e1 06 e9 63 ff" + data, "70 00 20 71", false, true},
		{"short", "50 02 20 71 b1 43 e1 06 e9 01 ff aa", "70 00 20 71", false, true},
		{"long", "50 02 20 71 b1 43 e1 06 e9 01 ff aa" + data, "70 00 20 71", false, true},
		{"empty", "50 02 20 71 b1 43 e1 06 e9 01", "70 00 20 71", false, true},
		{"no index", "50 02 20 71 b1 43 ff" + data, "70 00 20 71", false, true},
		{"token", "51 02 20 71 77 b1 43 e1 06 e9 01 ff" + data, "51 a3 __ __ 77", false, true},
		{"CON", "41 02 20 71 77 b1 43 e1 06 e9 01 ff" + data, "61 a3 20 71 77", false, false},
		{"no update", "50 02 20 71 b1 43 e1 06 e9 01 ff" + data, "70 00 20 71", true, false},
		{"no update, empty", "50 02 20 71 b1 43 e1 06 e9 01", "70 00 20 71", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "boron@6.2.0").online()
			if !c.idle {
				newSender(w, image(w, pdc.ModuleUserPart, 5000)).begin()
			}
			w.clear().send("%s", c.wire)
			if len(w.sent) != 1 || !strings.HasPrefix(hexSpaced(w.sent[0].wire, 2, 3), hideIDs(c.want)) {
				t.Fatalf("answered by %v, want %s", w.kinds(), c.want)
			}
			if !c.ends {
				w.alive()
				return
			}
			w.gone(MalformedMessage, false)
			w.pass(2 * time.Second)
			if e := w.wantEvent(Online); !e.Resumed {
				t.Error("not resumed")
			}
		})
	}
}

func hideIDs(s string) string { return s[:6] + "__ __" + s[11:] }

// A chunk beyond the window is ignored and acknowledged.
func TestBeyondTheWindow(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	s := newSender(w, image(w, pdc.ModuleUserPart, 200_000))
	s.begin()
	w.clear()
	s.send(257)
	s.send(256)
	w.pass(300 * time.Millisecond)
	if u := w.dev.v3(); u.have.has(256) || !u.have.has(255) {
		t.Error("the window is not kept")
	}
	if len(w.sent) == 0 {
		t.Error("no ack")
	}
	w.alive()
}

// D-18, N-28 to N-33: images in the order of PDC-7.5.
func TestJudgement(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*world) []byte
		want pdc.SystemError
	}{
		{"flipped bit", func(w *world) []byte {
			b := image(w, pdc.ModuleUserPart, 3000)
			b[1000] ^= 1
			return b
		}, pdc.ErrIntegrity},
		{"truncated", func(w *world) []byte { return image(w, pdc.ModuleUserPart, 3000)[:2000] }, pdc.ErrIntegrity},
		{"platform", func(w *world) []byte {
			return image(w, pdc.ModuleUserPart, 3000, func(m *module.Module) { m.Platform = pdc.Argon })
		}, pdc.ErrPlatform},
		{"dependency", func(w *world) []byte {
			return image(w, pdc.ModuleSystemPart, 3000, func(m *module.Module) { m.Dependencies[0].Version = 60000 })
		}, pdc.ErrDependency},
		{"address", func(w *world) []byte {
			return image(w, pdc.ModuleUserPart, 3000, func(m *module.Module) { m.Start -= 4096 })
		}, pdc.ErrAddressRange},
		{"compressed bootloader", func(w *world) []byte {
			return image(w, pdc.ModuleBootloader, 3000, func(m *module.Module) {
				c := module.Compress(m.Prefix, m.Body)
				*m = c
			})
		}, pdc.ErrModuleFunction},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "boron@6.2.0").online()
			s := newSender(w, c.make(w))
			s.begin()
			s.all()
			if r := s.finish(); r.Refused == 0 || r.Diagnostic.Code != c.want {
				t.Errorf("%+v, want %v", r, c.want)
			}
			w.gone(UpdateInterrupted, false) // after its ACK
			w.pass(2 * time.Second)
			if e := w.wantEvent(Online); !e.Resumed {
				t.Error("not resumed")
			}
		})
	}
}

// N-29: the CRC fits, the hash of the file does not: 2.04, then no flag 0x01.
func TestFileHashDiffers(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	s := newSender(w, image(w, pdc.ModuleUserPart, 3000))
	s.start = func(u *pdc.UpdateStart) { u.SHA256 = make([]byte, 32) }
	s.begin()
	s.all()
	if r := s.finish(); r.Refused != 0 {
		t.Errorf("%+v", r)
	}
	if e := w.wantEvent(UpdateFailed); e.System != pdc.ErrFileHash {
		t.Errorf("%+v", e)
	}
	if w.dev.NVRAM().Partial != nil || w.dev.NVRAM().Applied {
		t.Error("something of it is left")
	}
}

// N-28, N-34, N-35.
func TestFinishFaults(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	if r := newSender(w, nil).finish(); r.Diagnostic.Code != pdc.ErrInvalidState {
		t.Errorf("without an update: %+v", r)
	}
	w.alive()
	w.clear().send("40 02 20 80 b1 46") // no token
	if len(w.sent) != 1 || w.sent[0].wire[0] != 0x60 || w.sent[0].wire[1] != 0xa3 {
		t.Errorf("without a token: %v", w.kinds())
	}
	w.alive()
	s := newSender(w, image(w, pdc.ModuleUserPart, 5000))
	s.begin()
	s.send(1)
	s.send(2)
	if r := s.finish(); r.Refused != coap.ServiceUnavailable || r.Diagnostic.Code != pdc.ErrProtocol || r.Diagnostic.Message != "Incomplete file transfer" {
		t.Errorf("%+v", r)
	}
	w.gone(UpdateInterrupted, false)
	w.pass(2 * time.Second)
	if r := s.begin(); r.Offset != 1024 {
		t.Errorf("resumes at %d", r.Offset)
	}
	w.clear().tell(pdc.UpdateFinish{Token: []byte{1}, Cancel: true})
	if len(w.sent) != 2 || w.sent[1].m.Code != coap.Changed || len(w.sent[1].m.Payload) != 0 {
		t.Errorf("cancel: %v", w.kinds())
	}
	if r := s.begin(); r.Offset != 1024 {
		t.Errorf("after a cancel at %d", r.Offset)
	}
	w.tell(pdc.UpdateFinish{Token: []byte{1}, Cancel: true, DiscardData: true})
	if r := s.begin(); r.Offset != 0 {
		t.Errorf("after a discard at %d", r.Offset)
	}
	w.alive()
}

// N-38, PDC-6.9: what a transfer resumes from.
func TestResumedTransfer(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(*pdc.UpdateStart)
		want  uint32
	}{
		{"same", func(*pdc.UpdateStart) {}, 2048},
		{"other chunk size", func(u *pdc.UpdateStart) { u.ChunkSize = 1024 }, 2048},
		{"other hash", func(u *pdc.UpdateStart) { u.SHA256 = bytes.Repeat([]byte{1}, 32) }, 0},
		{"other size", func(u *pdc.UpdateStart) { u.FileSize++ }, 0},
		{"discard", func(u *pdc.UpdateStart) { u.DiscardData = true }, 0},
		{"no hash", func(u *pdc.UpdateStart) { u.SHA256 = nil }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "boron@6.2.0").online()
			s := newSender(w, image(w, pdc.ModuleUserPart, 5000))
			s.begin()
			for i := uint32(1); i <= 4; i++ {
				s.send(i)
			}
			s.send(6)
			w.restart()
			w.pass(5 * time.Second)
			s.start = c.start
			if r := s.begin(); r.Offset != c.want {
				t.Errorf("offset %d, want %d", r.Offset, c.want)
			}
		})
	}
}

// N-36: loss of power keeps what was flushed, at most every 30 s.
func TestPowerLossDuringUpdate(t *testing.T) {
	for _, c := range []struct {
		pause time.Duration
		want  uint32
	}{{time.Second, 0}, {8 * time.Second, 2560}} {
		w := newWorld(t, "boron@6.2.0").online()
		s := newSender(w, image(w, pdc.ModuleUserPart, 5000))
		s.begin()
		for i := uint32(1); i <= 6; i++ {
			s.send(i)
			w.pass(c.pause)
		}
		w.do(w.dev.PowerOff)
		w.do(w.dev.PowerOn)
		w.pass(10 * time.Second)
		if r := s.begin(); r.Offset != c.want {
			t.Errorf("a chunk every %v: offset %d, want %d", c.pause, r.Offset, c.want)
		}
	}
}

// D-16: the response to Finish is never acknowledged: the connection dies, and
// everything is still there.
func TestFinishNeverAcknowledged(t *testing.T) {
	w := newWorld(t, "boron@3.1.0").online()
	s := newSender(w, image(w, pdc.ModuleUserPart, 3000))
	s.begin()
	s.all()
	w.peer.answer = func(m message) ([][]byte, bool) { return nil, m.m.Code == coap.Changed }
	s.finish()
	w.pass(92 * time.Second)
	w.gone(MessageTimeout, true)
	w.wantNoEvent(UpdateApplied)
	w.peer.answer = nil
	w.pass(5 * time.Second)
	if r := s.begin(); r.Offset != uint32(len(s.image)) {
		t.Errorf("offset %d of %d", r.Offset, len(s.image))
	}
	if r := s.finish(); r.Refused != 0 {
		t.Errorf("%+v", r)
	}
	w.wantEvent(UpdateApplied)
}

// N-37: 300 s of silence end the transfer.
func TestTransferStalls(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	s := newSender(w, image(w, pdc.ModuleUserPart, 5000))
	s.begin()
	s.send(1)
	w.clear().pass(299 * time.Second)
	w.wantNoEvent(Offline)
	for _, m := range w.sent {
		if m.kind == pdc.KindPing {
			t.Error("a ping during an update")
		}
	}
	w.pass(2 * time.Second)
	w.gone(UpdateInterrupted, false)
}

// D-22: nothing is published during an update; functions are answered.
func TestBusyWhileUpdating(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	newSender(w, image(w, pdc.ModuleUserPart, 5000)).begin()
	w.clear().do(func(now clock.Instant, out *Out) {
		if err := w.dev.Publish(now, Publication{Name: "x"}, out); !errors.Is(err, UpdateBusy) {
			t.Errorf("publish: %v", err)
		}
		w.dev.SyncTime(now, out)
		w.dev.Ping(now, out)
		w.dev.PublishVitals(now, out)
	})
	w.wantSent()
	w.dialogue("41 02 20 21 62 b1 66 03 6c 65 6e 41 61", "60 00 20 21", "41 44 __ __ 62 ff 00 00 00 01")
}

// N-26: a second Start replaces the first.
func TestSecondStart(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	s := newSender(w, image(w, pdc.ModuleUserPart, 5000))
	s.begin()
	s.send(1)
	if r := s.begin(); r.Offset != 512 {
		t.Errorf("offset %d", r.Offset)
	}
	s.all()
	if r := s.finish(); r.Refused != 0 {
		t.Errorf("%+v", r)
	}
	w.wantEvent(UpdateApplied)
}

// N-32, PDC-6.10: a user part that needs a newer system is taken, and the device
// starts in safe mode until it gets it.
func TestSafeModeAfterUpdate(t *testing.T) {
	w := newWorld(t, "boron@6.1.1").online()
	s := newSender(w, image(w, pdc.ModuleUserPart, 3000, func(m *module.Module) { m.Dependencies[0].Version = 6200 }))
	s.begin()
	s.all()
	s.finish()
	w.pass(5 * time.Second)
	w.wantEvent(SafeMode)
	if got := strings.Join(w.kinds(), ", "); !strings.Contains(got, "spark/device/safemode") {
		t.Errorf("sent %s", got)
	}
	body, _ := w.dev.describe(w.now, pdc.DescribeSystem)
	d, _ := pdc.ParseSystemDescribe(body)
	if missing := d.Missing(); len(missing) != 1 || missing[0].Version != 6200 {
		t.Errorf("missing %v", missing)
	}
	if app, _ := w.dev.describe(w.now, pdc.DescribeApplication); string(app) != `{"f":[],"v":{}}` {
		t.Errorf("application describe %s", app)
	}
	s = newSender(w, image(w, pdc.ModuleSystemPart, 3000, func(m *module.Module) { m.Version = 6200 }))
	s.begin()
	s.all()
	s.finish()
	w.pass(6 * time.Second)
	if !w.dev.Online() || w.dev.safeMode || w.dev.Profile().String() != "boron@6.2.0" {
		t.Errorf("%v, safe mode %v, runs as %v", w.dev.State(), w.dev.safeMode, w.dev.Profile())
	}
}

// PDC-6.12: an asset is stored and listed.
func TestAssetUpdate(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	content := bytes.Repeat([]byte("asset"), 400)
	a := module.NewAsset("sound.wav", content)
	m := a.Module(pdc.Boron, content)
	s := newSender(w, m.Append(nil))
	s.start = func(u *pdc.UpdateStart) { u.ModuleFunction, u.HasModuleFunction = 9, true }
	s.begin()
	s.all()
	if r := s.finish(); r.Refused != 0 {
		t.Fatalf("%+v", r)
	}
	w.pass(5 * time.Second)
	body, _ := w.dev.describe(w.now, pdc.DescribeSystem)
	d, err := pdc.ParseSystemDescribe(body)
	if err != nil || len(d.Assets) != 1 || d.Assets[0].Name != "sound.wav" || !bytes.Equal(d.Assets[0].Hash, a.Hash[:]) {
		t.Errorf("%v %+v", err, d.Assets)
	}
}

// N-39: a million bytes with loss, reordering and duplicates: acks never go
// back, bit 0 is never set.
func TestLossyTransfer(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	s := newSender(w, image(w, pdc.ModuleSystemPart, 600_000))
	s.chunk = 1136
	s.begin()
	rng := seed.Stream(9, "loss")
	acked := pdc.UpdateAck{}
	for round := 0; acked.Count < s.g.Count() && round < 5000; round++ {
		w.clear()
		for i := acked.Count + 1; i <= min(acked.Count+16, s.g.Count()); i++ {
			at := i
			if rng.IntN(10) == 0 && at > 3 {
				at -= uint32(rng.IntN(3))
			}
			if !acked.Has(at) && rng.IntN(10) >= 3 {
				s.send(at)
				if rng.IntN(10) == 0 {
					s.send(at)
				}
			}
		}
		w.pass(250 * time.Millisecond)
		for _, m := range w.sent {
			a, err := pdc.ParseUpdateAck(m.m)
			if err != nil {
				t.Fatal(err)
			}
			if a.Count < acked.Count {
				t.Fatalf("ack of %d after %d", a.Count, acked.Count)
			}
			if rng.IntN(10) >= 3 {
				acked = a
			}
		}
	}
	if r := s.finish(); r.Refused != 0 {
		t.Errorf("%+v", r)
	}
}
