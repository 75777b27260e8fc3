package target

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
)

// startFleet opens the sockets of the simulated devices.
func (e *Env) startFleet() error {
	f, err := fleet.NewReal(fleet.Options{
		UDP: e.address.UDP, TCP: e.address.TCP, Clock: e.clock, Tap: e.wire.decoder.Tap(), Observe: e.happened,
		Secrets: e.cloud == nil, // a foreign cloud tells none
	})
	if err != nil {
		return err
	}
	e.fleet, e.ended = f, make(chan error, 1)
	run, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go func() { e.ended <- f.Run(run) }()
	return nil
}

// addDevices makes the devices and registers them with the cloud.
func (e *Env) addDevices(ctx context.Context) error {
	if err := e.startFleet(); err != nil {
		return err
	}
	if err := e.makeKeys(ctx); err != nil {
		return err
	}
	template := e.template()
	var list []cloudref.Registration
	for i := range e.options.Devices {
		p := e.options.Profiles[i%len(e.options.Profiles)]
		d := e.newDevice(fleet.ID(uint32(e.options.Seed), i), p)
		d.Account = i / len(e.options.Profiles) % 2
		list = append(list, e.registration(d, fmt.Sprintf("%s-%d", p.Board.Name, i)))
		if err := e.place(ctx, d, fleet.Spec{Config: template.Config(p), ID: d.ID}); err != nil {
			return err
		}
		e.admit(d)
	}
	return e.cloud.Register(ctx, list...)
}

// newDevice returns a handle of a device that is nowhere yet.
func (e *Env) newDevice(id device.ID, p *profile.Profile) *Device {
	return &Device{
		ID: id, Profile: p, env: &Env{world: e.world}, index: -1,
		more: make(chan struct{}), described: make(chan struct{}),
	}
}

// makeKeys makes the RSA keys of the devices over TCP, which takes longest.
func (e *Env) makeKeys(ctx context.Context) error {
	var ids []device.ID
	for i := range e.options.Devices {
		if !e.options.Profiles[i%len(e.options.Profiles)].Board.UDP {
			ids = append(ids, fleet.ID(uint32(e.options.Seed), i))
		}
	}
	// The cloud takes no key for two devices, so there is one for each.
	e.keys = fleet.NewKeys(0)
	return e.keys.MakeRSA(ctx, ids, func(done, of int) {
		e.options.Progress(fmt.Sprintf("making RSA keys, %d of %d", done, of))
	})
}

// template is what the devices have alike.
func (e *Env) template() *fleet.Template {
	return &fleet.Template{
		Keys: e.keys, App: application(), Seed: e.options.Seed, Server: e.address.UDP.String(), Edit: e.edit(nil),
		EC: parsePublic[*ecdsa.PublicKey](e.address.EC), RSA: parsePublic[*rsa.PublicKey](e.address.RSA),
	}
}

// edit returns what changes the configuration of devices: that of the run, then
// more, which may be nil.
func (e *Env) edit(more func(*DeviceConfig)) func(*DeviceConfig) {
	return func(c *DeviceConfig) {
		c.Secrets = e.cloud == nil
		for _, f := range []func(*DeviceConfig){e.options.Device, more} {
			if f != nil {
				f(c)
			}
		}
	}
}

// parsePublic returns the key in der, nil if there is none.
func parsePublic[K crypto.PublicKey](der []byte) (key K) {
	if len(der) == 0 {
		return key
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		panic(fmt.Sprintf("target: the cloud's own key: %v", err))
	}
	return parsed.(K)
}

// registration is how the cloud gets to know a device. The decoder is told too,
// whose key it is.
func (e *Env) registration(d *Device, name string) cloudref.Registration {
	r := cloudref.Registration{ID: store.DeviceID(d.ID), Name: name, Owner: e.accounts[d.Account]}
	if d.Profile.Board.UDP {
		r.P256 = e.keys.Public(d.ID)
	} else {
		r.RSA = e.keys.Public(d.ID)
	}
	e.tellOwner(d)
	return r
}

// tellOwner tells the decoder whose the key of a simulated device is.
func (e *Env) tellOwner(d *Device) {
	private, _ := e.keys.Get(d.ID).(*rsa.PrivateKey)
	e.wire.decoder.AddDevice(trace.DeviceID(d.ID), e.keys.Public(d.ID), private)
}

