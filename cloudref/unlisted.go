package cloudref

import (
	"context"

	"github.com/muster/muster/cloudref/store"
)

// CallUnlisted calls a function of a device that its describe need not list, see
// [app.Device.CallUnlisted]. A device as it should be acknowledges the call of one
// that it does not have, and never answers.
func (c *Cloud) CallUnlisted(ctx context.Context, id store.DeviceID, function, argument string) (int32, error) {
	r, err := c.ask(ctx, &question{Command: commandUnlisted, Device: id, Name: function, Argument: argument})
	return r.Int, err
}
