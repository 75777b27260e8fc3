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
}
