package device

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/profile"
)

// A world is one device and a scripted cloud in virtual time, without latency.
// The cloud is a key exchange and raw CoAP: what it sends is bytes.
type world struct {
	t    testing.TB
	now  clock.Instant
	cfg  Config
	dev  *Device
	out  Out
	peer peer

	// What happened, in order.
	sent   []message // by the device
	wire   []packet  // by the device
	events []Event

	// onEvent runs the application's side of an event.
	onEvent func(Event)
	queue   []delivery
	scripts []script
	sockets int
	streams int
}

// A message is a CoAP message of the device.
type message struct {
	at   clock.Instant
	wire []byte
	m    coap.Message
	mark byte // first byte of the datagram
	kind pdc.Kind
	dup  bool
}

type packet struct {
	at   clock.Instant
	data []byte
}

type delivery struct {
	down bool
	kind ActionKind
	data []byte
}

type script struct {
	at clock.Instant
	do func()
}

// A peer is the scripted cloud.
type peer struct {
	w      *world
	ecKey  *ecdsa.PrivateKey
	rsaKey *rsa.PrivateKey
	gate   *dtls.Gate
	server *dtls.Server
	config dtls.ServerConfig
	stream *lightssl.Server
	ssl    lightssl.ServerConfig
	link   *link.Link
	dout   dtls.Out
	sout   lightssl.Out
	lout   link.Out

	silent bool // drops everything
	deaf   bool // receives, answers nothing
	stale  bool // answers what it cannot open with the datagram of R-81
	time   uint32
	next   uint16
	token  byte
	// answer, if not nil, is asked first; nil means the default answer.
	answer func(m message) (replies [][]byte, handled bool)
}

var (
	testCloudEC   = seed.P256(seed.Bytes(1, "cloud"))
	testDeviceEC  = seed.P256(seed.Bytes(1, "device"))
	testCloudRSA  = mustRSA(fixtures.ByName("v3.1.0-tcp-session").ServerKey)
	testDeviceRSA = mustRSA(fixtures.ByName("v3.1.0-tcp-session").DeviceKey)
	testID        = ID{0xe0, 0x0f, 0xce, 0x68, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x18}
)

func mustRSA(der []byte) *rsa.PrivateKey {
	k, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		panic(err)
	}
	return k
}

// testApp is an application with the names of the recorded one.
func testApp() *App {
	length := func(_ ID, arg []byte) int32 { return int32(len(arg)) }
	value := func(v pdc.Value) func(ID) pdc.Value { return func(ID) pdc.Value { return v } }
	return &App{
		Functions: []Function{{Name: "echo", Call: length}, {Name: "len", Call: length}, {Name: "pub", Call: length}, {Name: "set", Call: length}, {Name: "reset", Call: length}},
		Variables: []Variable{
			{"vInt", pdc.VariableInt, value(pdc.Value{Type: pdc.VariableInt, Int: 42})},
			{"vDouble", pdc.VariableDouble, value(pdc.Value{Type: pdc.VariableDouble, Double: 3.25})},
			{"vBool", pdc.VariableBool, value(pdc.Value{Type: pdc.VariableBool, Bool: true})},
			{"vString", pdc.VariableString, value(pdc.Value{Type: pdc.VariableString, String: "hello"})},
			{"lastEvent", pdc.VariableString, value(pdc.Value{Type: pdc.VariableString})},
			{"rxEvents", pdc.VariableInt, value(pdc.Value{Type: pdc.VariableInt})},
		},
		Subscriptions:  []pdc.Subscribe{{Filter: "vdev/in", Scope: pdc.ScopeMyDevices}},
		SetupOnConnect: true,
	}
}

// newWorld makes a world for the profile; change may change the configuration.
func newWorld(t testing.TB, name string, change ...func(*Config)) *world {
	t.Helper()
	p, err := profile.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	w.cfg = Config{Profile: p, App: testApp(), Seed: 7, Server: "cloud.test"}
	if p.Board.UDP {
		w.cfg.Key = func(ID) crypto.PrivateKey { return testDeviceEC }
		w.cfg.CloudKey = &testCloudEC.PublicKey
	} else {
		w.cfg.Key = func(ID) crypto.PrivateKey { return testDeviceRSA }
		w.cfg.CloudKey = &testCloudRSA.PublicKey
	}
	w.peer = peer{w: w, ecKey: testCloudEC, rsaKey: testCloudRSA, time: 1767225600, next: 0x2000, token: 0x60}
	for _, f := range change {
		f(&w.cfg)
	}
	w.peer.config = dtls.ServerConfig{Key: w.peer.ecKey, Rand: seed.Bytes(1, "handshakes"), Verify: func([]byte) error { return nil }}
	w.peer.ssl = lightssl.ServerConfig{Key: w.peer.rsaKey, Rand: seed.Bytes(1, "handshakes"), Inline: true, Lookup: func(lightssl.DeviceID) []byte {
		return lightssl.AppendDeviceSPKI(nil, &w.cfg.Key(testID).(*rsa.PrivateKey).PublicKey)
	}}
	w.peer.gate = dtls.NewGate(seed.Bytes(1, "cookies"), 0, dtls.GateFaults{})
	w.dev = New(&w.cfg, testID, nil)
	return w
}

