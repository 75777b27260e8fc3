package dtls

import (
	"errors"
	"fmt"
)

// A DropError reports bytes of the peer, or of somebody who pretends to be the
// peer, that were dropped. It never ends a session: a driver counts it by
// Reason (RFC 6347 Section 4.1.2.7).
type DropError struct {
	Reason DropReason
}

// Error returns the reason in words.
func (e *DropError) Error() string { return "dtls: dropped: " + e.Reason.String() }

// An AlertError reports that an alert ended a handshake or a session.
type AlertError struct {
	// Local is true when this side found the fault (whether or not its
	// generation tells the peer), false when the peer sent the alert.
	Local       bool
	Level       AlertLevel
	Description AlertDescription
	// Cause says what was wrong, nil when the peer knows.
	Cause error
}

// Error names the side, the alert and the cause.
func (e *AlertError) Error() string {
	side := "peer"
	if e.Local {
		side = "local"
	}
	if e.Cause == nil {
		return fmt.Sprintf("dtls: %s alert %s", side, e.Description)
	}
	return fmt.Sprintf("dtls: %s alert %s: %v", side, e.Description, e.Cause)
}

// Unwrap returns the cause.
func (e *AlertError) Unwrap() error { return e.Cause }

// Reasons why a handshake or a session is over, and why it could not seal.
var (
	// ErrTimeout: the last transmission of a flight was not answered.
	ErrTimeout = errors.New("dtls: handshake timed out")
	// ErrNoCID: the server gave no connection id of 8 bytes. Device OS: found
	// only after the handshake, as error 17.
	ErrNoCID = errors.New("dtls: no connection id of 8 bytes")
	// ErrUnknownKey is for a Verify function that does not know the key.
	ErrUnknownKey = errors.New("dtls: unknown key")
	// ErrTruncated: a Device OS of generation A to D met a datagram that is
	// shorter than its record says, and gave its session up.
	ErrTruncated = errors.New("dtls: truncated record ends the session")
	// ErrForgeries: too many records failed authentication.
	ErrForgeries = errors.New("dtls: too many forged records")
	// ErrReservation: the send sequence has reached the end of its
	// reservation. Store a new one, then call ReserveUntil.
	ErrReservation = errors.New("dtls: send sequence not reserved")
	// ErrSequence: the send sequence has reached 2^48.
	ErrSequence = errors.New("dtls: send sequence exhausted")
)

// A DropReason says why bytes were dropped.
type DropReason uint8

// The reasons to drop bytes.
const (
	DropNone           DropReason = iota
	DropShort                     // fewer bytes than a record header
	DropType                      // unknown content type, or one that this side does not take
	DropVersion                   // not a version of DTLS that this side takes
	DropEpoch                     // another epoch
	DropTruncated                 // the record is longer than the datagram
	DropTooShort                  // the record is too short for nonce and tag
	DropTooLong                   // the record is longer than 2^14 + 2048
	DropCID                       // another connection id
	DropTrailer                   // malformed trailer of a record of type 254, or another device id
	DropReplay                    // sequence seen, or older than the window
	DropTag                       // authentication failed
	DropInner                     // inner plaintext without a content type
	DropFragment                  // malformed handshake header or fragment
	DropTooLarge                  // handshake message beyond the limit
	DropFuture                    // handshake message too far ahead
	DropPast                      // handshake message already handled
	DropHandshake                 // handshake message out of place
	DropPlaintext                 // epoch 0 in an established session
	DropAlert                     // malformed or harmless alert
	DropChangeCipher              // malformed or repeated ChangeCipherSpec
	DropNotClientHello            // the gate takes only ClientHello
	DropHello                     // malformed ClientHello
	DropNotReady                  // epoch 1 before there are keys, and no room to keep it
	DropOver                      // the machine has ended
	numDropReasons
)

var dropReasons = [numDropReasons]string{
	DropNone:           "nothing wrong",
	DropShort:          "short datagram",
	DropType:           "content type",
	DropVersion:        "version",
	DropEpoch:          "epoch",
	DropTruncated:      "truncated record",
	DropTooShort:       "record too short",
	DropTooLong:        "record too long",
	DropCID:            "connection id",
	DropTrailer:        "trailer",
	DropReplay:         "replay",
	DropTag:            "authentication tag",
	DropInner:          "inner plaintext",
	DropFragment:       "handshake fragment",
	DropTooLarge:       "handshake message too large",
	DropFuture:         "handshake message from the future",
	DropPast:           "handshake message from the past",
	DropHandshake:      "unexpected handshake message",
	DropPlaintext:      "plaintext in an established session",
	DropAlert:          "alert",
	DropChangeCipher:   "change cipher spec",
	DropNotClientHello: "not a ClientHello",
	DropHello:          "malformed ClientHello",
	DropNotReady:       "protected record before the keys",
	DropOver:           "machine has ended",
}

// NumDropReasons is one more than the largest DropReason: the size of an array
// of counters.
const NumDropReasons = int(numDropReasons)

// String returns the reason in words.
func (r DropReason) String() string {
	if r >= numDropReasons {
		return fmt.Sprintf("drop reason %d", uint8(r))
	}
	return dropReasons[r]
}

// dropErrors holds one error value for each reason, so that dropping does not
// allocate.
var dropErrors = func() (errs [numDropReasons]DropError) {
	for r := range errs {
		errs[r].Reason = DropReason(r)
	}
	return errs
}()

// drop returns the error of a reason.
func drop(r DropReason) error { return &dropErrors[r] }
