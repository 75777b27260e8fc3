package cloudref

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"net/netip"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/transport"
)

// Ports that boards expect.
//
// Device OS: from 1.1 on the UDP port in the key blob is ignored: it is always
// 5684 (hal/shared/parse_server_address.h).
const (
	PortUDP = 5684
	PortTCP = 5683
)

// Options say how to run a cloud. Zero fields mean the default that is stated.
type Options struct {
	// Dir is the data directory: keys, devices, sessions, firmware. It is made
	// if there is none. Empty: the state is in memory and lost at the end.
	Dir string
	// NATS is the URL of an external JetStream cluster, instead of Dir's own
	// server. Dir then holds the keys only.
	NATS string
	// NATSFiles are what its servers may ask for.
	NATSFiles store.ServerFiles
	// Memory keeps the state in memory, although there is a Dir, which then holds
	// the keys only.
	Memory bool

	// UDP and TCP are the addresses to listen on. The zero AddrPort means that
	// the transport is off; port 0 lets the system choose.
	UDP, TCP netip.AddrPort

	// ECKey and RSAKey are the keys of the cloud. Nil: those in Dir, made if
	// there are none.
	ECKey  *ecdsa.PrivateKey
	RSAKey *rsa.PrivateKey

	// SyncAlways makes what was acknowledged survive the loss of power, not only
	// of the process. It costs most of the throughput.
	SyncAlways bool

	// AnswerTimeout is how long a device may take to answer a function or a
	// variable. 30 s.
	AnswerTimeout time.Duration

	// Hooks says how webhooks are called. Its Log is that of the cloud.
	Hooks hooks.Config

	// Handshakes is how many goroutines do the public-key operations. 0: one a
	// core. HandshakeQueue bounds what waits for them. 4096.
	Handshakes, HandshakeQueue int

	// Clock is the time of the run; nil: a new one. Tap sees everything that
	// crosses the sockets.
	Clock *transport.Clock
	Tap   transport.Tap

	// Observe hears of everything that happens to devices. It must be quick.
	Observe func(endpoint.Observation)
	// Page remembers what devices and the cloud say, for the live page that is
	// served beside the API.
	Page bool
	// KeepSecrets makes Observations carry session secrets. Never in a cloud that
	// serves others.
	KeepSecrets bool
	// Log receives what an operator should read, one line at a time, without
	// secrets.
	Log func(line string)

	// Adjust changes the configuration of the node, for tests and mutants.
	Adjust func(*endpoint.Config)
}
