package fleet

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
)

// rough is a Net that is the same for all devices.
type rough struct {
	path atomic.Pointer[Path]
	lost atomic.Int64
}

func (r *rough) Path(int, clock.Instant) *Path { return r.path.Load() }
func (r *rough) Lost(int, clock.Instant)       { r.lost.Add(1) }

// On sockets too, a path delays and loses what it says, and cuts streams.
func TestPathsOnSockets(t *testing.T) {
	net := &rough{}
	net.path.Store(&Path{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond})
	acked := make(chan clock.Instant, 1)
	f, _ := startReal(t, 20, Options{Net: net, Seed: 3, Observe: func(_ int, at clock.Instant, e device.Event) {
		if e.Kind == device.Published && e.Tag == 9 {
			acked <- at
		}
	}}, "boron@6.2.0", "photon@3.1.0")
	online(t, f)
	if n := net.lost.Load(); n != 0 {
		t.Errorf("%d datagrams were lost", n)
	}
	net.path.Store(&Path{Delay: 50 * time.Millisecond})
	began := f.Now()
	f.Publish(0, device.Publication{Name: "x", WithAck: true, Tag: 9}, func(err error) { t.Error(err) })
	if took := (<-acked).Sub(began); took < 100*time.Millisecond {
		t.Errorf("an event and its acknowledgement took %v", took)
	}

	net.path.Store(&Path{Cut: true})
	before := net.lost.Load()
	gone := f.Watch(func(i int, e *device.Event) bool { return i == 1 && e.Kind == device.Offline })
	for i := range 2 { // over UDP it is lost, over TCP the device finds out
		f.Publish(i, device.Publication{Name: "x"}, func(err error) { t.Error(err) })
	}
	if _, err := gone.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := f.Call(patient(t), 0, nop); err != nil || net.lost.Load() == before {
		t.Errorf("%v, nothing was lost in the outage", err)
	}
	back := f.Watch(func(i int, e *device.Event) bool { return i == 1 && e.Kind == device.Online })
	net.path.Store(nil)
	if _, err := back.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
}

// A datagram larger than the MTU is lost, the next smaller one is not.
func TestPathMTU(t *testing.T) {
	net := &rough{}
	c := &core{options: &Options{Net: net}}
	for _, one := range []struct {
		bytes int
		six   bool
		ok    bool
	}{{972, false, true}, {973, false, false}, {952, true, true}, {953, true, false}} {
		if _, ok := c.passes(0, &member{}, &Path{MTU: 1000}, one.bytes, one.six); ok != one.ok {
			t.Errorf("%d bytes, IPv6 %v: passes %v", one.bytes, one.six, ok)
		}
	}
}

// A task rebinds a device: it goes on from another address without knowing.
func TestFeedRebinds(t *testing.T) {
	f, _, net := startVirtual(t, 1, 2, Options{}, nil, "boron@6.2.0")
	f.PowerOn(0)
	if !f.RunOnline(net.Now().Add(time.Minute), 0) {
		t.Fatal("not online")
	}
	before := f.Node(0).Addr()
	published := f.Watch(func(i int, e *device.Event) bool { return i == 0 && e.Kind == device.Published && e.Tag == 4 })
	f.Feed(0, &oneTask{at: net.Now().Add(time.Second), task: Task{Device: 0, Rebind: true, Do: func(now clock.Instant, d *device.Device, out *device.Out) {
		if err := d.Publish(now, device.Publication{Name: "x", WithAck: true, Tag: 4}, out); err != nil {
			t.Error(err)
		}
	}}})
	net.Run(net.Now().Add(10 * time.Second))
	select {
	case <-published.Done():
	default:
		t.Error("no acknowledgement at the new address")
	}
	if f.Node(0).Addr() == before || f.Metrics().Offline != 0 {
		t.Errorf("from %v, %+v", f.Node(0).Addr(), f.Metrics())
	}
}

type oneTask struct {
	at   clock.Instant
	task Task
}

func (o *oneTask) Due() clock.Instant { return o.at }
func (o *oneTask) Take(clock.Instant) Task {
	o.at = clock.Never
	return o.task
}
