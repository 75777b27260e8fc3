package target

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/ledger"
	"github.com/muster/muster/harness/report"
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
	// Memory keeps the cloud's state in memory: it does not survive a restart.
	Memory bool
	// Seed of everything random that is not secret. 0: drawn.
	Seed uint64
	// Progress hears what is being done.
	Progress func(what string)
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

// An Env is a cloud, devices, and the wire between them.
type Env struct {
	options  Options
	clock    *transport.Clock
	dir      string // of the cloud's data
	cloud    *cloudref.Cloud
	fleet    *fleet.Real
	keys     *fleet.Keys
	ended    chan error // of the fleet
	cancel   context.CancelFunc
	wire     *wire
	ledger   *ledger.Ledger
	groups   []*Group
	devices  []*Device
	byID     map[trace.DeviceID]*Device
	accounts [2]store.AccountID

	mu      sync.Mutex
	byIndex []*Device // as in the fleet
	refused []endpoint.Observation
}

// Start brings up a reference cloud with a store on disk, and devices that are
// registered and switched off.
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
	for o.Seed == 0 {
		o.Seed = randomSeed()
	}
	e := &Env{options: o, clock: transport.NewClock(), ledger: ledger.New(), byID: make(map[trace.DeviceID]*Device)}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

func (e *Env) start(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "muster-cloud-")
	if err != nil {
		return fmt.Errorf("target: making a folder for the cloud: %w", err)
	}
	e.dir = dir
	e.options.Progress("starting the reference cloud")
	if err := e.startCloud(ctx, netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		return err
	}
	e.wire = newWire(e.cloud.RSAKey(), reorder, e.ledger.Add)
	e.wire.cloud(e.cloud.UDP())
	e.wire.cloud(e.cloud.TCP())
	for i, name := range []string{"alice@example.org", "bob@example.org"} {
		if e.accounts[i], err = e.cloud.Account(ctx, name); err != nil {
			return err
		}
	}
	e.options.Progress("making devices and their keys")
	return e.addDevices(ctx)
}

// startCloud runs the cloud on the given addresses, with the state that is in
// its folder.
func (e *Env) startCloud(ctx context.Context, udp, tcp netip.AddrPort) error {
	o := cloudref.Options{
		Dir: e.dir, UDP: udp, TCP: tcp, Clock: e.clock, Observe: e.observe, KeepSecrets: true,
		AnswerTimeout: 15 * time.Second, Memory: e.options.Memory,
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

// RestartCloud stops the cloud as abruptly as one process can do to a part of
// itself, and starts it again with what it had stored, on the same addresses.
func (e *Env) RestartCloud(ctx context.Context) error {
	udp, tcp := e.cloud.UDP(), e.cloud.TCP()
	if err := e.cloud.Stop(); err != nil {
		return fmt.Errorf("target: stopping the cloud: %w", err)
	}
	return e.startCloud(ctx, udp, tcp)
}

// RestartAll stops every device as if its process had been killed, restarts the
// cloud, starts the devices again, and waits until they are connected or ctx
// ends.
func (e *Env) RestartAll(ctx context.Context) error {
	for _, d := range e.devices {
		d.Suspend()
		d.restarted = d.Mark()
	}
	if err := e.RestartCloud(ctx); err != nil {
		return err
	}
	Each(e.devices, func(d *Device) {
		d.PowerOn()
		_, _ = d.AwaitOnline(ctx, d.restarted) // who does not come is for checks to tell
	})
	return nil
}

// observe hears from the cloud: the secrets of sessions, for the decoder, and
// whom it refused.
func (e *Env) observe(o endpoint.Observation) {
	switch {
	case o.What == endpoint.Secured && o.Session.DTLS != nil:
		e.wire.decoder.AddSecrets(*o.Session.DTLS)
	case o.What == endpoint.Application:
		if what, ok := o.Effect.(app.Described); ok && what.Application {
			e.described(trace.DeviceID(o.Device))
		}
	case o.What == endpoint.Refused:
		e.mu.Lock()
		e.refused = append(e.refused, o)
		e.mu.Unlock()
	}
}

// described notes that the cloud knows the functions and variables of a device.
func (e *Env) described(id trace.DeviceID) {
	if d := e.byID[id]; d != nil {
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
	if e.cloud != nil {
		errs = append(errs, e.cloud.Stop())
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

// Devices returns all devices.
func (e *Env) Devices() []*Device { return e.devices }

// group enters a device into its group.
func (e *Env) group(d *Device) {
	transport := "tcp"
	if d.Profile.Board.UDP {
		transport = "udp"
	}
	for _, g := range e.groups {
		if g.DeviceOS == d.Profile.Version.Name && g.Transport == transport {
			g.Devices = append(g.Devices, d)
			return
		}
	}
	e.groups = append(e.groups, &Group{
		DeviceOS: d.Profile.Version.Name, System: d.Profile.Version.System, Transport: transport, Devices: []*Device{d},
	})
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
	run := &report.Run{Cloud: "the reference cloud", Version: Version()}
	run.Device = fmt.Sprintf("%d simulated devices", len(e.devices))
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
	d := e.byID[id]
	if d == nil {
		return "", false
	}
	return d.Profile.Version.Name, true
}
