package peer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/transport"
)

// A DeviceConfig says who a puppet device is. Zero fields mean the default that
// is stated.
type DeviceConfig struct {
	ID [12]byte
	// Key is the device's: *ecdsa.PrivateKey over UDP, *rsa.PrivateKey over TCP.
	// It decides the transport. Required.
	Key crypto.PrivateKey
	// CloudKey is the cloud's: *ecdsa.PublicKey or *rsa.PublicKey. Required.
	CloudKey crypto.PublicKey
	// Cloud is the address to connect to. Required.
	Cloud netip.AddrPort
	// Rand yields what the handshake draws. Required.
	Rand io.Reader
	// Gen, Mark and Timers are those of the device's DTLS. dtls.GenF.
	Gen    dtls.Generation
	Mark   dtls.Mark
	Timers dtls.Timers
	// Faults and Records bend DTLS, Stream the handshake and frames over TCP.
	Faults  dtls.ClientFaults
	Records dtls.RecordFaults
	Stream  lightssl.ClientFaults
	// Observe hears of what happens. May be nil.
	Observe func(Event)
}

// An Event is something that happened to a puppet.
type Event struct {
	Kind    EventKind
	Err     error
	Secrets *dtls.Secrets
	// Credentials are those of a session over TCP, in the cloud.
	Credentials *lightssl.Credentials
}

// A Device is a puppet device. It connects when it is told to; everything above
// the record layer is said by its owner. Its courtesy acknowledges Confirmable
// messages.
type Device struct {
	mouth
	c       DeviceConfig
	port    uint16
	client  *dtls.Client
	session *dtls.Session
	shake   *lightssl.Client
	frames  *lightssl.Session
	stream  transport.StreamID
	udp     dtls.Out
	tcp     lightssl.Out
}

var _ transport.Host = (*Device)(nil)

// portFirst is the first UDP port of a puppet; each resume takes the next.
const portFirst = 40_000

// NewDevice returns a puppet that waits for Connect.
func NewDevice(c DeviceConfig) *Device {
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	return &Device{c: c, port: portFirst}
}

// UDP reports whether the puppet speaks DTLS over UDP.
func (d *Device) UDP() bool {
	_, ok := d.c.Key.(*ecdsa.PrivateKey)
	return ok
}

// Secured reports whether there is a session to say something in.
func (d *Device) Secured() bool { return d.session != nil || d.frames != nil }

// Session returns the DTLS session, nil if there is none.
func (d *Device) Session() *dtls.Session { return d.session }

// Connect begins a handshake. What was there before is forgotten.
func (d *Device) Connect(now clock.Instant, out *transport.Out) {
	d.client, d.session, d.shake, d.frames = nil, nil, nil, nil
	if !d.UDP() {
		d.hangUp(out)
		d.stream = out.Dial(netip.AddrPort{}, d.c.Cloud)
		return
	}
	d.client = dtls.NewClient(&dtls.ClientConfig{
		Gen: d.c.Gen, Mark: d.c.Mark, Timers: d.c.Timers, DeviceID: d.c.ID, Rand: d.c.Rand, KeepSecrets: true,
		Key: d.c.Key.(*ecdsa.PrivateKey), ServerKey: d.c.CloudKey.(*ecdsa.PublicKey), Faults: d.c.Faults, RecordFaults: d.c.Records,
	})
	d.client.Start(now, &d.udp)
	d.shaken(now, out)
}

// Resume goes on with the session from another port, as a device that was
// restarted: its records are marked until the cloud has answered. It reports
// false without a session; over TCP there is nothing to resume.
func (d *Device) Resume() bool {
	if d.session == nil {
		return false
	}
	d.session = dtls.Import(d.session.Export())
	d.session.SetFaults(d.c.Records)
	d.session.Move()
	d.port++
	return true
}

// HangUp closes the connection without a word.
func (d *Device) HangUp(out *transport.Out) {
	d.client, d.session, d.shake, d.frames = nil, nil, nil, nil
	d.hangUp(out)
}

func (d *Device) hangUp(out *transport.Out) {
	if d.stream != 0 {
		out.Close(d.stream)
		d.stream = 0
	}
}

// Say sends one CoAP message. Without a session it is lost.
func (d *Device) Say(message []byte, out *transport.Out) {
	switch {
	case d.session != nil:
		b, err := d.session.Seal(nil, dtls.TypeApplication, message)
		if err != nil {
			d.end(err)
			return
		}
		d.send(b, out)
	case d.frames != nil:
		out.Write(d.stream, d.frames.Seal(nil, message))
	}
}

// SayRaw sends bytes as a datagram, or on the stream, without any protection.
func (d *Device) SayRaw(b []byte, out *transport.Out) {
	if d.UDP() {
		d.send(b, out)
	} else if d.stream != 0 {
		out.Write(d.stream, b)
	}
}

func (d *Device) send(datagram []byte, out *transport.Out) {
	out.Send(netip.AddrPortFrom(netip.Addr{}, d.port), d.c.Cloud, datagram)
}

func (d *Device) end(err error) {
	d.session, d.frames = nil, nil
	d.c.Observe(Event{Kind: Ended, Err: err})
}

