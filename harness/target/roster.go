package target

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// addDevices makes the devices and registers them with the cloud.
func (e *Env) addDevices(ctx context.Context) error {
	fleet, err := newFleet(e.clock, e.wire.decoder.Tap())
	if err != nil {
		return err
	}
	e.fleet = fleet
	keys := newKeyMaker()
	keys.prepare(e.options)
	configs := make(map[*profile.Profile]*device.Config)
	var list []cloudref.Registration
	for i := range e.options.Devices {
		p := e.options.Profiles[i%len(e.options.Profiles)]
		if configs[p] == nil {
			configs[p] = e.config(p, keys)
		}
		d := &Device{ID: e.id(i, p), Profile: p, Account: i / len(e.options.Profiles) % 2, env: e, more: make(chan struct{})}
		key := keys.make(d.ID, p)
		r := cloudref.Registration{ID: store.DeviceID(d.ID), Name: fmt.Sprintf("%s-%d", p.Board.Name, i), Owner: e.accounts[d.Account]}
		r.P256, r.RSA = e.publicHalves(d, key)
		list = append(list, r)
		e.place(d, configs[p])
		e.devices, e.byID[trace.DeviceID(d.ID)] = append(e.devices, d), d
		e.group(d)
	}
	return e.cloud.Register(ctx, list...)
}

// id returns the id of device i: the usual prefix, then what tells it from
// others.
func (e *Env) id(i int, p *profile.Profile) (id device.ID) {
	copy(id[:], []byte{0xe0, 0x0f, 0xce, 0x68, byte(p.Board.Platform), byte(p.Version.System >> 8), byte(p.Version.System)})
	binary.BigEndian.PutUint32(id[8:], uint32(i))
	return id
}

// config is what the devices of one profile share.
func (e *Env) config(p *profile.Profile, keys *keyMaker) *device.Config {
	c := &device.Config{
		Profile: p, Key: keys.get, App: application(), Rand: rand.Reader, Seed: e.options.Seed,
		Server: e.cloud.UDP().String(),
	}
	c.CloudKey = e.cloudKey(p)
	return c
}

// cloudKey is the key of the cloud that devices with this profile pin.
func (e *Env) cloudKey(p *profile.Profile) crypto.PublicKey {
	der := e.cloud.PublicKeyTCP()
	if p.Board.UDP {
		der = e.cloud.PublicKeyUDP()
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		panic(fmt.Sprintf("target: the cloud's own key: %v", err))
	}
	return key
}

// publicHalves returns the key to register, for UDP or for TCP, and tells the
// decoder whose it is.
func (e *Env) publicHalves(d *Device, key crypto.PrivateKey) (p256, rsaSPKI []byte) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		p256 = mustSPKI(&key.PublicKey)
		e.wire.decoder.AddDevice(trace.DeviceID(d.ID), p256, nil)
	case *rsa.PrivateKey:
		rsaSPKI = mustSPKI(&key.PublicKey)
		e.wire.decoder.AddDevice(trace.DeviceID(d.ID), rsaSPKI, key)
	}
	return p256, rsaSPKI
}

// place puts a device into the fleet, switched off.
func (e *Env) place(d *Device, c *device.Config) {
	index, addr := e.fleet.add(device.New(c, d.ID, nil), e.cloud.UDP(), e.cloud.TCP(), d.note)
	d.index, d.host = index, addr.String()
}

// Stranger returns a device like those of the group whose key the cloud does not
// know, switched off.
func (e *Env) Stranger(_ context.Context, g *Group) (*Device, error) {
	return e.extra(g, func(*device.Config) {})
}

// Deceived returns a device like those of the group that pins another key than
// the cloud has, and that the cloud knows, switched off.
func (e *Env) Deceived(ctx context.Context, g *Group) (*Device, error) {
	d, err := e.extra(g, func(c *device.Config) {
		if g.Transport == "udp" {
			c.CloudKey = &seed.P256(rand.Reader).PublicKey
		} else {
			c.CloudKey = &lightssl.GenerateCloudKey(rand.Reader).PublicKey
		}
	})
	if err != nil {
		return nil, err
	}
	r := cloudref.Registration{ID: store.DeviceID(d.ID), Owner: e.accounts[0]}
	r.P256, r.RSA = e.publicHalves(d, d.key)
	return d, e.cloud.Register(ctx, r)
}

func (e *Env) extra(g *Group, edit func(*device.Config)) (*Device, error) {
	p := g.Devices[0].Profile
	keys := newKeyMaker()
	d := &Device{Profile: p, env: e, more: make(chan struct{})}
	if _, err := rand.Read(d.ID[:]); err != nil {
		return nil, fmt.Errorf("target: drawing an id: %w", err)
	}
	d.key = keys.make(d.ID, p)
	c := e.config(p, keys)
	edit(c)
	e.place(d, c)
	return d, nil
}

// Dismiss switches an extra device off for good.
func (e *Env) Dismiss(d *Device) {
	d.Do(func(now clock.Instant, m *device.Device, out *device.Out) { m.PowerOff(now, out) })
}

// A keyMaker makes and holds the private keys of simulated devices.
type keyMaker struct {
	mu    sync.Mutex
	keys  map[device.ID]crypto.PrivateKey
	ready chan *rsa.PrivateKey // RSA keys that nobody has yet
}

func newKeyMaker() *keyMaker { return &keyMaker{keys: make(map[device.ID]crypto.PrivateKey)} }

// prepare makes the RSA keys of all devices over TCP, on all cores: each takes
// tens of milliseconds.
func (k *keyMaker) prepare(o Options) {
	need := 0
	for i := range o.Devices {
		if !o.Profiles[i%len(o.Profiles)].Board.UDP {
			need++
		}
	}
	k.ready = make(chan *rsa.PrivateKey, need)
	for worker, workers := 0, runtime.GOMAXPROCS(0); worker < workers; worker++ {
		share := need / workers
		if worker < need%workers {
			share++
		}
		go func() {
			for range share {
				k.ready <- lightssl.GenerateDeviceKey(rand.Reader)
			}
		}()
	}
}

func (k *keyMaker) make(id device.ID, p *profile.Profile) crypto.PrivateKey {
	var key crypto.PrivateKey
	switch {
	case p.Board.UDP:
		key = seed.P256(rand.Reader)
	case k.ready != nil:
		key = <-k.ready
	default:
		key = lightssl.GenerateDeviceKey(rand.Reader)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[id] = key
	return key
}

func (k *keyMaker) get(id device.ID) crypto.PrivateKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[id]
}

func randomSeed() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("target: no random bytes: " + err.Error())
	}
	return binary.LittleEndian.Uint64(b[:]) >> 12 // short enough to type
}

// Version is that of the program, as far as the build knows it.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
