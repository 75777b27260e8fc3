package trace

import "fmt"

// A HandshakeType is the first byte of a handshake message (RFC 5246 Section 7.4).
type HandshakeType uint8

// The handshake messages of this protocol.
const (
	HelloRequest       HandshakeType = 0
	ClientHello        HandshakeType = 1
	ServerHello        HandshakeType = 2
	HelloVerifyRequest HandshakeType = 3
	Certificate        HandshakeType = 11
	ServerKeyExchange  HandshakeType = 12
	CertificateRequest HandshakeType = 13
	ServerHelloDone    HandshakeType = 14
	CertificateVerify  HandshakeType = 15
	ClientKeyExchange  HandshakeType = 16
	Finished           HandshakeType = 20
)

var handshakeNames = map[HandshakeType]string{
	HelloRequest: "hello_request", ClientHello: "client_hello", ServerHello: "server_hello",
	HelloVerifyRequest: "hello_verify_request", Certificate: "certificate",
	ServerKeyExchange: "server_key_exchange", CertificateRequest: "certificate_request",
	ServerHelloDone: "server_hello_done", CertificateVerify: "certificate_verify",
	ClientKeyExchange: "client_key_exchange", Finished: "finished",
}

// String returns the name in RFC 5246.
func (t HandshakeType) String() string {
	if name, ok := handshakeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("handshake(%d)", uint8(t))
}

// A Handshake is a handshake message, or a fragment of one.
type Handshake struct {
	Type   HandshakeType
	Seq    uint16 // message_seq
	Length int    // of the message, in bytes
	Offset int    // of the fragment
	Size   int    // of the fragment, in bytes

	// Hello is that of a ClientHello or ServerHello in one piece, or in the
	// fragment that completes it.
	Hello *Hello
}

// A Hello is what a ClientHello or ServerHello says, as far as a session depends
// on it. Everything in it is public.
type Hello struct {
	Version      uint16
	Random       [32]byte
	SessionID    []byte
	Cookie       []byte   // ClientHello only
	CipherSuites []uint16 // one in a ServerHello
	Extensions   []Extension
}

// An Extension is one extension of a hello.
type Extension struct {
	Type uint16
	Data []byte
}

// Extension returns the data of the extension of the given type.
func (h *Hello) Extension(t uint16) ([]byte, bool) {
	for _, e := range h.Extensions {
		if e.Type == t {
			return e.Data, true
		}
	}
	return nil, false
}

// String returns the name and, of a fragment, its place.
func (h *Handshake) String() string {
	if h.Size == h.Length {
		return h.Type.String()
	}
	return fmt.Sprintf("%v fragment %d+%d", h.Type, h.Offset, h.Size)
}

func (h *Handshake) line() string {
	s := fmt.Sprintf("handshake %v message_seq=%d length=%d", h.Type, h.Seq, h.Length)
	if h.Size != h.Length {
		s += fmt.Sprintf(" fragment %d+%d", h.Offset, h.Size)
	}
	return s
}
