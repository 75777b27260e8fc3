package target

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"hash"
	"net/netip"
	"sync"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/evidence"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// A stage is a network for one device and one cloud, with a wire that is decoded.
// Whoever plays on it is put there by its owner.
type stage struct {
	venue
	parties
	// Net is the network of a virtual stage, with its time.
	Net *vnet.Network
	// Profile is what the device is, or plays.
	Profile *profile.Profile

	digest  hash.Hash // of every byte on a virtual network
	wire    *wire
	id      device.ID
	moments moments
	// whole: nobody else talks on its wire, so that all of it is the device's.
	whole bool
}

// The parties of a stage are who pins which key, and where they are. Keys of the other
// transport are nil.
type parties struct {
	deviceEC  *ecdsa.PrivateKey
	deviceRSA *rsa.PrivateKey
	cloudEC   *ecdsa.PublicKey
	cloudRSA  *rsa.PublicKey
	// own are the private keys of the cloud, where a puppet plays it.
	own cloudKeys
	// home is the name that the device has for its address, host the one on the wire.
	home, host netip.Addr
	// udp and tcp are where the cloud is, elsewhere another address of it, if it has one.
	udp, tcp, elsewhere netip.AddrPort
	// salt makes what scripts draw differ from stage to stage, where that is not to be
	// the same in every run.
	salt string
	// epoch is the time of day at the instant 0.
	epoch time.Time
}

// cloudKeys are the private keys of a cloud.
type cloudKeys struct {
	ec  *ecdsa.PrivateKey
	rsa *rsa.PrivateKey
}

// Addresses of the two parties of a stage.
var (
	virtualCloud  = netip.MustParseAddr("192.0.2.1")
	virtualCloud2 = netip.MustParseAddr("192.0.2.2") // the same cloud's
	virtualDevice = netip.MustParseAddr("198.51.100.7")
)

// cloudUDP and cloudTCP are where the cloud of a stage listens.
var (
	cloudUDP = netip.AddrPortFrom(virtualCloud, cloudref.PortUDP)
	cloudTCP = netip.AddrPortFrom(virtualCloud, cloudref.PortTCP)
)

// virtualEpoch is the time of day at which virtual runs begin.
var virtualEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newStage returns a stage whose network is kept as evidence of the run.
// latency is that of puppets: a party that answers each answer must not make time
// stand still.
var latency = vnet.Access{Up: vnet.Link{Delay: time.Millisecond}, Down: vnet.Link{Delay: time.Millisecond}}

func newStage(kept *evidence.Collector, p *profile.Profile, runSeed uint64) *stage {
	s := &stage{Profile: p, digest: sha256.New(), id: device.ID{0xe0, 0x0f, 0xce, 0x68, 4: byte(p.Board.Platform), 11: 1}}
	keys := virtualKeys()
	s.parties = parties{
		deviceEC: keys.deviceEC, deviceRSA: keys.deviceRSA, cloudEC: &keys.cloudEC.PublicKey, cloudRSA: &keys.cloudRSA.PublicKey,
		own: cloudKeys{keys.cloudEC, keys.cloudRSA}, home: virtualDevice, host: virtualDevice, udp: cloudUDP, tcp: cloudTCP,
		elsewhere: netip.AddrPortFrom(virtualCloud2, cloudUDP.Port()), epoch: virtualEpoch,
	}
	s.wire = newWire(keys.cloudRSA, capture.AtDevice, 0, s.moments.passNow, kept.Network(p.String(), p.Version.Name, transportOf(p)))
	tap := s.wire.decoder.Tap()
	s.Net = vnet.New(vnet.Config{Seed: runSeed, Tap: func(seen transport.Sighting) {
		_, _ = s.digest.Write(seen.Data) // a hash takes everything
		tap(seen)
	}})
	s.venue = &virtualVenue{s.Net}
	s.wire.cloud(cloudUDP)
	s.wire.cloud(cloudTCP)
	if !p.Board.UDP {
		s.wire.decoder.AddDevice(trace.DeviceID(s.id), mustSPKI(&keys.deviceRSA.PublicKey), keys.deviceRSA)
	}
	return s
}

// deviceKey returns the device's key pair, and the cloud's public key that it
// pins.
func (s *stage) deviceKey() (key crypto.PrivateKey, cloud crypto.PublicKey) {
	if s.Profile.Board.UDP {
		return s.deviceEC, s.cloudEC
	}
	return s.deviceRSA, s.cloudRSA
}

// deviceConfig is that of a simulated device.
func (s *stage) deviceConfig(runSeed uint64) *device.Config {
	key, cloud := s.deviceKey()
	return &device.Config{
		Profile: s.Profile, App: application(), Seed: runSeed, Server: virtualCloud.String(), CloudKey: cloud,
		Key: func(device.ID) crypto.PrivateKey { return key },
	}
}

