package app

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// testImage is a user part for the platform, of about size bytes.
func testImage(t *testing.T, dia pdc.Dialect, size int, edit func(*module.Module)) []byte {
	t.Helper()
	m := module.Module{Prefix: module.Prefix{
		Start: 0xd4000, Version: 7, Platform: dia.Platform, Function: pdc.ModuleUserPart, Index: 1,
		Dependencies: [2]module.Dependency{{Function: pdc.ModuleSystemPart, Index: 1, Version: dia.System}},
	}}
	if edit != nil {
		edit(&m)
	}
	m.Fill(size, seed.Bytes(1, "image"))
	return m.Append(nil)
}

func parseImage(t *testing.T, data []byte) *Image {
	t.Helper()
	image, err := ParseImage(data)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// C-39: an image that is damaged is never an Image.
func TestDamagedImages(t *testing.T) {
	good := testImage(t, boron62, 3000, nil)
	parseImage(t, good)
	for name, data := range map[string][]byte{
		"truncated": good[:len(good)-1],
		"longer":    append(slices.Clone(good), 0),
		"empty":     {},
		"flipped":   func() []byte { b := slices.Clone(good); b[100] ^= 1; return b }(),
		"flipped sha": func() []byte {
			b := slices.Clone(good)
			b[len(b)-20] ^= 1
			return b
		}(),
		"too large": make([]byte, imageSizeMax+1),
	} {
		if _, err := ParseImage(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// C-39: an image that does not suit the device is refused, and nothing is sent.
func TestUnsuitableImages(t *testing.T) {
	for _, test := range []struct {
		name string
		dia  pdc.Dialect
		size int
		edit func(*module.Module)
		want pdc.SystemError // 0: it is sent
	}{
		{"good", boron62, 3000, nil, 0},
		{"wrong platform", boron62, 3000, func(m *module.Module) { m.Platform = pdc.Argon }, pdc.ErrPlatform},
		{"function", boron62, 3000, func(m *module.Module) { m.Function = pdc.ModuleSettings }, pdc.ErrModuleFunction},
		{"larger than the slot", boron62, 1_536_004, nil, pdc.ErrModuleSize},
		{"system part with a newer dependency", boron62, 3000, func(m *module.Module) {
			m.Function, m.Dependencies[0].Version = pdc.ModuleSystemPart, 6300
		}, pdc.ErrDependency},
		{"user part with a newer dependency goes", boron62, 3000, func(m *module.Module) { m.Dependencies[0].Version = 6300 }, 0},
		{"good, legacy", photon23, 3000, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := brewer(t, test.dia, nil)
			image := parseImage(t, testImage(t, test.dia, test.size, test.edit))
			x.run(func(out *Out) { x.d.Flash(x.now, 1, image, out) })
			if test.want == 0 {
				if len(x.sends) != 1 {
					t.Errorf("sent %v: %+v", x.sends, x.effects)
				}
				return
			}
			p, _ := effectOf[FlashProgress](x)
			if p.Stage != FlashFailed || p.Err.Reason != BadImage || p.Err.System != int32(test.want) || len(x.sends) > 0 {
				t.Errorf("got %+v, sent %v; want error %d", p, x.sends, test.want)
			}
		})
	}
	t.Run("compressed without flag 0x40", func(t *testing.T) {
		x := brewer(t, electron23, nil)
		p := module.Prefix{Start: 0x80a0000, Version: 7, Platform: pdc.Electron, Function: pdc.ModuleUserPart, Index: 1}
		m := module.Compress(p, testImage(t, electron23, 3000, nil))
		image := parseImage(t, m.Append(nil))
		x.run(func(out *Out) { x.d.Flash(x.now, 1, image, out) })
		if p, _ := effectOf[FlashProgress](x); p.Stage != FlashFailed || len(x.sends) > 0 {
			t.Errorf("got %+v, sent %v", p, x.sends)
		}
	})
}

// C-50: an update waits until the application allows it, or is overruled.
func TestHeldUpdate(t *testing.T) {
	x := brewer(t, boron62, nil)
	say := func(name, data string) {
		x.receive(pdc.Publish{Private: true, Name: name, Data: []byte(data)}.Message(x.dia))
	}
	say(pdc.EventUpdatesEnabled, "false")
	if e, ok := effectOf[UpdateFlags](x); !ok || e.Enabled {
		t.Errorf("got %+v", x.effects)
	}
	x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, testImage(t, x.dia, 3000, nil)), out) })
	if p, _ := effectOf[FlashProgress](x); p.Stage != FlashHeld {
		t.Errorf("got %+v", p)
	}
	s := x.lastSend(pdc.KindEventDelivery) // updates/pending
	x.ack(s, coap.Message{})
	x.run(func(out *Out) { x.d.ForceUpdates(x.now, 2, true, out) })
	x.ack(x.lastSend(pdc.KindEventDelivery), coap.Message{})
	if len(x.sends) > 0 {
		t.Fatalf("sent %v before the device confirmed", x.sends)
	}
	say(pdc.EventUpdatesForced, "true")
	x.lastSend(pdc.KindUpdateStart)
}

