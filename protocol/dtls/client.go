package dtls

import "github.com/muster/muster/protocol/clock"

// A Client is the handshake of a device. It ends with EventEstablished or
// EventFailed; a device then makes another.
type Client struct {
	cfg *ClientConfig
}

// NewClient returns a Client that waits for Start.
func NewClient(cfg *ClientConfig) *Client { return &Client{cfg: cfg} }

// Start sends the first ClientHello.
func (c *Client) Start(now clock.Instant, out *Out) {}

// Receive takes a datagram of the server. It may decrypt datagram in place.
func (c *Client) Receive(now clock.Instant, datagram []byte, out *Out) {}

// Advance retransmits, or gives up, when the deadline has passed.
func (c *Client) Advance(now clock.Instant, out *Out) {}

// Deadline returns when Advance must be called next.
func (c *Client) Deadline() clock.Instant { return clock.Never }

// Over reports whether the handshake has ended.
func (c *Client) Over() bool { return false }
