// Package timeline puts everything that happens in a run on one time axis: what
// was asked of the target, verdicts, decoded packets, what devices and the cloud
// say, lines of serial consoles, boards that come and go, power that is switched.
//
// An [Event] is one such thing, a [Log] collects them from many goroutines and is
// bounded. Whoever has something to tell adds events of a [Kind] to a lane; no
// reader needs to know all lanes or kinds.
//
// What this package is not: a store of packets or console output. Those have
// files of their own; the timeline shows where they belong.
package timeline

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// A Kind says what an event is about. The set is open: a reader shows a kind that
// it does not know like any other.
type Kind string

// The kinds that Muster itself has.
const (
	Step    Kind = "step"    // the harness does something: a suite is prepared, a check runs
	Verdict Kind = "verdict" // a check has judged
	Packet  Kind = "packet"  // something crossed the wire
	Device  Kind = "device"  // what a device says of itself
	Cloud   Kind = "cloud"   // what a cloud says of itself
	Serial  Kind = "serial"  // a line of a board's console
	USB     Kind = "usb"     // a board came or went
	Power   Kind = "power"   // the supply or a button of a board was switched
	Process Kind = "process" // a program that is a device started, spoke or ended
	Note    Kind = "note"    // anything else worth knowing, such as what was left out
)

// A Level says how much an event deserves to be looked at.
type Level string

// The levels. Empty is plain.
const (
	Plain Level = ""
	Good  Level = "good"
	Warn  Level = "warn"
	Bad   Level = "bad"
)

// An Event is one thing that happened. Its JSON form is one line of
// timeline.jsonl, and is stable.
type Event struct {
	// At is when, in nanoseconds since the run began.
	At clock.Instant `json:"at_ns"`
	// For is how long it took; 0 is an instant.
	For time.Duration `json:"for_ns,omitempty"`
	// Lane is the row in which it is drawn: "run", a device id, a serial port.
	Lane string `json:"lane"`
	Kind Kind   `json:"kind"`
	// Text is one line. It holds no key, token, claim code or other secret.
	Text string `json:"text"`
	// Level says whether it is good or bad news.
	Level Level `json:"level,omitempty"`
	// Check is the check on whose behalf it happened, if that is known, such as
	// "resume/bytes".
	Check string `json:"check,omitempty"`
	// Packet is the serial number of a packet in trace.jsonl, 0 for none.
	Packet uint64 `json:"packet,omitempty"`
}

// End returns the instant at which the event is over.
func (e *Event) End() clock.Instant { return e.At.Add(e.For) }
