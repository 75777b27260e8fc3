package target

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/evidence"
	"github.com/muster/muster/harness/ledger"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
)

// Options say what to bring up. Zero fields mean the default that is stated.
type Options struct {
	// Devices is how many devices to simulate. 1000.
	Devices int
	// Profiles are the boards and Device OS versions; the devices are spread
	// evenly over them. profile.Mix().
	Profiles []*profile.Profile
	// DeviceOS is a range of Device OS versions, such as ">= 2.0, < 4"; others do
	// not take part. Empty: all.
	DeviceOS string
	// Stages brings up no cloud, no devices and no sockets, but only the groups: for
	// checks that bring stages of their own, in virtual time.
	Stages bool
	// Memory keeps the cloud's state in memory: it does not survive a restart.
	Memory bool
	// Seed of everything random that is not secret. 0: drawn.
	Seed uint64
	// Progress hears what is being done.
	Progress func(what string)
	// Spec says what is judged; nil: the reference cloud and simulated devices.
	Spec *Spec
	// Log takes what boards say, see [BoardLog]. Nil: it is lost.
	Log BoardLog
	// Rig is the bench of "rig:NAME"; nil: this machine's.
	Rig *RigOptions
	// Evidence keeps what the run shows; nil: nothing is kept.
	Evidence *evidence.Collector
	// Cloud changes how the reference cloud runs, again whether it was restarted;
	// Device changes what the devices have alike. They are for mutants, and reach
	// virtual runs too.
	Cloud  func(c *CloudConfig, again bool)
	Device func(*DeviceConfig)
}

// A CloudConfig is how a node of the reference cloud works, its faults included.
type CloudConfig = endpoint.Config

// A DeviceConfig is what devices have alike, their faults included.
type DeviceConfig = device.Config

// DeviceFaults are what devices do wrong on purpose.
type DeviceFaults = device.Faults

// APIFaults are what the REST API does wrong on purpose.
type APIFaults = endpoint.APIFaults

// CloudFaults are what the cloud does wrong on purpose with messages.
type CloudFaults = app.Faults

// SendFaults are those of its updates.
type SendFaults = app.SendFaults

// LedgerFaults are those of its ledgers.
type LedgerFaults = app.LedgerFaults

// UpdateFaults are what devices do wrong while they are updated.
type UpdateFaults = device.UpdateFaults

// A DeviceID names a device.
type DeviceID = device.ID

// A Function is one of a device's application.
type Function = device.Function

// Profile returns the profile of a name such as "boron@6.2.0". It panics if there
// is none: for tables.
func Profile(name string) *profile.Profile {
	p, err := profile.Lookup(name)
	if err != nil {
		panic(fmt.Sprintf("target: %v", err))
	}
	return p
}

// An Env is a cloud, devices, and the wire between them, as one check sees them.
type Env struct {
	*world
	use *Usage // of the check; nil outside of checks
}

// A world is what all views of an Env share.
type world struct {
	options  Options
	cutAt    []UpdateMoment // of Options.Spec
	clock    *transport.Clock
	dir      string          // of the cloud's data
	cloud    *cloudref.Cloud // nil when a foreign one is judged
	rsaKey   *rsa.PrivateKey // of that cloud
	ecKey    *ecdsa.PrivateKey
	service  service // what is asked of the cloud besides talking to devices; nil: nothing
	address  Address
	fleet    *fleet.Real
	keys     *fleet.Keys
	ended    chan error // of the fleet
	cancel   context.CancelFunc
	wire     *wire
	ledger   *ledger.Ledger
	moments  moments
	floor    floor
	groups   []*Group
	devices  []*Device
	byID     map[trace.DeviceID]*Device
	accounts [2]store.AccountID
	lacking  map[Capability]string
	knows    bool           // that the boards keep their sessions in a restart, without a probe
	given    []byte         // image for updates, from the user
	onStop   []func() error // last first

	securing  sync.Mutex   // held while a certificate is made
	tapes     [2]tape      // by account
	answersIn atomic.Int64 // nanoseconds, see pace

	often   sync.Mutex
	answers *Answers // of AskOften
	unread  unread

	mu      sync.Mutex
	byIndex []*Device // as in the fleet
	refused []endpoint.Observation
}

