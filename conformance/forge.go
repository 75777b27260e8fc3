package conformance

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
)

// forgedPort is the port of a forged device that is a device's own.
const forgedPort = 5684

// A forgery is a stage with the reference cloud, and forged devices before it:
// every byte that they say is made by package gen, so any field of any layer can
// be bent.
type forgery struct {
	*target.RawDevice
	name    string
	r       *Recorder
	devices map[netip.AddrPort]*forged
}

// withForgery runs a check on a forgery of the group's release. What f returns as
// an error makes the check inconclusive.
func withForgery(e *target.Env, g *target.Group, r *Recorder, f func(w *forgery) error) error {
	return withForgedCloud(e, g, r, nil, f)
}

// withForgedCloud does what withForgery does with a cloud that is changed.
func withForgedCloud(e *target.Env, g *target.Group, r *Recorder, adjust func(*target.CloudConfig), f func(w *forgery) error) error {
	p := g.Devices[0].Profile
	raw, err := e.NewRawDevice(p, e.Seed(), adjust)
	if err != nil {
		return err
	}
	w := &forgery{RawDevice: raw, name: p.String(), r: r, devices: make(map[netip.AddrPort]*forged)}
	raw.Raw.React = w.react
	if err := f(w); err != nil {
		r.Inconclusive(report.Finding{Device: w.name, Text: err.Error()})
	}
	return nil
}

// fail records a failure with what crossed the wire.
func (w *forgery) fail(requirement, what string) {
	w.r.Fail(report.Finding{Requirement: requirement, Device: w.name, Text: what, Packets: last(w.Packets(0))})
}

// expect records a failure unless ok, and returns ok.
func (w *forgery) expect(requirement, what string, ok bool) bool {
	w.r.Judged(1)
	if !ok {
		w.fail(requirement, what)
	}
	return ok
}

// Send does what RawDevice.Send does. A foreign cloud may want something of the device at
// any time: what it asks for is no answer.
func (w *forgery) Send(from netip.AddrPort, datagrams ...[]byte) []peer.RawDatagram {
	replies := w.RawDevice.Send(from, datagrams...)
	if w.Sees(target.Prompting) {
		return replies
	}
	return slices.DeleteFunc(replies, func(d peer.RawDatagram) bool {
		f := w.devices[d.Local]
		return f != nil && f.established && f.asks(d.Data)
	})
}

// asks reports whether a datagram is a request of the cloud.
func (f *forged) asks(datagram []byte) bool {
	records, _ := gen.Split(datagram, 0)
	for _, rec := range records {
		_, content, ok := gen.Open(rec, f.Keys.ServerKey, f.Keys.ServerSalt, false)
		if rec.Type != gen.ApplicationData || !ok || len(content) < 4 {
			return false
		}
		kind, code := content[0]>>4, content[1]
		if request := code > 0 && code < 32 && kind < 6 || code == 0 && kind == 4; !request {
			return false
		}
	}
	return len(records) > 0
}

// react hands what arrives to the forged device of that address.
func (w *forgery) react(now clock.Instant, d peer.RawDatagram, out *peer.Out) {
	if f := w.devices[d.Local]; f != nil && f.established {
		f.hear(now, d, out)
	}
}

// generation is the letter of the release's DTLS.
func (w *forgery) generation() byte { return w.Profile.Generation().String()[0] }

// A forged device speaks DTLS with keys and numbers of its own.
type forged struct {
	gen.Device
	w           *forgery
	from        netip.AddrPort
	next        uint64 // record sequence of epoch 1
	id          uint16 // message ID of the last message
	hello       []byte // datagram of the second ClientHello
	flight      [][]byte
	final       [][]byte // datagrams with ChangeCipherSpec and Finished of the cloud
	established bool
	deaf        bool // does not acknowledge
	hears       bool // has subscribed to what it elicits
	heard       []heard
	top         uint64        // highest record sequence of the cloud
	since       clock.Instant // when the session began
}

// heard is a message that a forged device took from a record.
type heard struct {
	at       clock.Instant
	peer     netip.AddrPort
	sequence uint64
	wire     []byte
}