// device makes another device with the memory of the old one, as a restarted
// process does.
func (w *world) restart() {
	w.dev.Suspend(w.now, &w.out)
	w.settle()
	b := w.dev.NVRAM().Append(nil)
	nv, err := ParseNVRAM(b)
	if err != nil {
		w.t.Fatalf("the NVRAM cannot be read: %v", err)
	}
	w.dev = New(&w.cfg, w.dev.ID(), nv)
	w.dev.PowerOn(w.now, &w.out)
	w.settle()
}

// do lets the driver or the application act on the device.
func (w *world) do(f func(now clock.Instant, out *Out)) {
	f(w.now, &w.out)
	w.settle()
}

// at plans something for a time.
func (w *world) at(t time.Duration, f func()) {
	w.scripts = append(w.scripts, script{at: clock.Instant(t), do: f})
}

// run lets time pass until the instant.
func (w *world) run(until time.Duration) {
	w.t.Helper()
	end := clock.Instant(until)
	w.settle()
	for range 1_000_000 {
		next := min(w.dev.Deadline(), w.peer.deadline())
		for _, s := range w.scripts {
			next = min(next, s.at)
		}
		if next > end {
			w.now = max(w.now, end)
			return
		}
		w.now = max(w.now, next)
		w.step()
	}
	w.t.Fatal("time stands still")
}

// pass lets a duration pass.
func (w *world) pass(d time.Duration) { w.t.Helper(); w.run(time.Duration(w.now) + d) }

func (w *world) step() {
	for i := 0; i < len(w.scripts); {
		if s := w.scripts[i]; s.at <= w.now {
			w.scripts = append(w.scripts[:i], w.scripts[i+1:]...)
			s.do()
			w.settle()
			continue
		}
		i++
	}
	if w.dev.Deadline() <= w.now {
		w.dev.Advance(w.now, &w.out)
		if due := w.dev.Deadline(); due <= w.now && len(w.out.Actions)+len(w.out.Events) == 0 {
			w.t.Fatalf("deadline %v does not move at %v in state %v", due, w.now, w.dev.State())
		}
		w.settle()
	}
	w.peer.advance()
	w.settle()
}

// settle delivers everything that is under way.
func (w *world) settle() {
	for {
		actions, events := w.out.Actions, w.out.Events
		for _, a := range actions {
			w.queue = append(w.queue, delivery{kind: a.Kind, data: bytes.Clone(a.Data)})
		}
		start := len(w.events)
		for _, e := range events {
			e.Data = bytes.Clone(e.Data)
			w.events = append(w.events, e)
		}
		w.out.Reset()
		if w.onEvent != nil {
			for i := start; i < len(w.events); i++ {
				w.onEvent(w.events[i])
			}
		}
		if len(w.out.Actions)+len(w.out.Events) > 0 {
			continue
		}
		if len(w.queue) == 0 {
			return
		}
		d := w.queue[0]
		w.queue = w.queue[1:]
		w.deliver(d)
	}
}

func (w *world) deliver(d delivery) {
	if d.down {
		if w.dev.Profile().Board.UDP {
			w.dev.Datagram(w.now, d.data, &w.out)
		} else {
			w.dev.StreamData(w.now, d.data, &w.out)
		}
		return
	}
	switch d.kind {
	case OpenSocket:
		w.sockets++
	case SendDatagram:
		w.wire = append(w.wire, packet{w.now, bytes.Clone(d.data)})
		w.peer.datagram(d.data)
	case DialStream:
		w.streams++
		w.peer.open()
		w.dev.StreamOpened(w.now, &w.out)
	case WriteStream:
		w.wire = append(w.wire, packet{w.now, bytes.Clone(d.data)})
		w.peer.data(d.data)
	case CloseStream:
		w.peer.stream, w.peer.link = nil, nil
	default: // CloseSocket: the peer does not see it
	}
}

