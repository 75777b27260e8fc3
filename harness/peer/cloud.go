package peer

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"io"
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/transport"
)

// A CloudConfig says who a puppet cloud is. Zero fields mean the default that is
// stated.
type CloudConfig struct {
	// ECKey proves the cloud over UDP, RSAKey over TCP. One is required.
	ECKey  *ecdsa.PrivateKey
	RSAKey *rsa.PrivateKey
	// Lookup returns the registered key of a device over TCP as SPKI.
	Lookup func(id [12]byte) []byte
	// DeviceID is who connects over UDP: its id is in marked records.
	DeviceID [12]byte
	// Rand yields what the handshakes draw. Required.
	Rand io.Reader
	// Unix is what the courtesy tells as the time, in seconds since 1970.
	Unix uint32
	// Gate, Faults and Records bend DTLS, Stream the handshake and frames over
	// TCP.
	Gate    dtls.GateFaults
	Faults  dtls.ServerFaults
	Records dtls.RecordFaults
	Stream  lightssl.ServerFaults
	// Observe hears of what happens. May be nil.
	Observe func(Event)
}

// A Cloud is a puppet cloud for one device. It lets everybody in who proves a
// key. Its courtesy acknowledges Confirmable messages, tells the time, and over
// TCP answers Hello: the least that a device is content with.
type Cloud struct {
	mouth
	c       CloudConfig
	config  dtls.ServerConfig
	gate    *dtls.Gate
	server  *dtls.Server
	session *dtls.Session
	light   lightssl.ServerConfig
	shake   *lightssl.Server
	frames  *lightssl.Session
	stream  transport.StreamID
	local   netip.AddrPort
	peer    netip.AddrPort // of the last authentic record
	udp     dtls.Out
	tcp     lightssl.Out
}

var _ transport.Host = (*Cloud)(nil)

// NewCloud returns a puppet that waits for a device.
func NewCloud(c CloudConfig) *Cloud {
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	p := &Cloud{c: c, gate: dtls.NewGate(c.Rand, 0, c.Gate)}
	p.config = dtls.ServerConfig{
		Key: c.ECKey, Rand: c.Rand, Verify: func([]byte) error { return nil }, KeepSecrets: true, Faults: c.Faults, RecordFaults: c.Records,
	}
	p.light = lightssl.ServerConfig{
		Key: c.RSAKey, Rand: c.Rand, Inline: true, Faults: c.Stream, Lookup: func(id lightssl.DeviceID) []byte { return c.Lookup(id) },
	}
	p.SetLastID(0x2000)
	return p
}

// Secured reports whether there is a session to say something in.
func (p *Cloud) Secured() bool { return p.session != nil || p.frames != nil }

// Session returns the DTLS session, nil if there is none.
func (p *Cloud) Session() *dtls.Session { return p.session }

// Say sends one CoAP message. Without a session it is lost.
func (p *Cloud) Say(message []byte, out *transport.Out) {
	switch {
	case p.session != nil:
		if b, err := p.session.Seal(nil, dtls.TypeApplication, message); err == nil {
			out.Send(p.local, p.peer, b)
		}
	case p.frames != nil:
		out.Write(p.stream, p.frames.Seal(nil, message))
	}
}

// SayRaw sends bytes as a datagram, or on the stream, without any protection.
func (p *Cloud) SayRaw(b []byte, out *transport.Out) {
	if p.peer.IsValid() {
		out.Send(p.local, p.peer, b)
	} else if p.stream != 0 {
		out.Write(p.stream, b)
	}
}

// HangUp closes the stream, or forgets the session.
func (p *Cloud) HangUp(out *transport.Out) {
	if p.stream != 0 {
		out.Close(p.stream)
	}
	p.session, p.frames, p.shake, p.server, p.stream = nil, nil, nil, nil, 0
}

func (p *Cloud) courtesy(m Message) ([][]byte, bool) {
	switch {
	case m.Err != nil:
		return nil, true
	case isPath(m.CoAP, coap.GET, "t"):
		return [][]byte{Reply(m, coap.Content, []byte{byte(p.c.Unix >> 24), byte(p.c.Unix >> 16), byte(p.c.Unix >> 8), byte(p.c.Unix)})}, true
	case isPath(m.CoAP, coap.POST, "h") && p.frames != nil:
		hello := coap.Message{Type: coap.NonConfirmable, Code: coap.POST, ID: p.NextID(), Options: coap.Options{{ID: coap.URIPath, Value: []byte("h")}}}
		return [][]byte{hello.Append(nil)}, true
	case m.CoAP.Type == coap.Confirmable:
		return [][]byte{Ack(m)}, true
	}
	return nil, true
}

func isPath(m coap.Message, code coap.Code, path string) bool {
	return m.Code == code && m.Path() == path
}

func (p *Cloud) take(now clock.Instant, message []byte, out *transport.Out) {
	for _, b := range p.hear(now, message, p.courtesy) {
		p.Say(b, out)
	}
}

