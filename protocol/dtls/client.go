package dtls

import (
	"crypto/ecdsa"
	"crypto/subtle"
	"errors"

	"github.com/muster/muster/protocol/clock"
)

// A Client is the handshake of a device. It ends with EventEstablished or
// EventFailed; a device then makes another.
//
//	waitHello --HelloVerifyRequest--> waitHello, ClientHello repeated with the cookie
//	          --ServerHello--> waitKeyExchange --[CertificateRequest]--> waitDone
//	          --ServerHelloDone--> waitFinished --ChangeCipherSpec, Finished--> over
type Client struct {
	cfg   *ClientConfig
	habit habit
	handshake
	state  clientState
	hello  clientHello
	cookie int // HelloVerifyRequests answered

	clientType, serverType int
	clientCID, serverCID   []byte // in the records of each
	serverKey              *ecdsa.PublicKey
	serverSPKI             []byte
	serverChain            [][]byte
	serverPoint            []byte
	asked                  bool // CertificateRequest was seen
}

// A clientState is what a Client waits for.
type clientState uint8

const (
	clientIdle clientState = iota
	clientWaitHello
	clientWaitCertificate // in the profile Standard
	clientWaitKeyExchange
	clientWaitRequest // CertificateRequest or ServerHelloDone
	clientWaitDone
	clientWaitFinished
)

// maxCookies bounds the HelloVerifyRequests that a handshake answers.
const maxCookies = 8

// NewClient returns a Client that waits for Start.
func NewClient(cfg *ClientConfig) *Client {
	c := &Client{cfg: cfg, habit: cfg.habit(), serverKey: cfg.ServerKey}
	c.handshake = newHandshake(cfg.Profile, cfg.MaxMessage, c.habit.timers)
	c.timer.keep = cfg.Faults.KeepTimeout
	packing := PackSingle
	if c.habit.packed {
		packing = PackFull
	}
	c.tx = newTransmitter(cfg.MTU, 0, cfg.Faults.Packing, packing)
	c.tx.overlap = cfg.Faults.OverlapFragments
	return c
}

// Deadline returns when Advance must be called next.
func (c *Client) Deadline() clock.Instant {
	if c.over {
		return clock.Never
	}
	return c.timer.deadline
}

// Over reports whether the handshake has ended.
func (c *Client) Over() bool { return c.over }

// Start sends the first ClientHello.
func (c *Client) Start(now clock.Instant, out *Out) {
	if c.state != clientIdle {
		panic("dtls: Client started twice")
	}
	draw(c.cfg.Rand, c.clientRandom[:])
	c.hello = c.cfg.hello(&c.clientRandom)
	c.state = clientWaitHello
	c.sendHello(now, out)
}

// sendHello sends ClientHello. The transcript begins with it
// (RFC 6347 Section 4.2.6).
func (c *Client) sendHello(now clock.Instant, out *Out) {
	c.transcript.Reset()
	c.begin()
	c.add(typeClientHello, c.hello.append(nil))
	c.send(now, out)
}

// Advance retransmits, or gives up, when the deadline has passed.
func (c *Client) Advance(now clock.Instant, out *Out) {
	if c.over || now < c.timer.deadline {
		return
	}
	if !c.timer.expire(now) {
		c.end(ErrTimeout, out)
		return
	}
	if !c.stuck {
		c.tx.send(&c.flight, c.session, out)
	}
}

// Receive takes a datagram of the server. It may decrypt datagram in place.
// Application data that follow the Finished in the same datagram are reported
// as the Session would.
func (c *Client) Receive(now clock.Instant, datagram []byte, out *Out) {
	if c.state == clientIdle {
		panic("dtls: Client not started")
	}
	c.receive(c, now, datagram, out)
}

func (c *Client) readCIDSize() int { return len(c.serverCID) }

func (c *Client) receiveFirst(handshakeType, uint16) DropReason { return DropNone }

// repeats reports whether seq is the last message of the server's flight.
//
// Device OS: the others do not count, so as not to answer each of them.
func (c *Client) repeats(_ handshakeType, seq uint16) bool {
	return c.state == clientWaitFinished && seq == c.in.next-1
}

