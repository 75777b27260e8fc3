package coap

// Faults make an [Exchange] misbehave, to test the peer. The zero value is
// correct behavior.
type Faults struct {
	// KeepTimeout does not double the timeout between retransmissions, against
	// RFC 7252 Section 4.2.
	KeepTimeout bool

	// NeverRetransmit sends every Confirmable message once. It still times out
	// when it would have.
	NeverRetransmit bool

	// RetransmitForever never gives up.
	RetransmitForever bool

	// NewIDOnRetransmit gives each retransmission an ID of its own, against
	// RFC 7252 Section 4.2.
	NewIDOnRetransmit bool

	// ReuseID sends every message with the same ID.
	ReuseID bool

	// SkipID leaves a gap of one before every ID.
	SkipID bool

	// NoDedupe delivers duplicates as if they were new.
	NoDedupe bool

	// DropDuplicates does not repeat the reply to a duplicate.
	DropDuplicates bool

	// NoReply sends no ACK, neither empty nor with a response; pings stay
	// unanswered.
	NoReply bool

	// DoubleReply sends every reply twice. It is legal.
	DoubleReply bool

	// WrongAckID puts an ID one too high in every reply.
	WrongAckID bool

	// AnswerPingWithReset answers a ping with RST as RFC 7252 Section 4.3 has
	// it.
	//
	// Device OS: that ends the session of the device.
	AnswerPingWithReset bool

	// IgnorePing leaves a ping unanswered.
	IgnorePing bool

	// AckNonConfirmable acknowledges Non-confirmable messages, against RFC 7252
	// Section 4.3.
	AckNonConfirmable bool

	// IgnoreReset takes no notice of a RST.
	//
	// Device OS: that would be a session that goes on although its cloud does not
	// know it.
	IgnoreReset bool

	// ResetUnmatched answers an ACK that matches nothing with RST.
	ResetUnmatched bool
}
