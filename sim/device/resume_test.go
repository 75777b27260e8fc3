package device

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// a resumed session sends no ClientHello; record sequence and message ids
// go on. R-75: marked until the first application record of the cloud arrives.
func TestResumeGoesOn(t *testing.T) {
	for _, c := range []struct {
		profile      string
		marked, then byte
		first        pdc.Kind
	}{
		{"boron@6.2.0", 253, 25, pdc.KindPing},
		{"boron@3.1.0", 25, 25, pdc.KindPing},
		{"boron@2.3.1", 254, 23, pdc.KindPing},
		{"boron@1.4.4", 254, 23, pdc.KindHello},
		{"electron@0.5.3", 254, 23, pdc.KindHello},
	} {
		t.Run(c.profile, func(t *testing.T) {
			w := newWorld(t, c.profile).online()
			last := w.sent[len(w.sent)-1].m.ID
			sequence := w.wire[len(w.wire)-1].data[10]
			w.clear()
			w.peer.deaf = true
			w.restart()
			w.pass(profile.BootTime)
			if len(w.sent) == 0 || w.sent[0].kind != c.first || w.sent[0].m.ID != last+1 {
				t.Fatalf("first %v, want %v with id %d", w.kinds(), c.first, last+1)
			}
			if w.wire[0].data[0] != c.marked || w.wire[0].data[10] != sequence+1 {
				t.Errorf("first record of type %d, sequence %d; want %d, %d", w.wire[0].data[0], w.wire[0].data[10], c.marked, sequence+1)
			}
			w.pass(6 * time.Second)
			if repeated := w.sent[len(w.sent)-1]; repeated.mark != c.marked {
				t.Errorf("retransmission of type %d", repeated.mark)
			}
			w.peer.deaf = false
			w.pass(20 * time.Second)
			w.clear()
			if !w.dev.Online() {
				t.Fatal(w.dev.State())
			}
			w.do(func(now clock.Instant, out *Out) { _ = w.dev.Publish(now, Publication{Name: "x"}, out) })
			if len(w.sent) != 1 || w.sent[0].mark != c.then {
				t.Errorf("then %v of type %d, want %d", w.kinds(), w.sent[0].mark, c.then)
			}
		})
	}
}

// What follows a resume whose state has not changed (TRN-3.6).
func TestResumeSequence(t *testing.T) {
	const updates = ", particle/device/updates/enabled, particle/device/updates/forced"
	for _, c := range []struct {
		profile, reconnect, restart string
	}{
		{"boron@6.2.0", "Ping" + updates, "Ping, spark/device/last_reset" + updates},
		{"boron@3.1.0", "Ping" + updates, "Ping" + updates},
		{"electron@0.5.3", "Ping", "Hello, Subscribe spark, Time request, Subscribe vdev/in"},
	} {
		t.Run(c.profile, func(t *testing.T) {
			w := newWorld(t, c.profile).online()
			w.do(w.dev.Disconnect)
			w.clear().do(w.dev.Connect)
			w.pass(time.Second)
			if got := strings.Join(w.kinds(), ", "); got != c.reconnect {
				t.Errorf("after a reconnect %s", got)
			}
			w.clear().restart()
			w.pass(5 * time.Second)
			if got := strings.Join(w.kinds(), ", "); got != c.restart {
				t.Errorf("after a restart %s", got)
			}
		})
	}
}

// a state that has changed sends Hello over the resumed session, and
// everything again.
func TestResumeWithNewState(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.do(func(now clock.Instant, out *Out) { w.dev.Suspend(now, out) })
	w.dev.NVRAM().Modules = Factory(w.dev.prof)
	w.dev.NVRAM().Modules[0].Version++
	w.clear().do(w.dev.PowerOn)
	w.pass(5 * time.Second)
	if got := w.kinds(); len(got) < 5 || got[0] != "Hello" || got[1] != "describe 1" || w.wire[0].data[0] != 253 {
		t.Errorf("sent %v", got)
	}
}

