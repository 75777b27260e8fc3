package flash

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/ymodem"
)

// A Progress is how far an operation is.
type Progress struct {
	Stage       string // what is done, as a person would say it
	Done, Total int64  // bytes; Total is 0 when there is nothing to count
}

// Tell hears progress; it must not be nil.
type Tell func(Progress)

// A Way brings an image to a board. When it returns without an error the board
// has taken the image, and restarts by itself or has restarted.
type Way interface {
	// Name is that of the option --by.
	Name() string
	// Flash does it. An error says in which state the board is.
	Flash(ctx context.Context, b *handle.Board, i *Image, tell Tell) error
}

// kept is what every way but DFU can promise of a board that did not get all.
const kept = "the board keeps what it had"

// Control flashes by USB control requests.
type Control struct{}

// Name implements Way.
func (Control) Name() string { return "control" }

// Flash implements Way.
func (Control) Flash(ctx context.Context, b *handle.Board, i *Image, tell Tell) error {
	s, err := b.Running(ctx)
	if err != nil {
		return err
	}
	tell(Progress{Stage: "asking the board to make room"})
	err = b.Ask(func(d *control.Device) error {
		// In listening mode the board leaves its cloud, which might want to update
		// it at the same time. Not every release can be asked.
		_ = d.Simple(ctx, control.StartListening)
		return d.UpdateFirmware(ctx, i.Data, func(sent int) {
			tell(Progress{"sending", int64(sent), int64(len(i.Data))})
		})
	})
	if err != nil {
		// The update was forgotten; do not leave it listening.
		stop := b.Ask(func(d *control.Device) error {
			return d.Simple(context.WithoutCancel(ctx), control.StopListening)
		})
		if stop != nil && !errors.Is(stop, handle.ErrNoBoard) && !errors.Is(stop, control.ErrGone) {
			err = errors.Join(err, fmt.Errorf("and it may still be in listening mode: reset it (%w)", stop))
		}
		return fmt.Errorf("%w; %s", err, kept)
	}
	tell(Progress{Stage: "waiting for the board to apply it and restart"})
	return b.Gone(ctx, s)
}

// DFU flashes by dfu-util.
type DFU struct{}

// Name implements Way.
func (DFU) Name() string { return "dfu" }

// Flash implements Way.
func (DFU) Flash(ctx context.Context, b *handle.Board, i *Image, tell Tell) error {
	if len(i.Modules) != 1 {
		return fmt.Errorf("DFU writes one module as it is, and this image has %d: flash it by control request or over the air", len(i.Modules))
	}
	plan, err := dfu.Plan(&i.Modules[0])
	if err != nil {
		return err
	}
	if _, err := b.DFUTool().Find(); err != nil {
		return err // before the board is disturbed
	}
	tell(Progress{Stage: "entering DFU mode"})
	s, err := b.EnterDFU(ctx)
	if err != nil {
		return fmt.Errorf("%w; %s", err, kept)
	}
	for n, w := range plan {
		isLast := n == len(plan)-1
		err := b.DFUTool().Write(ctx, b.Target(s), w, isLast, func(p dfu.Progress) {
			stage := "writing"
			if p.Phase == "Erase" {
				stage = "erasing"
			}
			tell(Progress{stage, p.Bytes, int64(len(w.Data))})
		})
		switch {
		case errors.Is(err, dfu.ErrInterrupted):
			return fmt.Errorf("%w; the image may be half written: the board may come back in safe mode, its keys are untouched: flash again", err)
		case err != nil:
			return fmt.Errorf("%w; the image may be half written: the board stays in DFU mode, its keys are untouched: flash again", err)
		}
	}
	tell(Progress{Stage: "waiting for the board to start"})
	return b.Gone(ctx, s)
}

// YModem flashes over the console, up to Device OS 5.x.
type YModem struct{}

// Name implements Way.
func (YModem) Name() string { return "ymodem" }

// Flash implements Way.
func (YModem) Flash(ctx context.Context, b *handle.Board, i *Image, tell Tell) error {
	s, err := b.Running(ctx)
	if err != nil {
		return err
	}
	tell(Progress{Stage: "entering listening mode"})
	asked := b.Listen(ctx)
	err = sendFile(ctx, b, s, i, tell)
	if asked != nil && errors.Is(err, ymodem.ErrNotListening) {
		if err = b.TouchToListen(ctx); err == nil {
			err = sendFile(ctx, b, s, i, tell)
		}
	}
	if err != nil {
		// Whatever it is doing, it should not go on listening.
		_ = b.Ask(func(d *control.Device) error { return d.Simple(context.WithoutCancel(ctx), control.StopListening) })
		return fmt.Errorf("%w; %s", err, kept)
	}
	tell(Progress{Stage: "waiting for the board to restart"})
	return b.Gone(ctx, s)
}

func sendFile(ctx context.Context, b *handle.Board, s handle.Seen, i *Image, tell Tell) error {
	c, err := b.Console(s)
	if err != nil {
		return err
	}
	err = ymodem.Send(ctx, c, filepath.Base(i.Name), i.Data, func(sent int) {
		tell(Progress{"sending", int64(sent), int64(len(i.Data))})
	})
	_ = c.Close() // a board that took the image is gone under it
	return err
}