// place puts a device into the fleet, switched off.
func (e *Env) place(ctx context.Context, d *Device, spec fleet.Spec) error {
	e.mu.Lock()
	index, err := e.fleet.Add(spec)
	if err == nil {
		e.byIndex = append(e.byIndex, d)
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	addr, err := e.fleet.Addr(ctx, index)
	d.index, d.host = index, addr.String()
	return err
}

// happened takes an event of the fleet to its device.
func (e *Env) happened(index int, at clock.Instant, event device.Event) {
	e.mu.Lock()
	d := e.byIndex[index]
	e.mu.Unlock()
	if event.Kind == device.Secrets {
		e.keyLine(d, string(event.Data))
		return
	}
	e.keepDevice(d, at, &event)
	d.note(at, event)
}

// keyLine gives the secrets that a device tells of its session to the decoder.
func (e *Env) keyLine(d *Device, line string) {
	if text, ok := strings.CutPrefix(line, "LIGHTSSL "); ok {
		b, err := hex.DecodeString(text)
		if err == nil && len(b) == lightssl.CredentialsSize {
			e.wire.decoder.AddCredentials(nil, lightssl.Credentials(b), trace.DeviceID(d.ID))
		}
		return
	}
	_ = e.wire.decoder.ReadKeyLog(strings.NewReader(line)) // the device writes its own lines well
}

// Stranger returns a device like those of the group whose key the cloud does not
// know, switched off.
func (e *Env) Stranger(ctx context.Context, g *Group) (*Device, error) {
	return e.extra(ctx, g, nil)
}

// Deceived returns a device like those of the group that pins another key than
// the cloud has, and that the cloud knows, switched off.
func (e *Env) Deceived(ctx context.Context, g *Group) (*Device, error) {
	if err := e.need(Registration); err != nil {
		return nil, err
	}
	d, err := e.extra(ctx, g, func(c *device.Config) {
		if g.Transport == "udp" {
			c.CloudKey = &seed.P256(rand.Reader).PublicKey
		} else {
			c.CloudKey = &lightssl.GenerateCloudKey(rand.Reader).PublicKey
		}
	})
	if err != nil {
		return nil, err
	}
	return d, e.cloud.Register(ctx, e.registration(d, "deceived"))
}

// Claimable returns a device like those of the group that belongs to nobody and
// holds a claim code of an account, switched off.
func (e *Env) Claimable(ctx context.Context, g *Group, account int) (*Device, error) {
	for _, c := range []Capability{ClaimCodes, Registration} {
		if err := e.need(c); err != nil {
			return nil, err
		}
	}
	code, err := e.cloud.ClaimCode(ctx, e.accounts[account], time.Hour)
	if err != nil {
		return nil, err
	}
	d, err := e.extraWith(ctx, g, &device.NVRAM{ClaimCode: code}, nil)
	if err != nil {
		return nil, err
	}
	d.Account = account
	r := e.registration(d, "claimable")
	r.Owner = store.AccountID{}
	return d, e.cloud.Register(ctx, r)
}

// Stranded returns a device like those of the group whose application needs a
// system module that it does not have, registered and switched off: it boots into
// safe mode. The cloud is given images: of the module, as image makes it, and of the
// application.
func (e *Env) Stranded(ctx context.Context, g *Group, images [][]byte, system SystemNeed) (*Device, error) {
	for _, c := range []Capability{Registration, Rescues} {
		if err := e.need(c); err != nil {
			return nil, err
		}
	}
	d, err := e.extraWith(ctx, g, &device.NVRAM{Modules: stranded(g.Devices[0].Profile, system)}, nil)
	if err != nil {
		return nil, err
	}
	for _, image := range images {
		if _, err := e.cloud.AddImage(ctx, image); err != nil {
			return nil, err
		}
	}
	return d, e.cloud.Register(ctx, e.registration(d, "stranded"))
}

// A SystemNeed is the system part that the application of a stranded device needs.
type SystemNeed struct {
	Index   uint8
	Version uint16
}

// stranded is what is installed on a board whose application needs a newer system
// part.
func stranded(p *profile.Profile, need SystemNeed) []pdc.ModuleInfo {
	const checks = pdc.CheckIntegrity | pdc.CheckDependencies | pdc.CheckRange | pdc.CheckPlatform | pdc.CheckProduct
	var all []pdc.ModuleInfo
	for _, m := range p.Factory() {
		info := pdc.ModuleInfo{
			Function: pdc.ModuleFunction(m.Function), Index: uint32(m.Index), Version: uint32(m.Version),
			MaxSize: m.Size, Size: m.Size, Checked: checks, Passed: checks,
		}
		if m.Function == profile.UserPart {
			info.Hash, info.Passed = make([]byte, 32), checks&^pdc.CheckDependencies
			info.Dependencies = []pdc.ModuleDependency{{Function: pdc.ModuleSystemPart, Index: uint32(need.Index), Version: uint32(need.Version)}}
		}
		all = append(all, info)
	}
	return all
}

func (e *Env) extra(ctx context.Context, g *Group, edit func(*device.Config)) (*Device, error) {
	return e.extraWith(ctx, g, nil, edit)
}

func (e *Env) extraWith(ctx context.Context, g *Group, nv *device.NVRAM, edit func(*device.Config)) (*Device, error) {
	if err := e.need(Strangers); err != nil {
		return nil, err
	}
	d := e.newDevice(device.ID{}, g.Devices[0].Profile)
	d.group = g
	if _, err := rand.Read(d.ID[:]); err != nil {
		return nil, fmt.Errorf("target: drawing an id: %w", err)
	}
	if !d.Profile.Board.UDP {
		if err := e.keys.MakeRSA(ctx, []device.ID{d.ID}, nil); err != nil {
			return nil, err
		}
	}
	template := e.template()
	template.Edit = e.edit(edit)
	return d, e.place(ctx, d, fleet.Spec{Config: template.Config(d.Profile), ID: d.ID, NVRAM: nv})
}

// Dismiss switches an extra device off for good.
func (e *Env) Dismiss(d *Device) { e.fleet.PowerOff(d.index) }

// DrawSeed draws the seed of a run, which is not 0.
func DrawSeed() uint64 {
	for {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			panic("target: no random bytes: " + err.Error())
		}
		if n := binary.LittleEndian.Uint64(b[:]) >> 12; n != 0 { // short enough to type
			return n
		}
	}
}

// Version is that of the program, as far as the build knows it.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