// D-11: subscriptions and application describe are sent again when they have
// changed, or when one was refused; not otherwise.
func TestSubscriptionsAfterResume(t *testing.T) {
	w := newWorld(t, "boron@6.2.0")
	refuse := true
	w.peer.answer = func(m message) ([][]byte, bool) {
		if s, err := pdc.ParseSubscribe(m.m); err == nil && s.Filter == "vdev/in" && refuse {
			return [][]byte{{0x60, 0x80, m.wire[2], m.wire[3]}}, true
		}
		return nil, false
	}
	w.online()
	reconnect := func() string {
		w.do(w.dev.Disconnect)
		w.clear().do(w.dev.Connect)
		w.pass(time.Second)
		return strings.Join(w.kinds(), ", ")
	}
	refuse = false
	if got := reconnect(); !strings.Contains(got, "Subscribe particle, Subscribe spark, Subscribe vdev/in") {
		t.Errorf("after a refusal: %s", got)
	}
	if got := reconnect(); strings.Contains(got, "Subscribe") || strings.Contains(got, "describe") {
		t.Errorf("without a change: %s", got)
	}
	w.do(func(now clock.Instant, out *Out) { w.dev.Subscribe(now, pdc.Subscribe{Filter: "more"}, out) })
	if got := w.kinds(); got[len(got)-1] != "Subscribe more" {
		t.Errorf("Subscribe while connected: %v", got)
	}
	if got := reconnect(); strings.Contains(got, "Subscribe") {
		t.Errorf("after an acknowledged change: %s", got)
	}
	w.do(w.dev.Disconnect)
	w.do(func(now clock.Instant, out *Out) { w.dev.Subscribe(now, pdc.Subscribe{Filter: "offline"}, out) })
	if got := reconnect(); !strings.Contains(got, "Subscribe more, Subscribe offline") {
		t.Errorf("after a change: %s", got)
	}
}

// three restores without an answer, then a full handshake; before 1.2 the
// counter does not exist and it is the message timeout that counts.
func TestUseCounter(t *testing.T) {
	for _, c := range []struct {
		profile string
		resumes int
	}{{"boron@6.2.0", 3}, {"electron@1.2.1", 3}, {"electron@0.5.3", 6}} {
		t.Run(c.profile, func(t *testing.T) {
			w := newWorld(t, c.profile).online()
			w.peer.deaf = true
			for i := range 6 {
				w.clear().restart()
				w.pass(2 * time.Second)
				if e := w.wantEvent(Connecting); e.Resumed != (i < c.resumes) {
					t.Errorf("restart %d: resumes %v", i+1, e.Resumed)
				}
			}
		})
	}
}

// the ping of a resume is not guarded by the ping timeout: it fails as any
// message, after 60 to 90 s.
func TestUnansweredResume(t *testing.T) {
	w := newWorld(t, "boron@3.1.0").online()
	w.peer.deaf = true
	w.do(w.dev.Disconnect)
	w.clear().run(90 * time.Second) // the goodbye of the disconnect fails too
	w.clear().do(w.dev.Connect)
	start := w.now
	w.pass(59 * time.Second)
	w.wantNoEvent(Offline)
	w.pass(32 * time.Second)
	w.gone(MessageTimeout, true)
	pings := 0
	for _, m := range w.sent {
		if m.kind == pdc.KindPing {
			pings++
		}
	}
	if pings != 4 {
		t.Errorf("%d transmissions of the ping since %v", pings, start)
	}
}

// what a session belongs to has changed.
func TestSessionThatFitsNoMore(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
	}{
		{"size", func(w *world) { w.dev.NVRAM().Session.Size = 238 }},
		{"server", func(w *world) { w.cfg.Server = "elsewhere.test" }},
		{"keys", func(w *world) { w.dev.NVRAM().Session.Keys++ }},
		{"garbage", func(w *world) { w.dev.NVRAM().Session.DTLS = []byte{1, 2, 3} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "boron@6.2.0").online()
			w.do(w.dev.Disconnect)
			c.change(w)
			w.clear().do(w.dev.Connect)
			w.pass(time.Second)
			if e := w.wantEvent(Connecting); e.Resumed || w.wire[0].data[0] != 22 {
				t.Errorf("resumes, first record of type %d", w.wire[0].data[0])
			}
		})
	}
}

