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
	// Crowds lets any number of commands wait for one device.
	Crowds bool
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

	// Hears, Describes, Events, Calls, Sends and Ledgers are the faults of a
	// subject.
	Hears     HearFaults
	Describes DescribeFaults
	Events    EventFaults
	Calls     CallFaults
	Sends     SendFaults
	Ledgers   LedgerFaults
}

// HearFaults are what the cloud gets wrong of what devices say.
type HearFaults struct {
	// StrictHello refuses a Hello with bytes behind the known ones (C-3).
	StrictHello bool
	// ResetUnknown answers what it does not know with a Reset (C-4).
	ResetUnknown bool
	// SilentResponses leaves separate responses unacknowledged (C-6, C-17, C-44).
	SilentResponses bool
	// OldIDs takes an event for a copy when its ID was used in any session (C-8).
	OldIDs bool
	// BlindGoodbye does not read why a device leaves (C-14).
	BlindGoodbye bool
	// SwallowsGaps drops without a word what follows a gap in the message IDs over
	// TCP (N-49).
	SwallowsGaps bool
	// AnyTimeToken tells the time with the token of the request, of whatever length
	// (N-51).
	AnyTimeToken bool
}

// DescribeFaults are what the cloud gets wrong of describes.
type DescribeFaults struct {
	// Combined asks for both describes in one request (C-16).
	Combined bool
	// Strict gives up when a describe changes while it is fetched (C-18).
	Strict bool
	// SmallBlocks asks for blocks of another size than the device's (C-18).
	SmallBlocks bool
	// ForgetsBlocks takes every block of a post for a new describe (C-19).
	ForgetsBlocks bool
	// NeedsToken refuses posts without a token (C-20).
	NeedsToken bool
	// JSONOnly reads every system describe as JSON (C-21).
	JSONOnly bool
}

// EventFaults are what the cloud gets wrong of events and subscriptions.
type EventFaults struct {
	// NeedsPayload refuses an event that ends with a marker (C-23).
	NeedsPayload bool
	// NoRelabel delivers structured data with the format that it was published with
	// (C-25).
	NoRelabel bool
	// NoData delivers events that need data without any (C-26).
	NoData bool
	// ResetRefusals refuses subscriptions with a Reset (C-28).
	ResetRefusals bool
	// IgnoresSafeMode does nothing for a device in safe mode (C-32).
	IgnoresSafeMode bool
	// NoRequests does not answer a device that asks for its name (C-30).
	NoRequests bool
}

// CallFaults are what the cloud gets wrong of functions and variables.
type CallFaults struct {
	// NeedsAck ignores a result that comes before the acknowledgement (C-34).
	NeedsAck bool
	// WaitsOn takes a refusal in an acknowledgement for an acknowledgement (C-35).
	WaitsOn bool
	// LittleEndianInt decodes an int in the wrong order (C-36).
	LittleEndianInt bool
	// NeedsValue fails a read whose answer has no payload (C-36).
	NeedsValue bool
	// NotFoundIsRefused does not tell 4.04 from other errors (C-37).
	NotFoundIsRefused bool
	// OldestCall gives every result to the call that waits longest (C-34).
	OldestCall bool
}

// SendFaults are what the cloud gets wrong when it sends updates.
type SendFaults struct {
	// LargeChunks ignores the messages that the device takes (C-40).
	LargeChunks bool
	// NeverEmpty sends at least one chunk (C-42).
	NeverEmpty bool
	// TriesAgain sends an image again that was refused (C-45).
	TriesAgain bool
	// Eager does not wait for UpdateReady (C-46).
	Eager bool
	// AllMissing sends chunks again that are not missing (C-46).
	AllMissing bool
	// TwiceAccepted sends a chunk again that was accepted (C-47).
	TwiceAccepted bool
	// IgnoresDone takes no notice of the UpdateDone of a device (C-48).
	IgnoresDone bool
	// NeverAgain gives an update up whose connection is lost (N-36, N-46).
	NeverAgain bool
	// Noisy asks and delivers during updates (C-49).
	Noisy bool
	// NeverHeld updates devices whose application does not allow it (C-50).
	NeverHeld bool
}

// LedgerFaults are what the cloud gets wrong of ledgers.
type LedgerFaults struct {
	// Content answers with 2.05 (C-10).
	Content bool
	// NoContinue acknowledges blocks with 2.04 (C-52).
	NoContinue bool
	// NewETags gives every block of an answer an ETag of its own (C-53).
	NewETags bool
	// MixesTags puts blocks of different requests together (C-52).
	MixesTags bool
	// Unordered puts the result behind the other fields of an answer (C-54).
	Unordered bool
	// ResetsAll tells devices that never asked about ledgers to ask again.
	ResetsAll bool
}
