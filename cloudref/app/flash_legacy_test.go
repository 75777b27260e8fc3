package app

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A legacyTest is a transfer by the chunked protocol, and a device that takes
// it.
type legacyTest struct {
	*cloudTest
	data   []byte
	chunks map[int][]byte
	order  []int
	all    []FlashProgress
}

func newLegacyTest(t *testing.T, dia pdc.Dialect, size int) *legacyTest {
	t.Helper()
	x := &legacyTest{cloudTest: brewer(t, dia, nil), chunks: map[int][]byte{}}
	x.data = testImage(t, dia, size, nil)
	x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, x.data), out) })
	return x
}

// ready accepts the UpdateBegin of the last call.
func (x *legacyTest) ready(fast bool) {
	x.t.Helper()
	s := x.lastSend(pdc.KindUpdateBegin)
	u, err := pdc.ParseUpdateBegin(s.Message)
	if err != nil || int(u.Length) != len(x.data) || u.ChunkSize != 512 || !u.Fast || u.Store != 0 {
		x.t.Fatalf("sent %+v, %v", u, err)
	}
	x.ack(s, coap.Message{})
	if len(x.sends) > 0 {
		x.t.Fatalf("sent %v before UpdateReady (C-46)", x.sends)
	}
	x.receive(pdc.UpdateReady{Token: s.Message.Token, Fast: fast}.Message(x.dia))
}

// drain takes fast chunks until something else comes, which it returns.
func (x *legacyTest) drain() Send {
	x.t.Helper()
	for range 10_000 {
		for _, e := range x.effects {
			if p, ok := e.(FlashProgress); ok {
				x.all = append(x.all, p)
			}
		}
		for _, s := range x.sends {
			if pdc.Classify(s.Message, false) != pdc.KindChunk {
				return s
			}
			c, err := pdc.ParseChunk(s.Message)
			if err != nil || !c.Fast || s.Message.Type != coap.NonConfirmable || c.CRC != pdc.ChunkCRC(c.Data) || len(c.Data) != 512 {
				x.t.Fatalf("sent %+v, %v", c, err)
			}
			x.chunks[int(c.Index)] = c.Data
			x.order = append(x.order, int(c.Index))
		}
		before := x.now
		x.now = x.d.Deadline()
		if x.now.Sub(before) > time.Minute {
			x.t.Fatalf("nothing comes: next in %v", x.now.Sub(before))
		}
		x.run(func(out *Out) { x.d.Advance(x.now, out) })
	}
	x.t.Fatal("no end")
	return Send{}
}

func (x *legacyTest) image() []byte {
	var b []byte
	for i := range len(x.chunks) {
		b = append(b, x.chunks[i]...)
	}
	return b[:min(len(b), len(x.data))]
}

// done answers UpdateDone with success.
func (x *legacyTest) done(s Send, report string) {
	x.t.Helper()
	if _, err := pdc.ParseUpdateDone(s.Message); err != nil {
		x.t.Fatalf("sent %v, want UpdateDone: %v", s.Message, err)
	}
	x.ack(s, coap.Message{Code: coap.Changed, Token: s.Message.Token, Payload: []byte(report)})
}

func (x *legacyTest) wantStage(want FlashStage) FlashProgress {
	x.t.Helper()
	p, _ := effectOf[FlashProgress](x.cloudTest)
	if p.Stage != want {
		x.t.Fatalf("got %+v, want %v", p, want)
	}
	return p
}

func TestFastTransfer(t *testing.T) {
	for _, dia := range []pdc.Dialect{photon05, electron12, photon23, electron23} {
		t.Run(pdc.Release(dia.System), func(t *testing.T) {
			x := newLegacyTest(t, dia, 5000)
			x.ready(true)
			x.done(x.drain(), `{"r":0}`)
			x.wantStage(FlashRestarting)
			if !bytes.Equal(x.image(), x.data) || len(x.order) != 10 {
				t.Errorf("%d chunks: %v", len(x.order), x.order)
			}
			x.run(func(out *Out) { x.d.Lost(x.now, out) })
			x.hello(pdc.HelloUpdated)
			x.wantStage(FlashDone)
		})
	}
}

