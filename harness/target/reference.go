package target

import (
	"context"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// A reference asks the reference cloud in this process.
type reference struct{ *world }

func (r *reference) call(ctx context.Context, d *Device, function, argument string) (int32, error) {
	return r.cloud.Call(ctx, store.DeviceID(d.ID), function, argument)
}

func (r *reference) read(ctx context.Context, d *Device, variable string) (pdc.Value, error) {
	return r.cloud.Read(ctx, store.DeviceID(d.ID), variable)
}

func (r *reference) publish(ctx context.Context, account int, name string, data []byte) error {
	return r.cloud.Publish(ctx, r.accounts[account], app.Event{Name: name, Data: data, Private: true})
}

func (r *reference) subscribe(account int, prefix string) *Stream {
	s := r.cloud.Subscribe(r.accounts[account], prefix)
	return &Stream{C: s.C, stop: s.Close, err: s.Err}
}

func (r *reference) flash(ctx context.Context, d *Device, image []byte, progress func(Progress)) error {
	return r.cloud.Flash(ctx, store.DeviceID(d.ID), image, func(p app.FlashProgress) {
		progress(Progress{Stage: p.Stage.String(), Sent: p.Sent, Total: p.Total, Packets: p.Packets})
	})
}