// device returns a forged device at an address that has not connected. Its key is
// the registered one.
func (w *forgery) device(from netip.AddrPort, label string) *forged {
	f := &forged{w: w, from: from}
	f.Generation, f.Scalar = w.generation(), w.DeviceScalar()
	f.Ephemeral, f.ClientRandom = fill("ephemeral/"+label+w.Salt()), fill("random/"+label+w.Salt())
	w.devices[from] = f
	return f
}

// fill returns 32 bytes that depend on a label, fit for a scalar.
func fill(label string) []byte {
	b := gen.PRF([]byte("muster forgery"), label, nil, 32)
	b[0] &= 0x7f
	b[31] |= 1
	return b
}

// begin makes the handshake up to the cloud's flight.
func (f *forged) begin() error {
	return f.beginWith(f.SendHello(nil).Bytes())
}

// beginWith does what begin does with a first datagram.
func (f *forged) beginWith(first []byte) error {
	replies := f.w.SendFor(anything, f.from, first)
	if len(replies) != 1 || gen.Cookie(replies[0].Data) == nil {
		return errors.New("the cloud does not answer a ClientHello with a cookie")
	}
	f.hello = f.SendHello(gen.Cookie(replies[0].Data)).Bytes()
	f.flight = nil
	for _, r := range f.w.SendFor(wholeFlight, f.from, f.hello) {
		f.flight = append(f.flight, r.Data)
	}
	f.ReadFlight(f.flight...)
	if len(f.Master) == 0 {
		return errors.New("the cloud does not answer a ClientHello with its flight")
	}
	f.w.Unlock(f.ClientRandom, f.Master)
	return nil
}

// finish sends the client flight in one datagram and reports whether the cloud
// answered with the right Finished.
func (f *forged) finish() bool { return f.finishWith(gen.Cat(f.SendFlight()...)) }

// finishWith does what finish does with datagrams.
func (f *forged) finishWith(datagrams ...[]byte) bool {
	f.next = 1
	f.established = false
	return f.finished(f.w.SendFor(anything, f.from, datagrams...))
}

// anything and wholeFlight are what a step of a handshake waits for.
func anything(replies []peer.RawDatagram) bool { return len(replies) > 0 }

func wholeFlight(replies []peer.RawDatagram) bool {
	return len(alertsIn(replies)) > 0 || slices.ContainsFunc(messagesIn(dataOf(replies)...), func(h gen.Handshake) bool { return h.Type == gen.TypeServerHelloDone })
}

// finished looks for the cloud's Finished among datagrams.
func (f *forged) finished(replies []peer.RawDatagram) bool {
	for _, r := range replies {
		if verify, sequence, ok := f.verifyData(r.Data); ok && string(verify) == string(f.WantFinished()) {
			f.final = append(f.final, r.Data)
			f.top = max(f.top, sequence)
			f.established, f.since = true, f.w.Now()
			return true
		}
	}
	return false
}

// verifyData returns that of a Finished in a datagram, and its record sequence.
func (f *forged) verifyData(datagram []byte) (verify []byte, sequence uint64, ok bool) {
	records, _ := gen.Split(datagram, 0)
	for _, rec := range records {
		if rec.Type != gen.HandshakeRecord || rec.Epoch != 1 {
			continue
		}
		if _, content, opened := gen.Open(rec, f.Keys.ServerKey, f.Keys.ServerSalt, false); opened && len(content) == 24 && content[0] == gen.TypeFinished {
			return content[12:], rec.Sequence, true
		}
	}
	return nil, 0, false
}

// secure makes a whole handshake.
func (f *forged) secure() error {
	if err := f.begin(); err != nil {
		return err
	}
	if !f.finish() {
		return errors.New("the cloud does not let the forged device in")
	}
	return nil
}

// online makes a handshake and says Hello.
func (f *forged) online() error {
	if err := f.secure(); err != nil {
		return err
	}
	return f.greet()
}

// greet says Hello.
func (f *forged) greet() error { return f.greetAs(f.w.DeviceID()) }

// greetAs says Hello in the name of a device.
func (f *forged) greetAs(device [12]byte) error {
	hello := f.w.Hello()
	if hello.DeviceID != nil {
		hello.DeviceID = device[:]
	}
	id := f.tell(hello.Message(f.w.Profile.Dialect()).Append(nil))
	if !f.acknowledged(id) {
		return errors.New("the cloud does not acknowledge the forged device's Hello")
	}
	return nil
}

