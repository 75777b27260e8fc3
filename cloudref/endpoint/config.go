package endpoint

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"io"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/transport"
)

// Config is what a node needs. Zero fields mean the default that is stated.
type Config struct {
	// Store holds what must survive. Required.
	Store *store.Store
	// ECKey proves the cloud to devices over UDP. Nil: no UDP.
	ECKey *ecdsa.PrivateKey
	// RSAKey proves the cloud to devices over TCP, 2048 bits. Nil: no TCP.
	RSAKey *rsa.PrivateKey
	// Rand yields keys, nonces and connection ids; it must be safe for
	// concurrent use if the node is used so. Required.
	Rand io.Reader
	// Seed of everything random that is not secret: retransmission jitter and
	// message ids.
	Seed uint64
	// App configures what the cloud does with messages.
	App app.Config
	// WallClock returns the time of day at an Instant of this run. Required.
	WallClock func(clock.Instant) time.Time

	// Node names this node in a cloud of several that share Store's state: sessions
	// are then found and adopted when a record of them arrives. Zero: it is alone.
	Node store.NodeID

	// HalfOpenMax bounds the handshakes under way. 8192.
	HalfOpenMax int
	// HalfOpenPerAddress bounds those of one IP address. 256: many devices may
	// share one behind a NAT.
	HalfOpenPerAddress int
	// StreamsMax bounds the TCP connections. 65536.
	StreamsMax int
	// Reservation is how many send sequences are reserved in the store at a
	// time. 1024.
	Reservation uint64
	// WindowsPerSecond bounds the replay windows that are stored behind records
	// which change nothing: pings, answers, acknowledgements. WindowEvery is after
	// how many of them the window of a session is stored all the same. 2000 and 64.
	// The window of a record that does change something is durable before its
	// consequences.
	WindowsPerSecond, WindowEvery int
	// SilenceCellular, SilenceOther and SilenceTCP are how long a device may be
	// silent before it counts as offline: two of the intervals between pings that
	// its firmware has by default, and the time for an answer. 46 min 30 s, 90 s,
	// 40 s. Over TCP the connection is closed then.
	//
	// Device OS: an application may choose any interval, so over UDP this is a
	// guess, and the session stays valid.
	SilenceCellular, SilenceOther, SilenceTCP time.Duration
	// ProbesPerSecond bounds the echoes to one IP address, ProbeBurst how many
	// may come at once. 20 and 40.
	ProbesPerSecond, ProbeBurst int

	// Spawn runs handshake work on another goroutine and reports whether it was
	// taken; a node whose pool is full drops the datagram, which the device will
	// repeat. What the work puts into the Out is to be sent. Nil: the work is done
	// at once.
	Spawn func(work func(now clock.Instant, out *transport.Out)) bool
	// Wake says that a job waits which no call of the node will run: call Run
	// soon. Nil: jobs wait for the next call.
	Wake func()
	// Welcome reports whether a device whose key nobody registered is let in right
	// now, to say who it is; Adopt then registers the key for it and calls done
	// when that is durable, on any goroutine, perhaps before it returns. Without
	// both, only registered keys get in.
	Welcome func() bool
	Adopt   func(id store.DeviceID, spki []byte, udp bool, done func(error))
	// Observe hears of everything that happens to a device. It is called with
	// the device locked: it must be quick and must not call the node.
	Observe func(Observation)
	// Traffic hears of what crosses the wire, for who shows it to people. It is
	// called like Observe. Nil: nobody, and nothing is spent on it.
	Traffic func(Traffic)
	// Along returns what has to become durable together with an event that a device
	// publishes, before that is acknowledged: its webhook calls. It is called as
	// Observe is, which hears the same Observation when all of it is durable. Nil:
	// nothing.
	Along func(Observation) []store.Op
	// KeepSecrets makes Observations carry the secrets of new sessions, for a
	// key log. Never in a cloud that serves others.
	KeepSecrets bool

	// ClassicStale makes the node answer an unknown session of an old device
	// with the datagram that makes it connect anew.
	ClassicStale bool

	Faults         Faults
	GateFaults     dtls.GateFaults
	ServerFaults   dtls.ServerFaults
	RecordFaults   dtls.RecordFaults
	ExchangeFaults *coap.Faults
	LightFaults    lightssl.ServerFaults
}