// D-4, R-79: any RST discards the session, whatever its id.
func TestResetDiscards(t *testing.T) {
	for _, name := range []string{"boron@6.2.0", "electron@0.5.3"} {
		w := newWorld(t, name).online()
		w.clear().send("70 00 77 77")
		w.gone(MessageReset, true)
		w.pass(time.Second)
		if e := w.wantEvent(Connecting); e.Resumed {
			t.Errorf("%s: resumes", name)
		}
	}
}

// close_notify ends the session; a plaintext alert does not.
func TestCloseNotify(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.down(gen.Hex("15 fefd 0000 000000000009 0002 0228"))
	w.settle()
	w.alive()
	w.clear()
	w.peer.link.Close(&w.peer.lout)
	w.peer.flush()
	w.settle()
	w.gone(RemoteClosed, true)
}

// datagrams that are ignored in an established session, and the one that
// is not up to generation D (TRN-2.11).
func TestAbnormalDatagrams(t *testing.T) {
	for _, name := range []string{"boron@6.2.0", "boron@3.1.0", "boron@2.3.1", "boron@1.4.4", "boron@1.2.1", "electron@0.5.3"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, name).online()
			for _, b := range []string{
				"", "00", "17 fefd 0000 000000000000 0003 010203", "17 fefd 0002 000000000001 0003 010203",
				"17 fefd 0001 000000000077 0018 000100000000007700112233445566778899aabbccddeeff", "17 fefd 0001 000000000078 0000",
				"16 fefd 0000 000000000000 0010 01000004 0000 000000 000004 00000000",
			} {
				w.down(gen.Hex(b))
				w.settle()
			}
			w.alive()
			w.clear().down(gen.Hex("16 fefd 0001 000000007777 0010 0000"))
			w.settle()
			if w.dev.Profile().AtLeast(2100) {
				w.alive()
			} else {
				w.gone(ReceiveFailed, true)
			}
		})
	}
}

// N-50: key change 01 discards the session, 00 is only acknowledged.
func TestKeyChange(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.clear().send("41 03 20 41 92 b1 6b 41 00")
	w.wantSent("60 00 20 41")
	w.alive()
	w.clear().send("41 03 20 42 92 b1 6b 41 01")
	w.wantSent("60 00 20 42")
	w.gone(SessionDiscarded, true)
}

// TRN-3.5: a socket error discards the session in some releases.
func TestSocketError(t *testing.T) {
	for name, discards := range map[string]bool{"boron@6.2.0": false, "boron@3.0.0": true, "boron@2.3.1": false, "boron@1.4.4": true} {
		w := newWorld(t, name).online()
		w.clear().do(w.dev.SocketFailed)
		if e := w.wantEvent(Offline); e.Discarded != discards {
			t.Errorf("%s: discarded %v", name, e.Discarded)
		}
	}
}

// a new address in a session: with connection ids the conversation goes
// on, before it the device recovers by a resume.
func TestAddressChange(t *testing.T) {
	w := newWorld(t, "argon@6.2.0").online()
	sockets := w.sockets
	w.clear().do(w.dev.NetworkChanged)
	w.alive()
	if w.sockets != sockets+1 {
		t.Error("no new socket")
	}
	w = newWorld(t, "argon@2.3.1").online()
	w.clear().do(w.dev.NetworkChanged)
	w.peer.silent = true // the cloud does not know the address
	w.pass(61 * time.Second)
	w.gone(PingTimeout, false)
	w.peer.silent = false
	w.pass(20 * time.Second)
	if e := w.wantEvent(Online); !e.Resumed {
		t.Error("not resumed")
	}
}

// An update over the boundary of a session's size does not resume.
func TestResumeAcrossReleases(t *testing.T) {
	w := newWorld(t, "boron@3.0.0").online()
	w.do(func(now clock.Instant, out *Out) { w.dev.Suspend(now, out) })
	modules := Factory(w.dev.prof)
	for i := range modules {
		if modules[i].Function == pdc.ModuleSystemPart {
			modules[i].Version = 6200
		}
	}
	w.dev.NVRAM().Modules = modules
	w.clear().do(w.dev.PowerOn)
	w.pass(5 * time.Second)
	if e := w.wantEvent(Connecting); e.Resumed {
		t.Error("resumes")
	}
	if w.dev.Profile().String() != "boron@6.2.0" || w.sent[0].wire[0] != 0x40 {
		t.Errorf("runs as %v", w.dev.Profile())
	}
}