// C-38.
func TestProtocolIsThatOfTheHello(t *testing.T) {
	gcc := pdc.NewDialect(6200, pdc.GCC)
	for _, test := range []struct {
		dia  pdc.Dialect
		want pdc.Kind
	}{{photon05, pdc.KindUpdateBegin}, {photon23, pdc.KindUpdateBegin}, {gcc, pdc.KindUpdateBegin}, {boron31, pdc.KindUpdateStart}, {boron62, pdc.KindUpdateStart}} {
		x := brewer(t, test.dia, nil)
		x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, testImage(t, x.dia, 3000, nil)), out) })
		x.lastSend(test.want)
	}
}

// C-40, and the Module-Function option that 5.5 brought.
func TestUpdateStart(t *testing.T) {
	for _, test := range []struct {
		dia        pdc.Dialect
		maxMessage uint16
		chunk      uint32
		function   bool
	}{{boron31, 0, 1024, false}, {boron62, 0, 1024, true}, {boron62, 960, 944, true}, {boron62, 530, 516, true}} {
		x := newCloudTest(t, test.dia, nil)
		x.dia.MaxMessage = test.maxMessage
		x.hello(0)
		data := testImage(t, x.dia, 3000, nil)
		image := parseImage(t, data)
		x.run(func(out *Out) { x.d.Flash(x.now, 1, image, out) })
		u, err := pdc.ParseUpdateStart(x.lastSend(pdc.KindUpdateStart).Message)
		if err != nil || u.Check(x.dia) != nil {
			t.Fatalf("sent %+v, %v, %v", u, err, u.Check(x.dia))
		}
		if u.ChunkSize != test.chunk || u.FileSize != 3000 || string(u.SHA256) != string(image.ID[:]) ||
			u.HasModuleFunction != test.function || test.function && u.ModuleFunction != byte(pdc.ModuleUserPart) {
			t.Errorf("%+v: sent %+v", test, u)
		}
	}
}

// A receiver is the device's end of OTA v3, written from PDC-6.6.
type receiver struct {
	offset   uint32
	geometry pdc.Geometry
	got      map[uint32][]byte
	since    int // chunks since the last ack
	due      clock.Instant
	chunks   int
}

func (r *receiver) count() (n uint32) {
	for r.got[n+1] != nil {
		n++
	}
	return n
}