// down queues bytes for the device.
func (w *world) down(b []byte) {
	w.queue = append(w.queue, delivery{down: true, data: bytes.Clone(b)})
}

// datagram takes a datagram of the device.
func (p *peer) datagram(b []byte) {
	if p.silent {
		return
	}
	mark := b[0]
	if p.server != nil && !p.server.Over() && !(b[0] == 22 && b[13] == 1 && !p.server.SameHello(b)) {
		p.server.Receive(p.w.now, b, &p.dout)
		p.handshaken()
		return
	}
	if b[0] == 22 && b[3] == 0 && b[4] == 0 {
		if p.gate.Receive(p.w.now, []byte("device"), b, &p.dout) == dtls.Admitted {
			p.server = dtls.NewServer(&p.config)
			p.server.Receive(p.w.now, b, &p.dout)
		}
		p.handshaken()
		return
	}
	if p.link != nil {
		p.link.Receive(p.w.now, b, &p.lout)
		for _, e := range p.lout.Events {
			if e.Kind == link.Dropped {
				p.w.t.Logf("%v: cloud dropped a record: %v", p.w.now, e.Reason)
			}
		}
		p.received(mark)
	}
	if p.stale {
		p.w.down([]byte{0x16, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0})
	}
}

func (p *peer) handshaken() {
	for _, b := range p.dout.Datagrams {
		p.w.down(b)
	}
	for _, e := range p.dout.Events {
		switch e.Kind {
		case dtls.EventEstablished:
			e.Session.SetDeviceID(p.w.dev.ID())
			l := link.OverDTLS(e.Session, coap.NewExchange(&coap.CloudUDP, p.next, seed.Stream(1, "cloud"), &coap.Faults{IgnorePing: true}))
			p.link, p.stale = &l, false
		case dtls.EventFailed:
			p.server = nil
		default: // the link has the rest
		}
	}
	p.dout.Reset()
}

func (p *peer) open() {
	p.stream = lightssl.NewServer(&p.ssl)
	p.link = nil
	if p.silent {
		p.stream = nil
		return
	}
	p.stream.Start(p.w.now, &p.sout)
	p.streamed()
}

func (p *peer) data(b []byte) {
	switch {
	case p.silent:
	case p.link != nil:
		p.link.Receive(p.w.now, b, &p.lout)
		p.received(0)
	case p.stream != nil:
		p.stream.Receive(p.w.now, b, &p.sout)
		p.streamed()
	}
}

func (p *peer) streamed() {
	for _, b := range p.sout.Chunks {
		p.w.down(b)
	}
	events := append([]lightssl.Event(nil), p.sout.Events...)
	p.sout.Reset()
	for _, e := range events {
		if e.Kind == lightssl.EventEstablished {
			l := link.OverLightSSL(e.Session, coap.NewExchange(&coap.CloudTCP, p.next, nil, &coap.Faults{IgnorePing: true}))
			p.link = &l
			p.link.Receive(p.w.now, bytes.Clone(e.Rest), &p.lout)
			p.received(0)
		}
		if e.Kind == lightssl.EventFailed {
			p.w.t.Logf("cloud: %v %v", e.Err, e.Refusal)
		}
	}
}

// received logs the messages of the device and answers them.
func (p *peer) received(mark byte) {
	p.flush()
	events := append([]link.Event(nil), p.lout.Events...)
	for _, e := range events {
		if e.Kind == link.Closed {
			p.link = nil
		}
		if e.Kind != link.Exchange || e.CoAP.Wire == nil {
			continue
		}
		m := message{at: p.w.now, wire: bytes.Clone(e.CoAP.Wire), mark: mark, dup: e.CoAP.Kind == coap.Duplicate}
		m.m, _ = coap.Parse(m.wire)
		m.kind = pdc.Classify(m.m, true)
		p.w.sent = append(p.w.sent, m)
		if !p.deaf {
			p.reply(m)
		}
	}
	p.lout.Reset()
}

// reply answers a message as a cloud does at the least.
func (p *peer) reply(m message) {
	if p.answer != nil {
		if replies, handled := p.answer(m); handled {
			for _, r := range replies {
				p.raw(r)
			}
			return
		}
	}
	switch {
	case m.kind == pdc.KindTimeRequest:
		r := append([]byte{0x61, 0x45, m.wire[2], m.wire[3]}, m.m.Token...)
		r = append(r, 0xff, byte(p.time>>24), byte(p.time>>16), byte(p.time>>8), byte(p.time))
		p.raw(r)
	case m.kind == pdc.KindHello && !p.w.dev.Profile().Board.UDP:
		p.next++
		p.raw([]byte{0x50, 0x02, byte(p.next >> 8), byte(p.next), 0xb1, 'h'})
	case m.m.Type == coap.Confirmable:
		p.raw([]byte{0x60, 0, m.wire[2], m.wire[3]})
	}
}

