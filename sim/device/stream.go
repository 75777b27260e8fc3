package device

import (
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
)

// StreamOpened tells that DialStream has succeeded.
func (d *Device) StreamOpened(now clock.Instant, out *Out) {
	if d.state != Opening {
		return
	}
	c := &lightssl.ClientConfig{
		ID: lightssl.DeviceID(d.id), Key: d.cfg.Key(d.id).(*rsa.PrivateKey), ServerKey: d.cfg.CloudKey.(*rsa.PublicKey),
		Rand: d.random(), FrameLimit: d.frameLimit(),
	}
	c.Faults = d.faults().Stream
	d.hs = &handshake{tcp: lightssl.NewClient(c)}
	d.state = Securing
	d.hs.tcp.Start(now, &out.ssl)
	d.streamHandshaken(now, out)
}

// frameLimit is the longest ciphertext that the release receives (TRN-1.3).
func (d *Device) frameLimit() int {
	switch {
	case d.prof.Board.Platform == pdc.Core:
		return lightssl.LimitCore
	case !d.atLeast(pdc.OS3_0):
		return lightssl.LimitDevice
	case !d.atLeast(pdc.OS5_8):
		return lightssl.LimitDevice3_0
	}
	return lightssl.LimitDevice5_8
}

// StreamData takes the next bytes of the stream, which it may overwrite. Events
// alias them: they must not be reused before the events are handled.
func (d *Device) StreamData(now clock.Instant, b []byte, out *Out) {
	switch {
	case d.prof.Board.UDP:
	case d.hs != nil:
		d.hs.tcp.Receive(now, b, &out.ssl)
		d.streamHandshaken(now, out)
	case d.ch != nil:
		d.ch.Receive(now, b, &out.link)
		d.received(now, out)
		d.progress(now, out)
	default:
		// The end of a stream that was closed.
	}
}

// StreamClosed tells that the stream is closed or could not be opened. The
// virtual device does not notice that the cloud has closed it (captures): it
// finds out by its own ping.
func (d *Device) StreamClosed(now clock.Instant, out *Out) {
	switch {
	case d.prof.Board.UDP || d.state < Opening:
	case d.state == Opening:
		d.fail(now, StreamFailed, false, out)
	case d.hs != nil:
		d.hs.tcp.PeerClosed(&out.ssl)
		d.streamHandshaken(now, out)
	case d.prof.Board.Virtual:
	default:
		d.fail(now, StreamFailed, false, out)
	}
}

// streamHandshaken acts on what the handshake over a stream produced.
func (d *Device) streamHandshaken(now clock.Instant, out *Out) {
	for ; out.sslSent < len(out.ssl.Chunks); out.sslSent++ {
		out.do(WriteStream, out.ssl.Chunks[out.sslSent])
	}
	for hs := d.hs; hs != nil && d.hs == hs && out.sslSeen < len(out.ssl.Events); {
		e := out.ssl.Events[out.sslSeen]
		out.sslSeen++
		switch e.Kind {
		case lightssl.EventEstablished:
			d.streamEstablished(now, e, out)
		case lightssl.EventFailed:
			why := StreamFailed
			var err lightssl.Error
			if errors.As(e.Err, &err) {
				why = Error(err.Number())
			}
			d.fail(now, why, false, out)
		default:
			// Work is the cloud's.
		}
	}
	out.sslSeen = len(out.ssl.Events)
}

// streamEstablished begins the conversation. Message ids begin where the salt
// says, in every connection.
func (d *Device) streamEstablished(now clock.Instant, e lightssl.Event, out *Out) {
	d.hs = nil
	first := e.Session.Credentials().FirstID()
	if d.prof.Board.Platform == pdc.Core {
		first = e.Session.Credentials().CoreFirstID()
	}
	l := link.OverLightSSL(e.Session, coap.NewExchange(&coap.DeviceTCP, first-1, d.rng, d.coapFaults()))
	d.ch = &l
	d.known, d.persistent, d.answered = AppState{}, false, false
	if d.cfg.Secrets {
		out.event(Event{Kind: Secrets, Data: fmt.Appendf(nil, "LIGHTSSL %x", e.Session.Credentials()[:])})
	}
	d.secured(now, false, out)
	if len(e.Rest) > 0 && d.ch == &l {
		d.StreamData(now, e.Rest, out)
	}
}