// chunk takes a chunk and says whether to acknowledge at once.
func (r *receiver) chunk(t *testing.T, now clock.Instant, c pdc.UpdateChunk) (ack bool) {
	t.Helper()
	_, size, ok := r.geometry.Chunk(c.Index)
	if !ok || int(size) != len(c.Data) {
		t.Errorf("chunk %d of %d bytes", c.Index, len(c.Data))
		return false
	}
	r.chunks++
	done := r.count()
	if c.Index > done+pdc.WindowFor(r.geometry.ChunkSize) {
		t.Errorf("chunk %d is beyond the window behind %d", c.Index, done)
		return true
	}
	duplicate := r.got[c.Index] != nil
	r.got[c.Index] = slices.Clone(c.Data)
	r.since++
	r.due = now.Add(200 * time.Millisecond)
	return duplicate || r.since >= 2 || c.Index != done+1 || r.count() == r.geometry.Count()
}

func (r *receiver) ack() pdc.UpdateAck {
	r.since, r.due = 0, clock.Never
	return pdc.NewUpdateAck(r.geometry.Count(), func(i uint32) bool { return r.got[i] != nil })
}

func (r *receiver) image(stored []byte) []byte {
	b := slices.Clone(stored[:r.offset])
	for i := uint32(1); i <= r.geometry.Count(); i++ {
		b = append(b, r.got[i]...)
	}
	return b
}

// A letter is a message on its way.
type letter struct {
	at clock.Instant
	up bool
	m  coap.Message
	s  Send
}

// A net carries messages between the cloud and a receiver. Confirmable ones
// arrive, because the link repeats them; others may be lost, late or double.
type net struct {
	x       *cloudTest
	rng     *rand.Rand
	loss    float64
	twice   float64
	letters []letter
	sent    []FlashProgress
	down    int // chunks sent by the cloud
	lost    func(l letter) bool
}

func (n *net) post(up bool, m coap.Message, s Send) {
	l := letter{up: up, m: m, s: s}
	copies := 1
	if m.Type == coap.NonConfirmable {
		if n.rng.Float64() < n.loss || n.lost != nil && n.lost(l) {
			return
		}
		if n.rng.Float64() < n.twice {
			copies = 2
		}
	}
	for range copies {
		l.at = n.x.now.Add(50*time.Millisecond + time.Duration(n.rng.IntN(30))*time.Millisecond)
		n.letters = append(n.letters, l)
	}
}

// collect takes what the cloud said.
func (n *net) collect() {
	for _, e := range n.x.effects {
		if p, ok := e.(FlashProgress); ok {
			n.sent = append(n.sent, p)
		}
	}
	for _, s := range n.x.sends {
		if pdc.Classify(s.Message, false) == pdc.KindUpdateChunk {
			n.down++
		}
		n.post(false, s.Message, s)
	}
	n.x.sends, n.x.effects = nil, nil
}

func (n *net) last() FlashProgress {
	if len(n.sent) == 0 {
		return FlashProgress{}
	}
	return n.sent[len(n.sent)-1]
}

// step delivers the next letter, or lets time pass to the next deadline. It
// returns false when nothing is left to happen.
func (n *net) step(deviceDue clock.Instant, device func(letter), timer func()) bool {
	slices.SortStableFunc(n.letters, func(a, b letter) int { return int(a.at - b.at) })
	next := clock.Never
	if len(n.letters) > 0 {
		next = n.letters[0].at
	}
	switch due := min(next, n.x.d.Deadline(), deviceDue); due {
	case clock.Never:
		return false
	case next:
		n.x.now = max(n.x.now, due)
		l := n.letters[0]
		n.letters = n.letters[1:]
		if l.up {
			n.x.receive(l.m)
			n.collect()
			return true
		}
		device(l)
	case deviceDue:
		n.x.now = max(n.x.now, due)
		timer()
	default:
		n.x.now = max(n.x.now, due)
		n.x.run(func(out *Out) { n.x.d.Advance(n.x.now, out) })
		n.collect()
	}
	return true
}

