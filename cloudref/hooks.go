package cloudref

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// hookCalls returns the operations that put the webhook calls of an event into the
// store's queue, and the id of the call, "" for none. They belong into one batch with
// the event: who is told that the event was taken is told that its hooks will be
// called.
func (c *Cloud) hookCalls(e *Event) ([]store.Op, string) {
	if ofHooks(e.Name) {
		return nil, ""
	}
	wanted := c.store.HooksFor(e.Owner, e.Product, e.Device, e.Name)
	if len(wanted) == 0 {
		return nil, ""
	}
	call := callOf(e)
	ops := make([]store.Op, 0, len(wanted))
	for _, h := range wanted {
		ops = append(ops, call.Op(h.ID))
	}
	return ops, call.ID
}

// ofHooks reports whether an event has a name that hooks give theirs: with the
// device before it, for products.
func ofHooks(name string) bool {
	const device = 24
	if len(name) > device && name[device] == '/' {
		if _, err := store.ParseDeviceID(name[:device]); err == nil {
			name = name[device+1:]
		}
	}
	return strings.HasPrefix(name, hooks.SentPrefix) || strings.HasPrefix(name, hooks.ResponsePrefix) ||
		strings.HasPrefix(name, hooks.ErrorPrefix)
}

func callOf(e *Event) *hooks.Call {
	call := &hooks.Call{
		ID: newEventID(), Name: e.Name, Data: e.Data, Published: e.Published, Device: e.Device, Core: e.CoreID(),
		Owner: e.Owner, Product: e.Product, Version: e.Version,
	}
	if text := e.Text(); text != nil {
		call.Text = *text
	}
	return call
}

// newEventID names an event as the service does, with a random UUID.
func newEventID() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("cloudref: no random bytes: " + err.Error()) // crypto/rand never returns one
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// replier publishes what webhook calls lead to, for package hooks.
type replier struct{ c *Cloud }

// Reply implements hooks.Cloud. Devices that subscribed hear the answer: of an
// account's hook all of the account's devices, of a product's hook the one whose
// event it was.
func (r replier) Reply(ctx context.Context, h *store.Hook, call *hooks.Call, replies []hooks.Reply) error {
	if len(replies) == 0 {
		return nil
	}
	r.c.order.wait(ctx, call.ID)
	at := time.Now()
	ops := make([]store.Op, 0, len(replies))
	for _, reply := range replies {
		ops = append(ops, store.Append(store.Event{
			Account: h.Account, At: at, Body: endpoint.AppendEvent(nil, replyEvent(reply)),
			Node: r.c.id, Product: uint16(h.Product), Version: call.Version, To: call.Device,
		}))
	}
	if err := r.c.store.Do(ctx, ops...); err != nil {
		return fmt.Errorf("cloud: the answer to a webhook was not stored: %w", err)
	}
	for _, reply := range replies {
		e := replyEvent(reply)
		switch {
		case strings.HasPrefix(e.Name, hooks.SentPrefix):
		case h.Product == 0:
			r.c.node.Publish(h.Account, e)
		case call.Device != store.DeviceID{}:
			r.c.node.Command(call.Device, func(now clock.Instant, d *app.Device, out *app.Out) {
				d.Deliver(now, e, app.DeviceID{}, out)
			})
		}
		r.c.events.emit(Event{
			Name: e.Name, Data: e.Data, TTL: e.TTL, Published: at, Device: call.Device, Core: api.CoreInternal,
			Owner: h.Account, Product: h.Product, Version: call.Version,
		})
	}
	return nil
}

func replyEvent(r hooks.Reply) app.Event {
	return app.Event{Name: r.Name, Data: []byte(r.Data), TTL: pdc.DefaultTTL, Private: true}
}

// HookHistory implements api.Cloud.
func (c *Cloud) HookHistory(ctx context.Context, id store.DeviceID) (hooks.History, error) {
	return c.hooks.History(ctx, id)
}

// TestHook implements api.Cloud.
func (c *Cloud) TestHook(ctx context.Context, h *store.Hook, e Event) ([]byte, error) {
	return c.hooks.Test(ctx, h, callOf(&e))
}

// Own implements api.Cloud.
func (c *Cloud) Own(a netip.AddrPort) {
	if c.hooks.Guard.Own(a) {
		c.tellPlace()
	}
}
