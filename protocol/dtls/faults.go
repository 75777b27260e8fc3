package dtls

// ServerFaults make a [Server] misbehave, to test devices and suites. The zero
// value is correct behaviour.
type ServerFaults struct {
	// FirstSequence, if positive, is the record sequence of ServerHello; if
	// negative, it is 0. Correct: that of the ClientHello (RFC 6347 Section
	// 4.2.1).
	FirstSequence int64
	// Extensions, if not nil, are exactly the extensions of ServerHello, in
	// this order, whether the client offered them or not: known types get
	// their ordinary body, others an empty one.
	Extensions []uint16
	// CIDLength, if positive, is the length of the connection id in extension
	// 254 or 54 (1 to 20); if negative, it is 0.
	CIDLength int
	// OmitCertificateRequest leaves the client unauthenticated, against R-28.
	OmitCertificateRequest bool
	// SendCertificate sends the raw key in a Certificate, against R-27, in the
	// profile DeviceOS.
	SendCertificate bool
	// SignatureHash, if not 0, is the TLS code of the hash that signs
	// ServerKeyExchange: 2 is SHA-1, 3 SHA-224, 5 SHA-384, 6 SHA-512.
	SignatureHash uint8
	// WrongSignature signs ServerKeyExchange for another client_random.
	WrongSignature bool
	// ReuseEphemeral uses one ECDHE key for ever, against R-29.
	ReuseEphemeral bool
	// BadFinished flips a bit of verify_data.
	BadFinished bool
	// AcceptAnyHello goes on without a common suite, curve or certificate type,
	// against R-37.
	AcceptAnyHello bool
	// AcceptEmptyCertificate goes on when the client sends no key, against R-31.
	AcceptEmptyCertificate bool
	// AcceptBadCertificateVerify does not check the client's proof, against R-30.
	AcceptBadCertificateVerify bool
	// AcceptBadFinished does not check the client's verify_data, against R-33.
	AcceptBadFinished bool
	// AcceptVersion10 goes on with a ClientHello of DTLS 1.0, against R-48.
	AcceptVersion10 bool
	// StrictHello refuses a ClientHello with an extension that is not known,
	// against R-38.
	StrictHello bool
	// InOrderOnly drops handshake messages that come before their turn, against
	//
	InOrderOnly bool
	// NoFragments drops fragments of handshake messages, against R-35.
	NoFragments bool
	// FragmentSize, if positive, is the most bytes of a handshake message that
	// go into one record.
	FragmentSize int
	// Packing of a flight into datagrams.
	Packing Packing
}

// ClientFaults make a [Client] misbehave, to test clouds and suites. The zero
// value is correct behaviour.
type ClientFaults struct {
	// Version, if not 0, is client_version; 0xfeff is DTLS 1.0.
	Version uint16
	// CipherSuites, if not nil, are the suites offered.
	CipherSuites []uint16
	// Extensions, if not nil, are exactly the extensions of ClientHello, in
	// this order: known types get their ordinary body, others an empty one.
	Extensions []uint16
	// Groups, if not nil, are the groups offered.
	Groups []uint16
	// Certificate, if not nil, is the body of the Certificate message.
	Certificate []byte
	// OmitCertificateVerify does not prove the key.
	OmitCertificateVerify bool
	// BadCertificateVerify flips a bit of the signed digest.
	BadCertificateVerify bool
	// BadFinished flips a bit of verify_data.
	BadFinished bool
	// AcceptAnySignature does not check ServerKeyExchange, against R-43.
	AcceptAnySignature bool
	// AcceptAnyCID goes on without a usable connection id, against R-44.
	AcceptAnyCID bool
	// AcceptCertificate takes a server Certificate in the profile DeviceOS,
	// against R-45.
	AcceptCertificate bool
	// KeepTimeout does not double the timeout of retransmissions, against R-47.
	KeepTimeout bool
	// FragmentSize, if positive, is the most bytes of a handshake message that
	// go into one record. ClientHello is not concerned: a server without state
	// must see the cookie at once.
	FragmentSize int
	// OverlapFragments, with FragmentSize, lets each fragment begin that many
	// bytes before the end of the one before (RFC 6347 Section 4.2.3 allows it).
	OverlapFragments int
	// Packing of a flight into datagrams, instead of that of the generation.
	Packing Packing
}

// A Packing says how the records of a flight are put into datagrams. The zero
// value is the ordinary way of the machine.
type Packing uint8

const (
	// PackDefault fills datagrams up to the MTU; a Client of generation A to C
	// sends PackSingle.
	PackDefault Packing = iota
	// PackFull fills datagrams up to the MTU.
	PackFull
	// PackSingle sends one record in each datagram.
	PackSingle
	// PackReversed is PackSingle in reverse order, so that Finished comes
	// before ChangeCipherSpec.
	PackReversed
	// PackOneRecord puts all handshake messages of an epoch into one record.
	PackOneRecord
	// PackTwice sends every datagram of PackFull twice, byte for byte.
	PackTwice
)

// RecordFaults make a [Session] misbehave. They are bits, because a Session is
// small. The zero value is correct behaviour.
type RecordFaults uint32

// The faults of a Session.
const (
	// FaultRFC9146AAD seals and opens records of type 25 with the additional
	// data of RFC 9146 Section 5.3 in the profile DeviceOS, against R-51.
	FaultRFC9146AAD RecordFaults = 1 << iota
	// FaultAcceptReplay does not look at the replay window, against R-52.
	FaultAcceptReplay
	// FaultNarrowWindow accepts only the 32 newest sequences, against R-53.
	FaultNarrowWindow
	// FaultReuseSequence does not advance the send sequence, against R-63.
	FaultReuseSequence
	// FaultAcceptBadTag does not check the tag, against R-54.
	FaultAcceptBadTag
	// FaultAlertBadRecord answers a bad record with a fatal alert, against R-54.
	FaultAlertBadRecord
	// FaultAcceptPlaintext obeys epoch-0 alerts and delivers epoch-0
	// application data, against R-58.
	FaultAcceptPlaintext
	// FaultFirstRecordOnly ignores all but the first record of a datagram,
	// against R-57.
	FaultFirstRecordOnly
	// FaultNoMark never marks a moved session, against R-75.
	FaultNoMark
	// FaultKeepMark never takes the mark off, against R-75.
	FaultKeepMark
	// FaultNoPadding seals records of type 25 without zeros behind the type.
	FaultNoPadding
	// FaultTypeInAAD authenticates 253 and 254 instead of 25 and 23, against R-50.
	FaultTypeInAAD
	// FaultCIDDown puts the connection id into the records to the device,
	// against R-56.
	FaultCIDDown
	// FaultIgnoreClose does not end the session at close_notify or a fatal
	// alert, against.
	FaultIgnoreClose
	// FaultReuseFinal repeats the last flight of a handshake with the epoch-1
	// sequence of its first transmission, against R-36.
	FaultReuseFinal
	// FaultSmallRecords drops records with more than 512 bytes inside, against
	//
	FaultSmallRecords
	// FaultRandomNonce uses explicit nonces unlike epoch and sequence, which is
	// legal (RFC 6655 Section 3) but unlike any Device OS.
	FaultRandomNonce
)