// connected returns a forged device that is online.
func (w *forgery) connected() (*forged, error) {
	f := w.device(w.Home(forgedPort), "one")
	err := f.online()
	if !w.Sees(target.Prompting) {
		w.Settle(time.Second) // what a cloud asks of a new device
	}
	return f, err
}

// record makes the next record of application data.
func (f *forged) record(content []byte) gen.Sealed {
	s := f.FromDevice(f.next, gen.ApplicationData, content)
	f.next++
	return s
}

// tell sends a message with the next message ID, and returns the ID.
func (f *forged) tell(message []byte) uint16 {
	message, id := f.numbered(message)
	f.w.Send(f.from, f.record(message).Bytes())
	return id
}

// numbered gives a message the next message ID.
func (f *forged) numbered(message []byte) ([]byte, uint16) {
	f.id++
	return gen.Set(message, 2, byte(f.id>>8), byte(f.id)), f.id
}

// ping is an empty Confirmable message.
var ping = gen.CoAP{Type: gen.Confirmable}.Bytes()

// alive pings and reports whether the cloud acknowledges it, lifeless whether it does
// not.
func (f *forged) alive() bool    { return f.acknowledged(f.tell(ping)) }
func (f *forged) lifeless() bool { return f.ignored(f.tell(ping)) }

// acknowledged reports whether an ID is acknowledged, ignored whether it is not by now.
func (f *forged) acknowledged(id uint16) bool {
	return f.w.Patient(func() bool { return len(f.acks(id)) > 0 })
}

func (f *forged) ignored(id uint16) bool { return len(f.acks(id)) == 0 }

// elicit has the cloud send an event to the device. A cloud that cannot be told to is
// given an event by the device itself, which it has subscribed to.
func (f *forged) elicit(name string, data []byte) {
	if f.w.Sees(target.Prompting) {
		f.w.Event(name, data)
		return
	}
	name += f.w.Salt() // others of the account hear it too
	if !f.hears {
		f.hears = true
		f.acknowledged(f.tell(subscribing(name)))
	}
	before := f.events()
	f.tell(publishing(name, data))
	if !f.w.Within(elicitTime, func() bool { return f.events() > before }) && before == 0 {
		_ = f.w.Needs(target.Prompting) // it does not give devices their own events
	}
}

// events counts those of the cloud.
func (f *forged) events() int {
	n := 0
	for _, h := range f.heard {
		if len(h.wire) > 1 && h.wire[1] == 2 {
			n++
		}
	}
	return n
}

// elicitTime is what an event may take through a cloud and back.
const elicitTime = time.Second

// subscribing and publishing are messages of a device, without an ID.
func subscribing(name string) []byte {
	return gen.CoAP{Type: gen.Confirmable, Code: 1, Options: gen.Path("e", name)}.Bytes()
}

func publishing(name string, data []byte) []byte {
	m := gen.CoAP{Type: gen.Confirmable, Code: 2, Options: gen.Path("E", name)}.Bytes()
	if len(data) == 0 {
		return m
	}
	return gen.Cat(m, []byte{0xff}, data)
}

// prompt has the cloud say something of its own accord, and reports whether it can be
// made to.
func (f *forged) prompt() bool {
	if !f.w.Sees(target.Prompting) && !f.w.Sees(target.RESTAPI) {
		return false
	}
	f.w.Ping()
	return true
}

// unseen says that a part of a requirement was not looked at: only some targets show it.
func (w *forgery) unseen(requirement, what string) {
	w.r.Remark(remark(requirement, w.name, "not looked at, as the target does not show it: "+what))
}

// later lets d pass, and reports whether it did: where time is real a check may not have so
// much, and then a part of the requirement is not looked at.
func (w *forgery) later(requirement string, d time.Duration) bool {
	if !w.Affords(d) {
		w.r.Remark(remark(requirement, w.name, fmt.Sprintf("not looked at: what is %v later; give more --patience", d)))
		return false
	}
	w.Run(d)
	return true
}

