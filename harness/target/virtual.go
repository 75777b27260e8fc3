package target

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
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

	cloud *vnet.Node
	node  *vnet.Node
	host  *virtualHost
	wire  *wire
	id    device.ID
}

// Addresses of the two parties of a Virtual.
var (
	virtualCloud  = netip.MustParseAddr("192.0.2.1")
	virtualDevice = netip.MustParseAddr("198.51.100.7")
)

// NewVirtual returns a device with the given profile, switched off, and a cloud
// that knows it.
func NewVirtual(p *profile.Profile, runSeed uint64) (*Virtual, error) {
	v := &Virtual{id: device.ID{0xe0, 0x0f, 0xce, 0x68, 4: byte(p.Board.Platform), 11: 1}}
	keys := virtualKeys()
	v.wire = newWire(keys.cloudRSA, func(*trace.Packet) {})
	v.Net = vnet.New(vnet.Config{Seed: runSeed, Tap: v.wire.decoder.Tap()})
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
	cloud, err := endpoint.New(context.Background(), endpoint.Config{
		Store: st, ECKey: keys.cloudEC, RSAKey: keys.cloudRSA, Seed: runSeed, Rand: seed.Bytes(runSeed, "virtual/cloud"),
		KeepSecrets: true, Observe: v.observe,
		WallClock: func(at clock.Instant) time.Time { return virtualEpoch.Add(time.Duration(at)) },
	})
	if err != nil {
		return nil, err
	}
	v.cloud = v.Net.Attach(cloud, virtualCloud)
	v.cloud.Listen(cloudref.PortTCP)
	v.host = &virtualHost{udp: udp, tcp: tcp, device: device.New(config, v.id, nil), port: 40000}
	v.node = v.Net.Attach(v.host, virtualDevice)
	return v, nil
}

// virtualEpoch is the time of day at which virtual runs begin.
var virtualEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (v *Virtual) observe(o endpoint.Observation) {
	if o.What == endpoint.Secured && o.Session.DTLS != nil {
		v.wire.decoder.AddSecrets(*o.Session.DTLS)
	}
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

// PowerOn boots the device.
func (v *Virtual) PowerOn() { v.Do((*device.Device).PowerOn) }

// Do acts on the device now.
func (v *Virtual) Do(f func(d *device.Device, now clock.Instant, out *device.Out)) {
	v.node.Do(func(now clock.Instant, out *transport.Out) {
		f(v.host.device, now, &v.host.out)
		v.host.act(now, out)
	})
}

// Publish makes the device publish an event.
func (v *Virtual) Publish(name string, data []byte) (err error) {
	v.Do(func(d *device.Device, now clock.Instant, out *device.Out) {
		err = d.Publish(now, device.Publication{Name: name, Data: data}, out)
	})
	return err
}

// Suspend stops the device as if its process had been killed.
func (v *Virtual) Suspend() { v.Do((*device.Device).Suspend) }

// Silence makes the cloud unreachable, or reachable again: it gets nothing and
// sends nothing.
func (v *Virtual) Silence(on bool) { v.cloud.SetOnline(!on) }

// Connect powers the device on and waits, in virtual time, until it is connected.
func (v *Virtual) Connect() error {
	v.PowerOn()
	if !v.Net.RunUntil(v.host.device.Online, v.Net.Now().Add(5*time.Minute)) {
		return fmt.Errorf("target: the device did not connect within five minutes of virtual time")
	}
	// Move the time, so that what follows lies behind what was said here.
	v.Run(time.Second)
	return nil
}

// Run lets time pass.
func (v *Virtual) Run(d time.Duration) { v.Net.Run(v.Net.Now().Add(d)) }

// Packets returns what crossed the wire from an instant on, decoded.
func (v *Virtual) Packets(since clock.Instant) []*trace.Packet {
	return v.wire.of(v.Net.Now(), virtualDevice.String(), since)
}

// Events returns what the device says happened from an instant on.
func (v *Virtual) Events(since clock.Instant) []Event {
	var list []Event
	for _, l := range v.host.log {
		if l.at >= since {
			list = append(list, l.event)
		}
	}
	return list
}

// A virtualHost gives a device its place on the network.
type virtualHost struct {
	device   *device.Device
	out      device.Out
	udp, tcp netip.AddrPort // of the cloud
	port     uint16         // of the present socket
	stream   transport.StreamID
	log      []logged
}

// act does what the device wants and notes what happened to it.
func (h *virtualHost) act(now clock.Instant, out *transport.Out) {
	local := netip.AddrPortFrom(virtualDevice, h.port)
	for _, a := range h.out.Actions {
		switch a.Kind {
		case device.OpenSocket:
			h.port++
			local = netip.AddrPortFrom(virtualDevice, h.port)
		case device.SendDatagram:
			out.Send(local, h.udp, a.Data)
		case device.DialStream:
			h.stream = out.Dial(netip.AddrPortFrom(virtualDevice, 0), h.tcp)
		case device.WriteStream:
			out.Write(h.stream, a.Data)
		case device.CloseStream:
			out.Close(h.stream)
			h.stream = 0
		case device.CloseSocket:
			// The next one has another port.
		default:
			panic("target: unknown action of a device")
		}
	}
	for _, e := range h.out.Events {
		e.Data = slices.Clone(e.Data)
		h.log = append(h.log, logged{now, e})
	}
	h.out.Reset()
}

// Datagram implements transport.Host.
func (h *virtualHost) Datagram(now clock.Instant, p transport.Packet, out *transport.Out) {
	if p.Local.Port() != h.port {
		return // for a socket that is closed
	}
	h.device.Datagram(now, p.Data, &h.out)
	h.act(now, out)
}

// StreamOpened implements transport.Host.
func (h *virtualHost) StreamOpened(now clock.Instant, s transport.Stream, out *transport.Out) {
	if s.ID == h.stream {
		h.device.StreamOpened(now, &h.out)
		h.act(now, out)
	}
}

// StreamData implements transport.Host.
func (h *virtualHost) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	if id == h.stream {
		h.device.StreamData(now, b, &h.out)
		h.act(now, out)
	}
}

// StreamClosed implements transport.Host.
func (h *virtualHost) StreamClosed(now clock.Instant, id transport.StreamID, _ transport.Cause, out *transport.Out) {
	if id == h.stream {
		h.stream = 0
		h.device.StreamClosed(now, &h.out)
		h.act(now, out)
	}
}

// Advance implements transport.Host.
func (h *virtualHost) Advance(now clock.Instant, out *transport.Out) {
	h.device.Advance(now, &h.out)
	h.act(now, out)
}

// Deadline implements transport.Host.
func (h *virtualHost) Deadline() clock.Instant { return h.device.Deadline() }

// Cellular reports whether the device's main interface is a modem.
func (v *Virtual) Cellular() bool { return v.host.device.Profile().Board.Cellular() }
