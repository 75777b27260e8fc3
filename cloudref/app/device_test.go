package app

import (
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

var (
	electron12 = pdc.NewDialect(1213, pdc.Electron)
	photon05   = pdc.NewDialect(21, pdc.Photon)
	photon23   = pdc.NewDialect(2302, pdc.Photon)
	electron23 = pdc.NewDialect(2302, pdc.Electron)
	boron31    = pdc.NewDialect(3103, pdc.Boron)
	boron54    = pdc.NewDialect(5302, pdc.Boron)
	boron62    = pdc.NewDialect(6200, pdc.Boron)
)

// A cloudTest is one Device in the cloud, and a device that says what the test
// says. Every message goes through its encoding, both ways.
type cloudTest struct {
	t   *testing.T
	c   Config
	d   *Device
	dia pdc.Dialect
	now clock.Instant
	id  uint16

	// What the last call gave.
	replies    []coap.Message
	sends      []Send
	publish    []Event
	effects    []Effect
	saved      Parts
	savedSince Parts
}

func newCloudTest(t *testing.T, dia pdc.Dialect, edit func(*Config)) *cloudTest {
	t.Helper()
	c := Config{Epoch: 1_767_225_600, Share: newTestShare()}
	if edit != nil {
		edit(&c)
	}
	x := &cloudTest{t: t, c: c.Defaults(), dia: dia, now: clock.Instant(time.Second)}
	x.d = New(DeviceID{0xe0, 0x0f, 11: 1}, &x.c)
	return x
}

// newTestShare returns a Share that shares.
func newTestShare() func(string, func() any) any {
	values := map[string]any{}
	return func(key string, make func() any) any {
		if v, ok := values[key]; ok {
			return v
		}
		values[key] = make()
		return values[key]
	}
}

// run calls f and notes what it gave, read back from its encoding.
func (x *cloudTest) run(f func(out *Out)) {
	x.t.Helper()
	var out Out
	f(&out)
	x.replies, x.sends = nil, nil
	x.publish, x.effects, x.saved = out.Publish, out.Effects, out.Save
	x.savedSince |= out.Save
	for _, r := range out.Replies {
		if r.To.Type != coap.Confirmable {
			x.t.Errorf("a reply to a %v", r.To.Type)
		}
		m := r.Message
		if m.Type == coap.Reset {
			x.t.Errorf("a Reset (C-4)")
		}
		m.Type, m.ID = coap.Acknowledgement, r.To.ID
		x.replies = append(x.replies, x.recode(m))
	}
	for _, s := range out.Sends {
		s.Message = x.recode(s.Message)
		x.sends = append(x.sends, s)
	}
}

func (x *cloudTest) recode(m coap.Message) coap.Message {
	x.t.Helper()
	wire := m.Append(nil)
	if limit := x.dia.Limits().Message; len(wire) > limit {
		x.t.Errorf("a message of %d bytes, the device takes %d (C-29): %v", len(wire), limit, m)
	}
	again, err := coap.Parse(wire)
	if err != nil {
		x.t.Fatalf("the cloud said %v, which cannot be read: %v", m, err)
	}
	return again
}

// receive gives the cloud a message of the device.
func (x *cloudTest) receive(m coap.Message) {
	x.t.Helper()
	x.id++
	m.ID = x.id
	again, err := coap.Parse(m.Append(nil))
	if err != nil {
		x.t.Fatal(err)
	}
	x.run(func(out *Out) { x.d.Receive(x.now, again, out) })
	if m.Type == coap.Confirmable && len(x.replies) != 1 {
		x.t.Fatalf("%d replies to %v, want 1 (C-6)", len(x.replies), m)
	}
	if m.Type != coap.Confirmable && len(x.replies) != 0 {
		x.t.Fatalf("%d replies to %v, want none (C-56)", len(x.replies), m)
	}
}

// wire gives the cloud a message of the device in hexadecimal bytes.
func (x *cloudTest) wire(b ...byte) {
	x.t.Helper()
	m, err := coap.Parse(b)
	if err != nil {
		x.t.Fatal(err)
	}
	x.run(func(out *Out) { x.d.Receive(x.now, m, out) })
}

// hello connects the device.
func (x *cloudTest) hello(flags pdc.HelloFlags) {
	x.t.Helper()
	h := x.helloMessage(flags)
	x.id = 0
	x.run(func(out *Out) { x.d.Hello(x.now, x.dia.UDP, h, out) })
	if !x.d.Ready() {
		x.t.Fatalf("the Hello was not accepted: %+v", x.effects)
	}
}

func (x *cloudTest) helloMessage(flags pdc.HelloFlags) coap.Message {
	h := pdc.Hello{
		ProductID: uint16(x.dia.Platform), ProductVersion: 0xffff, Flags: x.dia.HelloFlags() | flags, Platform: x.dia.Platform,
	}
	if x.dia.UDP {
		id := x.d.ID()
		h.DeviceID = id[:]
	}
	if x.dia.System >= pdc.OS3_0 {
		h.System, h.MaxMessage, h.ChunkSize = x.dia.System, uint16(x.dia.Limits().Message), 512
		h.MaxBinary = 1_536_000
	}
	return h.Message(x.dia)
}

// describe posts, or answers, what the device has.
func (x *cloudTest) describe(a pdc.ApplicationDescribe, s *pdc.SystemDescribe) {
	x.t.Helper()
	if x.dia.System < pdc.OS2_0 {
		x.answerDescribe(a, s)
		return
	}
	if s != nil {
		payload := s.AppendJSON(nil)
		if x.dia.System >= pdc.OS5_5 {
			payload = s.AppendProto(nil)
		}
		x.receive(pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeSystem, Protobuf: x.dia.System >= pdc.OS5_5, Payload: payload}.Message(x.dia))
	}
	x.receive(pdc.DescribePost{Token: []byte{2}, Flags: pdc.DescribeApplication, Payload: a.Append(nil)}.Message(x.dia))
}

