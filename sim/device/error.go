package device

import "fmt"

// An Error is why a connection ended, by the numbers that device logs show
// (TRN-0.4).
type Error uint8

// The errors.
const (
	NoError           Error = 0
	PingTimeout       Error = 1
	InvalidState      Error = 3
	FrameTooLong      Error = 4
	DecryptionFailed  Error = 6  // TCP handshake: bad RSA block
	EncryptionFailed  Error = 7  // TCP handshake: RSA failure
	BadSignature      Error = 8  // TCP handshake
	MessageTimeout    Error = 10 // TCP: no Hello; UDP: CON never acknowledged
	MessageReset      Error = 12
	SessionResumed    Error = 13 // not an error
	BadServerKey      Error = 16
	HandshakeFailed   Error = 17
	ReceiveFailed     Error = 18
	WriteFailed       Error = 20
	SessionDiscarded  Error = 21
	StreamSendFailed  Error = 22
	StreamStalled     Error = 23
	StreamFailed      Error = 24
	NonceTimeout      Error = 25
	KeyTimeout        Error = 26
	MissingToken      Error = 28
	SocketSendFailed  Error = 33
	SocketFailed      Error = 34
	RemoteClosed      Error = 35
	DisconnectWanted  Error = 200 // by the application, by sleep or by a reset; no number on devices
	PowerLost         Error = 201
	MalformedMessage  Error = 202 // a handler failed (PDC-0.5)
	UpdateInterrupted Error = 203
	NetworkGone       Error = 204
)

var errorNames = map[Error]string{
	NoError: "none", PingTimeout: "ping timeout", InvalidState: "invalid state", FrameTooLong: "frame too long",
	DecryptionFailed: "decryption failed", EncryptionFailed: "encryption failed", BadSignature: "bad signature",
	MessageTimeout: "message timeout", MessageReset: "message reset", SessionResumed: "session resumed",
	BadServerKey: "bad server key", HandshakeFailed: "handshake failed", ReceiveFailed: "receive failed",
	WriteFailed: "write failed", SessionDiscarded: "session discarded", StreamSendFailed: "stream send failed",
	StreamStalled: "stream stalled", StreamFailed: "stream failed", NonceTimeout: "no nonce", KeyTimeout: "no key",
	MissingToken: "missing request token", SocketSendFailed: "socket send failed", SocketFailed: "socket failed",
	RemoteClosed: "closed by the cloud", DisconnectWanted: "disconnect wanted", PowerLost: "power lost",
	MalformedMessage: "malformed message", UpdateInterrupted: "update interrupted", NetworkGone: "network gone",
}

// String returns the error in words.
func (e Error) String() string {
	if name, ok := errorNames[e]; ok {
		return name
	}
	return fmt.Sprintf("Error(%d)", uint8(e))
}

// Error makes e an error.
func (e Error) Error() string { return "device: " + e.String() }
