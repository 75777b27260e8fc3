package cloudref

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// errStopped ends the commands that wait when the cloud stops.
var errStopped = errors.New("cloud: stopped")

// calls are the commands that wait for their device.
type calls struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]func(app.Effect)
	stopped bool
}

func (c *calls) init() { c.waiting = make(map[uint64]func(app.Effect)) }

// begin registers what to do with the effects of a command, until end.
func (c *calls) begin(then func(app.Effect)) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	if c.stopped {
		go then(nil)
		return c.last
	}
	c.waiting[c.last] = then
	return c.last
}

func (c *calls) end(ref uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, ref)
}

// tell gives an effect to the command that it belongs to.
func (c *calls) tell(e app.Effect) {
	ref := uint64(0)
	switch e := e.(type) {
	case app.Result:
		ref = e.Ref
	case app.FlashProgress:
		ref = e.Ref
	}
	c.mu.Lock()
	then := c.waiting[ref]
	c.mu.Unlock()
	if then != nil {
		then(e)
	}
}

func (c *calls) cancel() {
	c.mu.Lock()
	waiting := c.waiting
	c.stopped = true
	c.waiting = make(map[uint64]func(app.Effect))
	c.mu.Unlock()
	for _, then := range waiting {
		then(nil)
	}
}

// command runs f on the device and waits for its result.
func (c *Cloud) command(ctx context.Context, name string, id store.DeviceID, f func(now clock.Instant, ref uint64, d *app.Device, out *app.Out)) (r app.Result, err error) {
	defer func(began time.Time) { c.metrics.commanded(name, began, err) }(time.Now())
	got := make(chan app.Effect, 1)
	ref := c.calls.begin(func(e app.Effect) {
		select {
		case got <- e:
		default:
		}
	})
	defer c.calls.end(ref)
	c.node.Command(id, func(now clock.Instant, d *app.Device, out *app.Out) { f(now, ref, d, out) })
	select {
	case e := <-got:
		result, ok := e.(app.Result)
		if !ok {
			return app.Result{}, errStopped
		}
		if result.Err != nil {
			return app.Result{}, result.Err
		}
		return result, nil
	case <-ctx.Done():
		return app.Result{}, fmt.Errorf("cloud: device %s: %w", id, ctx.Err())
	}
}

// Call calls a function of a device and returns its result. Errors of the device
// are *app.Failure.
func (c *Cloud) Call(ctx context.Context, id store.DeviceID, function, argument string) (int32, error) {
	r, err := c.command(ctx, "function", id, func(now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.Call(now, ref, function, argument, out)
	})
	return r.Int, err
}

// Read reads a variable of a device.
func (c *Cloud) Read(ctx context.Context, id store.DeviceID, variable string) (pdc.Value, error) {
	r, err := c.command(ctx, "variable", id, func(now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.Read(now, ref, variable, out)
	})
	if err != nil {
		return pdc.Value{}, err
	}
	return pdc.DecodeVariable(r.Type, r.Value)
}

// Ping asks a device for a sign of life.
func (c *Cloud) Ping(ctx context.Context, id store.DeviceID) error {
	_, err := c.command(ctx, "ping", id, func(now clock.Instant, ref uint64, d *app.Device, out *app.Out) { d.Ping(now, ref, out) })
	return err
}

// Signal makes a device's LED shout a rainbow, or stop.
func (c *Cloud) Signal(ctx context.Context, id store.DeviceID, on bool) error {
	_, err := c.command(ctx, "signal", id, func(now clock.Instant, ref uint64, d *app.Device, out *app.Out) { d.Signal(now, ref, on, out) })
	return err
}

// RequestDescribe asks a device to describe itself again, and waits until it
// did.
func (c *Cloud) RequestDescribe(ctx context.Context, id store.DeviceID) error {
	_, err := c.command(ctx, "describe", id, func(now clock.Instant, ref uint64, d *app.Device, out *app.Out) { d.RequestDescribe(now, ref, out) })
	return err
}

// SendEvent sends an event to one device, whatever it subscribed to: those that
// Device OS itself understands, such as spark/device/reset.
func (c *Cloud) SendEvent(ctx context.Context, id store.DeviceID, e app.Event) error {
	_, err := c.command(ctx, "event", id, func(now clock.Instant, ref uint64, d *app.Device, out *app.Out) { d.SendEvent(now, ref, e, out) })
	return err
}

// ForceUpdates overrules a device's application that does not allow updates, or
// stops doing so.
func (c *Cloud) ForceUpdates(ctx context.Context, id store.DeviceID, on bool) error {
	_, err := c.command(ctx, "force updates", id, func(now clock.Instant, ref uint64, d *app.Device, out *app.Out) { d.ForceUpdates(now, ref, on, out) })
	return err
}

// DiscardSession makes a device forget its session.
func (c *Cloud) DiscardSession(ctx context.Context, id store.DeviceID) error {
	_, err := c.command(ctx, "discard session", id, func(now clock.Instant, ref uint64, d *app.Device, out *app.Out) { d.DiscardSession(now, ref, out) })
	return err
}
