package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
)

// ErrUnverified is a board that took the image, and cannot tell what it runs.
var ErrUnverified = errors.New("the board took the image, and what it runs now is not known")

// A Result is what became of an operation.
type Result struct {
	Before, After []pdc.ModuleInfo // nil if not known
}

// Options say how careful to be.
type Options struct {
	// Force goes on when the board lacks modules that the image needs: the board
	// then starts in safe mode until it gets them. An image for another platform,
	// and a damaged one, is never flashed.
	Force bool
}

// Flash checks the image against the board, brings it there, and asks the board
// what it runs. [ErrUnverified] is an image that arrived at a board without that
// answer.
func Flash(ctx context.Context, b *handle.Board, i *Image, way Way, o Options, tell Tell) (r Result, err error) {
	s, err := b.State()
	if err != nil {
		return r, err
	}
	if err := i.Check(b.Platform, nil); err != nil { // without waking the board
		return r, err
	}
	ask := b.AskOnceUp
	if s.Mode != inventory.DFU {
		tell(Progress{Stage: "asking the board for its modules"})
		r.Before, err = modules(ctx, b)
		if err != nil {
			if ctx.Err() != nil {
				return r, context.Cause(ctx)
			}
			tell(Progress{Stage: fmt.Sprintf("the board does not tell its modules (%v): dependencies are not checked", err)})
			// And what it could not before, it will hardly after.
			ask = func(_ context.Context, ask func(*control.Device) error) error { return b.Ask(ask) }
		}
	}
	err = i.Check(b.Platform, r.Before)
	var missing *MissingError
	if errors.As(err, &missing) && o.Force {
		tell(Progress{Stage: missing.Reason + "; flashing all the same"})
		err = nil
	}
	if err != nil {
		return r, err
	}
	if err := way.Flash(ctx, b, i, tell); err != nil {
		return r, err
	}
	tell(Progress{Stage: "asking the board what it runs"})
	if _, err := b.Running(ctx); err != nil {
		return r, err
	}
	err = ask(ctx, func(d *control.Device) (err error) {
		r.After, err = d.Modules(ctx)
		return err
	})
	if err != nil && ctx.Err() == nil {
		tell(Progress{Stage: "it answers no such request: asking on its console, in listening mode"})
		var failed error
		if r.After, failed = consoleModules(ctx, b); failed == nil {
			return r, i.runs(r.After)
		}
		err = errors.Join(err, failed)
	}
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return r, i.runs(r.After)
}

func modules(ctx context.Context, b *handle.Board) (all []pdc.ModuleInfo, err error) {
	err = b.Ask(func(d *control.Device) (err error) {
		all, err = d.Modules(ctx)
		return err
	})
	return all, err
}

// runs reports whether the modules are those of the image.
func (i *Image) runs(after []pdc.ModuleInfo) error {
	for n := range i.Modules {
		m := &i.Modules[n]
		if m.Function == pdc.ModuleAsset {
			continue // not among the modules
		}
		if err := runsModule(m, after); err != nil {
			return err
		}
	}
	return nil
}

func runsModule(m *module.Module, after []pdc.ModuleInfo) error {
	name := moduleName(m.Function, m.Index)
	for _, have := range after {
		if have.Function != m.Function || have.Index != uint32(m.Index) || have.Store != pdc.StoreMain {
			continue
		}
		switch {
		case have.Version != uint32(m.Version):
			return fmt.Errorf("the board runs %s version %d and not %d: it did not apply the image", name, have.Version, m.Version)
		case len(have.Hash) > 0 && !bytes.Equal(have.Hash, m.Hash[:]):
			return fmt.Errorf("the board runs another %s than the image: it did not apply it (SHA-256 %x, and not %s)", name, have.Hash, hashHex(m))
		case !have.Valid():
			return fmt.Errorf("the board has the %s, and does not accept it (%s): it is in safe mode", name, failedChecks(have))
		}
		return nil
	}
	return fmt.Errorf("the board does not list a %s: it did not apply the image", name)
}

// failedChecks names what a module did not pass.
func failedChecks(m pdc.ModuleInfo) string {
	failed := m.Checked &^ m.Passed
	var names []string
	for _, c := range []struct {
		check pdc.ModuleChecks
		name  string
	}{
		{pdc.CheckIntegrity, "integrity"},
		{pdc.CheckDependencies | pdc.CheckDependenciesFull, "dependencies"},
		{pdc.CheckRange, "address"},
		{pdc.CheckPlatform, "platform"},
		{pdc.CheckProduct, "product"},
	} {
		if failed&c.check != 0 {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ", ")
}
