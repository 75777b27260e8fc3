package cloudref

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
)

// Flash sends a firmware image to a device and returns when the device runs it,
// or with an error. progress, if not nil, hears of each stage; it must be quick.
// The image is kept in the store until then: if the cloud restarts meanwhile, the
// transfer goes on by itself.
//
// An image that cannot work on this device is refused before anything is sent.
func (c *Cloud) Flash(ctx context.Context, id store.DeviceID, data []byte, progress func(app.FlashProgress)) error {
	image, err := app.ParseImage(data)
	if err != nil {
		return err
	}
	stored, err := c.store.PutImage(ctx, image.Data)
	if err != nil {
		return fmt.Errorf("cloud: storing the image: %w", err)
	}
	if node, elsewhere := c.elsewhere(id); elsewhere {
		return c.flashThere(ctx, node, id, stored, progress)
	}
	c.reclaim(ctx, id)
	return c.flashHere(ctx, id, data, progress)
}

// flashHere flashes a device of this node with an image that is stored.
func (c *Cloud) flashHere(ctx context.Context, id store.DeviceID, data []byte, progress func(app.FlashProgress)) error {
	image, err := app.ParseImage(data)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	end := func(err error) {
		select {
		case done <- err:
		default: // it has ended already
		}
	}
	ref := c.calls.begin(func(e app.Effect) {
		p, ok := e.(app.FlashProgress)
		_, moved := e.(app.FlashMoved)
		switch {
		case moved:
			end(errMoved)
			return
		case !ok:
			end(errStopped)
			return
		case progress != nil:
			progress(p)
		}
		switch p.Stage {
		case app.FlashDone:
			end(nil)
		case app.FlashFailed:
			end(p.Err)
		default:
			// On its way.
		}
	})
	defer c.calls.end(ref)
	c.node.Command(id, func(now clock.Instant, d *app.Device, out *app.Out) { d.Flash(now, ref, image, out) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		c.node.Command(id, func(now clock.Instant, d *app.Device, out *app.Out) { d.CancelFlash(now, ref, out) })
		return fmt.Errorf("cloud: device %s: update given up: %w", id, ctx.Err())
	}
}

// resumeFlashes goes on with the transfers that the last stop of the cloud cut
// off.
func (c *Cloud) resumeFlashes() {
	for id, image := range c.node.PendingImages() {
		c.resumeFlash(id, image)
	}
}

// resumeFlashOf goes on with the transfer to a device that came from another node.
func (c *Cloud) resumeFlashOf(id store.DeviceID) {
	if image, pending := c.node.PendingImage(id); pending {
		c.resumeFlash(id, image)
	}
}

func (c *Cloud) resumeFlash(id store.DeviceID, image store.ImageID) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	data, err := c.store.Image(ctx, image)
	if err == nil {
		var parsed *app.Image
		if parsed, err = app.ParseImage(data); err == nil {
			c.node.Command(id, func(now clock.Instant, d *app.Device, out *app.Out) { d.RestoreFlash(now, parsed, out) })
			return
		}
	}
	if !errors.Is(err, store.ErrNotFound) {
		c.o.Log(fmt.Sprintf("device %s: its update cannot go on: %v", id, err))
	}
}