// answerDescribe answers the describe request that is under way.
func (x *cloudTest) answerDescribe(a pdc.ApplicationDescribe, s *pdc.SystemDescribe) {
	x.t.Helper()
	if s == nil {
		s = &pdc.SystemDescribe{Platform: x.dia.Platform, HasPlatform: true}
	}
	request := x.lastSend(pdc.KindDescribeRequest)
	x.ack(request, coap.Message{Code: coap.Content, Token: request.Message.Token, Payload: pdc.AppendCombined(nil, a, *s)})
}

// lastSend returns the last message of the last call, which must be of a kind.
func (x *cloudTest) lastSend(k pdc.Kind) Send {
	x.t.Helper()
	if len(x.sends) == 0 {
		x.t.Fatalf("nothing was sent, want %v", k)
	}
	s := x.sends[len(x.sends)-1]
	if got := pdc.Classify(s.Message, false); got != k {
		x.t.Fatalf("sent %v, want %v", got, k)
	}
	return s
}

// ack acknowledges a message of the cloud, with a response if m has a code.
func (x *cloudTest) ack(s Send, m coap.Message) {
	x.t.Helper()
	m.Type, m.ID = coap.Acknowledgement, s.Message.ID
	x.run(func(out *Out) { x.d.Acknowledged(x.now, s.Tag, m, out) })
}

// wait lets time pass, step by step, and returns what was sent.
func (x *cloudTest) wait(d time.Duration) (sent []Send) {
	x.t.Helper()
	end := x.now.Add(d)
	var effects []Effect
	for x.d.Deadline() <= end {
		x.now = max(x.now, x.d.Deadline())
		before := x.d.Deadline()
		x.run(func(out *Out) { x.d.Advance(x.now, out) })
		if x.d.Deadline() <= before {
			x.t.Fatalf("the deadline stays at %v", before)
		}
		sent = append(sent, x.sends...)
		effects = append(effects, x.effects...)
	}
	x.now, x.sends, x.effects = end, sent, effects
	return sent
}

// result returns the result of a command in the last call.
func (x *cloudTest) result(ref uint64) Result {
	x.t.Helper()
	for _, e := range x.effects {
		if r, ok := e.(Result); ok && r.Ref == ref {
			return r
		}
	}
	x.t.Fatalf("no result of command %d in %+v", ref, x.effects)
	return Result{}
}

func (x *cloudTest) wantFailure(ref uint64, want Reason) {
	x.t.Helper()
	if r := x.result(ref); r.Err == nil || r.Err.Reason != want {
		x.t.Errorf("command %d ended with %v, want %q", ref, r.Err, want)
	}
}

// wantReply checks the reply of the last call.
func (x *cloudTest) wantReply(code coap.Code, tokenSize int) coap.Message {
	x.t.Helper()
	if len(x.replies) != 1 {
		x.t.Fatalf("%d replies, want 1", len(x.replies))
	}
	if r := x.replies[0]; r.Code != code || len(r.Token) != tokenSize {
		x.t.Errorf("reply %v, want code %v and a token of %d bytes", r, code, tokenSize)
	}
	return x.replies[0]
}

// effectOf returns the last effect of a type in the last call.
func effectOf[E Effect](x *cloudTest) (e E, found bool) {
	for _, any := range x.effects {
		if this, ok := any.(E); ok {
			e, found = this, true
		}
	}
	return e, found
}