// receiveMessage takes the next message.
func (c *Client) receiveMessage(now clock.Instant, m message, out *Out) {
	switch {
	case c.state == clientWaitHello && m.typ == typeHelloVerifyRequest:
		c.receiveVerifyRequest(now, &m, out)
	case c.state == clientWaitHello && m.typ == typeServerHello:
		c.receiveHello(&m, out)
	case c.state == clientWaitCertificate && m.typ == typeCertificate:
		c.receiveCertificate(&m, out)
	case c.state == clientWaitKeyExchange && m.typ == typeCertificate && c.cfg.Faults.AcceptCertificate:
		c.note(&m)
	case c.state == clientWaitKeyExchange && m.typ == typeServerKeyExchange:
		c.receiveKeyExchange(&m, out)
	case c.state == clientWaitRequest && m.typ == typeCertificateRequest:
		if !parseCertificateRequest(m.body) {
			c.fail(DecodeError, errors.New("malformed CertificateRequest"), out)
			return
		}
		c.note(&m)
		c.asked = true
		c.state = clientWaitDone
	case (c.state == clientWaitRequest || c.state == clientWaitDone) && m.typ == typeServerHelloDone && len(m.body) == 0:
		c.note(&m)
		c.sendFlight(now, out)
	case c.state == clientWaitFinished && m.typ == typeFinished:
		c.receiveFinished(&m, out)
	case m.typ == typeHelloRequest:
		// Ignored while a handshake runs (RFC 5246 Section 7.4.1.1).
		out.dropped(DropHandshake)
	case m.typ == typeCertificate && !c.habit.alerts:
		// Device OS: A and B neither say anything nor go on, and time out.
		c.stuck = true
	default:
		c.fail(UnexpectedMessage, errors.New(m.typ.String()+" out of place"), out)
	}
}

// receiveVerifyRequest repeats ClientHello with the cookie: same random, next
// message_seq.
func (c *Client) receiveVerifyRequest(now clock.Instant, m *message, out *Out) {
	cookie, ok := parseHelloVerifyRequest(m.body)
	if c.cookie++; !ok || c.cookie > maxCookies {
		c.fail(DecodeError, errors.New("malformed HelloVerifyRequest"), out)
		return
	}
	c.hello.cookie = cookie
	c.plain = window{} // the server may number its records from 0 again
	c.sendHello(now, out)
}

// receiveHello takes what the server chose.
func (c *Client) receiveHello(m *message, out *Out) {
	h, ok := parseServerHello(m.body)
	switch {
	case !ok:
		c.fail(DecodeError, errors.New("malformed ServerHello"), out)
		return
	case h.version != version12:
		c.fail(ProtocolVersion, errors.New("server without DTLS 1.2"), out)
		return
	case h.suite != suiteCCM8 || h.compression != compressionNull:
		c.fail(IllegalParameter, errors.New("server chose what was not offered"), out)
		return
	}
	if d, err := c.takeCID(&h); err != nil {
		c.fail(d, err, out)
		return
	}
	c.serverRandom = h.random
	c.clientType, c.serverType = h.clientType, h.serverType
	c.masterSecret = c.cfg.Profile == Standard && h.masterSecret && !c.cfg.NoExtendedMasterSecret
	c.note(m)
	c.state = clientWaitKeyExchange
	if c.cfg.Profile == Standard {
		c.state = clientWaitCertificate
	}
}

// takeCID takes the connection id for our records.
//
// Device OS: ids of another length than 8 go through the whole handshake, and
// the session is refused then.
func (c *Client) takeCID(h *serverHello) (AlertDescription, error) {
	offered := c.cfg.Profile == Standard && c.cfg.CID != nil
	cid, longest := h.cid, MaxCIDSize
	if c.cfg.Profile == DeviceOS {
		offered, cid, longest = c.habit.cid, h.deviceOSCID, CIDSize
	}
	if !offered || cid == nil && !h.badCID {
		return 0, nil
	}
	switch {
	case h.badCID:
		return IllegalParameter, errors.New("malformed connection id")
	case len(cid) > longest:
		return HandshakeFailure, errors.New("connection id too long")
	}
	c.clientCID = cid
	if c.cfg.Profile == Standard {
		c.serverCID = c.cfg.CID
	}
	return 0, nil
}

