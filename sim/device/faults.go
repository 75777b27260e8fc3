package device

import "github.com/muster/muster/protocol/coap"

// Faults make devices misbehave, to test a cloud. The zero value is correct
// behavior.
type Faults struct {
	// CoAP are faults of the message layer.
	CoAP coap.Faults
}
