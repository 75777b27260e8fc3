package lightssl

import "fmt"

// An Error is the reason why a handshake or a session is over. Everything bad
// that a peer sends over this transport ends it: without a MAC, a stream that
// once went wrong never comes right again.
type Error uint8

// The errors.
const (
	// ErrNonce: the device did not get the nonce in time, or the stream ended.
	ErrNonce Error = 1 + iota
	// ErrAnswer: the device did not get all of C2 and S, or the stream ended.
	ErrAnswer
	// ErrDecrypt: C2 is not 40 bytes under the device's key.
	ErrDecrypt
	// ErrSignature: S is not the cloud's signature over this C2.
	ErrSignature
	// ErrFrameTooLong: a frame is longer than the limit of the receiver.
	ErrFrameTooLong
	// ErrFrameLength: the length of a frame is 0 or, in the cloud, not a
	// multiple of 16.
	ErrFrameLength
	// ErrPadding: the padding of a frame is not that of PKCS #7. Cloud only.
	ErrPadding
	// ErrStall: the rest of a frame did not come in time.
	ErrStall
	// ErrPeerClosed: the stream ended.
	ErrPeerClosed
	// ErrTimeout: the cloud did not get C1, or the first frame, in time.
	ErrTimeout
	// ErrRefused: the cloud takes no such C1. The event's Refusal says why; the
	// peer must not learn it.
	ErrRefused

	numErrors
)

// errorTable has a row for each Error: words, and the number that a device logs.
var errorTable = [numErrors]struct {
	text   string
	number uint8
}{
	0:               {"no error", 0},
	ErrNonce:        {"no nonce", 25},
	ErrAnswer:       {"no key from the cloud", 26},
	ErrDecrypt:      {"C2 cannot be decrypted", 6},
	ErrSignature:    {"signature of the cloud is wrong", 8},
	ErrFrameTooLong: {"frame too long", 4},
	ErrFrameLength:  {"length of a frame is invalid", 0},
	ErrPadding:      {"padding of a frame is invalid", 0},
	ErrStall:        {"frame stalled", 23},
	ErrPeerClosed:   {"stream closed by the peer", 24},
	ErrTimeout:      {"handshake timed out", 0},
	ErrRefused:      {"device refused", 0},
}

// Error returns the reason in words.
func (e Error) Error() string {
	if e >= numErrors {
		return fmt.Sprintf("lightssl: error %d", uint8(e))
	}
	return "lightssl: " + errorTable[e].text
}

// Number returns the number that a device logs for e, 0 when there is none.
//
// Device OS: communication/inc/protocol_defs.h.
func (e Error) Number() uint8 {
	if e >= numErrors {
		return 0
	}
	return errorTable[e].number
}

// A Refusal is why a cloud refused a C1. It is for operators and counters: no
// reply, delay or log that the peer can see may depend on it.
type Refusal uint8

// The refusals.
const (
	NotRefused     Refusal = iota
	RefusedBlock           // C1 is not a PKCS #1 v1.5 block under the cloud's key
	RefusedShort           // fewer than 52 bytes in it
	RefusedNonce           // another nonce than the cloud sent
	RefusedUnknown         // no key is registered for the device id
	RefusedKey             // the key offered is not the one registered
	RefusedEarly           // more than 256 bytes before the cloud answered

	numRefusals
)

var refusalNames = [numRefusals]string{
	"not refused", "undecryptable", "too short", "wrong nonce", "unknown device", "another key", "early bytes",
}

// String returns the refusal in words.
func (r Refusal) String() string {
	if r >= numRefusals {
		return fmt.Sprintf("Refusal(%d)", uint8(r))
	}
	return refusalNames[r]
}