// flashV3 runs a transfer until the cloud is done with it or waits for the
// restart.
func flashV3(n *net, r *receiver, data []byte, stop func() bool) {
	n.x.t.Helper()
	r.due = clock.Never
	up := func(m coap.Message) { n.post(true, m, Send{}) }
	device := func(l letter) {
		switch pdc.Classify(l.m, false) {
		case pdc.KindUpdateStart:
			u, err := pdc.ParseUpdateStart(l.m)
			if err != nil {
				n.x.t.Fatal(err)
			}
			r.geometry = pdc.Geometry{FileSize: u.FileSize, ChunkSize: u.ChunkSize, Offset: r.offset}
			r.got, r.since = map[uint32][]byte{}, 0
			n.x.ack(l.s, coap.Message{})
			n.collect()
			up(pdc.UpdateStartResponse{Token: u.Token, Window: pdc.WindowFor(u.ChunkSize), Offset: r.offset}.Message(n.x.dia))
		case pdc.KindUpdateChunk:
			c, err := pdc.ParseUpdateChunk(l.m)
			if err != nil {
				n.x.t.Fatal(err)
			}
			if r.chunk(n.x.t, n.x.now, c) {
				up(r.ack().Message(n.x.dia))
			}
		case pdc.KindUpdateFinish:
			f, err := pdc.ParseUpdateFinish(l.m)
			if err != nil || r.count() != r.geometry.Count() {
				n.x.t.Errorf("UpdateFinish %+v, %v with %d of %d chunks (C-44)", f, err, r.count(), r.geometry.Count())
			}
			n.x.ack(l.s, coap.Message{})
			n.collect()
			up(pdc.UpdateFinishResponse{Token: f.Token}.Message(n.x.dia))
		default:
			n.x.t.Errorf("during the update came %v (C-49)", l.m)
		}
	}
	for i := 0; n.step(r.due, device, func() { up(r.ack().Message(n.x.dia)) }); i++ {
		if s := n.last().Stage; s == FlashRestarting || s >= FlashDone || i > 200_000 || stop != nil && stop() {
			return
		}
	}
}

func newNet(x *cloudTest, run uint64) *net {
	return &net{x: x, rng: seed.Stream(run, "net")}
}

// C-41 to C-44: the image arrives over a good network and over bad ones, and
// little is sent twice.
func TestSelectiveTransfer(t *testing.T) {
	for _, test := range []struct {
		name        string
		size        int
		loss, twice float64
		ratio       float64 // of chunks sent to chunks needed
	}{
		{"clean", 100_000, 0, 0, 1.05},
		{"one chunk", 200, 0, 0, 1},
		{"exact chunks", 4096, 0, 0, 1},
		{"twice", 100_000, 0, 0.1, 1.05},
		{"loss 20 % (C-43)", 100_000, 0.2, 0.1, 1.4},
		{"loss 30 % (N-39)", 200_000, 0.3, 0.1, 1.6},
	} {
		for run := range uint64(5) {
			t.Run(fmt.Sprintf("%s/%d", test.name, run), func(t *testing.T) {
				x := brewer(t, boron62, nil)
				data := testImage(t, x.dia, test.size, nil)
				n := newNet(x, run)
				n.loss, n.twice = test.loss, test.twice
				x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, data), out) })
				n.collect()
				r := &receiver{}
				flashV3(n, r, data, nil)
				if n.last().Stage != FlashRestarting || !bytes.Equal(r.image(data), data) {
					t.Fatalf("ended with %+v after %v", n.last(), x.now)
				}
				if ratio := float64(n.down) / float64(r.geometry.Count()); ratio > test.ratio {
					t.Errorf("%d chunks sent for %d, ratio %.2f, want at most %.2f", n.down, r.geometry.Count(), ratio, test.ratio)
				}
				x.hello(pdc.HelloUpdated)
				if p, _ := effectOf[FlashProgress](x); p.Stage != FlashDone {
					t.Errorf("ended with %+v", p)
				}
			})
		}
	}
}

