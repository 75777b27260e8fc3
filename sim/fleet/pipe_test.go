package fleet

import (
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// startPipe returns a device over TCP that is online, on a network that can be made
// worse, and what its stream tells.
func startPipe(t *testing.T, path *Path) (*Virtual, *vnet.Network, *rough, *[]transport.Sighting) {
	t.Helper()
	net := &rough{}
	net.path.Store(path)
	var seen []transport.Sighting
	f, _, v := startVirtual(t, 1, 1, Options{Net: net, Seed: 3}, func(s transport.Sighting) {
		if s.Kind == transport.StreamOpened || s.Kind == transport.StreamEnded {
			seen = append(seen, s)
		}
	}, "photon@3.1.0")
	f.PowerOn(0)
	if !f.RunOnline(v.Now().Add(5*time.Minute), 0) {
		t.Fatalf("not online: %+v", f.Metrics())
	}
	return f, v, net, &seen
}

// publish returns how long an event of device 0 takes until it is acknowledged.
func publish(t *testing.T, f *Virtual, v *vnet.Network, tag uint32) time.Duration {
	t.Helper()
	began, at := v.Now(), clock.Never
	f.Watch(func(_ int, e *device.Event) bool {
		if e.Kind == device.Published && e.Tag == tag {
			at = v.Now()
		}
		return false
	})
	f.Publish(0, device.Publication{Name: "x", WithAck: true, Tag: tag}, func(err error) { t.Error(err) })
	v.RunUntil(func() bool { return at != clock.Never }, began.Add(2*time.Minute))
	return at.Sub(began)
}

// What takes its time takes it for streams too, each way, and the opening as well.
func TestPipeDelays(t *testing.T) {
	f, v, net, _ := startPipe(t, &Path{Delay: 200 * time.Millisecond})
	if took := v.Now().Sub(0); took < 4*400*time.Millisecond { // SYN, nonce, keys, Hello
		t.Errorf("connecting took %v", took)
	}
	if took := publish(t, f, v, 1); took < 400*time.Millisecond || took > 500*time.Millisecond {
		t.Errorf("an event and its acknowledgement took %v", took)
	}
	if n := net.lost.Load(); n != 0 {
		t.Errorf("%d were lost", n)
	}
}

// A segment that is lost comes a retransmission later, and the ones after it too: none
// overtakes, or the stream would not decrypt.
func TestPipeLoses(t *testing.T) {
	f, v, net, _ := startPipe(t, &Path{Loss: 0.3, Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond})
	var times []time.Duration
	for tag := range uint32(20) {
		times = append(times, publish(t, f, v, tag+1))
	}
	slices.Sort(times)
	if times[0] > 50*time.Millisecond || times[19] < time.Second || net.lost.Load() < 5 {
		t.Errorf("events took %v, %d were lost", times, net.lost.Load())
	}
	if m := f.Metrics(); m.Online != 1 || m.Connected != 1 {
		t.Errorf("%+v", m)
	}
}

// A short outage is a long time for a stream, and no end.
func TestPipeOutlivesAShortOutage(t *testing.T) {
	f, v, net, seen := startPipe(t, nil)
	net.path.Store(&Path{Cut: true})
	v.At(v.Now().Add(2*time.Second), func() { net.path.Store(nil) })
	if took := publish(t, f, v, 1); took < 2*time.Second || took > 8*time.Second {
		t.Errorf("an event took %v", took)
	}
	if m := f.Metrics(); m.Offline != 0 || len(*seen) != 2 { // either end tells of the opening
		t.Errorf("%+v, %v", m, *seen)
	}
}

// In a long outage a device finds out by its own pings, does not get through, and comes
// back; the cloud hears nothing meanwhile, not even that the stream is over.
func TestPipeInALongOutage(t *testing.T) {
	f, v, net, seen := startPipe(t, nil)
	net.path.Store(&Path{Cut: true})
	v.Run(v.Now().Add(time.Second))
	if m := f.Metrics(); m.Offline != 0 {
		t.Errorf("it was told of the outage: %+v", m)
	}
	v.Run(v.Now().Add(3 * time.Minute))
	m := f.Metrics()
	if m.Online != 0 || m.Attempts < 3 || len(*seen) != 2 {
		t.Errorf("%+v, %v", m, *seen)
	}
	net.path.Store(nil)
	v.Run(v.Now().Add(3 * time.Minute))
	if m := f.Metrics(); m.Online != 1 {
		t.Errorf("not back: %+v", m)
	}
	if len(f.pipes) > 1 || f.pipes[0] != nil && len(f.pipes[0].ways[0].queue) > 0 {
		t.Errorf("%d pipes are left", len(f.pipes))
	}
}

// A NAT that forgets a stream tells nobody. The cloud hears of the old stream when the
// device has a new one.
func TestPipeForgotten(t *testing.T) {
	for _, net := range []Net{nil, &rough{}} {
		var seen []transport.Sighting
		f, _, v := startVirtual(t, 1, 1, Options{Net: net, Seed: 3}, func(s transport.Sighting) {
			if s.Kind == transport.StreamOpened || s.Kind == transport.StreamEnded {
				seen = append(seen, s)
			}
		}, "photon@3.1.0")
		f.PowerOn(0)
		if !f.RunOnline(v.Now().Add(time.Minute), 0) {
			t.Fatalf("%+v", f.Metrics())
		}
		f.Feed(0, &oneTask{at: v.Now().Add(time.Second), task: Task{Device: 0, Rebind: true}})
		v.Run(v.Now().Add(2 * time.Second))
		if m := f.Metrics(); m.Offline != 0 || len(seen) != 2 {
			t.Errorf("somebody was told: %+v, %v", m, seen)
		}
		v.Run(v.Now().Add(2 * time.Minute))
		m := f.Metrics()
		if m.Offline != 1 || m.Online != 1 || m.Connected != 2 {
			t.Errorf("%+v", m)
		}
		if len(seen) < 4 || seen[2].Kind != transport.StreamOpened {
			t.Errorf("%v", seen)
		}
		if len(f.left) != 0 {
			t.Errorf("%d streams are left", len(f.left))
		}
	}
}

// What resets a stream tells both ends, at once.
func TestPipeReset(t *testing.T) {
	for _, net := range []Net{nil, &rough{}} {
		f, _, v := startVirtual(t, 1, 1, Options{Net: net, Seed: 3}, nil, "photon@3.1.0")
		f.PowerOn(0)
		if !f.RunOnline(v.Now().Add(time.Minute), 0) {
			t.Fatalf("%+v", f.Metrics())
		}
		f.Feed(0, &oneTask{at: v.Now().Add(time.Second), task: Task{Device: 0, Reset: true}})
		v.Run(v.Now().Add(1001 * time.Millisecond))
		if m := f.Metrics(); m.Offline != 1 || m.Errors[device.StreamFailed] != 1 {
			t.Errorf("%+v", m)
		}
		v.Run(v.Now().Add(time.Minute))
		if m := f.Metrics(); m.Online != 1 || m.Connected != 2 {
			t.Errorf("%+v", m)
		}
	}
}

// Nothing happens to a device that is off.
func TestPipeOfNone(t *testing.T) {
	f, _, v := startVirtual(t, 1, 1, Options{Net: &rough{}}, nil, "photon@3.1.0")
	f.Feed(0, &oneTask{at: v.Now().Add(time.Second), task: Task{Device: 0, Rebind: true, Reset: true}})
	v.Run(v.Now().Add(2 * time.Second))
	if m := f.Metrics(); m.Attempts != 0 {
		t.Errorf("%+v", m)
	}
}
