package dtls

import (
	"crypto/ecdsa"
	"io"
	"time"
)

// A Profile says which of the two dialects a machine speaks.
type Profile uint8

const (
	// DeviceOS is the dialect of Particle boards and their cloud. It is the
	// default.
	DeviceOS Profile = iota
	// Standard is DTLS 1.2 by the RFCs, for independent peers.
	Standard
)

// String returns the name of the profile.
func (p Profile) String() string {
	switch p {
	case DeviceOS:
		return "Device OS"
	case Standard:
		return "standard"
	default:
		return "unknown profile"
	}
}

// A Generation names the TLS library that a Device OS release links, which is
// what decides the details of its handshake. The zero value means [GenF].
type Generation uint8

// The generations of the DTLS client in Device OS.
const (
	GenDefault Generation = iota
	GenA                  // Device OS 0.5.3 to 0.6.x
	GenB                  // 0.7.0 to 1.0.x (Gen 2 hardware and gcc)
	GenC                  // 0.8.0-rc.25 and later (Gen 3 hardware), 1.1 to 1.3.x: sends alerts
	GenD                  // 1.4 to 2.0.x: its flight in one datagram
	GenE                  // 2.1 to 3.0.x: ignores malformed datagrams
	GenF                  // 3.1 to 6.2.0: connection id
)

// String returns "A" to "F".
func (g Generation) String() string {
	if g = g.resolve(); g > GenF {
		return "unknown generation"
	}
	return string('A' + rune(g-GenA))
}

// A Mark says how a device marks application records after it restored a
// session, until the cloud proves that it still knows it.
type Mark uint8

const (
	// MarkDefault is Mark254 for generations A to E, Mark253 for F.
	MarkDefault Mark = iota
	// Mark254 replaces type 23 by 254 and appends the device id and its
	// length (Device OS 0.5 to 3.0.x).
	Mark254
	// Mark25 is no mark: the connection id is enough (Device OS 3.1 to 3.3.x).
	Mark25
	// Mark253 replaces type 25 by 253 (Device OS 4.0 and later).
	Mark253
)

// String returns the content type that the mark puts on the wire.
func (m Mark) String() string {
	switch m {
	case MarkDefault:
		return "default"
	case Mark254:
		return "254"
	case Mark25:
		return "25"
	case Mark253:
		return "253"
	default:
		return "unknown mark"
	}
}

// Timers rule the retransmission of a flight (RFC 6347 Section 4.2.4.1): the
// timeout starts at Initial and doubles; when it would exceed Max the machine
// gives up. Zero fields mean the default of the role.
type Timers struct {
	Initial time.Duration // default 3 s
	Max     time.Duration // default 24 s; 6 s for a Client of generation A to C
}

// DeviceTimers and EarlyDeviceTimers are what boards use.
//
// Device OS: 3 s, not the 1 s of RFC 6347 (communication/src/dtls_message_channel.cpp).
var (
	// DeviceTimers transmit at 0, 3, 9 and 21 s and give up at 45 s
	// (Device OS 1.4.1 and later).
	DeviceTimers = Timers{Initial: 3 * time.Second, Max: 24 * time.Second}
	// EarlyDeviceTimers transmit at 0 and 3 s and give up at 9 s (Device OS
	// up to 1.4.0).
	EarlyDeviceTimers = Timers{Initial: 3 * time.Second, Max: 6 * time.Second}
)

// CIDSize is the length of a connection id that a cloud gives to a device.
//
// Device OS: exactly 8; a session with any other length is refused.
const CIDSize = 8

// MaxCIDSize is the longest connection id that a Session can hold, in bytes.
// RFC 9146 allows 255; a peer that asks for more gets none.
const MaxCIDSize = 20

// DeviceIDSize is the length of a device id in bytes.
const DeviceIDSize = 12

// Default limits of a handshake.
const (
	// DefaultMTU is the largest UDP payload that a machine builds, in bytes:
	// 1280 less the IPv6 and UDP headers.
	DefaultMTU = 1232
	// DefaultHalfOpenLife bounds the life of a half-open handshake in the
	// cloud.
	DefaultHalfOpenLife = 60 * time.Second
	// DefaultMaxMessage is the largest handshake message that is reassembled,
	// in bytes, in the profile DeviceOS. The largest a board sends has 94.
	DefaultMaxMessage = 1024
	// DefaultMaxMessageStandard is the same in the profile Standard, where a
	// Certificate may hold a chain.
	DefaultMaxMessageStandard = 8192
)

