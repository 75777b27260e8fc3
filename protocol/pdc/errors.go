package pdc

import (
	"fmt"

	"github.com/muster/muster/protocol/coap"
)

// A Party is one end of the connection.
type Party uint8

// The parties.
const (
	Device Party = iota
	Cloud
	Either // both may send it
)

// String returns the party's name.
func (p Party) String() string {
	switch p {
	case Device:
		return "device"
	case Cloud:
		return "cloud"
	default:
		return "either"
	}
}

// A Reaction is what the receiver of a bad message does about its session.
type Reaction uint8

// The reactions.
const (
	// Refuse: the message is counted and refused, with Answer if that is set.
	// A cloud does nothing worse to a healthy session (C-4).
	Refuse Reaction = iota
	// Ignore: no reply of any kind.
	Ignore
	// Disconnect: a device's handler failed, which ends the connection
	// (PDC-0.5).
	Disconnect
	// Crash: a device fails an assertion and restarts (PDC-8.6).
	Crash
)

// String returns the reaction's name.
func (r Reaction) String() string {
	return [...]string{"refuse", "ignore", "disconnect", "crash"}[r]
}

// An Error reports a message that is not what its kind must be. The sender is
// at fault. From a cloud-side parser it never ends a session; from an
// OnDevice function Reaction says what the board does.
type Error struct {
	Kind   Kind
	Rule   string // requirement broken, such as "PDC-5.1" or "N-24"
	Reason string // what is wrong, never a secret
	// Answer is the response code to answer with, 0 for none; for an
	// UpdateChunk 0 stands for a RST.
	Answer   coap.Code
	Reaction Reaction
}

// Error says which message is wrong and why.
func (e *Error) Error() string {
	return fmt.Sprintf("pdc: %s: %s (%s)", e.Kind, e.Reason, e.Rule)
}

// Fault returns who sent the bad message, Either when both may send the kind.
func (e *Error) Fault() Party { return e.Kind.From() }

func fault(k Kind, rule, reason string) *Error { return &Error{Kind: k, Rule: rule, Reason: reason} }

func faultf(k Kind, rule, format string, args ...any) *Error {
	return fault(k, rule, fmt.Sprintf(format, args...))
}