// receiveCertificate takes the server's key, in the profile Standard.
func (c *Client) receiveCertificate(m *message, out *Out) {
	spki, ok := parseRawKey(m.body)
	if c.serverType == typeX509 {
		if c.serverChain, ok = parseChain(m.body); ok {
			spki, ok = certificateSPKI(c.serverChain[0])
		}
	}
	var key *ecdsa.PublicKey
	if ok {
		key, ok = ParseSPKI(spki)
	}
	if !ok {
		c.fail(BadCertificate, errors.New("server sent no P-256 key"), out)
		return
	}
	if c.serverKey != nil {
		ok = key.Equal(c.serverKey)
	} else {
		ok = c.cfg.VerifyServer(spki, c.serverChain) == nil
	}
	if !ok {
		c.fail(BadCertificate, ErrUnknownKey, out)
		return
	}
	c.serverKey, c.serverSPKI = key, spki
	c.note(m)
	c.state = clientWaitKeyExchange
}

// receiveKeyExchange checks the server's proof of its key.
func (c *Client) receiveKeyExchange(m *message, out *Out) {
	k, ok := parseServerKeyExchange(m.body)
	if !ok {
		c.fail(HandshakeFailure, errors.New("malformed ServerKeyExchange"), out)
		return
	}
	if k.algorithm != signatureECDSA || !c.takesHash(k.hash) {
		c.fail(IllegalParameter, errors.New("ServerKeyExchange with an algorithm that was not offered"), out)
		return
	}
	sum, _ := digest(k.hash, signedParams(&c.clientRandom, &c.serverRandom, k.params))
	if !ecdsa.VerifyASN1(c.serverKey, sum, k.signature) && !c.cfg.Faults.AcceptAnySignature {
		c.fail(DecryptError, errors.New("ServerKeyExchange does not prove the key"), out)
		return
	}
	c.serverPoint = k.point
	c.note(m)
	c.state = clientWaitRequest
}

// takesHash reports whether a signature with the hash is acceptable.
//
// Device OS: SHA-256 and SHA-224 always, whatever was offered; SHA-1 in
// generation B.
func (c *Client) takesHash(hash byte) bool {
	switch hash {
	case hashSHA256:
		return true
	case hashSHA224:
		return c.cfg.Profile == DeviceOS
	case hashSHA1:
		return c.habit.sha1
	default:
		return false
	}
}

// receiveFinished checks that the server saw the same handshake, and ends it.
func (c *Client) receiveFinished(m *message, out *Out) {
	want := c.prf.verifyData(labelServer, c.sum())
	if subtle.ConstantTimeCompare(want[:], m.body) != 1 {
		// Device OS: decode_error, where RFC 5246 Section 7.4.9 has decrypt_error.
		c.fail(DecodeError, errors.New("server Finished differs"), out)
		return
	}
	if c.habit.cid && len(c.clientCID) != CIDSize && !c.cfg.Faults.AcceptAnyCID {
		c.end(ErrNoCID, out)
		return
	}
	c.over = true
	if c.serverSPKI == nil {
		c.serverSPKI = SPKI(c.serverKey)
	}
	out.Events = append(out.Events, Event{
		Kind: EventEstablished, Session: c.session, PeerSPKI: c.serverSPKI, PeerChain: c.serverChain, Secrets: c.secrets(c.cfg.KeepSecrets),
	})
}

// fail ends the handshake because of what the server sent. Generations A and B
// do not say so; the others do in the epoch in which they send.
func (c *Client) fail(d AlertDescription, cause error, out *Out) {
	if c.habit.alerts {
		alert := []byte{byte(AlertFatal), byte(d)}
		out.send(func(b []byte) []byte {
			if c.session != nil {
				b, _ = c.session.SealWith(out.Ciphers, b, TypeAlert, alert) // without a sequence it is left out
				return b
			}
			b = appendRecord(b, TypeAlert, c.tx.sequence, alert)
			c.tx.sequence++
			return b
		})
	}
	c.end(&AlertError{Local: true, Level: AlertFatal, Description: d, Cause: cause}, out)
}

// end ends the handshake without a session.
func (c *Client) end(err error, out *Out) {
	c.over, c.session = true, nil
	out.Events = append(out.Events, Event{Kind: EventFailed, Err: err})
}
