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

// errMoved ends who waits for an update whose device has gone to another node.
var errMoved = errors.New("cloud: the device has gone to another node, where its update goes on")

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
	case app.FlashMoved:
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

// A question is a command to one device, in a form that reaches the node that
// holds the device.
type question struct {
	Command  command        `json:"command"`
	Device   store.DeviceID `json:"device"`
	Name     string         `json:"name,omitempty"` // of a function or variable
	Argument string         `json:"argument,omitempty"`
	On       bool           `json:"on,omitempty"`
	Event    *app.Event     `json:"event,omitempty"`
	Image    store.ImageID  `json:"image,omitzero"` // of flash
}

// A command is what can be asked of a device.
type command string

// The commands, by the names that they have in the metrics.
const (
	commandCall     command = "function"
	commandRead     command = "variable"
	commandPing     command = "ping"
	commandSignal   command = "signal"
	commandDescribe command = "describe"
	commandEvent    command = "event"
	commandForce    command = "force updates"
	commandDiscard  command = "discard session"
	commandFlash    command = "flash"
	commandUnlisted command = "function that is not listed"
)

// commands say what each does. Flash is a longer story, see [Cloud.Flash].
var commands = map[command]func(q *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out){
	commandCall: func(q *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.Call(now, ref, q.Name, q.Argument, out)
	},
	commandUnlisted: func(q *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.CallUnlisted(now, ref, q.Name, q.Argument, out)
	},
	commandRead: func(q *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.Read(now, ref, q.Name, out)
	},
	commandPing: func(_ *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out) { d.Ping(now, ref, out) },
	commandSignal: func(q *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.Signal(now, ref, q.On, out)
	},
	commandDescribe: func(_ *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.RequestDescribe(now, ref, out)
	},
	commandEvent: func(q *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.SendEvent(now, ref, *q.Event, out)
	},
	commandForce: func(q *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.ForceUpdates(now, ref, q.On, out)
	},
	commandDiscard: func(_ *question, now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.DiscardSession(now, ref, out)
	},
}

// ask has a command done by the node that holds the device, and waits for its
// result.
func (c *Cloud) ask(ctx context.Context, q *question) (r app.Result, err error) {
	defer func(began time.Time) { c.metrics.commanded(string(q.Command), began, err) }(time.Now())
	if node, elsewhere := c.elsewhere(q.Device); elsewhere {
		return c.askNode(ctx, node, q)
	}
	c.reclaim(ctx, q.Device)
	return c.command(ctx, q)
}

// command runs a command on a device of this node and waits for its result.
func (c *Cloud) command(ctx context.Context, q *question) (app.Result, error) {
	run := commands[q.Command]
	got := make(chan app.Effect, 1)
	ref := c.calls.begin(func(e app.Effect) {
		select {
		case got <- e:
		default:
		}
	})
	defer c.calls.end(ref)
	c.node.Command(q.Device, func(now clock.Instant, d *app.Device, out *app.Out) { run(q, now, ref, d, out) })
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
		return app.Result{}, fmt.Errorf("cloud: device %s: %w", q.Device, ctx.Err())
	}
}

// Call calls a function of a device and returns its result. Errors of the device
// are *app.Failure.
func (c *Cloud) Call(ctx context.Context, id store.DeviceID, function, argument string) (int32, error) {
	r, err := c.ask(ctx, &question{Command: commandCall, Device: id, Name: function, Argument: argument})
	return r.Int, err
}

// Read reads a variable of a device.
func (c *Cloud) Read(ctx context.Context, id store.DeviceID, variable string) (pdc.Value, error) {
	r, err := c.ask(ctx, &question{Command: commandRead, Device: id, Name: variable})
	if err != nil {
		return pdc.Value{}, err
	}
	return pdc.DecodeVariable(r.Type, r.Value)
}

// Ping asks a device for a sign of life.
func (c *Cloud) Ping(ctx context.Context, id store.DeviceID) error {
	_, err := c.ask(ctx, &question{Command: commandPing, Device: id})
	return err
}

// Signal makes a device's LED shout a rainbow, or stop.
func (c *Cloud) Signal(ctx context.Context, id store.DeviceID, on bool) error {
	_, err := c.ask(ctx, &question{Command: commandSignal, Device: id, On: on})
	return err
}

// RequestDescribe asks a device to describe itself again, and waits until it
// did.
func (c *Cloud) RequestDescribe(ctx context.Context, id store.DeviceID) error {
	_, err := c.ask(ctx, &question{Command: commandDescribe, Device: id})
	return err
}

// SendEvent sends an event to one device, whatever it subscribed to: those that
// Device OS itself understands, such as spark/device/reset.
func (c *Cloud) SendEvent(ctx context.Context, id store.DeviceID, e app.Event) error {
	_, err := c.ask(ctx, &question{Command: commandEvent, Device: id, Event: &e})
	return err
}

// ForceUpdates overrules a device's application that does not allow updates, or
// stops doing so.
func (c *Cloud) ForceUpdates(ctx context.Context, id store.DeviceID, on bool) error {
	_, err := c.ask(ctx, &question{Command: commandForce, Device: id, On: on})
	return err
}

// DiscardSession makes a device forget its session.
func (c *Cloud) DiscardSession(ctx context.Context, id store.DeviceID) error {
	_, err := c.ask(ctx, &question{Command: commandDiscard, Device: id})
	return err
}
