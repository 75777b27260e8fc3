package app

// Faults make the cloud misbehave, to test devices and to prove the suites. The
// zero value is correct behaviour.
type Faults struct {
	// AcceptForeignHello takes a Hello that names another device.
	AcceptForeignHello bool
	// NoHelloAnswer leaves the Hello unanswered (C-1, C-2).
	NoHelloAnswer bool
	// RequestBeforeHelloAck sends a describe request before the ACK of Hello (C-1).
	RequestBeforeHelloAck bool
	// KeepSubscriptions merges the subscriptions of a new Hello with the old ones (C-27).
	KeepSubscriptions bool
	// IgnoreFilters delivers every event to every subscriber (S9).
	IgnoreFilters bool
	// SilentEvents leaves events unacknowledged (C-6).
	SilentEvents bool
	// WrongTime answers the time request an hour off (C-11).
	WrongTime bool
	// TimeWithOption puts a Content-Format into the time response (C-11).
	TimeWithOption bool
	// LongToken uses two bytes of token in requests (C-9).
	LongToken bool
	// NoArgument leaves out an empty function argument (C-33).
	NoArgument bool
	// BigEndianDouble decodes a double variable in the wrong order (C-36).
	BigEndianDouble bool
	// CallUnknown sends calls of functions that the describe does not list (C-22).
	CallUnknown bool
	// NoLimits sends arguments and events of any length (C-29).
	NoLimits bool
	// DeliverWithFormat puts a Content-Format into every delivery (C-25).
	DeliverWithFormat bool
	// SwapReliability delivers Non-confirmable over UDP and Confirmable over TCP
	// (C-55).
	SwapReliability bool
	// FirstSegment takes the first segment of an event's name for all of it (C-24).
	FirstSegment bool
	// SilentClaims takes claim codes and does not tell the device (C-31).
	SilentClaims bool
	// SwapUpdateProtocol updates by the protocol that the Hello rules out (C-38).
	SwapUpdateProtocol bool
	// SkipImageChecks sends images without looking at them (C-39).
	SkipImageChecks bool
	// IgnoreOffset starts every transfer at byte 0 (C-41).
	IgnoreOffset bool
	// ResendAll sends all chunks again when one is missing (C-43, C-46).
	ResendAll bool
	// FinishEarly sends UpdateFinish before all chunks are in (C-44).
	FinishEarly bool
	// ClaimSuccess reports an update as applied without looking (C-44).
	ClaimSuccess bool
	// LedgerNotFound answers GetInfo with 4.04 (C-51).
	LedgerNotFound bool
}
