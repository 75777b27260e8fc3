package target

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// Refusal returns why the cloud did not carry out a command, in its own words,
// and whether err is such an answer and not a fault of the harness.
func Refusal(err error) (reason string, refused bool) {
	var failure *app.Failure
	if errors.As(err, &failure) {
		return failure.Reason.String(), true
	}
	return "", false
}

// NotOnline is the refusal of a command to a device that is not connected.
var NotOnline = app.NotOnline.String()

// Call calls a function of a device through the cloud.
func (e *Env) Call(ctx context.Context, d *Device, function, argument string) (int32, error) {
	return e.cloud.Call(ctx, store.DeviceID(d.ID), function, argument)
}

// Read reads a variable of a device through the cloud.
func (e *Env) Read(ctx context.Context, d *Device, variable string) (pdc.Value, error) {
	return e.cloud.Read(ctx, store.DeviceID(d.ID), variable)
}

// Publish publishes an event of an account, 0 or 1, through the cloud.
func (e *Env) Publish(ctx context.Context, account int, name string, data []byte) error {
	return e.cloud.Publish(ctx, e.accounts[account], app.Event{Name: name, Data: data, Private: true})
}

// A Stream yields the events of an account.
type Stream = cloudref.Stream

// A StreamEvent is one event on a stream.
type StreamEvent = cloudref.Event

// Subscribe opens a stream of the events of an account whose names begin with
// prefix.
func (e *Env) Subscribe(account int, prefix string) *Stream {
	return e.cloud.Subscribe(e.accounts[account], prefix)
}

// Progress is how far a firmware update is.
type Progress struct {
	Stage       string
	Sent, Total int
	Packets     int
}

// Flash sends an image to a device through the cloud, and returns when the
// device runs it.
func (e *Env) Flash(ctx context.Context, d *Device, image []byte, progress func(Progress)) error {
	return e.cloud.Flash(ctx, store.DeviceID(d.ID), image, func(p app.FlashProgress) {
		if progress != nil {
			progress(Progress{Stage: p.Stage.String(), Sent: p.Sent, Total: p.Total, Packets: p.Packets})
		}
	})
}

// Refused returns whom the cloud refused since the start, and why.
func (e *Env) Refused() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for _, o := range e.refused {
		list = append(list, fmt.Sprintf("%s %s: %s", o.Device, o.Session.Peer, o.Detail))
	}
	return list
}