// The memory of a device survives its encoding.
func TestNVRAMCodec(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.do(func(now clock.Instant, out *Out) { w.dev.Suspend(now, out) })
	nv := w.dev.NVRAM()
	nv.ClaimCode, nv.MovedTo, nv.Applied, nv.KeyErrors = "code", "there", true, 5
	nv.Modules = Factory(w.dev.prof)
	nv.Partial = &Partial{SHA256: [32]byte{1}, Size: 10, Data: []byte{1, 2, 3}, Flushed: 2}
	b := nv.Append(nil)
	got, err := ParseNVRAM(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := got.Append(nil); string(again) != string(b) {
		t.Error("the encoding of what was read differs")
	}
	for i := range b {
		if _, err := ParseNVRAM(b[:i]); err == nil {
			t.Errorf("cut at %d it is read", i)
		}
	}
	_ = coap.Empty
}

func FuzzParseNVRAM(f *testing.F) {
	f.Add((&NVRAM{}).Append(nil))
	f.Add((&NVRAM{ClaimCode: "c", Session: &Session{DTLS: []byte{1}}, Partial: &Partial{Data: []byte{1}, Size: 1}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		nv, err := ParseNVRAM(b)
		if err != nil {
			return
		}
		if again, err := ParseNVRAM(nv.Append(nil)); err != nil || string(again.Append(nil)) != string(nv.Append(nil)) {
			t.Errorf("%x does not survive", b)
		}
	})
}

// TRN-3.7, captures: a cloud that has lost the session of 6.2.0 and stays silent
// is resumed three times, at +0, +56 and +112 s, and sees a handshake at +168 s.
func TestSilentCloudAfterResume(t *testing.T) {
	w := newWorld(t, "argon@6.2.0").online()
	w.do(w.dev.Disconnect)
	w.peer.silent = true
	start := w.now
	w.clear().do(w.dev.Connect)
	w.pass(170 * time.Second)
	var at []int
	for _, p := range w.wire {
		if p.data[0] == 22 {
			at = append(at, int(p.at.Sub(start)/time.Second))
			break
		}
	}
	resumes := 0
	for _, e := range w.events {
		if e.Kind == Connecting && e.Resumed {
			resumes++
		}
	}
	if resumes != 3 || len(at) != 1 || at[0] < 166 || at[0] > 169 {
		t.Errorf("%d resumes, ClientHello at %v s", resumes, at)
	}
}

// TRN-4.2: on a path of reduced MTU Hello is said at every resume.
func TestReducedMTU(t *testing.T) {
	w := newWorld(t, "boron@6.2.0", func(c *Config) { c.MTU = 1200 }).online()
	if h, err := pdc.ParseHello(w.sent[0].m); err != nil || h.MaxMessage != 1072 {
		t.Errorf("%+v %v", h, err)
	}
	w.do(w.dev.Disconnect)
	w.clear().do(w.dev.Connect)
	w.pass(time.Second)
	if w.sent[0].kind != pdc.KindHello {
		t.Errorf("sent %v", w.kinds())
	}
}

// TRN-4.1: from 0.6 to 1.5 Hello is skipped when the cloud has asked for the
// describe, so that everything is known to it.
func TestOldStateIsKnownByTheDescribe(t *testing.T) {
	w := newWorld(t, "electron@1.4.4").online()
	reconnect := func() []string {
		w.do(w.dev.Disconnect)
		w.clear().do(w.dev.Connect)
		w.pass(time.Second)
		return w.kinds()
	}
	if got := reconnect(); got[0] != "Hello" {
		t.Errorf("without a describe: %v", got)
	}
	w.tell(pdc.DescribeRequest{Token: []byte{1}, Flags: pdc.DescribeDefault})
	if got := reconnect(); got[0] != "Ping" {
		t.Errorf("with a describe: %v", got)
	}
}
