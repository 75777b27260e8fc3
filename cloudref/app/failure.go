package app

import (
	"fmt"

	"github.com/muster/muster/protocol/coap"
)

// A Reason says why a command failed. The reasons are those that the cloud's
// API tells apart.
type Reason uint8

// The reasons.
const (
	// NotOnline: the device has no session, or its session is not ready.
	NotOnline Reason = 1 + iota
	// NoSuchName: the device's describe does not list the function or
	// variable. Nothing was sent.
	NoSuchName
	// TooLong: an argument, a name or an image is larger than the device takes.
	// Nothing was sent.
	TooLong
	// NoAnswer: the device acknowledged but did not answer in time.
	NoAnswer
	// Unreachable: the device did not acknowledge, or the connection was lost.
	Unreachable
	// Refused: the device answered with an error; Code and Diagnostic say
	// which.
	Refused
	// Unusable: the device answered something that is not what was asked for.
	Unusable
	// TooMany: too many commands wait for this device.
	TooMany
	// BadImage: the image is not one that this device can run. Nothing was
	// sent.
	BadImage
	// NotApplied: the device took the image but runs the old one.
	NotApplied
	// Canceled by a later command.
	Canceled

	numReasons
)

var reasons = [numReasons]string{
	NotOnline:   "the device is not online",
	NoSuchName:  "the device has no such function or variable",
	TooLong:     "larger than this device takes",
	NoAnswer:    "the device did not answer in time",
	Unreachable: "the device cannot be reached",
	Refused:     "the device refused",
	Unusable:    "the device gave an unusable answer",
	TooMany:     "too many requests wait for this device",
	BadImage:    "the image does not fit this device",
	NotApplied:  "the device did not apply the image",
	Canceled:    "canceled",
}

// String returns the reason in words.
func (r Reason) String() string {
	if r == 0 || r >= numReasons {
		return "no reason"
	}
	return reasons[r]
}

// A Failure is why a command failed. It names the device, so that the text
// stands alone in a log.
type Failure struct {
	Device DeviceID
	Reason Reason
	Detail string    // what exactly, and what to do
	Code   coap.Code // of Refused
	System int32     // the device's own error number, 0 if it told none
}

// Error names the device and what is wrong.
func (f *Failure) Error() string {
	text := fmt.Sprintf("device %x: %s", f.Device[:], f.Reason)
	if f.Code != 0 {
		text += fmt.Sprintf(" (%d.%02d)", f.Code>>5, f.Code&31)
	}
	if f.System != 0 {
		text += fmt.Sprintf(" with error %d", f.System)
	}
	if f.Detail != "" {
		text += ": " + f.Detail
	}
	return text
}

func (d *Device) fail(reason Reason, detail string) *Failure {
	return &Failure{Device: d.id, Reason: reason, Detail: detail}
}