// C-43: all acknowledgements of a time are lost, then those are gone the network
// is good again.
func TestTransferOutlivesSilence(t *testing.T) {
	x := brewer(t, boron62, nil)
	data := testImage(t, x.dia, 50_000, nil)
	n := newNet(x, 1)
	begin, end := x.now.Add(time.Second/2), x.now.Add(30*time.Second)
	n.lost = func(l letter) bool { return l.up && x.now > begin && x.now < end }
	x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, data), out) })
	n.collect()
	r := &receiver{}
	flashV3(n, r, data, nil)
	if n.last().Stage != FlashRestarting || !bytes.Equal(r.image(data), data) {
		t.Errorf("ended with %+v", n.last())
	}
}

// C-41, C-42, N-36: a transfer is cut and goes on where the device stopped.
func TestResumedTransfer(t *testing.T) {
	for _, offset := range []uint32{0, 51_200, 51_201, 100_000} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			x := brewer(t, boron62, nil)
			data := testImage(t, x.dia, 100_000, nil)
			n := newNet(x, 1)
			x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, data), out) })
			n.collect()
			r := &receiver{}
			flashV3(n, r, data, func() bool { return r.chunks > 20 })
			x.run(func(out *Out) { x.d.Lost(x.now, out) })
			n.collect()
			if n.last().Stage != FlashInterrupted {
				t.Fatalf("got %+v", n.last())
			}
			n.letters = nil
			x.wait(time.Minute)
			if len(x.sends) > 0 {
				t.Fatalf("sent %v to a device that is gone", x.sends)
			}
			x.run(func(out *Out) { x.d.Resumed(x.now, out) })
			n.collect()
			r.offset, n.down = offset, 0
			flashV3(n, r, data, nil)
			if n.last().Stage != FlashRestarting || !bytes.Equal(r.image(data), data) {
				t.Fatalf("ended with %+v", n.last())
			}
			if want := int(100_000-offset+1023) / 1024; n.down != want {
				t.Errorf("%d chunks, want %d", n.down, want)
			}
		})
	}
}

// PDC-6.6: a device that rejects chunks again and again is not in the update: it is
// begun anew a few times, and then it has failed.
func TestChunksRejectedForEver(t *testing.T) {
	x := brewer(t, boron62, nil)
	data := testImage(t, x.dia, 50_000, nil)
	n := newNet(x, 1)
	x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, data), out) })
	n.collect()
	rejected := 0
	for n.last().Stage != FlashFailed && rejected <= 2*flashInterruptionsMax {
		r := &receiver{}
		flashV3(n, r, data, func() bool { return x.d.work.flash.stage == FlashTransferring })
		n.letters = nil // what was under way reaches nobody
		x.run(func(out *Out) { x.d.ChunkRejected(x.now, out) })
		rejected++
		n.collect()
	}
	if n.last().Stage != FlashFailed || n.last().Err.Reason != Unreachable || rejected != flashInterruptionsMax+1 {
		t.Errorf("ended with %+v after %d rejections", n.last(), rejected)
	}
}

// An update outlives a restart of the cloud.
func TestTransferAfterRestart(t *testing.T) {
	x := brewer(t, boron62, nil)
	data := testImage(t, x.dia, 50_000, nil)
	image := parseImage(t, data)
	n := newNet(x, 1)
	x.run(func(out *Out) { x.d.Flash(x.now, 1, image, out) })
	if x.saved&SaveSession == 0 {
		t.Error("the update was begun before it was stored")
	}
	n.collect()
	r := &receiver{}
	flashV3(n, r, data, func() bool { return r.chunks > 20 })
	n.letters = nil
	x.restart()
	if id, pending := x.d.FlashPending(); !pending || id != image.ID {
		t.Fatal("the update is forgotten")
	}
	x.run(func(out *Out) { x.d.RestoreFlash(x.now, image, out) })
	n.collect()
	x.run(func(out *Out) { x.d.Resumed(x.now, out) })
	n.collect()
	r.offset = 20 * 1024
	flashV3(n, r, data, nil)
	if n.last().Stage != FlashRestarting || !bytes.Equal(r.image(data), data) {
		t.Fatalf("ended with %+v", n.last())
	}
	x.restart() // and the success is known after one more
	x.hello(pdc.HelloUpdated)
	if p, _ := effectOf[FlashProgress](x); p.Stage != FlashDone {
		t.Errorf("ended with %+v", p)
	}
}