// courtesy acknowledges what wants to be.
func (d *Device) courtesy(m Message) ([][]byte, bool) {
	if len(m.Wire) >= 4 && m.CoAP.Type == coap.Confirmable && (d.UDP() || m.CoAP.Code == coap.Empty || !isEvent(m.CoAP)) {
		return [][]byte{Ack(m)}, true
	}
	return nil, true
}

// isEvent reports whether a message is an event: over TCP a device does not
// acknowledge those (PDC-4.3).
func isEvent(m coap.Message) bool {
	return m.Code == coap.POST && len(m.Options) > 0 && (string(m.Options[0].Value) == "e" || string(m.Options[0].Value) == "E")
}

func (d *Device) take(now clock.Instant, message []byte, out *transport.Out) {
	for _, b := range d.hear(now, message, d.courtesy) {
		d.Say(b, out)
	}
}

// shaken acts on what the DTLS handshake produced.
func (d *Device) shaken(now clock.Instant, out *transport.Out) {
	for _, b := range d.udp.Datagrams {
		d.send(b, out)
	}
	events := append([]dtls.Event(nil), d.udp.Events...)
	d.udp.Reset()
	for _, e := range events {
		switch e.Kind {
		case dtls.EventEstablished:
			d.client, d.session = nil, e.Session
			d.c.Observe(Event{Kind: Secured, Secrets: e.Secrets})
		case dtls.EventFailed:
			d.client = nil
			d.c.Observe(Event{Kind: Failed, Err: e.Err})
		case dtls.EventApplication:
			d.take(now, e.Data, out)
		case dtls.EventClosed:
			d.end(e.Err)
		case dtls.EventDropped:
			// Whoever cares sees it on the wire.
		}
	}
}

// Datagram implements transport.Host.
func (d *Device) Datagram(now clock.Instant, p transport.Packet, out *transport.Out) {
	switch {
	case p.Local.Port() != d.port:
		// For a port that was given up.
	case d.client != nil:
		d.client.Receive(now, p.Data, &d.udp)
		d.shaken(now, out)
	case d.session != nil:
		d.session.Receive(p.Data, &d.udp)
		d.shaken(now, out)
	}
}

// StreamOpened implements transport.Host.
func (d *Device) StreamOpened(now clock.Instant, s transport.Stream, out *transport.Out) {
	if s.ID != d.stream {
		return
	}
	d.shake = lightssl.NewClient(&lightssl.ClientConfig{
		ID: d.c.ID, Key: d.c.Key.(*rsa.PrivateKey), ServerKey: d.c.CloudKey.(*rsa.PublicKey), Rand: d.c.Rand, Faults: d.c.Stream,
	})
	d.shake.Start(now, &d.tcp)
	d.framed(now, out)
}

// StreamData implements transport.Host.
func (d *Device) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	switch {
	case id != d.stream:
	case d.shake != nil:
		d.shake.Receive(now, b, &d.tcp)
		d.framed(now, out)
	case d.frames != nil:
		d.unframe(now, b, out)
	}
}

func (d *Device) unframe(now clock.Instant, b []byte, out *transport.Out) {
	frames := d.frames
	err := frames.Receive(now, b, func(message []byte) {
		if d.frames == frames {
			d.take(now, message, out)
		}
	})
	if err != nil {
		d.end(err)
	}
}

// framed acts on what the handshake over TCP produced.
func (d *Device) framed(now clock.Instant, out *transport.Out) {
	for _, b := range d.tcp.Chunks {
		out.Write(d.stream, b)
	}
	events := append([]lightssl.Event(nil), d.tcp.Events...)
	d.tcp.Reset()
	for _, e := range events {
		switch e.Kind {
		case lightssl.EventEstablished:
			d.shake, d.frames = nil, e.Session
			d.SetLastID(e.Session.FirstID() - 1)
			d.c.Observe(Event{Kind: Secured})
			d.unframe(now, e.Rest, out)
		case lightssl.EventFailed:
			d.shake = nil
			d.c.Observe(Event{Kind: Failed, Err: e.Err})
		case lightssl.EventWork:
			// The cloud's.
		}
	}
}

// errClosed says that the stream is over.
var errClosed = errors.New("the stream is closed")

// StreamClosed implements transport.Host.
func (d *Device) StreamClosed(_ clock.Instant, id transport.StreamID, cause transport.Cause, _ *transport.Out) {
	if id != d.stream {
		return
	}
	d.stream, d.shake = 0, nil
	d.end(fmt.Errorf("%w: %v", errClosed, cause))
}

// Advance implements transport.Host.
func (d *Device) Advance(now clock.Instant, out *transport.Out) {
	switch {
	case d.client != nil:
		d.client.Advance(now, &d.udp)
		d.shaken(now, out)
	case d.shake != nil:
		d.shake.Advance(now, &d.tcp)
		d.framed(now, out)
	}
}

// Deadline implements transport.Host.
func (d *Device) Deadline() clock.Instant {
	switch {
	case d.client != nil:
		return d.client.Deadline()
	case d.shake != nil:
		return d.shake.Deadline()
	}
	return clock.Never
}
