package device

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/seed"
)

// A handshake is what exists only while a connection is being secured: one of
// the two.
type handshake struct {
	udp *dtls.Client
	tcp *lightssl.Client
}

func (h *handshake) deadline() clock.Instant {
	if h.udp != nil {
		return h.udp.Deadline()
	}
	return h.tcp.Deadline()
}

// random returns the source of handshake randoms and ephemeral keys: that of
// the Config, or a stream of its own for each handshake.
func (d *Device) random() io.Reader {
	d.nv.Handshakes++
	if d.cfg.Rand != nil {
		return d.cfg.Rand
	}
	return seed.Bytes(d.cfg.Seed, fmt.Sprintf("device/%v/handshake/%d", d.id, d.nv.Handshakes))
}

// startHandshake begins the DTLS handshake.
func (d *Device) startHandshake(now clock.Instant, out *Out) {
	c := &dtls.ClientConfig{
		Gen: d.prof.Generation(), Mark: d.prof.Mark(), Timers: d.prof.HandshakeTimers(),
		Key: d.cfg.Key(d.id).(*ecdsa.PrivateKey), ServerKey: d.cfg.CloudKey.(*ecdsa.PublicKey),
		Rand: d.random(), DeviceID: d.id, KeepSecrets: d.cfg.Secrets,
	}
	c.Faults, c.RecordFaults = d.faults().Handshake, d.faults().Records
	d.hs = &handshake{udp: dtls.NewClient(c)}
	d.state, d.timer = Securing, clock.Never
	d.hs.udp.Start(now, &out.dtls)
	d.handshaken(now, out)
}

// handshaken acts on what the DTLS handshake produced.
func (d *Device) handshaken(now clock.Instant, out *Out) {
	for ; out.dtlsSent < len(out.dtls.Datagrams); out.dtlsSent++ {
		out.do(SendDatagram, out.dtls.Datagrams[out.dtlsSent])
	}
	for hs := d.hs; hs != nil && d.hs == hs && out.dtlsSeen < len(out.dtls.Events); {
		e := out.dtls.Events[out.dtlsSeen]
		out.dtlsSeen++
		switch e.Kind {
		case dtls.EventEstablished:
			d.established(now, e, out)
		case dtls.EventFailed:
			d.fail(now, HandshakeFailed, true, out)
		case dtls.EventDropped:
			out.event(Event{Kind: Dropped, Name: e.Reason.String()})
		default:
			// Application data in the same datagram would come before Hello: a
			// device is deaf to it.
		}
	}
	out.dtlsSeen = len(out.dtls.Events)
}

// established begins the conversation over a new DTLS session. Nothing of an
// older session counts any more, but the message ids go on.
func (d *Device) established(now clock.Instant, e dtls.Event, out *Out) {
	d.hs = nil
	last := uint16(0)
	if d.hasID {
		last = d.lastID
	}
	l := link.OverDTLS(e.Session, coap.NewExchange(&coap.DeviceUDP, last, d.rng, d.coapFaults()))
	d.ch = &l
	d.known, d.uses, d.persistent = AppState{}, 0, false
	if s := e.Secrets; s != nil {
		out.event(Event{Kind: Secrets, Data: fmt.Appendf(nil, "CLIENT_RANDOM %x %x", s.ClientRandom, s.Master)})
	}
	d.secured(now, false, out)
}

func (d *Device) coapFaults() *coap.Faults { return &d.faults().CoAP }

// advanceHandshake does what is due in the handshake.
func (d *Device) advanceHandshake(now clock.Instant, out *Out) {
	if now.Before(d.hs.deadline()) {
		return
	}
	if d.hs.udp != nil {
		d.hs.udp.Advance(now, &out.dtls)
		d.handshaken(now, out)
		return
	}
	d.hs.tcp.Advance(now, &out.ssl)
	d.streamHandshaken(now, out)
}

// Datagram takes one datagram from the cloud, which it may overwrite. Events
// alias it: it must not be reused before they are handled.
func (d *Device) Datagram(now clock.Instant, b []byte, out *Out) {
	switch {
	case !d.prof.Board.UDP:
	case d.hs != nil:
		d.hs.udp.Receive(now, b, &out.dtls)
		d.handshaken(now, out)
	case d.ch != nil:
		out.link.Ciphers = out.Ciphers
		d.ch.Receive(now, b, &out.link)
		d.received(now, out)
		d.progress(now, out)
	default:
		// A late answer to a connection that is over.
	}
}

// importSession returns the connection of a stored session.
func (d *Device) importSession(s *Session) (*link.Link, error) {
	state, err := dtls.ParseState(s.DTLS)
	if err != nil {
		return nil, err
	}
	session := dtls.Import(state)
	session.SetFaults(d.faults().Records)
	session.Move()
	l := link.OverDTLS(session, coap.NewExchange(&coap.DeviceUDP, s.LastID, d.rng, d.coapFaults()))
	return &l, nil
}

// exportSession returns the live session in its stored form.
func (d *Device) exportSession() ([]byte, bool) {
	s := d.ch.DTLS()
	if s == nil || d.ch.Over() {
		return nil, false
	}
	state := s.Export()
	return state.Append(nil), true
}

// keysChecksum tells whether the keys are still those that a session was made
// with (TRN-3.2).
func (d *Device) keysChecksum() uint32 {
	sum := crc32.NewIEEE()
	for _, k := range []any{d.cfg.CloudKey, d.cfg.Key(d.id)} {
		switch k := k.(type) {
		case *ecdsa.PublicKey:
			if b, err := k.Bytes(); err == nil {
				sum.Write(b)
			}
		case *ecdsa.PrivateKey:
			if b, err := k.PublicKey.Bytes(); err == nil {
				sum.Write(b)
			}
		case *rsa.PublicKey:
			sum.Write(k.N.Bytes())
		case *rsa.PrivateKey:
			sum.Write(k.N.Bytes())
		}
	}
	return sum.Sum32()
}