// C-44: the Hello without the flag, and the describe with the old module, mean
// that the image was not applied (N-29).
func TestImageIsNotApplied(t *testing.T) {
	x := brewer(t, boron62, nil)
	data := testImage(t, x.dia, 5_000, nil)
	n := newNet(x, 1)
	x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, data), out) })
	n.collect()
	flashV3(n, &receiver{}, data, nil)
	x.hello(0)
	if p, judged := effectOf[FlashProgress](x); judged {
		t.Errorf("judged %+v by a Hello that says nothing", p)
	}
	for range 2 {
		x.describe(brewing, systemDescribe(x.dia, bytes.Repeat([]byte{1}, 32)))
		n.collect()
		flashV3(n, &receiver{offset: uint32(len(data))}, data, nil) // it is offered once more
		x.hello(0)
	}
	x.describe(brewing, systemDescribe(x.dia, bytes.Repeat([]byte{1}, 32)))
	if _, pending := x.d.FlashPending(); pending || x.d.profile.pending != nil {
		t.Error("still pending")
	}
}

// N-52: a device that is back with its session, and says no Hello, lost its power
// before it applied the image: it is offered once more. One that says Hello is not.
func TestBackWithItsSession(t *testing.T) {
	for _, hello := range []bool{false, true} {
		x := brewer(t, boron62, nil)
		data := testImage(t, x.dia, 5_000, nil)
		n := newNet(x, 1)
		x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, data), out) })
		n.collect()
		flashV3(n, &receiver{}, data, nil)
		x.run(func(out *Out) { x.d.Resumed(x.now, out) })
		if hello {
			x.hello(pdc.HelloUpdated)
			if p, _ := effectOf[FlashProgress](x); p.Stage != FlashDone {
				t.Errorf("with a Hello: %+v", p)
			}
		}
		for x.d.Deadline() < x.now.Add(time.Minute) {
			x.now = max(x.now, x.d.Deadline())
			x.run(func(out *Out) { x.d.Advance(x.now, out) })
			if p, told := effectOf[FlashProgress](x); told && p.Stage == FlashInterrupted {
				break
			}
		}
		if again := x.d.work != nil && x.d.work.flash != nil && x.d.work.flash.stage == FlashInterrupted; again == hello {
			t.Errorf("Hello %v: the image is offered again: %v", hello, again)
		}
	}
}

// C-44 once more: without the flag the describe decides.
func TestDescribeConfirmsTheImage(t *testing.T) {
	for _, runs := range []bool{true, false} {
		x := brewer(t, boron62, nil)
		data := testImage(t, x.dia, 5_000, nil)
		image := parseImage(t, data)
		n := newNet(x, 1)
		x.run(func(out *Out) { x.d.Flash(x.now, 1, image, out) })
		n.collect()
		flashV3(n, &receiver{}, data, nil)
		hash := image.Hash[:]
		if !runs {
			hash = bytes.Repeat([]byte{1}, 32)
		}
		back := func() FlashProgress {
			x.hello(0)
			x.receive(pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeSystem, Protobuf: true, Payload: systemDescribe(x.dia, hash).AppendProto(nil)}.Message(x.dia))
			p, _ := effectOf[FlashProgress](x)
			return p
		}
		p := back()
		if !runs {
			// D-16: a device that did not hear the last ACK keeps the image, and
			// applies it when it is offered once more.
			if p.Stage != FlashInterrupted {
				t.Errorf("the image is not offered again: %+v", p)
			}
			n.collect()
			flashV3(n, &receiver{offset: uint32(len(data))}, data, nil)
			if n.last().Stage != FlashRestarting || n.down != 5 {
				t.Errorf("again: %+v, %d chunks", n.last(), n.down)
			}
			p = back()
		}
		if runs && p.Stage != FlashDone || !runs && (p.Stage != FlashFailed || p.Err.Reason != NotApplied) {
			t.Errorf("runs %v: ended with %+v", runs, p)
		}
	}
}

