package coap

import "time"

// Params are the numbers and the manners of one peer's message layer. Params
// are shared by many Exchanges and never change.
type Params struct {
	// AckTimeout is the wait after the first transmission of a Confirmable
	// message, before the random factor; each further wait is twice as long.
	AckTimeout time.Duration

	// MaxRetransmit is the number of retransmissions.
	MaxRetransmit int

	// DedupeLifetime is how long the ID of a received Confirmable message is
	// remembered. It is kept to 134 ms (an ID may be remembered longer by that
	// much, never shorter).
	DedupeLifetime time.Duration

	// DedupeMax bounds how many IDs are remembered; beyond it the oldest is
	// forgotten.
	DedupeMax int

	// ReplyBytesMax bounds the bytes of replies that are kept to answer
	// duplicates. Empty acknowledgements cost none of them. Beyond it the oldest
	// is forgotten and duplicates of its request are dropped.
	ReplyBytesMax int

	// IDReuse is the time in which the ID of a sent Confirmable message is not
	// used again for another one. Zero: IDs simply count up.
	IDReuse time.Duration

	// Reliable says that the transport is TCP: nothing is retransmitted,
	// nothing times out, and nothing received is a duplicate.
	Reliable bool

	// PingAnswerOwnID answers a ping with the next ID of this peer, not with the
	// ID of the ping.
	//
	// Device OS: so over TCP (all versions that were recorded).
	PingAnswerOwnID bool

	// PingAnyID takes an empty acknowledgement of nothing that waits for that of
	// the oldest ping that waits: the other side of PingAnswerOwnID.
	PingAnyID bool

	// ResetEnds makes any Reset message end the session, also one that matches
	// nothing that was sent.
	//
	// Device OS: RST is how a cloud says "session unknown"; RFC 7252 Section 4.2
	// would ignore one that matches nothing.
	ResetEnds bool

	// HeaderOnly delivers a message whose header can be read, though the rest of
	// it is malformed or its version is not 1, as Received with Err set. Else it
	// is Malformed and goes no further.
	//
	// Device OS: the dispatcher reads the header and one byte of the first
	// option, see [Peek]; only some handlers decode strictly.
	HeaderOnly bool
}

// What Device OS sends with (communication/src/coap_channel.h): 4 s and three
// retransmissions, where RFC 7252 Section 4.8 has 2 s and four.
const (
	ackTimeout    = 4 * time.Second
	maxRetransmit = 3

	// deviceLifetime is MAX_TRANSMIT_SPAN of those numbers: how long a device
	// remembers what it received.
	deviceLifetime = 45 * time.Second

	// cloudLifetime covers the 60 to 90 s in which a device retransmits, and the
	// flight of the last copy.
	cloudLifetime = 93 * time.Second
)

// The Params of each peer on each transport.
var (
	// DeviceUDP are those of a board on DTLS.
	DeviceUDP = Params{
		AckTimeout: ackTimeout, MaxRetransmit: maxRetransmit,
		DedupeLifetime: deviceLifetime, DedupeMax: 128, ReplyBytesMax: 8 << 10,
		ResetEnds: true, HeaderOnly: true,
	}

	// DeviceTCP are those of a board on AES over TCP.
	DeviceTCP = Params{Reliable: true, PingAnswerOwnID: true, ResetEnds: true, HeaderOnly: true}

	// CloudUDP are those of the cloud towards DTLS devices.
	CloudUDP = Params{
		AckTimeout: ackTimeout, MaxRetransmit: maxRetransmit,
		DedupeLifetime: cloudLifetime, DedupeMax: 512, ReplyBytesMax: 32 << 10,
		IDReuse: deviceLifetime,
	}

	// CloudTCP are those of the cloud towards AES/TCP devices.
	CloudTCP = Params{Reliable: true, PingAnyID: true}
)