// Device OS: the virtual device before 3.1 lists no modules, and its Hello never says
// that it was updated. It is back, and that is all there will be.
func TestUpdateOfOneWithoutModules(t *testing.T) {
	x := newLegacyTest(t, pdc.NewDialect(2302, pdc.GCC), 5000)
	x.ready(true)
	x.done(x.drain(), `{"r":0}`)
	x.wantStage(FlashRestarting)
	x.run(func(out *Out) { x.d.Lost(x.now, out) })
	x.hello(0)
	if p, judged := effectOf[FlashProgress](x.cloudTest); judged {
		t.Errorf("judged %+v by a Hello that says nothing", p)
	}
	x.receive(pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeSystem, Payload: []byte(`{"p":3,"m":[]}`)}.Message(x.dia))
	x.wantStage(FlashDone)
	if x.d.profile.pending != nil {
		t.Error("still pending")
	}
}

// C-46: exactly the chunks that the device misses, then UpdateDone again,
// whatever comes first: the ACK or the list.
func TestMissedChunks(t *testing.T) {
	for _, early := range []bool{false, true} {
		x := newLegacyTest(t, electron23, 5000)
		x.ready(true)
		s := x.drain()
		x.order = nil
		missed := pdc.ChunkMissed{Indices: []uint16{1, 5, 900}}.Message(x.dia)
		if !early {
			x.ack(s, coap.Message{Code: coap.BadRequest, Token: s.Message.Token})
		}
		x.receive(missed)
		x.wantReply(coap.Empty, 0)
		if early {
			sends := x.sends
			x.ack(s, coap.Message{Code: coap.BadRequest, Token: s.Message.Token})
			x.sends = sends
		}
		s = x.drain()
		if !slices.Equal(x.order, []int{1, 5}) {
			t.Errorf("early %v: sent chunks %v, want 1 and 5", early, x.order)
		}
		x.done(s, `{"r":0}`)
		x.wantStage(FlashRestarting)
	}
}

// A device that lost its connection meanwhile answers UpdateDone without a
// report: it runs no update. The transfer begins anew.
func TestDoneWithoutUpdate(t *testing.T) {
	x := newLegacyTest(t, electron23, 5000)
	x.ready(true)
	x.done(x.drain(), "")
	x.wantStage(FlashStarting)
}

// A device that never gets enough is given up.
func TestMissedForEver(t *testing.T) {
	x := newLegacyTest(t, electron23, 5000)
	x.ready(true)
	for range 1000 {
		s := x.drain()
		x.ack(s, coap.Message{Code: coap.BadRequest, Token: s.Message.Token})
		x.receive(pdc.ChunkMissed{Indices: []uint16{0, 1, 2, 3}}.Message(x.dia))
		if p, _ := effectOf[FlashProgress](x.cloudTest); p.Stage == FlashFailed {
			if len(x.order) > 10*10+150 {
				t.Errorf("gave up after %d chunks", len(x.order))
			}
			return
		}
	}
	t.Error("no end")
}

// C-48 and PDC-6.2: up to 0.7 the device asks batch by batch, and ends the
// transfer itself.
func TestTransferEndedByTheDevice(t *testing.T) {
	x := newLegacyTest(t, photon05, 5000)
	x.ready(true)
	s := x.drain()
	x.ack(s, coap.Message{Code: coap.BadRequest, Token: s.Message.Token})
	x.receive(pdc.ChunkMissed{Indices: []uint16{2}}.Message(x.dia))
	if x.wait(10 * time.Second); len(x.sends) > 0 {
		t.Errorf("sent %v, but it is the device's turn", x.sends)
	}
	x.receive(pdc.ChunkMissed{Indices: []uint16{3, 4}}.Message(x.dia))
	x.wait(10 * time.Second)
	x.receive(pdc.DeviceUpdateDone{}.Message(x.dia))
	x.wantStage(FlashRestarting)
}