// Start brings up what is judged and its counterpart: by default a reference cloud
// with a store on disk, and devices that are registered and switched off.
func Start(ctx context.Context, o Options) (*Env, error) {
	if o.Devices == 0 {
		o.Devices = 1000
	}
	if o.Profiles == nil {
		o.Profiles = profile.Mix()
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Log == nil {
		o.Log = func(string, string) {}
	}
	if o.Spec == nil {
		o.Spec = &Spec{}
	}
	if o.Seed == 0 {
		o.Seed = DrawSeed()
	}
	clk := transport.NewClock()
	o.Evidence.Began(clk.Start())
	e := &Env{world: &world{
		options: o, clock: clk, ledger: ledger.New(),
		byID: make(map[trace.DeviceID]*Device), lacking: make(map[Capability]string),
	}}
	if err := errors.Join(e.choose(), e.readMoments()); err != nil {
		return nil, &SpecError{err}
	}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

func (e *Env) start(ctx context.Context) error {
	var err error
	switch spec := e.options.Spec; {
	case e.options.Stages && spec.Cloud == nil && !spec.boards():
		e.cast()
	case spec.Cloud != nil:
		err = e.startForeign(ctx, spec.Cloud)
	case spec.boards():
		err = e.startBoards(ctx, spec.Device)
	default:
		err = e.startReference(ctx)
	}
	e.declare()
	return err
}

// declare takes what the target is declared to have and to lack.
func (e *Env) declare() {
	for c, has := range e.options.Spec.Capabilities {
		switch {
		case !has:
			e.lack("it is declared to lack it", c)
		case c == KeepsState || c == Commands:
			delete(e.lacking, c) // only the user knows
		}
	}
}

// cast makes the devices by their profiles alone.
func (e *Env) cast() {
	e.wire = newWire(nil, capture.AtDevice, reorder, e.listen, e.options.Evidence)
	for i := range e.options.Devices {
		e.admit(e.newDevice(fleet.ID(uint32(e.options.Seed), i), e.options.Profiles[i%len(e.options.Profiles)]))
	}
}

// startReference brings up the reference cloud and simulated devices.
func (e *Env) startReference(ctx context.Context) error {
	any := netip.MustParseAddrPort("127.0.0.1:0")
	if err := e.startOwnCloud(ctx, any, any, capture.AtDevice); err != nil {
		return err
	}
	e.options.Progress("making devices and their keys")
	return e.addDevices(ctx)
}

// startOwnCloud brings up the reference cloud with two accounts, and the decoder
// of the wire.
func (e *Env) startOwnCloud(ctx context.Context, udp, tcp netip.AddrPort, at capture.Vantage) error {
	dir, err := os.MkdirTemp("", "muster-cloud-")
	if err != nil {
		return fmt.Errorf("target: making a folder for the cloud: %w", err)
	}
	e.dir = dir
	e.options.Progress("starting the reference cloud")
	// The decoder needs the cloud's key, and the cloud the decoder's tap.
	e.rsaKey, e.ecKey = lightssl.GenerateCloudKey(rand.Reader), seed.P256(rand.Reader)
	e.wire = newWire(e.rsaKey, at, reorder, e.listen, e.options.Evidence)
	if err := e.startCloud(ctx, udp, tcp); err != nil {
		return err
	}
	e.address = Address{UDP: e.cloud.UDP(), TCP: e.cloud.TCP(), EC: e.cloud.PublicKeyUDP(), RSA: e.cloud.PublicKeyTCP()}
	e.wire.cloud(e.address.UDP)
	e.wire.cloud(e.address.TCP)
	e.service = &reference{e.world}
	for i, name := range []string{"alice@example.org", "bob@example.org"} {
		if e.accounts[i], err = e.cloud.Account(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// listen hears of every packet.
func (e *Env) listen(p *trace.Packet) {
	e.ledger.Add(p)
	e.heard(p)
	e.moments.pass(p)
}

// startCloud runs the cloud on the given addresses, with the state that is in
// its folder.
func (e *Env) startCloud(ctx context.Context, udp, tcp netip.AddrPort) error {
	o := cloudref.Options{
		Dir: e.dir, UDP: udp, TCP: tcp, Clock: e.clock, Observe: e.observe, KeepSecrets: true, RSAKey: e.rsaKey, ECKey: e.ecKey,
		AnswerTimeout: 15 * time.Second, Memory: e.options.Memory,
	}
	if e.wire.vantage == capture.AtCloud {
		o.Tap = e.wire.decoder.Tap()
	}
	if e.options.Cloud != nil {
		again := e.cloud != nil
		o.Adjust = func(c *CloudConfig) { e.options.Cloud(c, again) }
	}
	cloud, err := cloudref.Start(ctx, o)
	if err != nil {
		return err
	}
	e.cloud = cloud
	return nil
}

// View returns the Env as one check on one generation sees it. What it asks for in
// vain is noted in use.
func (e *Env) View(g *Group, use *Usage) *Env {
	g.use.Store(use)
	return &Env{world: e.world, use: use}
}

// RestartCloud stops the cloud as abruptly as one process can do to a part of
// itself, and starts it again with what it had stored, on the same addresses.
func (e *Env) RestartCloud(ctx context.Context) error {
	if err := e.need(Restarts); err != nil {
		return err
	}
	udp, tcp := e.cloud.UDP(), e.cloud.TCP()
	if err := e.cloud.Stop(); err != nil {
		return fmt.Errorf("target: stopping the cloud: %w", err)
	}
	return e.startCloud(ctx, udp, tcp)
}

// RestartAll stops every device as if its process had been killed, restarts the
// cloud if it can be, starts the devices again, and waits until they are connected
// or ctx ends. Boards that can be reset are reset, behind the restart of the cloud.
func (e *Env) RestartAll(ctx context.Context) error {
	for _, c := range []Capability{KeepsState, Resume} {
		if err := e.need(c); err != nil {
			return err
		}
	}
	if e.options.Spec.boards() && e.Lacks(Resets) == "" {
		return e.resetAll(ctx)
	}
	if err := e.need(Power); err != nil {
		return err
	}
	list := e.Devices()
	for _, d := range list {
		d.Suspend()
		d.restarted = d.Mark()
	}
	if e.Lacks(Restarts) == "" {
		if err := e.RestartCloud(ctx); err != nil {
			return err
		}
	}
	Each(list, func(d *Device) {
		d.PowerOn()
		_, _ = d.AwaitOnline(ctx, d.restarted) // who does not come is for checks to tell
	})
	return nil
}

func (e *Env) resetAll(ctx context.Context) error {
	Each(e.Devices(), func(d *Device) { d.awaitQuiet(ctx) })
	if e.Lacks(Restarts) == "" {
		if err := e.RestartCloud(ctx); err != nil {
			return err
		}
	}
	Each(e.Devices(), func(d *Device) {
		mark, err := d.Reset(ctx)
		if err != nil {
			e.options.Log(HarnessSource, fmt.Sprintf("%s: %v", d, err))
		}
		d.restarted = mark
		_ = d.awaitTalk(ctx, mark.At) // who does not come is for checks to tell
	})
	return nil
}

// observe hears from the cloud: the secrets of sessions, for the decoder, and
// whom it refused.
func (e *Env) observe(o endpoint.Observation) {
	e.keepCloud(&o)
	switch o.What {
	case endpoint.Secured:
		e.secured(o)
	case endpoint.Application:
		e.effect(o)
	case endpoint.Online, endpoint.Offline:
		if d := e.boardOf(trace.DeviceID(o.Device)); d != nil {
			d.noteSession(e.clock.Now(), o)
		}
	case endpoint.Refused:
		e.mu.Lock()
		e.refused = append(e.refused, o)
		e.mu.Unlock()
	default:
		// Nobody waits for it.
	}
}

// admit makes a device one of those that are judged.
func (e *Env) admit(d *Device) {
	e.group(d)
	e.devices = append(e.devices, d)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.byID[trace.DeviceID(d.ID)] = d
}

// deviceOf returns the device with an id, if it is judged.
func (e *Env) deviceOf(id trace.DeviceID) *Device {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byID[id]
}

// boardOf returns the device with an id, if it is judged and not simulated.
func (e *Env) boardOf(id trace.DeviceID) *Device {
	if d := e.deviceOf(id); d != nil && d.board != nil {
		return d
	}
	return nil
}

// effect hears what the cloud's application says of a device.
func (e *Env) effect(o endpoint.Observation) {
	switch what := o.Effect.(type) {
	case app.Described:
		if what.Application {
			e.described(trace.DeviceID(o.Device))
		}
	case app.FlashProgress:
		if d := e.boardOf(trace.DeviceID(o.Device)); d != nil {
			d.hold(what)
			d.applied(e.clock.Now(), what)
		}
	}
}

// secured gives the secrets of a session to the decoder.
func (e *Env) secured(o endpoint.Observation) {
	if d := e.boardOf(trace.DeviceID(o.Device)); d != nil {
		d.foundAt(o.Session.Peer)
	}
	if o.Session.DTLS != nil {
		e.wire.decoder.AddSecrets(*o.Session.DTLS)
	}
	if len(o.Session.Credentials) == lightssl.CredentialsSize && e.wire.vantage == capture.AtCloud {
		e.wire.decoder.AddCredentials(nil, lightssl.Credentials(o.Session.Credentials), trace.DeviceID(o.Device))
	}
}

// described notes that the cloud knows the functions and variables of a device.
func (e *Env) described(id trace.DeviceID) {
	if d := e.deviceOf(id); d != nil {
		d.describe.Do(func() { close(d.described) })
	}
}

// Stop ends the devices and the cloud, and removes what they stored.
func (e *Env) Stop() error {
	var errs []error
	if e.cancel != nil {
		e.cancel()
		errs = append(errs, <-e.ended)
	}
	if e.cloud != nil && !e.floor.gone() {
		errs = append(errs, e.cloud.Stop())
	}
	for _, stop := range slices.Backward(e.onStop) {
		errs = append(errs, stop())
	}
	if e.dir != "" {
		errs = append(errs, os.RemoveAll(e.dir))
	}
	return errors.Join(errs...)
}

// Seed returns the seed of the run.
func (e *Env) Seed() uint64 { return e.options.Seed }

// Groups returns the devices by Device OS version and transport, oldest first.
func (e *Env) Groups() []*Group { return e.groups }

// Devices returns all devices that take part.
func (e *Env) Devices() []*Device {
	var list []*Device
	for _, d := range e.devices {
		if d.group.Absent == "" {
			list = append(list, d)
		}
	}
	return list
}

// Title is the name of the target, for reports and baselines.
func (e *Env) Title() string { return e.options.Spec.Title() }

// parties says in words who takes part.
func (e *Env) parties() (cloud, device string) {
	cloud, device = "the reference cloud", fmt.Sprintf("%d simulated devices", len(e.devices))
	if c := e.options.Spec.Cloud; c != nil {
		cloud = c.Name
	}
	if e.options.Spec.boards() {
		device = e.options.Spec.Device.String()
	}
	return cloud, device
}

// group enters a device into its group.
func (e *Env) group(d *Device) {
	transport := transportOf(d.Profile)
	for _, g := range e.groups {
		if g.DeviceOS == d.Profile.Version.Name && g.Transport == transport {
			g.Devices = append(g.Devices, d)
			d.group = g
			return
		}
	}
	d.group = &Group{
		DeviceOS: d.Profile.Version.Name, System: d.Profile.Version.System, Transport: transport, Devices: []*Device{d},
	}
	e.groups = append(e.groups, d.group)
	slices.SortFunc(e.groups, func(a, b *Group) int {
		if a.System != b.System {
			return int(a.System) - int(b.System)
		}
		return compareText(a.Transport, b.Transport)
	})
}

func compareText(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// Report returns what a report says of the run itself: who took part, and the
// ledger.
func (e *Env) Report() *report.Run {
	e.wire.decoder.Flush()
	run := &report.Run{Version: Version()}
	run.Cloud, run.Device = e.parties()
	cohorts := make(map[report.Cohort]int)
	var order []report.Cohort
	for _, d := range e.devices {
		c := report.Cohort{Board: d.Profile.Board.Name, DeviceOS: d.Profile.Version.Name, Transport: "tcp"}
		if d.Profile.Board.UDP {
			c.Transport = "udp"
		}
		if cohorts[c]++; cohorts[c] == 1 {
			order = append(order, c)
		}
	}
	for _, c := range order {
		n := cohorts[c]
		c.Devices = n
		run.Cohorts = append(run.Cohorts, c)
	}
	run.Ledger = e.ledger.Rows(e.versionOf)
	return run
}

// versionOf returns the Device OS version of a device that is judged.
func (e *Env) versionOf(id trace.DeviceID) (release string, known bool) {
	d := e.deviceOf(id)
	if d == nil {
		return "", false
	}
	return d.Profile.Version.Name, true
}
