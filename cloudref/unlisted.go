package cloudref

import (
	"context"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
)

// CallUnlisted calls a function of a device that its describe need not list, see
// [app.Device.CallUnlisted]. A device as it should be acknowledges the call of one
// that it does not have, and never answers.
func (c *Cloud) CallUnlisted(ctx context.Context, id store.DeviceID, function, argument string) (int32, error) {
	r, err := c.command(ctx, "function", id, func(now clock.Instant, ref uint64, d *app.Device, out *app.Out) {
		d.CallUnlisted(now, ref, function, argument, out)
	})
	return r.Int, err
}
