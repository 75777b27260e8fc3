// Package standin is a cloud for tests of what devices do: it lets everybody in,
// answers what keeps devices happy, and no more. It shares nothing with the
// reference cloud but the wire.
package standin

import (
	"bytes"
	"context"
	"crypto/rsa"
	"io"
	"net/netip"
	"sync"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/drive"
)

// A Cloud answers devices. It implements transport.Host.
type Cloud struct {
	keys    Keys
	gate    *dtls.Gate
	dtls    dtls.ServerConfig
	ssl     lightssl.ServerConfig
	random  *seedReader
	half    map[netip.AddrPort]*dtls.Server
	byCID   map[dtls.CID]*session
	byID    map[[12]byte]*session
	byAddr  map[netip.AddrPort]*session
	streams map[transport.StreamID]*session
	ids     map[string][12]byte // device ids by SPKI, for records marked 254
	dout    dtls.Out
	sout    lightssl.Out
	lout    link.Out
	driver  *drive.Driver // on real sockets

	mu       sync.Mutex // guards what tests look at
	messages int
	kinds    map[pdc.Kind]int
}

type session struct {
	link   *link.Link
	ssl    *lightssl.Server
	local  netip.AddrPort
	peer   netip.AddrPort
	stream transport.StreamID
	next   uint16
}

type seedReader struct{ r io.Reader }

func (s *seedReader) Read(b []byte) (int, error) { return s.r.Read(b) }

// Keys are the public keys of the devices, as SubjectPublicKeyInfo in DER.
type Keys interface{ Public(id device.ID) []byte }

// EC is the key of every Cloud over UDP.
var EC = seed.P256(seed.Bytes(1, "cloud"))

// New returns a cloud with an RSA key of 2,048 bits for devices over TCP.
func New(keys Keys, rsaKey *rsa.PrivateKey) *Cloud {
	c := &Cloud{
		keys: keys, random: &seedReader{seed.Bytes(1, "handshakes")},
		half: make(map[netip.AddrPort]*dtls.Server), byCID: make(map[dtls.CID]*session),
		byID: make(map[[12]byte]*session), byAddr: make(map[netip.AddrPort]*session),
		streams: make(map[transport.StreamID]*session), ids: make(map[string][12]byte), kinds: make(map[pdc.Kind]int),
	}
	c.gate = dtls.NewGate(seed.Bytes(1, "cookies"), 0, dtls.GateFaults{})
	c.dtls = dtls.ServerConfig{Key: EC, Rand: c.random, Verify: func([]byte) error { return nil }}
	c.ssl = lightssl.ServerConfig{Key: rsaKey, Rand: c.random, Inline: true, Lookup: func(id lightssl.DeviceID) []byte {
		return keys.Public(device.ID(id))
	}}
	return c
}

// Open opens sockets of the cloud on loopback; run serves them until its context is
// done.
func (c *Cloud) Open() (udp, tcp netip.AddrPort, run func(context.Context) error, err error) {
	c.driver = drive.New(c, drive.Config{})
	engine, err := c.driver.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return udp, tcp, nil, err
	}
	tcp, err = c.driver.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	return engine.Addr(0), tcp, c.driver.Run, err
}

// Know tells the device id behind a public key, by which records of sessions that
// have moved are found.
func (c *Cloud) Know(spki []byte, id [12]byte) { c.ids[string(spki)] = id }

// RSA returns the cloud's public key over TCP.
func (c *Cloud) RSA() *rsa.PublicKey { return &c.ssl.Key.PublicKey }

// Datagram implements transport.Host: it takes a record of a device.
func (c *Cloud) Datagram(now clock.Instant, p transport.Packet, out *transport.Out) {
	h, err := dtls.PeekHeader(p.Data)
	if err != nil {
		return
	}
	if s := c.session(h, p.Peer); s != nil && !h.ClientHello {
		if s.link.Receive(now, p.Data, &c.lout).Newest {
			s.peer = p.Peer
			c.byAddr[p.Peer] = s
		}
		c.answer(now, s, out)
		return
	}
	server := c.half[p.Peer]
	if h.ClientHello && (server == nil || !server.SameHello(p.Data)) {
		if c.gate.Receive(now, []byte(p.Peer.String()), p.Data, &c.dout) == dtls.Admitted {
			server = dtls.NewServer(&c.dtls)
			c.half[p.Peer] = server
		} else {
			server = nil
		}
	}
	if server != nil {
		server.Receive(now, p.Data, &c.dout)
	}
	c.handshaken(now, p.Local, p.Peer, out)
}

func (c *Cloud) session(h dtls.Header, peer netip.AddrPort) *session {
	switch {
	case h.CID.Len() > 0:
		return c.byCID[h.CID]
	case h.Type == dtls.TypeMovedTrailer:
		return c.byID[h.DeviceID]
	case h.Epoch == 0:
		return nil
	}
	return c.byAddr[peer]
}

