package bench

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
)

// A product is the reference cloud and a fleet as the commands run them, on
// sockets, with a store in memory.
type product struct {
	cloud     *cloudref.Cloud
	fleet     *fleet.Real
	keys      *fleet.Keys
	template  fleet.Template
	owner     store.AccountID // of the devices
	profile   *profile.Profile
	published atomic.Int64
	refused   atomic.Int64
	cancel    context.CancelFunc
	served    chan error
}

func newProduct() (*product, error) {
	return newProductOn(cloudref.Options{Memory: true, UDP: netip.MustParseAddrPort("127.0.0.1:0"), ECKey: cloudKey})
}

func newProductOn(options cloudref.Options) (*product, error) {
	p := &product{owner: store.AccountID{1}, keys: fleet.NewKeys(0), served: make(chan error, 1)}
	var err error
	if p.profile, err = profile.Lookup("boron@6.2.0"); err != nil {
		return nil, err
	}
	if p.cloud, err = cloudref.Start(context.Background(), options); err != nil {
		return nil, fmt.Errorf("starting the cloud: %w", err)
	}
	p.fleet, err = fleet.NewReal(fleet.Options{UDP: p.cloud.UDP(), Observe: func(_ int, _ clock.Instant, e device.Event) {
		switch e.Kind {
		case device.Published:
			p.published.Add(1)
		case device.PublishFailed:
			p.refused.Add(1)
		default:
			// Nobody waits for it.
		}
	}})
	if err != nil {
		return nil, fmt.Errorf("starting the fleet: %w", err)
	}
	p.template = fleet.Template{Keys: p.keys, EC: &cloudKey.PublicKey, App: application(), Server: p.cloud.UDP().Addr().String()}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	go func() { p.served <- p.fleet.Run(ctx) }()
	return p, nil
}

func (p *product) close() {
	p.cancel()
	<-p.served
	_ = p.cloud.Stop() // it has nothing to lose
}

// settle waits until a fifth of a second has passed without a datagram.
func (p *product) settle() {
	for last := p.fleet.Metrics().Wire; ; {
		time.Sleep(200 * time.Millisecond)
		now := p.fleet.Metrics().Wire
		if now == last {
			return
		}
		last = now
	}
}

// connect registers n more devices, and returns the CPU time that it took to
// connect them, in microseconds a device.
func (p *product) connect(n int) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	first := p.fleet.Len()
	indices := make([]int, n)
	for i := range n {
		id := fleet.ID(2, first+i)
		registration := cloudref.Registration{ID: store.DeviceID(id), Owner: p.owner, P256: p.keys.Public(id)}
		if err := p.cloud.Register(ctx, registration); err != nil {
			return 0, fmt.Errorf("registering: %w", err)
		}
		if _, err := p.fleet.Add(fleet.Spec{Config: p.template.Config(p.profile), ID: id}); err != nil {
			return 0, fmt.Errorf("adding a device: %w", err)
		}
		indices[i] = first + i
	}
	start := cpuTime()
	p.fleet.Start(fleet.Ramp{First: first, Count: n})
	if err := p.fleet.WaitOnline(ctx, indices...); err != nil {
		return 0, fmt.Errorf("connecting: %w", err)
	}
	p.settle()
	return float64((cpuTime() - start).Microseconds()) / float64(n), nil
}

// publish lets every device publish once, and returns the CPU time of an event in
// microseconds.
func (p *product) publish() (float64, error) {
	n := int64(p.fleet.Len())
	p.published.Store(0)
	p.refused.Store(0)
	start := cpuTime()
	for i := range int(n) {
		p.fleet.Publish(i, device.Publication{Name: "temperature", Data: reading.Payload, WithAck: true}, func(error) { p.refused.Add(1) })
	}
	for deadline := time.Now().Add(patience); p.published.Load()+p.refused.Load() < n; {
		if time.Now().After(deadline) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cost := cpuTime() - start
	if got := p.published.Load(); got != n {
		return 0, fmt.Errorf("%d of %d events were acknowledged", got, n)
	}
	return float64(cost.Microseconds()) / float64(n), nil
}

// product measures the whole: what the parts above come to.
func (r *run) product() error {
	p, err := newProduct()
	if err != nil {
		return err
	}
	defer p.close()
	var connects, events []float64
	for range r.scale(3, 1) {
		cost, err := p.connect(r.scale(700, 5))
		if err != nil {
			return err
		}
		connects = append(connects, cost)
	}
	for range r.scale(5, 1) {
		time.Sleep(time.Duration(r.scale(1200, 0)) * time.Millisecond) // devices limit their events
		cost, err := p.publish()
		if err != nil {
			return err
		}
		events = append(events, cost)
	}
	r.rows = append(r.rows,
		Row{What: "full connect of sim/fleet to cloudref, both ends", Unit: "µs CPU", Ours: median(connects)},
		Row{What: "event of sim/fleet in cloudref, stored and acknowledged, both ends", Unit: "µs CPU", Ours: median(events)},
	)
	return nil
}
