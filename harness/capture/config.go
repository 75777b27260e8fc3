package capture

import (
	"crypto/rsa"
	"net/netip"
	"time"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// A Vantage is the end of the network where a Decoder looks. What two tapped
// hosts say to one another is sighted at both ends; a Decoder uses one of them.
type Vantage uint8

// The vantages.
const (
	// AtDevice counts what devices sent, lost or not, and what reached them.
	AtDevice Vantage = iota
	// AtCloud sees the addresses that a NAT gave to devices.
	AtCloud
)

// Default limits of what a Decoder keeps.
const (
	DefaultHold            = 30 * time.Second
	DefaultHeldPackets     = 1 << 16
	DefaultHeldBytes       = 32 << 20
	DefaultHeldPerFlow     = 256
	DefaultAssociationsMax = 1 << 16
)

// A Config configures a Decoder.
type Config struct {
	// Emit takes each packet once. Packets of one address, and of one session,
	// come in the order in which they were sighted; between sessions the order
	// can differ, because a session can wait for its keys. Emit may keep the
	// packet and must not call the Decoder. Required.
	Emit func(*trace.Packet)
	// Cloud reports whether an address is the cloud's. Required.
	Cloud func(netip.AddrPort) bool
	// Vantage is the end to look from.
	Vantage Vantage
	// Profile of the DTLS sessions.
	Profile dtls.Profile
	// CloudKey, if not nil, is the cloud's RSA key, which tells the device id in
	// a TCP handshake, and with the device's key (AddDevice) the credentials.
	CloudKey *rsa.PrivateKey

	// Sighted, if not nil, takes each sighting that is decoded, before its packets are
	// emitted, as it was at the device: Local is the device's address, whatever the
	// vantage. It must not call the Decoder, nor keep or change Data.
	Sighted func(transport.Sighting)
	// Unlocked, if not nil, takes the secrets of each session that the Decoder can
	// read from then on, once, as far as its handshake was seen. Whoever keeps them
	// can read all that the session said. It must not call the Decoder.
	Unlocked func(Secrets)

	// Reorder is how long a sighting waits for earlier ones, beside the time in which
	// an earlier one is being sent. Real sockets need it: what is sent is sighted after
	// the system took it, so that the answer can come first, though with a later time.
	// 0 on virtual networks.
	Reorder time.Duration

	// Hold is how long a packet waits for the keys of its session, in the time
	// of the sightings; 0 means DefaultHold, negative until Flush.
	Hold time.Duration
	// HeldPackets, HeldBytes and HeldPerFlow bound what waits in all and of one
	// pair of addresses. What is too much is emitted as it is, oldest first.
	HeldPackets, HeldBytes, HeldPerFlow int
	// AssociationsMax bounds the sessions and the addresses that are remembered;
	// the ones not used for longest are forgotten.
	AssociationsMax int
}

func (c Config) withDefaults() Config {
	if c.Emit == nil || c.Cloud == nil {
		panic("capture: Config needs Emit and Cloud")
	}
	for _, f := range []struct {
		v *int
		d int
	}{
		{&c.HeldPackets, DefaultHeldPackets},
		{&c.HeldBytes, DefaultHeldBytes},
		{&c.HeldPerFlow, DefaultHeldPerFlow},
		{&c.AssociationsMax, DefaultAssociationsMax},
	} {
		if *f.v <= 0 {
			*f.v = f.d
		}
	}
	if c.Hold == 0 {
		c.Hold = DefaultHold
	}
	return c
}

// Counts are what a Decoder has seen so far.
type Counts struct {
	Sightings    uint64 // shown
	OtherEnd     uint64 // of them, seen at the end that is not the vantage
	Foreign      uint64 // of them, between addresses neither or both of which are the cloud's
	Packets      uint64 // emitted
	Sealed       uint64 // records emitted without a key for them
	Rejected     uint64 // records whose key did not open them
	Messages     uint64 // CoAP messages
	Malformed    uint64 // of them, not CoAP
	Held         int    // packets that wait now
	Associations int    // remembered now
}