// C-45: errors of the device end the update, with the device's number, and it is
// not tried again.
func TestRefusals(t *testing.T) {
	refusal := pdc.Diagnostic{Code: pdc.ErrPlatform, Message: "wrong platform"}
	for _, at := range []string{"start, in the ACK", "start", "finish"} {
		t.Run(at, func(t *testing.T) {
			x := brewer(t, boron62, nil)
			data := testImage(t, x.dia, 600, nil)
			x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, data), out) })
			s := x.lastSend(pdc.KindUpdateStart)
			failure := coap.Message{Code: coap.ServiceUnavailable, Token: s.Message.Token, Payload: refusal.Append(nil)}
			switch at {
			case "start, in the ACK":
				x.ack(s, failure)
			case "start":
				x.ack(s, coap.Message{})
				x.receive(failure)
				x.wantReply(coap.Empty, 0)
			case "finish":
				x.ack(s, coap.Message{})
				x.receive(pdc.UpdateStartResponse{Token: s.Message.Token, Window: 128}.Message(x.dia))
				x.receive(pdc.UpdateAck{Count: 1}.Message(x.dia))
				s = x.lastSend(pdc.KindUpdateFinish)
				x.ack(s, coap.Message{})
				failure.Token = s.Message.Token
				x.receive(failure)
				x.wantReply(coap.Empty, 0)
			}
			p, _ := effectOf[FlashProgress](x)
			if p.Stage != FlashFailed || p.Err.System != int32(pdc.ErrPlatform) || p.Err.Code != coap.ServiceUnavailable {
				t.Errorf("got %+v", p)
			}
			x.run(func(out *Out) { x.d.Lost(x.now, out); x.d.Resumed(x.now, out) })
			if x.wait(time.Hour); len(x.sends) > 0 {
				t.Errorf("tried again: %v", x.sends)
			}
		})
	}
}

// Acknowledgements of an older state, or of nonsense, move nothing.
func TestStaleAndForgedAcks(t *testing.T) {
	x := brewer(t, boron62, nil)
	data := testImage(t, x.dia, 50_000, nil)
	x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, data), out) })
	s := x.lastSend(pdc.KindUpdateStart)
	x.ack(s, coap.Message{})
	x.receive(pdc.UpdateStartResponse{Token: s.Message.Token, Window: 128}.Message(x.dia))
	if len(x.sends) != 16 {
		t.Fatalf("%d chunks in flight, want 16", len(x.sends))
	}
	x.receive(pdc.UpdateAck{Count: 8}.Message(x.dia))
	if len(x.sends) != 8 {
		t.Errorf("%d more chunks, want 8", len(x.sends))
	}
	for _, count := range []uint32{0, 7, 8, 50, 1 << 30} {
		x.receive(pdc.UpdateAck{Count: count}.Message(x.dia))
		if len(x.sends) > 0 {
			t.Errorf("an acknowledgement of %d made the cloud send %d messages", count, len(x.sends))
		}
	}
}