func (c *Cloud) handshaken(now clock.Instant, local, peer netip.AddrPort, out *transport.Out) {
	for _, b := range c.dout.Datagrams {
		out.Send(local, peer, b)
	}
	for _, e := range c.dout.Events {
		switch e.Kind {
		case dtls.EventEstablished:
			id := c.ids[string(e.PeerSPKI)]
			e.Session.SetDeviceID(id)
			l := link.OverDTLS(e.Session, coap.NewExchange(&coap.CloudUDP, 0, seed.Stream(1, "cloud"), nil))
			s := &session{link: &l, local: local, peer: peer}
			c.byAddr[peer], c.byID[id] = s, s
			if cid := l.DTLS().ReadCID(); cid.Len() > 0 {
				c.byCID[cid] = s
			}
			delete(c.half, peer)
		case dtls.EventFailed:
			delete(c.half, peer)
		case dtls.EventApplication:
			panic("standin: application data with the handshake")
		case dtls.EventClosed, dtls.EventDropped:
			// A handshake is not closed, and what it drops comes again.
		}
	}
	c.dout.Reset()
	_ = now
}

// StreamOpened implements transport.Host: it takes a device over TCP.
func (c *Cloud) StreamOpened(now clock.Instant, st transport.Stream, out *transport.Out) {
	s := &session{ssl: lightssl.NewServer(&c.ssl), stream: st.ID}
	c.streams[st.ID] = s
	s.ssl.Start(now, &c.sout)
	c.streamed(now, s, out)
}

// StreamData implements transport.Host: it takes what a device says over TCP.
func (c *Cloud) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	s := c.streams[id]
	switch {
	case s == nil:
	case s.link != nil:
		s.link.Receive(now, b, &c.lout)
		c.answer(now, s, out)
	default:
		s.ssl.Receive(now, b, &c.sout)
		c.streamed(now, s, out)
	}
}

// StreamClosed implements transport.Host: it forgets a device over TCP.
func (c *Cloud) StreamClosed(_ clock.Instant, id transport.StreamID, _ transport.Cause, _ *transport.Out) {
	delete(c.streams, id)
}

func (c *Cloud) streamed(now clock.Instant, s *session, out *transport.Out) {
	for _, b := range c.sout.Chunks {
		out.Write(s.stream, b)
	}
	events := append([]lightssl.Event(nil), c.sout.Events...)
	c.sout.Reset()
	for _, e := range events {
		switch e.Kind {
		case lightssl.EventEstablished:
			l := link.OverLightSSL(e.Session, coap.NewExchange(&coap.CloudTCP, 0, nil, nil))
			s.link = &l
			l.Receive(now, bytes.Clone(e.Rest), &c.lout)
			c.answer(now, s, out)
		case lightssl.EventFailed:
			out.Close(s.stream)
		case lightssl.EventWork:
			// Not with Inline.
		}
	}
}

// answer answers what came over the link of s.
func (c *Cloud) answer(now clock.Instant, s *session, out *transport.Out) {
	events := append([]link.Event(nil), c.lout.Events...)
	for _, e := range events {
		if e.Kind == link.Exchange && e.CoAP.Kind == coap.Received {
			c.reply(now, s, e.CoAP.Message)
		}
	}
	c.flush(s, out)
}

// reply answers through the exchange, which repeats an answer that was lost.
func (c *Cloud) reply(now clock.Instant, s *session, m coap.Message) {
	kind := pdc.Classify(m, true)
	c.mu.Lock()
	c.messages++
	c.kinds[kind]++
	c.mu.Unlock()
	ack := coap.Message{Type: coap.Acknowledgement}
	switch {
	case kind == pdc.KindTimeRequest:
		ack.Code, ack.Token, ack.Payload = coap.Content, m.Token, []byte{0x69, 0x55, 0xb9, 0x00}
		s.link.Reply(now, m, ack, &c.lout)
	case kind == pdc.KindHello && s.stream != 0:
		s.next++
		s.link.SendRaw([]byte{0x50, 0x02, byte(s.next >> 8), byte(s.next), 0xb1, 'h'}, &c.lout)
	case m.Type == coap.Confirmable:
		s.link.Reply(now, m, ack, &c.lout)
	}
}

func (c *Cloud) flush(s *session, out *transport.Out) {
	for _, b := range c.lout.Packets {
		if s.stream != 0 {
			out.Write(s.stream, b)
		} else {
			out.Send(s.local, s.peer, b)
		}
	}
	c.lout.Reset()
}

// Forget forgets all sessions, to measure what is left.
func (c *Cloud) Forget() {
	c.half, c.byCID, c.byID, c.byAddr, c.ids = nil, nil, nil, nil, nil
}

// Advance implements transport.Host. It does nothing: a lost datagram is the device's to repeat.
func (c *Cloud) Advance(clock.Instant, *transport.Out) {}

// Deadline implements transport.Host.
func (c *Cloud) Deadline() clock.Instant { return clock.Never }

// Count returns how many messages of a kind have come.
func (c *Cloud) Count(k pdc.Kind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kinds[k]
}
