package app

import (
	"bytes"
	"testing"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// fullState is a device with everything that is stored.
func fullState(t *testing.T) *cloudTest {
	t.Helper()
	x := brewer(t, boron62, nil)
	x.receive(pdc.Subscribe{Filter: "te", Type: pdc.HandlerStructured}.Message(x.dia))
	x.receive(pdc.Subscribe{Filter: "particle"}.Message(x.dia))
	x.receive(pdc.Publish{Private: true, Name: pdc.EventUpdatesForced, Data: []byte("true")}.Message(x.dia))
	x.receive(pdc.Publish{Private: true, Name: pdc.EventSafeMode}.Message(x.dia))
	x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, testImage(t, x.dia, 600, nil)), out) })
	return x
}

func TestStateRoundTrip(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *cloudTest{
		"full":  fullState,
		"new":   func(t *testing.T) *cloudTest { return newCloudTest(t, boron62, nil) },
		"hello": func(t *testing.T) *cloudTest { x := newCloudTest(t, photon05, nil); x.hello(0); return x },
	} {
		t.Run(name, func(t *testing.T) {
			x := make(t)
			session, describe := x.d.AppendState(SaveSession, nil), x.d.AppendState(SaveDescribe, nil)
			old := x.d
			x.restart()
			if !bytes.Equal(x.d.AppendState(SaveSession, nil), session) || !bytes.Equal(x.d.AppendState(SaveDescribe, nil), describe) {
				t.Error("the state changes when it is restored")
			}
			if x.d.SafeMode() != old.SafeMode() || x.d.UpdateFlags() != old.UpdateFlags() || x.d.Describe() != old.Describe() {
				t.Errorf("restored %+v, want %+v", x.d.profile, old.profile)
			}
		})
	}
}

// A state that is cut short is refused or restores something; it never panics.
func TestStateCut(t *testing.T) {
	x := fullState(t)
	session, describe := x.d.AppendState(SaveSession, nil), x.d.AppendState(SaveDescribe, nil)
	for n := range session {
		if _, err := Restore(x.d.ID(), &x.c, session[:n], describe); err == nil {
			t.Errorf("a session state cut at %d of %d is accepted", n, len(session))
		}
	}
	for n := 1; n < len(describe); n++ {
		if _, err := Restore(x.d.ID(), &x.c, session, describe[:n]); err == nil {
			t.Errorf("a describe cut at %d of %d is accepted", n, len(describe))
		}
	}
	if _, err := Restore(x.d.ID(), &x.c, session, nil); err != nil {
		t.Errorf("without a describe: %v", err)
	}
	session[0]++
	if _, err := Restore(x.d.ID(), &x.c, session, describe); err == nil {
		t.Error("another version is accepted")
	}
}

func FuzzRestore(f *testing.F) {
	x := fullState(&testing.T{})
	f.Add(x.d.AppendState(SaveSession, nil), x.d.AppendState(SaveDescribe, nil))
	f.Add([]byte{1}, []byte{})
	c := Config{}.Defaults()
	f.Fuzz(func(t *testing.T, session, describe []byte) {
		d, err := Restore(DeviceID{}, &c, session, describe)
		if err != nil {
			return
		}
		again := d.AppendState(SaveSession, nil)
		e, err := Restore(DeviceID{}, &c, again, d.AppendState(SaveDescribe, nil))
		if err != nil {
			t.Fatalf("what was restored cannot be restored: %v", err)
		}
		if !bytes.Equal(e.AppendState(SaveSession, nil), again) {
			t.Error("the state changes")
		}
	})
}

// FuzzReceive gives a device arbitrary messages in the middle of everything.
// Each Confirmable one is answered once, and never with a Reset.
func FuzzReceive(f *testing.F) {
	for _, wire := range []string{
		"40021001b168ff000dffff00f6000d000ce00fce68a1b2c3d4e5f6071818380480001770000200", "40021015b1450178ff",
		"410210023 1b16441 02ff7b7d", "4101104081b174", "400110 21b16508706172746963 6c65", "50021071b141e106e902", "50021072b141e106e902ff16000000",
		"410210a0d1b14cff080112080a066d7964617461", "4144103061ffffffffff", "400210 41b178ff0506901c", "40011062b163ff00010005", "40031050b175",
		"4145100 65a4101812ab10eff00", "414510310 1ff01", "418410 3201", "4141107001e106f88040",
	} {
		f.Add(gen.Hex(wire), byte(0))
		f.Add(gen.Hex(wire), byte(1))
	}
	base := fullState(&testing.T{})
	session, describe := base.d.AppendState(SaveSession, nil), base.d.AppendState(SaveDescribe, nil)
	image := parseImage(&testing.T{}, testImage(&testing.T{}, boron62, 20_000, nil))
	f.Fuzz(func(t *testing.T, wire []byte, state byte) {
		m, err := coap.Parse(wire)
		if err != nil || m.Type == coap.Acknowledgement || m.Type == coap.Reset || m.Code == coap.Empty {
			return
		}
		c := Config{}.Defaults()
		d, err := Restore(base.d.ID(), &c, session, describe)
		if err != nil {
			t.Fatal(err)
		}
		var out Out
		d.Resumed(base.now, &out)
		if state&1 != 0 {
			d.RestoreFlash(base.now, image, &out)
		}
		d.Call(base.now, 1, "brew", "", &out)
		d.Advance(base.now.Add(d.c.FlashResumeDelay), &out)
		out.Reset()
		for range 2 {
			d.Receive(base.now, m, &out)
			d.Advance(base.now.Add(d.c.FlashResumeDelay), &out)
		}
		for _, r := range out.Replies {
			r.Message.Append(nil)
			if r.Message.Type == coap.Reset {
				t.Fatal("a Reset")
			}
		}
		for _, s := range out.Sends {
			s.Message.Append(nil)
		}
		if _, err := Restore(base.d.ID(), &c, d.AppendState(SaveSession, nil), d.AppendState(SaveDescribe, nil)); err != nil {
			t.Fatalf("the state cannot be restored: %v", err)
		}
	})
}

func FuzzParseImage(f *testing.F) {
	f.Add(testImage(&testing.T{}, boron62, 300, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ParseImage(data); err != nil {
			return
		}
		// What is taken is whole: no byte of it may be another.
		data = bytes.Clone(data) // it is the fuzzer's
		for i := range data {
			data[i] ^= 1
			if _, err := ParseImage(data); err == nil {
				t.Fatalf("byte %d may be changed", i)
			}
			data[i] ^= 1
		}
	})
}
