package endpoint

import (
	"errors"
	"sync/atomic"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
)

// A Reason is why a device, or one thing that it asked for, was refused.
type Reason uint8

// The reasons.
const (
	ReasonOther          Reason = iota
	ReasonUnknownKey            // nobody registered the key, over UDP
	ReasonUnknownDevice         // no key is registered for the device id, over TCP
	ReasonOtherKey              // the device is registered with another key
	ReasonDenied                // the device is registered, and denied
	ReasonServerKey             // the device does not accept this cloud's key: it has another one
	ReasonTimeout               // the device does not answer what it was sent
	ReasonProtocol              // bytes that no handshake has
	ReasonHello                 // no Hello, or one that cannot be accepted
	ReasonUnknownSession        // a record of a session that the cloud does not have
	ReasonClaim                 // a claim code that is not good
	ReasonStore                 // what has to be durable cannot be stored
	NumReasons                  // one more than the largest: the size of an array
)

var reasonNames = [NumReasons]string{
	ReasonOther: "other", ReasonUnknownKey: "unknown_key", ReasonUnknownDevice: "unknown_device", ReasonOtherKey: "other_key",
	ReasonDenied: "denied", ReasonServerKey: "server_key", ReasonTimeout: "timeout", ReasonProtocol: "protocol",
	ReasonHello: "hello", ReasonUnknownSession: "unknown_session", ReasonClaim: "claim_code", ReasonStore: "store",
}

// String returns the reason as a label, such as "unknown_key".
func (r Reason) String() string {
	if r >= NumReasons {
		return reasonNames[ReasonOther]
	}
	return reasonNames[r]
}

// reasonCounts counts refusals by reason.
type reasonCounts [NumReasons]atomic.Uint64

// Refused returns how much was refused for a reason since the node started.
func (c *Counts) Refused(r Reason) uint64 { return c.refusals[r].Load() }

// refuse tells observers of a refusal, and counts it.
func (n *Node) refuse(o Observation) {
	o.What = Refused
	n.counts.refusals[o.Why].Add(1)
	n.c.Observe(o)
}

// reasonOf says why a handshake over UDP failed.
func (n *Node) reasonOf(e *dtls.Event) Reason {
	var alert *dtls.AlertError
	switch {
	case errors.Is(e.Err, dtls.ErrUnknownKey):
		if _, known := n.c.Store.Identify(store.FingerprintOf(e.PeerSPKI)); known {
			return ReasonDenied
		}
		return ReasonUnknownKey
	case errors.Is(e.Err, dtls.ErrTimeout):
		return ReasonTimeout
	case errors.As(e.Err, &alert) && !alert.Local:
		switch alert.Description {
		case dtls.DecryptError, dtls.BadCertificate, dtls.HandshakeFailure:
			// Device OS: the signature of the cloud does not fit the key that the
			// board has.
			return ReasonServerKey
		default:
			return ReasonProtocol
		}
	default:
		return ReasonProtocol
	}
}

// reasonOfLight says why a handshake over TCP failed.
func (n *Node) reasonOfLight(e *lightssl.Event) Reason {
	switch {
	case e.Refusal == lightssl.RefusedUnknown:
		identity, known := n.c.Store.Identity(store.DeviceID(e.DeviceID))
		if known && identity.Flags&store.Denied != 0 {
			return ReasonDenied
		}
		return ReasonUnknownDevice
	case e.Refusal == lightssl.RefusedKey:
		return ReasonOtherKey
	case e.Refusal == lightssl.RefusedBlock:
		// Encrypted for another key than the cloud's.
		return ReasonServerKey
	case errors.Is(e.Err, lightssl.ErrTimeout):
		return ReasonTimeout
	default:
		return ReasonProtocol
	}
}