// raw sends bytes as one CoAP message.
func (p *peer) raw(b []byte) {
	if p.link == nil || p.silent {
		return
	}
	p.link.SendRaw(b, &p.lout)
	p.flush()
}

func (p *peer) flush() {
	for _, b := range p.lout.Packets {
		p.w.down(b)
	}
	p.lout.Packets = p.lout.Packets[:0]
}

func (p *peer) deadline() clock.Instant {
	if p.server != nil && !p.silent {
		return p.server.Deadline()
	}
	return clock.Never
}

func (p *peer) advance() {
	if p.server != nil && p.server.Deadline() <= p.w.now {
		p.server.Advance(p.w.now, &p.dout)
		p.handshaken()
	}
}

// send sends a message of the cloud, in hex with spaces.
func (w *world) send(format string, args ...any) {
	w.t.Helper()
	w.peer.raw(gen.Hex(fmt.Sprintf(format, args...)))
	w.settle()
}

// tell sends a pdc message with the next id.
func (w *world) tell(m pdc.Message) {
	w.t.Helper()
	c := m.Message(w.dev.Dialect())
	w.peer.next++
	c.ID = w.peer.next
	w.peer.raw(c.Append(nil))
	w.settle()
}

// online powers the device on and brings it online.
func (w *world) online() *world {
	w.t.Helper()
	w.do(w.dev.PowerOn)
	w.pass(5 * time.Second)
	if !w.dev.Online() {
		w.t.Fatalf("not online but %v: %v", w.dev.State(), w.events)
	}
	return w
}

// clear forgets what happened so far.
func (w *world) clear() *world { w.sent, w.wire, w.events = nil, nil, nil; return w }

// wantSent wants exactly these messages of the device, in hex, and forgets them.
func (w *world) wantSent(want ...string) {
	w.t.Helper()
	var got []string
	for _, m := range w.sent {
		got = append(got, hex.EncodeToString(m.wire))
	}
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], " ", "")
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.t.Errorf("the device sent\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	w.sent = nil
}

// kinds lists the kinds of messages sent, with event names.
func (w *world) kinds() []string {
	var list []string
	for _, m := range w.sent {
		s := m.kind.String()
		switch m.kind {
		case pdc.KindPublish:
			if p, err := pdc.ParsePublish(m.m); err == nil {
				s = p.Name
			}
		case pdc.KindSubscribe:
			if p, err := pdc.ParseSubscribe(m.m); err == nil {
				s += " " + p.Filter
			}
		case pdc.KindDescribePost:
			if p, err := pdc.ParseDescribePost(m.m); err == nil {
				s = fmt.Sprintf("describe %d", p.Flags)
			}
		default: // the kind says enough
		}
		list = append(list, s)
	}
	return list
}

// has returns the last event of that kind.
func (w *world) has(k EventKind) (Event, bool) {
	for i := len(w.events) - 1; i >= 0; i-- {
		if w.events[i].Kind == k {
			return w.events[i], true
		}
	}
	return Event{}, false
}

func (w *world) wantEvent(k EventKind) Event {
	w.t.Helper()
	e, ok := w.has(k)
	if !ok {
		w.t.Errorf("no event %v; got %v", k, w.eventKinds())
	}
	return e
}

func (w *world) wantNoEvent(k EventKind) {
	w.t.Helper()
	if e, ok := w.has(k); ok {
		w.t.Errorf("unwanted event %v: %+v", k, e)
	}
}

func (w *world) eventKinds() []string {
	var list []string
	for _, e := range w.events {
		list = append(list, e.Kind.String())
	}
	return list
}

// alive checks that the device still answers a ping of the cloud.
func (w *world) alive() {
	w.t.Helper()
	w.sent = nil
	w.peer.raw([]byte{0x40, 0, 0x7f, 0xfe})
	w.settle()
	if len(w.sent) != 1 || w.sent[0].m.Type != coap.Acknowledgement {
		w.t.Errorf("the device is dead: %v in state %v", w.kinds(), w.dev.State())
	}
	w.sent = nil
}

// gone checks that the connection is over, and the session kept or not.
func (w *world) gone(why Error, discarded bool) {
	w.t.Helper()
	e := w.wantEvent(Offline)
	if e.Err != why || e.Discarded != discarded {
		w.t.Errorf("offline by %v, discarded %v; want %v, %v", e.Err, e.Discarded, why, discarded)
	}
}
