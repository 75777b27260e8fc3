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
	// AnySession restores a session of another size, key or server, against R-78.
	AnySession bool
	// EarlyOnline does not wait for acknowledgements, against D-5.
	EarlyOnline bool

	// NoPing never pings, against D-13.
	NoPing bool
	// NoGoodbye leaves without a word, as the virtual device does.
	NoGoodbye bool

	// NoResult runs functions and keeps the result, DoubleResult tells it twice,
	// and so with values that are not piggybacked, against D-7 and D-8.
	NoResult, DoubleResult bool
	// AnswerEverything returns 1 from functions that it does not have, against D-7.
	AnswerEverything bool
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

	// Connects, Answers, Updates and Power are the faults of a subject.
	Connects ConnectFaults
	Answers  AnswerFaults
	Updates  UpdateFaults
	Power    PowerFaults
}

// ConnectFaults are what devices do wrong while they connect.
type ConnectFaults struct {
	// EventsFirst publishes the events about updates before everything else,
	// against D-19.
	EventsFirst bool
	// IgnoresRefusals takes a subscription that was refused for accepted, against
	// D-11.
	IgnoresRefusals bool
	// AsksAgain asks for the time though a request is unanswered, against D-12.
	AsksAgain bool
	// NotDeaf hears requests before the ACK of Hello, against N-23.
	NotDeaf bool
	// WaitsForever waits over TCP for the cloud's Hello without an end, against
	// N-48.
	WaitsForever bool
	// PatientPublish waits for the ACK of an event without an end, against D-6.
	PatientPublish bool
}

// AnswerFaults are what devices do wrong when something is said to them.
type AnswerFaults struct {
	// Touchy ends the connection over anything that is malformed, against N-1 and
	// N-2.
	Touchy bool
	// Forgiving goes on where a failed handler ends the connection, against N-3,
	// N-5, N-12, N-14 and N-27.
	Forgiving bool
	// AnswersUnknown answers requests that it does not know with 4.04, against
	// N-6.
	AnswersUnknown bool
	// RefusesCritical answers Start and Finish with unknown critical options with
	// 4.02, against N-7.
	RefusesCritical bool
	// NoRefusals leaves wrong requests without an answer, against N-15 and N-24.
	NoRefusals bool
	// IgnoresCommands does nothing about the events of the system, against D-20.
	IgnoresCommands bool
	// NewETags gives every block of a describe an ETag of its own, against D-10.
	NewETags bool
	// MovesAnywhere follows every ServerMoved, against N-16.
	MovesAnywhere bool
	// TakesLedgers answers ledger notifications of any form with success, against
	// N-17.
	TakesLedgers bool
	// NoLedgerRetry never tries again what failed about ledgers, against N-18.
	NoLedgerRetry bool
}

// UpdateFaults are what devices do wrong while they are updated.
type UpdateFaults struct {
	// AcceptsAnyStart accepts every Start that is well-formed, against N-25.
	AcceptsAnyStart bool
	// ForgetsPartial begins every transfer anew, against N-26, N-35, N-36 and N-38.
	ForgetsPartial bool
	// SkipsFileHash applies an image with another hash than announced, against N-29.
	SkipsFileHash bool
	// NeverSafeMode starts the application whatever it lacks, against N-32.
	NeverSafeMode bool
	// NoStall waits for chunks without an end, against N-37.
	NoStall bool
	// AnyChunk stores legacy chunks whose CRC is wrong, against N-40 and N-41.
	AnyChunk bool
	// ForgetsMissing calls an incomplete legacy transfer complete, against N-43.
	ForgetsMissing bool
	// KeepsLegacy goes on with a legacy transfer after the connection was lost,
	// against N-46.
	KeepsLegacy bool
	// AnswersOther answers messages of the update protocol that it does not speak,
	// against N-47.
	AnswersOther bool
}

// PowerFaults are what devices do wrong when they are reset, lose their power, or
// sleep.
type PowerFaults struct {
	// BootsHalf starts what there is of an image when an update is cut off, against
	// B-1.
	BootsHalf bool
	// ForgetsSession does not keep the session in a reset and in sleep, against B-4
	// and B-7.
	ForgetsSession bool
	// StaysOff does not connect by itself after a loss of power, against B-3, B-5
	// and N-52.
	StaysOff bool
	// WrongSleep tells the cloud another time than it sleeps, against B-6.
	WrongSleep bool
	// NeverWakes sleeps without an end, against B-6.
	NeverWakes bool
}

var noFaults Faults

// faults returns the faults of the device.
func (d *Device) faults() *Faults {
	if d.cfg.Faults == nil {
		return &noFaults
	}
	return d.cfg.Faults
}