// An update that moves no more is given up, and the device is told.
func TestPatienceEnds(t *testing.T) {
	x := brewer(t, boron62, nil)
	data := testImage(t, x.dia, 50_000, nil)
	x.run(func(out *Out) { x.d.Flash(x.now, 1, parseImage(t, data), out) })
	s := x.lastSend(pdc.KindUpdateStart)
	x.ack(s, coap.Message{})
	x.receive(pdc.UpdateStartResponse{Token: s.Message.Token, Window: 128}.Message(x.dia))
	sent := x.wait(3 * time.Minute)
	if p, _ := effectOf[FlashProgress](x); p.Stage != FlashFailed || p.Err.Reason != NoAnswer {
		t.Errorf("got %+v", p)
	}
	if len(sent) > 25 {
		t.Errorf("%d messages into silence", len(sent))
	}
	f, err := pdc.ParseUpdateFinish(sent[len(sent)-1].Message)
	if err != nil || !f.Cancel {
		t.Errorf("the last message is %v", sent[len(sent)-1].Message)
	}
}

func TestCancelFlash(t *testing.T) {
	x := brewer(t, boron62, nil)
	image := parseImage(t, testImage(t, x.dia, 5000, nil))
	x.run(func(out *Out) { x.d.Flash(x.now, 1, image, out) })
	x.run(func(out *Out) { x.d.CancelFlash(x.now, 9, out) })
	if len(x.sends)+len(x.effects) > 0 {
		t.Error("somebody else's update was canceled")
	}
	x.run(func(out *Out) { x.d.CancelFlash(x.now, 1, out) })
	s := x.lastSend(pdc.KindUpdateFinish)
	if p, _ := effectOf[FlashProgress](x); p.Stage != FlashFailed || p.Err.Reason != Canceled {
		t.Errorf("got %+v", x.effects)
	}
	x.ack(s, coap.Message{})
	x.receive(coap.Message{Code: coap.Changed, Token: s.Message.Token})
	if x.d.work != nil {
		t.Error("something is left")
	}
}

// C-49: pings and describes wait until the update is over; functions do not.
func TestBulkWaits(t *testing.T) {
	x := brewer(t, boron62, nil)
	image := parseImage(t, testImage(t, x.dia, 600, nil))
	x.run(func(out *Out) { x.d.Flash(x.now, 1, image, out) })
	s := x.lastSend(pdc.KindUpdateStart)
	x.run(func(out *Out) { x.d.Ping(x.now, 2, out) })
	x.run(func(out *Out) { x.d.RequestVitals(x.now, 3, out) })
	if len(x.sends) > 0 {
		t.Errorf("sent %v during the update", x.sends)
	}
	x.call(4, "")
	x.ack(x.lastSend(pdc.KindFunctionCall), coap.Message{})
	x.ack(s, coap.Message{Code: coap.ServiceUnavailable, Token: s.Message.Token})
	if len(x.sends) != 1 || x.sends[0].Message.Code != coap.Empty {
		t.Errorf("sent %v, want the ping that waited", x.sends)
	}
}

// An update to what a device runs already: nothing has changed when it is back, so that
// it says no Hello, and is done all the same. To anything else it is not (N-52).
func TestUpdateToTheSameImage(t *testing.T) {
	for _, same := range []bool{true, false} {
		t.Run(fmt.Sprint(same), func(t *testing.T) {
			x := brewer(t, boron62, nil)
			data := testImage(t, x.dia, 3000, nil)
			image := parseImage(t, data)
			running := bytes.Repeat([]byte{7}, len(image.Hash))
			if same {
				running = image.Hash[:]
			}
			x.describe(brewing, systemDescribe(x.dia, running))
			n := newNet(x, 1)
			x.run(func(out *Out) { x.d.Flash(x.now, 1, image, out) })
			n.collect()
			flashV3(n, &receiver{}, data, nil)
			if n.last().Stage != FlashRestarting {
				t.Fatalf("ended with %+v", n.last())
			}
			x.run(func(out *Out) { x.d.Resumed(x.now, out) })
			if p, told := effectOf[FlashProgress](x); told != same || same && p.Stage != FlashDone {
				t.Errorf("told %v: %+v", told, p)
			}
			if again := x.d.Deadline() <= x.now.Add(x.d.c.FlashResumeDelay); again == same {
				t.Errorf("it is offered again: %v", again)
			}
		})
	}
}