// offline expects that the cloud does not count the device as online, as far as it shows
// that.
func (w *forgery) offline(requirement, what string) {
	if !w.Sees(target.Insight) {
		w.unseen(requirement, what)
		return
	}
	w.expect(requirement, what, !w.Online())
}

// acks are the acknowledgements of an ID.
func (f *forged) acks(id uint16) []heard {
	var list []heard
	for _, h := range f.heard {
		if len(h.wire) >= 4 && h.wire[0]>>4 == 6 && h.wire[2] == byte(id>>8) && h.wire[3] == byte(id) {
			list = append(list, h)
		}
	}
	return list
}

// hear opens a datagram of the cloud, and acknowledges what wants to be.
func (f *forged) hear(now clock.Instant, d peer.RawDatagram, out *peer.Out) {
	records, _ := gen.Split(d.Data, 0)
	for _, rec := range records {
		if rec.Type != gen.ApplicationData || rec.Epoch != 1 {
			continue
		}
		_, content, ok := gen.Open(rec, f.Keys.ServerKey, f.Keys.ServerSalt, false)
		if !ok {
			continue
		}
		f.top = max(f.top, rec.Sequence)
		f.heard = append(f.heard, heard{now, d.Peer, rec.Sequence, content})
		if reply := replyTo(content); reply != nil && !f.deaf {
			out.Send(f.from, d.Peer, f.record(reply).Bytes())
		}
	}
}

// replyTo is what a device answers at least to a message of the cloud: a describe
// of nothing to who asks for one, an acknowledgement to what wants to be, nil to
// anything else.
func replyTo(m []byte) []byte {
	switch {
	case len(m) < 4 || m[0]>>4 != 4:
		return nil
	case m[1] == 1 && len(m) > 6 && m[0] == 0x41 && m[5] == 0xb1 && m[6] == 'd':
		return gen.Cat([]byte{0x61, 0x45, m[2], m[3], m[4], 0xff}, []byte(`{"f":[],"v":{}}`))
	}
	return []byte{0x60, 0, m[2], m[3]}
}

// goTo lets the device go on from another address.
func (f *forged) goTo(from netip.AddrPort) {
	f.from = from
	f.w.devices[from] = f
}

// marked is a record with the mark of a resumed session, in the manner of the
// release.
func (f *forged) marked(content []byte) []byte {
	b := f.record(content).Bytes()
	id := f.w.DeviceID()
	switch f.w.Profile.Mark().String() {
	case "254":
		return gen.Moved254(b, id[:])
	case "253":
		return gen.Moved253(b)
	}
	return b
}

// alertsIn returns the descriptions of alerts without protection in datagrams.
func alertsIn(replies []peer.RawDatagram) []byte {
	var list []byte
	for _, d := range replies {
		records, _ := gen.Split(d.Data, 0)
		for _, rec := range records {
			if rec.Type == gen.Alert && rec.Epoch == 0 && len(rec.Body) == 2 && rec.Body[0] == 2 {
				list = append(list, rec.Body[1])
			}
		}
	}
	return list
}

// messagesIn returns the handshake messages of epoch 0 in datagrams.
func messagesIn(datagrams ...[]byte) []gen.Handshake {
	var all []gen.Handshake
	for _, d := range datagrams {
		records, _ := gen.Split(d, 0)
		for _, rec := range records {
			if rec.Type == gen.HandshakeRecord && rec.Epoch == 0 {
				all = append(all, rec.Messages()...)
			}
		}
	}
	return all
}

// typesIn returns their types.
func typesIn(datagrams ...[]byte) string {
	var types []byte
	for _, h := range messagesIn(datagrams...) {
		types = append(types, h.Type)
	}
	return fmt.Sprintf("%d", types)
}

// dataOf returns the bytes of datagrams.
func dataOf(replies []peer.RawDatagram) [][]byte {
	var list [][]byte
	for _, r := range replies {
		list = append(list, r.Data)
	}
	return list
}

// rawRSA is a key for gen's own arithmetic, rawPublic one of which only the public part
// is known.
func rawRSA(k *rsa.PrivateKey) gen.RSA   { return gen.RSA{N: k.N, D: k.D} }
func rawPublic(k *rsa.PublicKey) gen.RSA { return gen.RSA{N: k.N} }
