package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
)

// A millionFleet is the fleet of a run, and what it waits for.
type millionFleet struct {
	m      *million
	keys   *fleet.Keys
	real   *fleet.Real
	cancel context.CancelFunc
	served chan error

	sent    []clock.Instant // when each device should have published; 0: it did not
	acked   atomic.Int64
	failed  atomic.Int64
	refused atomic.Int64
	mu      sync.Mutex
	times   *hdrhistogram.Histogram // from when it should have published to the ACK, µs
}

// makeFleet makes the devices, switched off.
func (m *million) makeFleet(context.Context) error {
	f := m.fleet
	p, err := profile.Lookup(*millionProfile)
	if err != nil {
		return err
	}
	if !p.Board.UDP {
		return fmt.Errorf("%s does not use UDP", p)
	}
	m.got.FleetEmpty = resident(0)
	var pinned fleet.CloudKeys
	if err := pinned.Load(m.data()); err != nil {
		return err
	}
	f.sent, f.served = make([]clock.Instant, m.n), make(chan error, 1)
	if f.real, err = fleet.NewReal(fleet.Options{UDP: m.cloud.udp, Observe: f.observe}); err != nil {
		return err
	}
	t := fleet.Template{Keys: f.keys, EC: pinned.EC, App: application(), Server: m.cloud.udp.String()}
	t.Edit = func(c *device.Config) { c.KeepAlive = *millionAlive }
	config := t.Config(p)
	for i := range m.n {
		if _, err := f.real.Add(fleet.Spec{Config: config, ID: fleet.ID(fleet.SeededMark(millionSeed), i)}); err != nil {
			return err
		}
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	go func() { f.served <- f.real.Run(ctx) }()
	return nil
}

func (f *millionFleet) close() {
	if f.cancel != nil {
		f.cancel()
		<-f.served
	}
}

// observe notes what became of events. Device i is touched by its shard only.
func (f *millionFleet) observe(i int, at clock.Instant, e device.Event) {
	switch e.Kind {
	case device.Published:
		if e.Tag != publishTag || f.sent[i] == 0 {
			return
		}
		f.mu.Lock()
		_ = f.times.RecordValue(min(at.Sub(f.sent[i]), latencyMax).Microseconds()) // in range
		f.mu.Unlock()
		f.sent[i] = 0
		f.acked.Add(1)
	case device.PublishFailed:
		if e.Tag == publishTag && f.sent[i] != 0 {
			f.sent[i] = 0
			f.failed.Add(1)
		}
	default:
		// Nobody waits for it.
	}
}

const (
	publishTag = 77
	latencyMax = 2 * time.Minute
)

// publishRates are the events a second that are tried.
var publishRates = []float64{1000, 2000, 4000, 8000}

// publish lets devices publish at each rate, on a schedule that waits for nobody:
// an event that is late because the one before was late counts as late.
func (m *million) publish(ctx context.Context) error {
	first, rates, last := 0, publishRates, 30*time.Second
	if m.n <= 5000 {
		rates, last = []float64{500}, time.Second
	}
	for _, rate := range rates {
		count := min(int(rate*last.Seconds()), m.n)
		if first+count > m.n {
			first = 0 // devices publish again, at most once a second
		}
		p, err := m.publishAt(ctx, first, count, rate)
		if err != nil {
			return fmt.Errorf("%.0f a second: %w", rate, err)
		}
		m.got.Publish = append(m.got.Publish, p)
		m.say("published %d at %.0f/s: p50 %s, p99 %s, p99.9 %s", p.Events, p.Rate, ms(p.P50), ms(p.P99), ms(p.P999))
		first += count
	}
	return nil
}

func (m *million) publishAt(ctx context.Context, first, count int, rate float64) (millionPublish, error) {
	f := m.fleet
	f.mu.Lock()
	f.times = hdrhistogram.New(1, latencyMax.Microseconds(), 3)
	f.mu.Unlock()
	f.acked.Store(0)
	f.failed.Store(0)
	f.refused.Store(0)
	before := m.reading()
	began, start := time.Now(), f.real.Now()
	f.real.Start(fleet.Ramp{First: first, Count: count, Rate: rate, Do: func(now clock.Instant, d *device.Device, out *device.Out) {
		i := deviceIndex(d.ID())
		f.sent[i] = start.Add(time.Duration(float64(i-first) / rate * float64(time.Second)))
		if err := d.Publish(now, device.Publication{Name: "temperature", Data: reading.Payload, WithAck: true, Tag: publishTag}, out); err != nil {
			f.sent[i] = 0
			f.refused.Add(1)
		}
	}})
	for f.acked.Load()+f.failed.Load()+f.refused.Load() < int64(count) {
		if err := m.sleep(ctx, time.Millisecond); err != nil {
			return millionPublish{}, fmt.Errorf("%d of %d events are acknowledged: %w", f.acked.Load(), count, err)
		}
	}
	took := time.Since(began)
	f.mu.Lock()
	defer f.mu.Unlock()
	at := func(q float64) float64 { return float64(f.times.ValueAtQuantile(q)) / 1000 }
	return millionPublish{
		Rate: rate, Events: count, Failed: int(f.failed.Load() + f.refused.Load()), Reached: float64(count) / took.Seconds(),
		P50: at(50), P99: at(99), P999: at(99.9), Max: float64(f.times.Max()) / 1000,
		Cost: m.since(before),
	}, nil
}

// nothing is done to a device to know that everything before is done.
func nothing(clock.Instant, *device.Device, *device.Out) {}
