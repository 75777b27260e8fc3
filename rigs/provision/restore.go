package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
)

// errNothingOwed is a board that has what it had.
var errNothingOwed = errors.New("nothing is owed to the board")

// IsNothingOwed reports whether err says that there was nothing to restore.
func IsNothingOwed(err error) bool { return errors.Is(err, errNothingOwed) }

// Restore puts back what a board had before it was provisioned, however the run
// that did that ended. It may be called any number of times.
func (p *Provisioner) Restore(ctx context.Context, h *handle.Host, r *Record, tell Tell) (err error) {
	b := h.At(r.Serial, r.Path, r.Platform)
	if r.Serial != "" {
		// It may be plugged in elsewhere by now.
		if found, err := h.Find(r.Serial); err == nil && found.Platform == r.Platform {
			b = found
		}
	}
	w, err := p.begin(ctx, b, key(r.Serial, r.Path), tell)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	return w.restore(ctx)
}

// restore pays what the journal says is owed, and forgets it.
func (w *work) restore(ctx context.Context) error {
	record, err := w.journal.load(w.key)
	if err != nil {
		return err
	}
	if record == nil {
		return errNothingOwed
	}
	// It may be on its way up.
	s, err := w.board.Await(ctx, "to take back what it had", func(handle.Seen) bool { return true })
	if err != nil {
		return err
	}
	if record.Server == nil { // nothing was written: the board may be in DFU mode
		if s.Mode == inventory.DFU {
			if err := w.tool.Leave(ctx, w.board.Target(s)); err != nil {
				return err
			}
		}
		return w.journal.remove(w.key)
	}
	if s, err = w.board.EnterDFU(ctx); err != nil {
		return err
	}
	// An interruption now would leave half a key.
	ctx = context.WithoutCancel(ctx)
	target := w.board.Target(s)
	device, err := w.tool.Read(ctx, target, record.Device.write().Region, false)
	if err != nil {
		return err
	}
	keep, err := w.restoreDevice(ctx, target, record, device)
	if err != nil {
		return err
	}
	w.tell("writing the old server key")
	if err := w.replace(ctx, target, record.Server.write()); err != nil {
		return err
	}
	if keep {
		file, err := w.journal.keep(w.key)
		if err == nil {
			w.tell("the board has another device key than before, which it keeps; the one before is in " + file)
		}
		return err
	}
	if err := w.journal.remove(w.key); err != nil {
		return err
	}
	_, err = w.board.Running(ctx)
	return err
}

// restoreDevice looks after the device key, which provisioning never writes: if it
// was lost meanwhile it is put back; if there is another one, that is kept, and
// the saved one too.
func (w *work) restoreDevice(ctx context.Context, target dfu.Target, record *Record, now []byte) (keep bool, err error) {
	if bytes.Equal(now, record.Device.Data) {
		return false, nil
	}
	transport := keyblob.UDP
	if record.Transport == keyblob.TCP.String() {
		transport = keyblob.TCP
	}
	before, _ := devicePublicKey(transport, record.Device.Data) // it was one when it was saved
	after, err := devicePublicKey(transport, now)
	switch {
	case err == nil && after.pem == before.pem:
		return false, nil // only what is behind it differs
	case err == nil:
		return true, nil
	}
	w.tell("the board lost its device key: writing the saved one")
	if err := w.tool.Write(ctx, target, record.Device.write(), false, nil); err != nil {
		return false, err
	}
	back, err := w.tool.Read(ctx, target, record.Device.write().Region, false)
	if err != nil {
		return false, err
	}
	if !bytes.Equal(back, record.Device.Data) {
		return false, fmt.Errorf("the board did not keep its device key: its memory is protected, or worn out")
	}
	return false, nil
}