// C-47: one chunk after another, a bad one again, an accepted one never.
func TestSlowTransfer(t *testing.T) {
	x := newLegacyTest(t, electron12, 1500)
	x.ready(false)
	var crcs []uint32
	for i := 0; ; i++ {
		s := x.sends[len(x.sends)-1]
		if pdc.Classify(s.Message, false) != pdc.KindChunk {
			x.done(s, `{"r":"ok"}`)
			break
		}
		c, err := pdc.ParseChunk(s.Message)
		if err != nil || c.Fast || s.Message.Type != coap.Confirmable {
			t.Fatalf("sent %+v, %v", c, err)
		}
		crcs = append(crcs, c.CRC)
		verdict := pdc.ChunkReceived{Token: c.Token, OK: i != 1}.Message(x.dia)
		if i == 2 { // the verdict overtakes the ACK
			x.receive(verdict)
			sends := x.sends
			x.ack(s, coap.Message{})
			if len(x.sends) > 0 {
				t.Errorf("the late ACK made the cloud send %v", x.sends)
			}
			x.sends = sends
			continue
		}
		x.ack(s, coap.Message{})
		x.receive(verdict)
		x.wantReply(coap.Empty, 0)
	}
	if len(crcs) != 4 || crcs[1] != crcs[2] || crcs[0] == crcs[1] || crcs[2] == crcs[3] {
		t.Errorf("sent chunks with CRCs %x", crcs)
	}
	x.wantStage(FlashRestarting)
}

// PDC-6.2: a refusal, a device that does not get ready, an image that the device
// does not take, an image that it does not run.
func TestLegacyFailures(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		x := newLegacyTest(t, electron12, 1500)
		s := x.lastSend(pdc.KindUpdateBegin)
		x.ack(s, coap.Message{Code: coap.ServiceUnavailable, Token: s.Message.Token})
		if p := x.wantStage(FlashFailed); p.Err.Code != coap.ServiceUnavailable {
			t.Errorf("got %v", p.Err)
		}
	})
	t.Run("never ready", func(t *testing.T) {
		x := newLegacyTest(t, electron12, 1500)
		begins := 0
		for range 10 {
			if len(x.sends) == 0 {
				break
			}
			x.ack(x.lastSend(pdc.KindUpdateBegin), coap.Message{})
			begins++
			x.now = x.d.Deadline()
			x.run(func(out *Out) { x.d.Advance(x.now, out) })
		}
		if begins != 4 {
			t.Errorf("%d UpdateBegin, want 4", begins)
		}
		x.wantStage(FlashFailed)
	})
	t.Run("report", func(t *testing.T) {
		x := newLegacyTest(t, electron23, 1500)
		x.ready(true)
		x.done(x.drain(), `{"r":-1360}`)
		if p := x.wantStage(FlashFailed); p.Err.System != -1360 {
			t.Errorf("got %v", p.Err)
		}
	})
	t.Run("not back", func(t *testing.T) {
		x := newLegacyTest(t, electron23, 1500)
		x.ready(true)
		x.done(x.drain(), `{"r":0}`)
		x.wait(11 * time.Minute)
		if p := x.wantStage(FlashFailed); p.Err.Reason != NotApplied {
			t.Errorf("got %v", p.Err)
		}
	})
	t.Run("interrupted for ever", func(t *testing.T) {
		x := newLegacyTest(t, electron23, 1500)
		for range flashInterruptionsMax + 1 {
			x.run(func(out *Out) { x.d.Lost(x.now, out) })
			if p, _ := effectOf[FlashProgress](x.cloudTest); p.Stage == FlashFailed {
				return
			}
			x.run(func(out *Out) { x.d.Resumed(x.now, out) })
			x.wait(3 * time.Second)
			x.lastSend(pdc.KindUpdateBegin) // from the beginning (PDC-6.2)
		}
		t.Error("no end")
	})
}