// A ClientConfig configures a [Client]. It is read, never written, and may be
// shared by many Clients if Rand may.
type ClientConfig struct {
	Profile Profile
	// Gen decides the form of the ClientHello, the packing, the timers and the
	// reactions to abnormal input. Ignored in the profile Standard.
	Gen Generation
	// Key is the P-256 key of the device. Required.
	Key *ecdsa.PrivateKey
	// ServerKey is the pinned P-256 key of the cloud. Required in the profile
	// DeviceOS; in Standard nil means that VerifyServer decides.
	ServerKey *ecdsa.PublicKey
	// Rand yields client_random (32 bytes, at Start) and then the ECDHE scalar
	// (32 bytes, when the server flight is complete; drawn again while it is
	// zero or not below the group order). Required.
	Rand io.Reader

	// SignatureAlgorithms, if not nil, replaces the list that the generation
	// offers (two bytes each, hash and signature). A Tracker with Device OS
	// 5.8 or later offers SignatureAlgorithmsNoRSA.
	SignatureAlgorithms []uint16
	// Timers of the handshake. Device OS 1.4.0 is of generation D but has
	// EarlyDeviceTimers.
	Timers Timers
	// MTU is the largest datagram built; 0 means DefaultMTU.
	MTU int
	// MaxMessage bounds a reassembled handshake message; 0 means the default
	// of the profile.
	MaxMessage int
	// DeviceID goes into the trailer of records marked 254.
	DeviceID [DeviceIDSize]byte
	// Mark of the session after a restore.
	Mark Mark

	// Certificate, in the profile Standard, is an X.509 chain in DER, leaf
	// first, to offer instead of the raw key.
	Certificate [][]byte
	// CID, in the profile Standard, if not nil, is offered by RFC 9146: the
	// server puts it into its records. It may be empty ("none to me, one to you").
	CID []byte
	// NoExtendedMasterSecret, in the profile Standard, leaves RFC 7627 out.
	NoExtendedMasterSecret bool
	// VerifyServer, in the profile Standard, judges the server's key: the SPKI
	// in DER and, if it came in a certificate, the chain. It is asked only when
	// ServerKey is nil, and then required. It must be a pure function.
	VerifyServer func(spki []byte, chain [][]byte) error

	// KeepSecrets puts the master secret into the event Established, for a key
	// log.
	KeepSecrets bool
	// Faults of the handshake; RecordFaults become those of the Session.
	Faults       ClientFaults
	RecordFaults RecordFaults
}

// A ServerConfig configures a [Server]. It is read, never written, and may be
// shared by many Servers if Rand may. The Server always demands that the client
// proves a key (RFC 5246 Section 7.4.4); only a fault turns that off.
type ServerConfig struct {
	Profile Profile
	// Key is the P-256 key of the cloud. Required.
	Key *ecdsa.PrivateKey
	// Rand yields, when a ClientHello is accepted: server_random (32 bytes),
	// the session id (SessionIDSize bytes), the connection id (8 bytes, only
	// if one is negotiated and NewCID is nil) and the ECDHE scalar (32 bytes;
	// drawn again while it is zero or not below the group order). Required.
	Rand io.Reader
	// Verify judges the client's key, given as SPKI in DER, after the client
	// has proven that it holds it. An error ends the handshake with the alert
	// access_denied (49), or the description of an *AlertError. It must be a
	// pure function. Required in the profile DeviceOS; in Standard it may be
	// nil if VerifyChain is not.
	Verify func(spki []byte) error
	// VerifyChain, in the profile Standard, judges a client's X.509 chain (DER,
	// leaf first). Nil means that X.509 clients are refused.
	VerifyChain func(chain [][]byte) error
	// NewCID, if not nil, writes the connection id of a new session into cid
	// (8 bytes, or CIDSize in the profile Standard) and may draw from rand. Ids
	// must be unique among all stored sessions and hard to guess.
	NewCID func(rand io.Reader, cid []byte)

	// MTU is the largest datagram built; 0 means DefaultMTU. Smaller values
	// fragment messages; the least is 64.
	MTU int
	// MaxMessage bounds a reassembled handshake message; 0 means the default
	// of the profile.
	MaxMessage int
	// Timers of the handshake.
	Timers Timers
	// HalfOpenLife bounds the handshake; 0 means DefaultHalfOpenLife.
	HalfOpenLife time.Duration
	// SessionIDSize is the length of the session id in ServerHello, 0 to 32. A
	// session id resumes nothing.
	SessionIDSize int

	// Certificate, in the profile Standard, is an X.509 chain in DER, leaf
	// first. Without it only the raw key is offered.
	Certificate [][]byte
	// CIDSize, in the profile Standard, is the length of the connection id to
	// ask for when the client offers RFC 9146; 0 means 8, negative means that
	// the client's records carry none.
	CIDSize int
	// NoCID, in the profile Standard, declines RFC 9146.
	NoCID bool
	// NoExtendedMasterSecret, in the profile Standard, declines RFC 7627.
	NoExtendedMasterSecret bool

	// KeepSecrets puts the master secret into the event Established, for a key
	// log.
	KeepSecrets bool
	// Faults of the handshake; RecordFaults become those of the Session.
	Faults       ServerFaults
	RecordFaults RecordFaults
}
