package fleet

import (
	"context"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/device"
)

// Commands are what can be done to the devices of every fleet. They return at
// once; the device's shard carries them out in the order in which they were
// given for one device. An index that no device has panics.
type Commands struct {
	table    *table
	watchers *watchers
	enqueue  func(command)
}

// Len returns the number of devices.
func (f *Commands) Len() int { return f.table.len() }

// Online reports whether a device calls itself connected. It is safe for
// concurrent use.
func (f *Commands) Online(i int) bool { return f.table.get(i).online.Load() }

// Do does anything to a device.
func (f *Commands) Do(i int, do Action) { f.enqueue(command{m: f.table.get(i), do: do}) }

// PowerOn boots a device, which then connects.
func (f *Commands) PowerOn(i int) { f.Do(i, powerOn) }

// PowerOff takes the power away. The device keeps its NVRAM.
func (f *Commands) PowerOff(i int) {
	f.Do(i, func(now clock.Instant, d *device.Device, out *device.Out) { d.PowerOff(now, out) })
}

// Suspend stops a device as if its process had been killed, with its retained
// memory kept: PowerOn continues with a resume.
func (f *Commands) Suspend(i int) {
	f.Do(i, func(now clock.Instant, d *device.Device, out *device.Out) { d.Suspend(now, out) })
}

// Reset restarts a device in an orderly way.
func (f *Commands) Reset(i int, why pdc.ResetReason) {
	f.Do(i, func(now clock.Instant, d *device.Device, out *device.Out) { d.Reset(now, why, out) })
}

// Connect is Particle.connect().
func (f *Commands) Connect(i int) {
	f.Do(i, func(now clock.Instant, d *device.Device, out *device.Out) { d.Connect(now, out) })
}

// Disconnect is Particle.disconnect().
func (f *Commands) Disconnect(i int) {
	f.Do(i, func(now clock.Instant, d *device.Device, out *device.Out) { d.Disconnect(now, out) })
}

// Sleep sends a device to sleep, from which it wakes by itself.
func (f *Commands) Sleep(i int, duration time.Duration) {
	f.Do(i, func(now clock.Instant, d *device.Device, out *device.Out) { d.Sleep(now, duration, out) })
}

// NetworkChange gives a device another address, as when a modem attaches anew.
// Over UDP the device goes on from there, over TCP it connects again.
func (f *Commands) NetworkChange(i int) {
	f.enqueue(command{
		m:       f.table.get(i),
		prepare: func(c *core, m *member) { c.network.move(m) },
		do:      func(now clock.Instant, d *device.Device, out *device.Out) { d.NetworkChanged(now, out) },
	})
}

// Publish makes a device publish an event. The events Published or
// PublishFailed tell what came of it; refused, if not nil, hears at once when
// the device does not even try, on the shard's goroutine.
func (f *Commands) Publish(i int, p device.Publication, refused func(error)) {
	f.Do(i, func(now clock.Instant, d *device.Device, out *device.Out) {
		if err := d.Publish(now, p, out); err != nil && refused != nil {
			refused(err)
		}
	})
}

// Replace switches a device off without a word and puts one with the given
// memory in its place; nil makes it forget everything, as from the factory.
func (f *Commands) Replace(i int, c *device.Config, nv *device.NVRAM) {
	f.PowerOff(i)
	f.enqueue(command{m: f.table.get(i), prepare: func(_ *core, m *member) {
		m.device = device.New(c, m.device.ID(), nv)
	}})
}

// Watch begins to wait for the first event that fits. match runs on the
// goroutines of the shards and must be quick. Begin to watch before doing what
// leads to the event.
func (f *Commands) Watch(match func(index int, e *device.Event) bool) *Watch {
	return f.watchers.watch(match)
}

// WaitOnline waits until each of the devices, or every device of the fleet when
// none is named, has been online: now, or at any time from now on.
func (f *Commands) WaitOnline(ctx context.Context, indices ...int) error {
	return f.gather(true, indices).wait(ctx, f.watchers)
}

// WaitOffline waits until each of the devices, or every device of the fleet when
// none is named, has been offline.
func (f *Commands) WaitOffline(ctx context.Context, indices ...int) error {
	return f.gather(false, indices).wait(ctx, f.watchers)
}

func (f *Commands) gather(online bool, indices []int) *gathering {
	if len(indices) == 0 {
		indices = make([]int, f.Len())
		for i := range indices {
			indices[i] = i
		}
	}
	return gather(f.watchers, f.table, online, indices)
}

// Call does something to a device and waits until it is done.
func (f *Commands) Call(ctx context.Context, i int, do Action) error {
	done := make(chan struct{})
	f.Do(i, func(now clock.Instant, d *device.Device, out *device.Out) {
		do(now, d, out)
		close(done)
	})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Memory suspends a device and returns what it would remember: the encoding of
// its NVRAM. PowerOn goes on from there, here or, with Spec.NVRAM, elsewhere. It
// holds keys and must be kept secret.
func (f *Commands) Memory(ctx context.Context, i int) (b []byte, err error) {
	err = f.Call(ctx, i, func(now clock.Instant, d *device.Device, out *device.Out) {
		d.Suspend(now, out)
		b = d.NVRAM().Append(nil)
	})
	return b, err
}