// Faults make the node misbehave, to prove the suites. The zero value is correct
// behaviour.
type Faults struct {
	// AcceptUnknownKey lets a device in whose key nobody registered.
	AcceptUnknownKey bool
	// AdoptKeys registers a key that is offered in place of the registered one.
	AdoptKeys bool
	// SplitFrames sends the first byte of a frame by itself.
	SplitFrames bool
	// AnyFirstMessage lets a connection begin with a ping.
	AnyFirstMessage bool
	// OneFace answers from its first address, whichever was addressed.
	OneFace bool
	// DropOnHello ends a session when a handshake begins at its address.
	DropOnHello bool
	// KeepHalfOpen lets handshakes go on at any time.
	KeepHalfOpen bool
	// AnswerShort answers datagrams that are too short for a record.
	AnswerShort bool
	// KeepRevoked lets a session outlive the key of its device.
	KeepRevoked bool
	// EchoAnything echoes malformed probes, and as many as come.
	EchoAnything bool
	// API are those of the REST API.
	API APIFaults
	// UnlimitedAPI lets any number of calls of the API through, which are not the
	// node's (S12).
	UnlimitedAPI bool
	// MoveOld follows authentic records that are not the newest.
	MoveOld bool
	// NeverMove keeps sending to the address of the handshake.
	NeverMove bool
	// MoveUnproven switches to the address of any record, authentic or not.
	MoveUnproven bool
	// ForgetSessions forgets every session when the node restarts.
	ForgetSessions bool
	// RewindSequence restores sessions without their reservation.
	RewindSequence bool
	// ForgetState restores sessions without functions and variables.
	ForgetState bool
	// AckBeforeStore acknowledges before what was acknowledged is durable.
	AckBeforeStore bool
	// ShareAccounts routes events to every account's devices (S9, S14).
	ShareAccounts bool
	// ForwardRequests passes what a device asks in the manner of the cloud on to the
	// other devices (S11).
	ForwardRequests bool
	// TwoSessions keeps the old session beside a new one.
	TwoSessions bool
	// AlertUnknown answers an unknown connection id with an alert.
	AlertUnknown bool
	// NoProbe ignores reachability probes.
	NoProbe bool
}

// APIFaults make the REST API misbehave. They stand here because mutants bend a node
// as a whole; package api reads them.
type APIFaults struct {
	NobodyIsSomebody bool // without a token one is the first account
	AnyToken         bool // any token is the first account's
	KeepRevoked      bool // a revoked token stays good
	OtherDevices     bool // devices of every account are one's own
	TellOthers       bool // a device of another account is refused in other words
	AllEvents        bool // streams tell the events of every account
	EmptyAnswers     bool // refusals have no body
	Unbounded        bool // a body may have any size
	NoKeepAlive      bool // streams are silent without events
	PlainTokens      bool // tokens are stored as they are
	PatientStreams   bool // readers may be slow
	OpenGuard        bool // webhooks reach the API
	OldTLS           bool // TLS 1.0 is good enough
	OtherThings      bool // products, webhooks and clients of every account are one's own
	UnboundedUploads bool // an upload may have any size and any number of parts
}

func (c Config) defaults() Config {
	setInt(&c.HalfOpenMax, 8192)
	setInt(&c.HalfOpenPerAddress, 256)
	setInt(&c.StreamsMax, 65536)
	setInt(&c.WindowsPerSecond, 2000)
	setInt(&c.WindowEvery, 64)
	setInt(&c.ProbesPerSecond, 20)
	setInt(&c.ProbeBurst, 40)
	if c.Reservation == 0 {
		c.Reservation = 1024
	}
	setDuration(&c.SilenceCellular, 46*time.Minute+30*time.Second)
	setDuration(&c.SilenceOther, 90*time.Second)
	setDuration(&c.SilenceTCP, 40*time.Second)
	if c.Observe == nil {
		c.Observe = func(Observation) {}
	}
	if c.Along == nil {
		c.Along = func(Observation) []store.Op { return nil }
	}
	if c.Wake == nil {
		c.Wake = func() {}
	}
	return c
}

func setInt(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}

func setDuration(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// An Observation is something that happened to a device.
type Observation struct {
	At     clock.Instant
	Device store.DeviceID
	Owner  store.AccountID
	What   What
	// Effect is what the application layer said, of What Application.
	Effect app.Effect
	// Event is what was published, of What Published, and Serial its number: the same
	// one is in the Observation that Along gets.
	Event  app.Event
	Serial uint64
	// Detail says why, in words. Why is the same as a label, of What Refused.
	Detail string
	Why    Reason
	// Session describes the session, of What Secured and Online.
	Session SessionInfo
	// ProductID and ProductVersion are those of the firmware that the device runs, as
	// its last Hello said.
	ProductID, ProductVersion uint16
}

// What happened.
type What uint8

// The observations.
const (
	Application What = 1 + iota // an effect of the application layer
	Published                   // an event was published and stored
	Secured                     // a handshake was completed; no Hello yet
	Online                      // a Hello was accepted, or a session resumed
	Offline                     // silent, gone or said goodbye; the session may stay
	Refused                     // a connection was refused; Detail says what to do
	Ended                       // the session is over
	Stray                       // a record of a session that nobody has; Device is what it claims
	Adopted                     // a session that another node had is here now
	Reclaimed                   // the same, of a node that is gone; its device has yet to say something
	Left                        // the session is at another node now
)

// SessionInfo describes a session.
type SessionInfo struct {
	Transport string // "udp" or "tcp"
	Peer      string // address and port
	Resumed   bool
	CID       []byte
	// DTLS are the secrets of a session over UDP, if Config.KeepSecrets.
	DTLS *dtls.Secrets
	// Credentials are those of a session over TCP, if Config.KeepSecrets.
	Credentials []byte
}

var _ transport.Host = (*Node)(nil)
