package fakerig

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/power"
	"github.com/muster/muster/rigs/rigtest"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
)

// restartTime is how long boards are away when they restart: longer than datagrams
// are on their way.
const restartTime = 250 * time.Millisecond

// A Bench is fake boards with devices inside. Its programs must call
// [MainIfAsked].
type Bench struct {
	*rigtest.Bench
	Boards []*rigtest.Firmware

	dir       string
	heartbeat time.Duration
	names     []string     // of the boards
	devices   []*simulated // inside them
	fleet     *fleet.Real
	ended     chan struct{} // the fleet
	stop      context.CancelFunc
	done      chan error

	mu     sync.Mutex
	inside []*simulated // by index in the fleet
	delay  time.Duration
	relays []*relay
}

// Start makes a bench with a board of each profile, such as "boron@6.2.0"; its
// rigs.yaml, in dir, names them board-1, board-2 and so on, all in the pool
// "fake".
func Start(dir string, profiles ...string) (*Bench, error) {
	bench, err := rigtest.New()
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range profiles {
		names = append(names, fmt.Sprintf("board-%d", i+1))
	}
	const heartbeat = 100 * time.Millisecond
	return fill(dir, bench, heartbeat, names, profiles)
}

// fill plugs boards into an empty bench, which it takes. Their applications log
// a line each heartbeat.
func fill(dir string, bench *rigtest.Bench, heartbeat time.Duration, names, profiles []string) (_ *Bench, err error) {
	b := &Bench{dir: dir, heartbeat: heartbeat, names: names, Bench: bench, ended: make(chan struct{}), done: make(chan error, 1)}
	b.fleet, err = fleet.NewReal(fleet.Options{
		UDP: netip.MustParseAddrPort("127.0.0.1:5684"), TCP: netip.MustParseAddrPort("127.0.0.1:5683"),
		Shards: 1, Sockets: 8, Capacity: 1 << 12, Observe: b.observe,
	})
	if err != nil {
		return nil, errors.Join(err, b.Bench.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go func() { b.done <- b.fleet.Run(ctx) }()
	for i, name := range profiles {
		if err := b.plug(i, name); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b, b.writeFile()
}

// Close unplugs everything.
func (b *Bench) Close() error {
	err := b.Bench.Close()
	b.stop()
	err = errors.Join(err, <-b.done)
	close(b.ended)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.relays {
		err = errors.Join(err, r.close())
	}
	return err
}

// SetDelay makes datagrams between devices over UDP and their clouds take so
// long, each way, for devices that are pointed at a cloud from now on.
func (b *Bench) SetDelay(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = d
}

// way returns where a device finds its cloud.
func (b *Bench) way(cloud netip.AddrPort) (netip.AddrPort, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.delay == 0 {
		return cloud, nil
	}
	r, err := newRelay(cloud, b.delay)
	if err != nil {
		return cloud, err
	}
	b.relays = append(b.relays, r)
	return r.addr(), nil
}

// plug adds a board that has a key of its own and another cloud's address.
func (b *Bench) plug(n int, name string) error {
	p, err := profile.Lookup(name)
	if err != nil {
		return err
	}
	s := &simulated{bench: b, id: fleet.ID(0xfa5e, n), profile: p, index: -1, happen: make(chan func(), 1024)}
	t, private, server, err := factory(p)
	if err != nil {
		return err
	}
	keys, err := dfu.KeysOf(p.Board.Platform, t)
	if err != nil {
		return err
	}
	spec := fake.Spec{
		Serial: s.id.String(), Platform: uint8(p.Board.Platform), DeviceOS: p.Version.Name, Path: fmt.Sprintf("1-1.%d", n+1),
		BootLines: []string{"application started"}, WaitForHost: true, Heartbeat: b.heartbeat, Restart: restartTime,
		OnLine: s.command,
		Device: func(board *fake.Board) (fake.Device, error) {
			s.board = board
			board.Memory().Write(keys.Device.Alt, keys.Device.Address, private)
			board.Memory().Write(keys.Server.Alt, keys.Server.Address, server)
			go s.tell()
			return s, nil
		},
	}
	firmware, err := b.Plug(spec, device.Factory(p))
	if err != nil {
		return err
	}
	s.firmware.Store(firmware)
	firmware.OnApply(s.installed)
	b.Boards, b.devices = append(b.Boards, firmware), append(b.devices, s)
	return nil
}

// factory makes what a board has in its memory: a key, and where its own cloud
// is, out of reach.
func factory(p *profile.Profile) (t keyblob.Transport, private, server []byte, err error) {
	blob := keyblob.Blob{Transport: keyblob.TCP, Address: keyblob.Address{Domain: "cloud.example.org"}}
	if p.Board.UDP {
		blob.Transport = keyblob.UDP
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return t, nil, nil, err
		}
		if private, err = x509.MarshalECPrivateKey(key); err != nil {
			return t, nil, nil, err
		}
		blob.Key, err = x509.MarshalPKIXPublicKey(&key.PublicKey) // of nobody
		return blob.Transport, private, blob.Append(nil), err
	}
	key := lightssl.GenerateDeviceKey(rand.Reader)
	private = x509.MarshalPKCS1PrivateKey(key)
	blob.Key, err = x509.MarshalPKIXPublicKey(&lightssl.GenerateCloudKey(rand.Reader).PublicKey)
	return blob.Transport, private, blob.Append(nil), err
}

// writeFile writes rigs.yaml.
func (b *Bench) writeFile() error {
	var s strings.Builder
	s.WriteString("version: 1\nboards:\n")
	for i, board := range b.Boards {
		pool := "fake"
		if kind := b.devices[i].profile.Board.Name; strings.HasPrefix(b.names[i], kind+"-") {
			pool = kind // equal ones are one pool, as on a bench of people's
		}
		fmt.Fprintf(&s, "  %s:\n    serial: %q\n    usb: %s\n    pool: %s\n    device_os: %s\n    console: {commands: true}\n    power: {person: false}\n",
			b.names[i], board.Serial(), board.Spec().Path, pool, board.Spec().DeviceOS)
	}
	return os.WriteFile(filepath.Join(b.dir, "rigs.yaml"), []byte(s.String()), 0o644)
}

// Rig is what a run needs to find the bench. Its cloud has an address of the
// loopback network of its own, because boards know one port only.
func (b *Bench) Rig() (*target.RigOptions, error) {
	var r [2]byte
	if _, err := rand.Read(r[:]); err != nil {
		return nil, err
	}
	return &target.RigOptions{
		Bench: bench.Options{
			File: filepath.Join(b.dir, "rigs.yaml"), Tree: inventory.Tree{Sys: b.Sys(), Dev: b.Dev()}, LockDir: filepath.Join(b.dir, "locks"),
			Control: b.Host.Control, Times: power.Times{Off: restartTime},
		},
		Host: b.Host, Journal: filepath.Join(b.dir, "journal"), Cloud: netip.AddrFrom4([4]byte{127, 99, r[0], 1 + r[1]%250}),
		AnyImage: true,
	}, nil
}

// add puts a device into the fleet.
func (b *Bench) add(spec fleet.Spec, s *simulated) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	index, err := b.fleet.Add(spec)
	if err == nil {
		b.inside = append(b.inside, s)
	}
	return index, err
}

func (b *Bench) observe(index int, _ clock.Instant, e device.Event) {
	b.mu.Lock()
	s := b.inside[index]
	b.mu.Unlock()
	s.heard(&e)
}
