package device

import (
	"bytes"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// Every profile connects, publishes, is called and read, sleeps, and comes back;
// and every message that it sends is one of the catalogue, in the form of its
// release.
func TestEveryProfile(t *testing.T) {
	for _, p := range profile.All() {
		t.Run(p.String(), func(t *testing.T) {
			w := newWorld(t, p.String()).online()
			w.do(func(now clock.Instant, out *Out) {
				if err := w.dev.Publish(now, Publication{Name: "temp", Data: []byte("21.5")}, out); err != nil {
					t.Error(err)
				}
			})
			w.tell(pdc.FunctionCall{Token: []byte{1}, Name: "len", Argument: "abc"})
			w.tell(pdc.VariableRequest{Token: []byte{2}, Name: "vInt"})
			w.tell(pdc.DescribeRequest{Token: []byte{3}, Flags: pdc.DescribeSystem})
			w.tell(pdc.Signal{Token: []byte{4}, On: true})
			w.tell(pdc.EventDelivery{Name: "vdev/inx", Data: []byte("x"), Private: true})
			for _, k := range []EventKind{FunctionCalled, VariableRead, Signalled, EventReceived} {
				w.wantEvent(k)
			}
			w.alive()
			for _, m := range w.sent {
				if m.kind == pdc.KindUnknown || !m.kind.SpokenBy(w.dev.Dialect()) {
					t.Errorf("sent %v: %x", m.kind, m.wire)
				}
			}
			w.clear().do(func(now clock.Instant, out *Out) { w.dev.Sleep(now, time.Hour, out) })
			w.pass(time.Hour + 2*time.Minute)
			if e := w.wantEvent(Online); e.Resumed && !p.Board.UDP {
				t.Error("resumed over TCP")
			}
		})
	}
}

// two connects send two different C1 with the same id and key inside.
func TestC1Differs(t *testing.T) {
	w := newWorld(t, "photon@3.1.0").online()
	first := bytes.Clone(w.wire[0].data)
	w.do(w.dev.Disconnect)
	w.clear().do(w.dev.Connect)
	w.pass(time.Second)
	if len(first) != 256 || len(w.wire[0].data) != 256 || bytes.Equal(first, w.wire[0].data) {
		t.Errorf("C1 of %d and %d bytes", len(first), len(w.wire[0].data))
	}
	if !w.dev.Online() {
		t.Error("not online")
	}
}

// Equal seeds give equal bytes, another seed gives others.
func TestRunsRepeat(t *testing.T) {
	run := func(s uint64) []byte {
		w := newWorld(t, "boron@6.2.0", func(c *Config) { c.Seed = s }).online()
		var all []byte
		for _, p := range w.wire {
			all = append(all, p.data...)
		}
		return all
	}
	if !bytes.Equal(run(1), run(1)) || bytes.Equal(run(1), run(2)) {
		t.Error("a run does not repeat")
	}
}

// A fault makes a device misbehave.
func TestFaults(t *testing.T) {
	with := func(name string, f Faults) *world {
		return newWorld(t, name, func(c *Config) { c.Faults = &f })
	}
	w := with("argon@6.2.0", Faults{NoPing: true}).online()
	w.clear().pass(time.Hour)
	w.wantSent()

	w = with("boron@6.2.0", Faults{NoGoodbye: true}).online()
	w.clear().do(w.dev.Disconnect)
	w.wantSent()

	w = with("boron@6.2.0", Faults{HelloID: &ID{1}}).online()
	if h, err := pdc.ParseHello(w.sent[0].m); err != nil || h.DeviceID[0] != 1 {
		t.Errorf("%+v %v", h, err)
	}

	w = with("boron@6.2.0", Faults{DoubleResult: true}).online()
	w.clear().tell(pdc.FunctionCall{Token: []byte{1}, Name: "len"})
	if len(w.sent) != 3 {
		t.Errorf("sent %v", w.kinds())
	}

	w = with("boron@6.2.0", Faults{NoResult: true}).online()
	w.clear().tell(pdc.FunctionCall{Token: []byte{1}, Name: "len"})
	if len(w.sent) != 1 {
		t.Errorf("sent %v", w.kinds())
	}

	w = with("boron@6.2.0", Faults{UnlimitedRate: true}).online()
	w.clear()
	for range 20 {
		w.do(func(now clock.Instant, out *Out) { _ = w.dev.Publish(now, Publication{Name: "x"}, out) })
	}
	if len(w.sent) != 20 {
		t.Errorf("%d events", len(w.sent))
	}

	w = with("boron@6.2.0", Faults{AlwaysHello: true}).online()
	w.do(w.dev.Disconnect)
	w.clear().do(w.dev.Connect)
	w.pass(time.Second)
	if w.sent[0].kind != pdc.KindHello {
		t.Errorf("sent %v", w.kinds())
	}

	w = with("boron@6.2.0", Faults{ResumeForever: true}).online()
	w.peer.deaf = true
	for range 5 {
		w.clear().restart()
		w.pass(2 * time.Second)
		if e := w.wantEvent(Connecting); !e.Resumed {
			t.Error("does not resume")
		}
	}

	w = with("boron@6.2.0", Faults{AcceptAnyImage: true}).online()
	img := image(w, pdc.ModuleUserPart, 2000)
	img[300] ^= 1
	s := newSender(w, img)
	s.begin()
	s.all()
	if r := s.finish(); r.Refused != 0 {
		t.Errorf("%+v", r)
	}

	w = with("boron@6.2.0", Faults{ApplyUnacknowledged: true}).online()
	s = newSender(w, image(w, pdc.ModuleUserPart, 2000))
	s.begin()
	s.all()
	w.peer.answer = func(m message) ([][]byte, bool) { return nil, m.m.Code == coap.Changed }
	s.finish()
	w.wantEvent(UpdateApplied)

	w = with("boron@6.2.0", Faults{NoChunkAcks: true}).online()
	s = newSender(w, image(w, pdc.ModuleUserPart, 2000))
	s.begin()
	w.clear()
	s.all()
	w.pass(time.Second)
	w.wantSent()
}
