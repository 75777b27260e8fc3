package target

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/protocol/pdc"
)

// A service is what the suites ask of a cloud besides talking to devices.
type service interface {
	call(ctx context.Context, d *Device, function, argument string) (int32, error)
	read(ctx context.Context, d *Device, variable string) (pdc.Value, error)
	publish(ctx context.Context, account int, name string, data []byte) error
	subscribe(account int, prefix string) *Stream
	flash(ctx context.Context, d *Device, image []byte, progress func(Progress)) error
}

// Refusal returns why the cloud did not carry out a command, in its own words,
// and whether err is such an answer and not a fault of the harness.
func Refusal(err error) (reason string, refused bool) {
	var failure *app.Failure
	if errors.As(err, &failure) {
		return failure.Reason.String(), true
	}
	var answer *APIError
	if errors.As(err, &answer) && answer.refused() {
		return answer.reason(), true
	}
	return "", false
}

// NotOnline is the refusal of a command to a device that is not connected.
var NotOnline = app.NotOnline.String()

// TooMany is the refusal of a command to a device for which too many wait.
var TooMany = app.TooMany.String()

// NoSuchName is the refusal of a command about a function or variable that the
// device does not have.
var NoSuchName = app.NoSuchName.String()

// Call calls a function of a device through the cloud.
func (e *Env) Call(ctx context.Context, d *Device, function, argument string) (int32, error) {
	if err := e.need(Functions); err != nil {
		return 0, err
	}
	value, err := e.service.call(ctx, d, function, argument)
	return value, e.offers(d, Functions, function, function == FunctionSum || function == FunctionMinus, err)
}

// Read reads a variable of a device through the cloud.
func (e *Env) Read(ctx context.Context, d *Device, variable string) (pdc.Value, error) {
	if err := e.need(VariableReads); err != nil {
		return pdc.Value{}, err
	}
	value, err := e.service.read(ctx, d, variable)
	_, ours := d.Variables()[variable]
	return value, e.offers(d, VariableReads, variable, ours, err)
}

// Publish publishes an event of an account, 0 or 1, through the cloud.
func (e *Env) Publish(ctx context.Context, account int, name string, data []byte) error {
	if err := e.need(CloudPublish); err != nil {
		return err
	}
	if account > 0 {
		if err := e.need(TwoAccounts); err != nil {
			return err
		}
	}
	if err := e.subscribed(name); err != nil {
		return err
	}
	return e.service.publish(ctx, account, name, data)
}

// A Stream yields the events of an account.
type Stream struct {
	// C yields the events. It is closed when the stream ends.
	C <-chan StreamEvent

	stop func()
	err  func() error

	// answered is closed when a cloud that is not ours has said that the stream is open,
	// nil for others.
	answered <-chan struct{}
}

// Close ends the stream.
func (s *Stream) Close() { s.stop() }

// Err returns why the stream ended, nil if it did not or was closed.
func (s *Stream) Err() error { return s.err() }

// A StreamEvent is one event on a stream.
type StreamEvent = cloudref.Event

// Subscribe opens a stream of the events of an account whose names begin with
// prefix. Where there is none the stream is silent, and what asked for it
// unsupported.
func (e *Env) Subscribe(account int, prefix string) *Stream {
	if e.need(EventStream) != nil || account > 0 && e.Lacks(TwoAccounts) != "" {
		return silent()
	}
	return e.service.subscribe(account, prefix)
}

// silent returns a stream on which nothing ever comes.
func silent() *Stream {
	return &Stream{C: make(chan StreamEvent), stop: func() {}, err: func() error { return nil }}
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
	if err := e.need(Updates); err != nil {
		return err
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	return e.service.flash(ctx, d, image, progress)
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
