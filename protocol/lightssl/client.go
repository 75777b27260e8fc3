package lightssl

import (
	"crypto"
	"crypto/rsa"
	"io"

	"github.com/muster/muster/protocol/clock"
)

// A ClientConfig configures a [Client]. It is read, never written, and may be
// shared by many Clients if Rand may.
type ClientConfig struct {
	// ID is the device id.
	ID DeviceID
	// Key is the RSA-1024 key of the device, e = 65537. Required.
	Key *rsa.PrivateKey
	// ServerKey is the RSA-2048 key of the cloud, e = 65537. Required.
	ServerKey *rsa.PublicKey
	// Rand yields, when the nonce is complete, the padding of C1: 39 bytes (201
	// for a Core), each zero drawn again. Required.
	Rand io.Reader
	// Core leaves the device's key out of C1, as the Core does.
	Core bool
	// FrameLimit is the longest ciphertext of a frame that the device receives,
	// in bytes; 0 means [LimitDevice5_8].
	FrameLimit int
	// Faults of the handshake and of the Session.
	Faults ClientFaults
}

// A Client is the device's side of one handshake.
//
//	new --Start--> AwaitNonce --40 bytes--> AwaitAnswer --384 bytes--> over (EventEstablished)
//	  either of them --time, or anything wrong--> over (EventFailed)
//
// Each step may take [DeviceStall]. The RSA operations run inside Receive.
type Client struct {
	cfg      *ClientConfig
	state    clientState
	deadline clock.Instant
	buf      []byte
}

type clientState uint8

const (
	clientNew clientState = iota
	awaitNonce
	awaitAnswer
	clientOver
)

// NewClient returns a Client that waits for Start. It panics when a required
// field of cfg is missing.
func NewClient(cfg *ClientConfig) *Client {
	mustBe(&cfg.Key.PublicKey, deviceKeySize)
	mustBe(cfg.ServerKey, cloudKeySize)
	if cfg.Rand == nil {
		panic("lightssl: a ClientConfig without Rand")
	}
	return &Client{cfg: cfg}
}

// Start begins when the stream is connected. It sends nothing: the cloud speaks
// first.
func (c *Client) Start(now clock.Instant, out *Out) {
	if c.state != clientNew {
		panic("lightssl: Start of a Client that was started")
	}
	c.enter(awaitNonce, now)
}

func (c *Client) enter(state clientState, now clock.Instant) {
	c.state = state
	c.restart(now)
}

func (c *Client) restart(now clock.Instant) {
	c.deadline = now.Add(DeviceStall)
	if c.cfg.Faults.NoTimeout {
		c.deadline = clock.Never
	}
}

// Receive takes the next bytes of the stream, cut at any place. EventEstablished
// can alias them.
func (c *Client) Receive(now clock.Instant, stream []byte, out *Out) {
	if c.state == clientNew {
		panic("lightssl: Receive before Start")
	}
	if c.cfg.Faults.RestartTimeout && len(stream) > 0 {
		c.restart(now)
	}
	if c.state == awaitNonce {
		if stream = c.gather(stream, NonceSize); stream == nil {
			return
		}
		out.send(c.c1(c.buf))
		c.buf = c.buf[:0]
		c.enter(awaitAnswer, now)
	}
	if c.state == awaitAnswer {
		if stream = c.gather(stream, AnswerSize); stream == nil {
			return
		}
		c.receiveAnswer(c.buf[:C2Size], c.buf[C2Size:], stream, out)
	}
}

// gather moves bytes to the buffer until it holds size. It returns the rest, not
// nil, when it does.
func (c *Client) gather(stream []byte, size int) []byte {
	n := min(size-len(c.buf), len(stream))
	c.buf = append(c.buf, stream[:n]...)
	if len(c.buf) < size {
		return nil
	}
	return append([]byte{}, stream[n:]...)
}

// receiveAnswer checks C2, then S, as a device does.
func (c *Client) receiveAnswer(c2, signature, rest []byte, out *Out) {
	m, err := rsa.DecryptPKCS1v15(nil, c.cfg.Key, c2) //nolint:staticcheck // PKCS #1 v1.5 is what LightSSL has
	if err != nil || len(m) != CredentialsSize {
		if c.cfg.Faults.StayUndecrypted {
			c.buf = nil
			return
		}
		c.fail(ErrDecrypt, out)
		return
	}
	credentials := Credentials(m)
	if !c.verify(credentials.mac(c2), signature) {
		c.fail(ErrSignature, out)
		return
	}
	s := NewDeviceSession(&credentials, c.cfg.FrameLimit)
	s.SetFaults(c.cfg.Faults.Frames)
	out.event(Event{Kind: EventEstablished, Session: s, DeviceID: c.cfg.ID, Rest: rest})
	c.over()
}

// verify checks S, which has no DigestInfo.
func (c *Client) verify(mac, signature []byte) bool {
	f := &c.cfg.Faults
	return f.AcceptAnySignature ||
		rsa.VerifyPKCS1v15(c.cfg.ServerKey, 0, mac, signature) == nil ||
		f.AcceptDigestInfo && rsa.VerifyPKCS1v15(c.cfg.ServerKey, crypto.SHA1, mac, signature) == nil
}

// Advance fails the handshake when a step has taken too long.
func (c *Client) Advance(now clock.Instant, out *Out) {
	if !now.Before(c.Deadline()) {
		c.fail(c.missing(), out)
	}
}

// missing returns the error for what has not come.
func (c *Client) missing() Error {
	if c.state == awaitNonce {
		return ErrNonce
	}
	return ErrAnswer
}

// Deadline returns when Advance is due.
func (c *Client) Deadline() clock.Instant {
	if c.state == clientNew || c.state == clientOver {
		return clock.Never
	}
	return c.deadline
}

// PeerClosed tells that the stream has ended.
func (c *Client) PeerClosed(out *Out) {
	if c.state == awaitNonce || c.state == awaitAnswer {
		c.fail(c.missing(), out)
	}
}

// Over reports whether the handshake has ended.
func (c *Client) Over() bool { return c.state == clientOver }

func (c *Client) fail(err Error, out *Out) {
	out.event(Event{Kind: EventFailed, Err: err, DeviceID: c.cfg.ID})
	c.over()
}

func (c *Client) over() { c.state, c.buf = clientOver, nil }
