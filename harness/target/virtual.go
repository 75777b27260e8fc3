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
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// A Virtual is one device and the reference cloud on a virtual network, in
// virtual time: what takes 23 minutes takes a millisecond, and the same seed gives
// the same run.
type Virtual struct {
	// Net is the network, with its time.
	Net *vnet.Network

	cloud  *vnet.Node
	node   *endpoint.Node
	digest hash.Hash // of every byte on the network
	fleet  *fleet.Virtual
	wire   *wire
	id     device.ID
	log    []logged
	seen   map[string]int          // events that the cloud took, by name
	ended  func(app.FlashProgress) // hears of an update
}

// A Puppet is what a virtual run has besides the faults of the run.
type Puppet struct {
	Cloud  func(*CloudConfig)
	Device func(*DeviceConfig)
}

// Addresses of the two parties of a Virtual.
var (
	virtualCloud  = netip.MustParseAddr("192.0.2.1")
	virtualDevice = netip.MustParseAddr("198.51.100.7")
)

// Virtual returns a device with the given profile, switched off, and a cloud that
// knows it, both with the faults of the run and those of the puppet.
func (e *Env) Virtual(p *profile.Profile, runSeed uint64, puppet Puppet) (*Virtual, error) {
	edit := func(c *DeviceConfig) {
		for _, f := range []func(*DeviceConfig){puppet.Device, e.options.Device} {
			if f != nil {
				f(c)
			}
		}
	}
	return newVirtual(p, runSeed, edit, func(c *CloudConfig) {
		if puppet.Cloud != nil {
			puppet.Cloud(c)
		}
		if e.options.Cloud != nil {
			e.options.Cloud(c, false)
		}
	})
}

func newVirtual(p *profile.Profile, runSeed uint64, edit func(*DeviceConfig), adjust func(*CloudConfig)) (*Virtual, error) {
	v := &Virtual{seen: make(map[string]int), digest: sha256.New(), id: device.ID{0xe0, 0x0f, 0xce, 0x68, 4: byte(p.Board.Platform), 11: 1}}
	keys := virtualKeys()
	v.wire = newWire(keys.cloudRSA, func(*trace.Packet) {})
	tap := v.wire.decoder.Tap()
	v.Net = vnet.New(vnet.Config{Seed: runSeed, Tap: func(s transport.Sighting) {
		_, _ = v.digest.Write(s.Data) // a hash takes everything
		tap(s)
	}})
	udp, tcp := netip.AddrPortFrom(virtualCloud, cloudref.PortUDP), netip.AddrPortFrom(virtualCloud, cloudref.PortTCP)
	v.wire.cloud(udp)
	v.wire.cloud(tcp)

	record := &store.Device{ID: store.DeviceID(v.id), Name: "virtual", Owner: store.AccountID{1}}
	config := &device.Config{Profile: p, App: application(), Seed: runSeed, Server: virtualCloud.String()}
	var key crypto.PrivateKey
	if p.Board.UDP {
		key, config.CloudKey = keys.deviceEC, &keys.cloudEC.PublicKey
		record.P256 = mustSPKI(&keys.deviceEC.PublicKey)
	} else {
		key, config.CloudKey = keys.deviceRSA, &keys.cloudRSA.PublicKey
		record.RSA = mustSPKI(&keys.deviceRSA.PublicKey)
		v.wire.decoder.AddDevice(trace.DeviceID(v.id), record.RSA, keys.deviceRSA)
	}
	config.Key = func(device.ID) crypto.PrivateKey { return key }

	st := store.NewMemory()
	if err := st.Do(context.Background(), store.PutDevice(record)); err != nil {
		return nil, fmt.Errorf("target: registering: %w", err)
	}
	edit(config)
	cloudConfig := endpoint.Config{
		Store: st, ECKey: keys.cloudEC, RSAKey: keys.cloudRSA, Seed: runSeed, Rand: seed.Bytes(runSeed, "virtual/cloud"),
		KeepSecrets: true, Observe: v.observe,
		WallClock: func(at clock.Instant) time.Time { return virtualEpoch.Add(time.Duration(at)) },
	}
	adjust(&cloudConfig)
	cloud, err := endpoint.New(context.Background(), cloudConfig)
	if err != nil {
		return nil, err
	}
	v.node, v.cloud = cloud, v.Net.Attach(cloud, virtualCloud)
	v.cloud.Listen(cloudref.PortTCP)
	v.fleet = fleet.NewVirtual(v.Net, fleet.Options{UDP: udp, TCP: tcp, Observe: v.happened},
		func(_ int, h transport.Host) *vnet.Node { return v.Net.Attach(h, virtualDevice) })
	v.fleet.Add(fleet.Spec{Config: config, ID: v.id})
	return v, nil
}

// virtualEpoch is the time of day at which virtual runs begin.
var virtualEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (v *Virtual) observe(o endpoint.Observation) {
	if o.What == endpoint.Secured && o.Session.DTLS != nil {
		v.wire.decoder.AddSecrets(*o.Session.DTLS)
	}
	if o.What == endpoint.Published {
		v.seen[o.Event.Name]++
	}
	if p, ok := o.Effect.(app.FlashProgress); ok && v.ended != nil {
		v.ended(p)
	}
}

// Seen counts how often the cloud took an event of that name.
func (v *Virtual) Seen(name string) int { return v.seen[name] }

// An Access is how a party is connected to the network.
type Access = vnet.Access

