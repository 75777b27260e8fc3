package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// A world is the reference cloud and a fleet of real devices in virtual time.
type world struct {
	net   *vnet.Network
	cloud *seat
	store *store.Store
	fleet *fleet.Virtual
}

// A seat is where the cloud sits in the network. Whoever stands up from it is
// garbage, which shows what he weighs.
type seat struct{ transport.Host }

var worldCloud = netip.MustParseAddr("192.0.2.1")

// lte is a cellular connection.
var lte = &vnet.Access{Up: vnet.Link{Delay: 40 * time.Millisecond}, Down: vnet.Link{Delay: 40 * time.Millisecond}}

// newWorld returns n devices with a profile, registered and switched off.
func newWorld(name string, n int, tap transport.Tap) (*world, error) {
	p, err := profile.Lookup(name)
	if err != nil {
		return nil, err
	}
	w := &world{net: vnet.New(vnet.Config{Seed: 1, Tap: tap}), store: store.NewMemory()}
	node, err := endpoint.New(context.Background(), endpoint.Config{
		Store: w.store, ECKey: cloudKey, Seed: 1, Rand: seed.Bytes(1, "bench/cloud/rand"),
		WallClock: func(at clock.Instant) time.Time { return time.Unix(1_767_225_600, 0).Add(time.Duration(at)) },
		App:       app.Config{Epoch: 1_767_225_600, Share: newShare()},
	})
	if err != nil {
		return nil, fmt.Errorf("starting the cloud: %w", err)
	}
	w.cloud = &seat{node}
	w.net.Attach(w.cloud, worldCloud)
	w.fleet = fleet.NewVirtual(w.net, fleet.Options{UDP: netip.AddrPortFrom(worldCloud, fleet.PortUDP)}, func(i int, h transport.Host) *vnet.Node {
		node := w.net.Attach(h, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
		node.SetAccess(lte)
		return node
	})
	return w, w.populate(p, n)
}

func (w *world) populate(p *profile.Profile, n int) error {
	keys := fleet.SeededKeys(1, 0)
	template := fleet.Template{Keys: keys, EC: &cloudKey.PublicKey, App: application(), Seed: 1, Seeded: true, Server: worldCloud.String()}
	for i := range n {
		id := fleet.ID(1, i)
		record := &store.Device{ID: store.DeviceID(id), P256: keys.Public(id), Owner: store.AccountID{1}}
		if err := w.store.Do(context.Background(), store.PutDevice(record)); err != nil {
			return fmt.Errorf("registering device %d: %w", i, err)
		}
		w.fleet.Add(fleet.Spec{Config: template.Config(p), ID: id})
	}
	return nil
}

// connect brings all devices online, evenly over one interval between pings as a
// fleet that has been there for long, and lets everything be forgotten that is
// remembered for a while only.
func (w *world) connect() error {
	const spread = 23 * time.Minute
	w.fleet.Start(fleet.Ramp{Rate: max(float64(w.fleet.Len())/spread.Seconds(), 1)})
	if !w.fleet.RunOnline(w.net.Now().Add(2 * spread)) {
		return errors.New("not all devices came online")
	}
	w.pass(10 * time.Minute)
	return nil
}

func (w *world) pass(d time.Duration) { w.net.Run(w.net.Now().Add(d)) }

// newShare keeps one copy of what devices have alike, as the cloud does.
func newShare() func(string, func() any) any {
	values := map[string]any{}
	return func(key string, make func() any) any {
		v, known := values[key]
		if !known {
			v = make()
			values[key] = v
		}
		return v
	}
}

// application has something of everything, so that the cloud has something to
// keep.
func application() *device.App {
	value := func(device.ID) pdc.Value { return pdc.Value{Type: pdc.VariableInt, Int: 7} }
	return &device.App{
		Functions: []device.Function{
			{Name: "brew", Call: func(device.ID, []byte) int32 { return 1 }},
			{Name: "clean", Call: func(device.ID, []byte) int32 { return 0 }},
		},
		Variables: []device.Variable{
			{Name: "temperature", Type: pdc.VariableInt, Value: value},
			{Name: "water", Type: pdc.VariableInt, Value: value},
		},
		Subscriptions: []pdc.Subscribe{{Filter: "order/", Scope: pdc.ScopeMyDevices}},
	}
}

// ipv4UDP is what the headers of IPv4 and UDP add to a datagram, in bytes.
const ipv4UDP = 20 + 8