// simulated puts a simulated device on the stage, switched off.
func (s *stage) simulated(observe fleet.Observer, spec fleet.Spec) *fleet.Virtual {
	f := fleet.NewVirtual(s.Net, fleet.Options{UDP: cloudUDP, TCP: cloudTCP, Observe: observe},
		func(_ int, h transport.Host) *vnet.Node { return s.Net.Attach(h, virtualDevice) })
	f.Add(spec)
	return f
}

// virtualOwner is the account of the device.
var virtualOwner = store.AccountID{1}

// reference puts the reference cloud on the stage, which knows the device.
func (s *stage) reference(runSeed uint64, observe func(endpoint.Observation), adjust func(*CloudConfig)) (*ownCloud, error) {
	keys := virtualKeys()
	record := &store.Device{ID: store.DeviceID(s.id), Name: "virtual", Owner: virtualOwner}
	if s.Profile.Board.UDP {
		record.P256 = mustSPKI(&keys.deviceEC.PublicKey)
	} else {
		record.RSA = mustSPKI(&keys.deviceRSA.PublicKey)
	}
	st := store.NewMemory()
	if err := st.Do(context.Background(), store.PutDevice(record)); err != nil {
		return nil, fmt.Errorf("target: registering: %w", err)
	}
	config := endpoint.Config{
		Store: st, ECKey: keys.cloudEC, RSAKey: keys.cloudRSA, Seed: runSeed, Rand: seed.Bytes(runSeed, "virtual/cloud"),
		KeepSecrets: true, ClassicStale: true, Observe: observe, App: app.Config{Epoch: virtualEpoch.Unix()},
		WallClock: func(at clock.Instant) time.Time { return virtualEpoch.Add(time.Duration(at)) },
	}
	adjust(&config)
	cloud, err := endpoint.New(context.Background(), config)
	if err != nil {
		return nil, err
	}
	node := s.Net.Attach(cloud, virtualCloud, virtualCloud2)
	node.Listen(cloudref.PortTCP)
	return &ownCloud{place: node, node: cloud, store: st}, nil
}

// Hello is what the device of the stage says first.
func (s *stage) Hello() pdc.Hello {
	p, dialect := s.Profile, s.Profile.Dialect()
	h := pdc.Hello{
		ProductID: uint16(p.Board.Platform), ProductVersion: 0xffff, Flags: dialect.HelloFlags(), Platform: p.Board.Platform,
		System: p.Version.System, MaxMessage: uint16(dialect.Limits().Message), MaxBinary: p.MaxBinary(), ChunkSize: pdc.DefaultChunkSize,
	}
	if p.Board.UDP {
		h.DeviceID = s.id[:]
	}
	return h
}

// Digest returns a hash of every byte that was sent so far.
func (s *stage) Digest() [sha256.Size]byte { return [sha256.Size]byte(s.digest.Sum(nil)) }

// Packets returns what crossed the wire from an instant on, decoded.
func (s *stage) Packets(since clock.Instant) []*trace.Packet {
	if s.whole {
		return s.wire.all(s.Now, s.udp.Addr(), since)
	}
	return s.wire.of(s.Now, trace.DeviceID(s.id), s.host.String(), since)
}

// keyRing holds the keys of virtual runs, made once: they keep no secret.
type keyRing struct {
	cloudEC, deviceEC   *ecdsa.PrivateKey
	cloudRSA, deviceRSA *rsa.PrivateKey
}

var virtualKeys = sync.OnceValue(func() keyRing {
	return keyRing{
		cloudEC: seed.P256(seed.Bytes(1, "virtual/cloud")), deviceEC: seed.P256(seed.Bytes(1, "virtual/device")),
		cloudRSA: seed.RSA(seed.Bytes(1, "virtual/cloud"), 2048), deviceRSA: lightssl.GenerateDeviceKey(seed.Bytes(1, "virtual/device")),
	}
})

func mustSPKI(key any) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(fmt.Sprintf("target: encoding a public key: %v", err))
	}
	return der
}

// Salt is to be mixed into what a script draws.
func (s *stage) Salt() string { return s.salt }

// Alone reports whether the device shares its address with nobody: what it does too much
// of is nobody else's fault.
func (s *stage) Alone() bool { return s.Net != nil || s.host.IsLoopback() }

// ID returns the id of the device as 24 hexadecimal digits.
func (s *stage) ID() string { return s.id.String() }

// Unix returns the time of day at an instant, in seconds since 1970.
func (s *stage) Unix(at clock.Instant) int64 { return s.epoch.Add(time.Duration(at)).Unix() }

// Address returns the IP address of the device.
func (s *stage) Address() string { return s.host.String() }

// tolerance is how late a busy machine may see what a device does in its own time.
const tolerance = 2 * time.Second

// Tolerance is how much later than it happened the script may see something.
func (s *stage) Tolerance() time.Duration {
	if s.Net != nil {
		return 0
	}
	return tolerance
}

// where is the cloud for devices of the stage's profile.
func (s *stage) where() netip.AddrPort {
	if s.Profile.Board.UDP {
		return s.udp
	}
	return s.tcp
}