// A Link is one direction of an Access.
type Link = vnet.Link

// Digest returns a hash of every byte that was sent so far.
func (v *Virtual) Digest() [sha256.Size]byte { return [sha256.Size]byte(v.digest.Sum(nil)) }

// Access sets how the device is connected to the network.
func (v *Virtual) Access(a Access) { v.fleet.Node(0).SetAccess(&a) }

// CloudAccess sets how the cloud is connected to the network.
func (v *Virtual) CloudAccess(a Access) { v.cloud.SetAccess(&a) }

// Lose drops the datagram number n from now on, in whichever direction.
func (v *Virtual) Lose(n int) {
	v.Net.Hook(func(f *vnet.Flight) {
		if f.Kind == transport.DatagramSeen {
			if n--; n == 0 {
				f.Drop()
			}
		}
	})
}

// natPort is what a NAT adds to the port of the device when it forgets it.
const natPort = 5000

// ChangeNAT gives the device another port on the open network, of which it knows
// nothing. What comes to the old one is lost.
func (v *Virtual) ChangeNAT() {
	device := v.fleet.Node(0)
	v.Net.Hook(func(f *vnet.Flight) {
		switch {
		case f.Kind != transport.DatagramSeen:
		case f.Sender == device:
			f.From = netip.AddrPortFrom(f.From.Addr(), f.From.Port()+natPort)
		case f.To.Port() < natPort+1 || f.To.Port()-natPort < 1024:
			f.Drop()
		default:
			f.To = netip.AddrPortFrom(f.To.Addr(), f.To.Port()-natPort)
		}
	})
}

// Flash sends an application image of size bytes to the device and returns how
// that ended: nil, if the device runs it before limit has passed.
func (v *Virtual) Flash(size int, limit time.Duration) error {
	profile := v.fleet.Device(0).Profile()
	d := &Device{ID: v.id, Profile: profile}
	parsed, err := app.ParseImage(image(d, size, profile.Board.Platform))
	if err != nil {
		return err
	}
	ended := false
	v.ended = func(p app.FlashProgress) {
		switch p.Stage {
		case app.FlashDone:
			ended, err = true, nil
		case app.FlashFailed:
			ended, err = true, p.Err
		default: // on its way
		}
	}
	v.node.Command(store.DeviceID(v.id), func(now clock.Instant, d *app.Device, out *app.Out) { d.Flash(now, flashRef, parsed, out) })
	v.cloud.Do(v.node.Run)
	if !v.Net.RunUntil(func() bool { return ended }, v.Net.Now().Add(limit)) {
		return fmt.Errorf("target: the update did not end within %v of virtual time", limit)
	}
	return err
}

// flashRef names the command of Flash: there is one at a time.
const flashRef = 1

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

func (v *Virtual) happened(_ int, at clock.Instant, e device.Event) {
	e.Data = slices.Clone(e.Data)
	v.log = append(v.log, logged{at, e})
}

// PowerOn boots the device.
func (v *Virtual) PowerOn() { v.fleet.PowerOn(0) }

// Publish makes the device publish an event.
func (v *Virtual) Publish(name string, data []byte) (err error) {
	v.fleet.Publish(0, device.Publication{Name: name, Data: data}, func(e error) { err = e })
	v.Run(0)
	return err
}

// Suspend stops the device as if its process had been killed.
func (v *Virtual) Suspend() {
	v.fleet.Suspend(0)
	v.Run(0)
}

// Silence makes the cloud unreachable, or reachable again: it gets nothing and
// sends nothing.
func (v *Virtual) Silence(on bool) { v.cloud.SetOnline(!on) }

// Connect powers the device on and waits, in virtual time, until it is connected.
func (v *Virtual) Connect() error {
	v.PowerOn()
	if !v.fleet.RunOnline(v.Net.Now().Add(5 * time.Minute)) {
		return fmt.Errorf("target: the device did not connect within five minutes of virtual time")
	}
	// Move the time, so that what follows lies behind what was said here.
	v.Run(time.Second)
	return nil
}

// RunOnline lets time pass until the device is connected, or until limit has
// passed.
func (v *Virtual) RunOnline(limit time.Duration) {
	v.fleet.RunOnline(v.Net.Now().Add(limit))
	v.Run(0)
}

// Online returns when the device was connected first, clock.Never if it was not.
func (v *Virtual) Online() clock.Instant {
	for _, l := range v.log {
		if l.event.Kind == Online {
			return l.at
		}
	}
	return clock.Never
}

// OTA3 reports whether the device speaks OTA version 3.
func (v *Virtual) OTA3() bool { return v.fleet.Device(0).Profile().OTA3() }

// Run lets time pass.
func (v *Virtual) Run(d time.Duration) { v.Net.Run(v.Net.Now().Add(d)) }

// Packets returns what crossed the wire from an instant on, decoded.
func (v *Virtual) Packets(since clock.Instant) []*trace.Packet {
	return v.wire.of(v.Net.Now(), trace.DeviceID(v.id), virtualDevice.String(), since)
}

// Events returns what the device says happened from an instant on.
func (v *Virtual) Events(since clock.Instant) []Event {
	var list []Event
	for _, l := range v.log {
		if l.at >= since {
			list = append(list, l.event)
		}
	}
	return list
}

// Cellular reports whether the device's main interface is a modem.
func (v *Virtual) Cellular() bool { return v.fleet.Device(0).Profile().Board.Cellular() }