// Datagram implements transport.Host.
func (p *Cloud) Datagram(now clock.Instant, packet transport.Packet, out *transport.Out) {
	b := packet.Data
	if len(b) == 0 || p.c.ECKey == nil {
		return
	}
	handshake := len(b) > 13 && b[0] == byte(dtls.TypeHandshake) && b[3] == 0 && b[4] == 0
	switch {
	case handshake && (p.server == nil || p.server.Over() || b[13] == 1 && !p.server.SameHello(b)):
		if p.session != nil && p.session.SameHello(b) {
			return // a late copy
		}
		p.local, p.peer = packet.Local, packet.Peer
		if p.gate.Receive(now, []byte(packet.Peer.String()), b, &p.udp) == dtls.Admitted {
			p.server = dtls.NewServer(&p.config)
			p.server.Receive(now, b, &p.udp)
		}
		p.shaken(now, out)
	case p.server != nil && !p.server.Over():
		p.server.Receive(now, b, &p.udp)
		p.shaken(now, out)
	case p.session != nil:
		if p.session.Receive(b, &p.udp).Authentic {
			p.local, p.peer = packet.Local, packet.Peer
		}
		p.shaken(now, out)
	}
}

// shaken acts on what DTLS produced.
func (p *Cloud) shaken(now clock.Instant, out *transport.Out) {
	for _, b := range p.udp.Datagrams {
		out.Send(p.local, p.peer, b)
	}
	events := append([]dtls.Event(nil), p.udp.Events...)
	p.udp.Reset()
	for _, e := range events {
		switch e.Kind {
		case dtls.EventEstablished:
			p.server, p.session = nil, e.Session
			p.session.SetDeviceID(p.c.DeviceID)
			p.c.Observe(Event{Kind: Secured, Secrets: e.Secrets})
		case dtls.EventFailed:
			p.server = nil
			p.c.Observe(Event{Kind: Failed, Err: e.Err})
		case dtls.EventApplication:
			p.take(now, e.Data, out)
		case dtls.EventClosed:
			p.session = nil
			p.c.Observe(Event{Kind: Ended, Err: e.Err})
		case dtls.EventDropped:
			// Whoever cares sees it on the wire.
		}
	}
}

// StreamOpened implements transport.Host.
func (p *Cloud) StreamOpened(now clock.Instant, s transport.Stream, out *transport.Out) {
	if p.c.RSAKey == nil {
		out.Abort(s.ID)
		return
	}
	p.stream, p.frames = s.ID, nil
	p.shake = lightssl.NewServer(&p.light)
	p.shake.Start(now, &p.tcp)
	p.framed(now, out)
}

// StreamData implements transport.Host.
func (p *Cloud) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	switch {
	case id != p.stream:
	case p.frames != nil:
		p.unframe(now, b, out)
	case p.shake != nil:
		p.shake.Receive(now, b, &p.tcp)
		p.framed(now, out)
	}
}

func (p *Cloud) unframe(now clock.Instant, b []byte, out *transport.Out) {
	frames := p.frames
	err := frames.Receive(now, b, func(message []byte) {
		if p.frames == frames {
			p.take(now, message, out)
		}
	})
	if err != nil {
		p.frames = nil
		p.c.Observe(Event{Kind: Ended, Err: err})
	}
}

// framed acts on what the handshake over TCP produced.
func (p *Cloud) framed(now clock.Instant, out *transport.Out) {
	for _, b := range p.tcp.Chunks {
		out.Write(p.stream, b)
	}
	events := append([]lightssl.Event(nil), p.tcp.Events...)
	p.tcp.Reset()
	for _, e := range events {
		switch e.Kind {
		case lightssl.EventEstablished:
			p.shake, p.frames = nil, e.Session
			p.c.Observe(Event{Kind: Secured, Credentials: e.Session.Credentials()})
			p.unframe(now, append([]byte(nil), e.Rest...), out)
		case lightssl.EventFailed:
			p.shake = nil
			p.c.Observe(Event{Kind: Failed, Err: e.Err})
		case lightssl.EventWork:
			// It was done inline.
		}
	}
}

// StreamClosed implements transport.Host.
func (p *Cloud) StreamClosed(_ clock.Instant, id transport.StreamID, _ transport.Cause, _ *transport.Out) {
	if id == p.stream {
		p.stream, p.shake, p.frames = 0, nil, nil
		p.c.Observe(Event{Kind: Ended, Err: errClosed})
	}
}

// Advance implements transport.Host.
func (p *Cloud) Advance(now clock.Instant, out *transport.Out) {
	switch {
	case p.server != nil:
		p.server.Advance(now, &p.udp)
		p.shaken(now, out)
	case p.shake != nil:
		p.shake.Advance(now, &p.tcp)
		p.framed(now, out)
	}
}

// Deadline implements transport.Host.
func (p *Cloud) Deadline() clock.Instant {
	switch {
	case p.server != nil && !p.server.Over():
		return p.server.Deadline()
	case p.shake != nil:
		return p.shake.Deadline()
	}
	return clock.Never
}
