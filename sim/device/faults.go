package device

import (
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
)

// Faults make devices misbehave, to test a cloud. The zero value is correct
// behavior.
type Faults struct {
	// Handshake and Records are faults of DTLS.
	Handshake dtls.ClientFaults
	Records   dtls.RecordFaults

	// Stream are faults of the handshake and the frames over TCP.
	Stream lightssl.ClientFaults

	// CoAP are faults of the message layer.
	CoAP coap.Faults

	// HelloID, if not nil, is the device id in Hello instead of the own one,
	// against R-39.
	HelloID *ID
	// AlwaysHello says Hello at every resume, against R-80.
	AlwaysHello bool
	// NeverHello resumes without Hello though the state has changed, against
	//
	NeverHello bool
	// ResumeForever keeps a session whatever happens to it, against
	// and R-79.
	ResumeForever bool
	// EarlyOnline does not wait for acknowledgements, against D-5.
	EarlyOnline bool

	// NoPing never pings, against D-13.
	NoPing bool
	// NoGoodbye leaves without a word, as the virtual device does.
	NoGoodbye bool

	// NoResult runs functions and keeps the result, DoubleResult tells it twice,
	// and so with values that are not piggybacked, against D-7 and D-8.
	NoResult, DoubleResult bool
	// UnlimitedRate publishes without a limit and during updates, against D-6
	// and D-22.
	UnlimitedRate bool

	// NoChunkAcks sends no UpdateAck, against D-15.
	NoChunkAcks bool
	// AcceptAnyImage finds every image valid, against D-18.
	AcceptAnyImage bool
	// ApplyUnacknowledged applies an update without the ACK of the response to
	// Finish, against D-16.
	ApplyUnacknowledged bool
}

var noFaults Faults

// faults returns the faults of the device.
func (d *Device) faults() *Faults {
	if d.cfg.Faults == nil {
		return &noFaults
	}
	return d.cfg.Faults
}
