package dtls

import "github.com/muster/muster/protocol/clock"

// A Server is one half-open handshake of a cloud. It is made when a [Gate] has
// admitted a ClientHello, and ends with EventEstablished or EventFailed.
type Server struct {
	cfg *ServerConfig
}

// NewServer returns a Server that waits for the ClientHello.
func NewServer(cfg *ServerConfig) *Server { return &Server{cfg: cfg} }

// Receive takes a datagram of the peer: first the one that the Gate admitted.
// It may decrypt datagram in place.
func (s *Server) Receive(now clock.Instant, datagram []byte, out *Out) {}

// Advance retransmits, or gives up, when the deadline has passed.
func (s *Server) Advance(now clock.Instant, out *Out) {}

// Deadline returns when Advance must be called next.
func (s *Server) Deadline() clock.Instant { return clock.Never }

// Over reports whether the handshake has ended.
func (s *Server) Over() bool { return false }

// CID returns the connection id that the client's Finished will carry, empty
// when there is none or ServerHello was not sent yet. A driver must find the
// Server by it, because its Finished may arrive in a datagram of its own.
func (s *Server) CID() CID { return CID{} }
