package fakerig

import (
	"context"
	"testing"
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/rigtest"
)

// modem is how long a datagram takes on its way.
const modem = 100 * time.Millisecond

// imageSize in bytes: more than 20 chunks.
const imageSize = 48_000

// TestPowerCutAfterChunk cuts the power when chunk 17 is acknowledged: the board
// comes back with what it ran, and takes the whole image then.
func TestPowerCutAfterChunk(t *testing.T) {
	t.Parallel() // boards take their time
	for _, name := range []string{"boron@6.2.0", "photon@2.3.1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, env, l := startWith(t, modem, "board-1", name)
			interrupt(t, b, env, target.AfterChunk(17), func(d *target.Device) {
				d.CutPower()
				absent(b.Boards[0])
				d.PowerOn()
			})
			if !l.has("power: board-1: cut by hub") {
				t.Error("the power was not cut by the hub")
			}
		})
	}
}

// TestResetDuringUpdate holds the reset pin in the middle of an update.
func TestResetDuringUpdate(t *testing.T) {
	t.Parallel() // boards take their time
	b, env, _ := startWith(t, modem, "board-1", "boron@6.2.0")
	interrupt(t, b, env, target.AfterChunk(9), func(*target.Device) {
		b.Boards[0].Pin(true)
		b.Boards[0].Pin(false)
	})
}

// absent waits until a board is off the bus.
func absent(board *rigtest.Firmware) {
	for gone := false; !gone; {
		changed := board.Changed()
		if gone = !board.Present(); !gone {
			<-changed
		}
	}
}

// interrupt sends an image and does something at a moment of that, behind which
// the image must arrive all the same.
func interrupt(t *testing.T, b *Bench, env *target.Env, at target.Moment, do func(*target.Device)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	d := env.Devices()[0]
	d.Bring(ctx)
	boots := b.Boards[0].Boots()
	mark := d.Mark()
	reached, forget := d.When(at, func() { do(d) })
	defer forget()
	if err := env.Flash(ctx, d, target.Image(d, imageSize), nil); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	select {
	case <-reached:
	default:
		t.Fatalf("it never was %s", at)
	}
	if n := b.Boards[0].Boots(); n < boots+2 {
		t.Errorf("%d starts: one by us and one with the new image are due", n-boots)
	}
	starts := 0
	for _, p := range d.Packets(mark) {
		for _, m := range p.Messages() {
			if m.Repeat == 0 && (m.Kind == pdc.KindUpdateStart || m.Kind == pdc.KindUpdateBegin) {
				starts++
			}
		}
	}
	if starts < 2 {
		t.Errorf("%d transfers were begun: the interruption ended none", starts)
	}
}

// TestSleep sends a board to sleep: its bus goes quiet, it wakes by itself, and
// its session goes on.
func TestSleep(t *testing.T) {
	t.Parallel() // boards take their time
	b, env, l := start(t, "board-1", "boron@6.2.0")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	d := env.Devices()[0]
	d.Bring(ctx)
	mark := d.Mark()
	if v, err := env.Call(ctx, d, target.FunctionSleep, "1"); err != nil || v != 1 {
		t.Fatal(v, err)
	}
	board := b.Boards[0]
	absent(board)
	online, err := d.AwaitOnline(ctx, mark)
	if err != nil || !online.Resumed {
		t.Errorf("%+v, %v: it does not go on with its session", online, err)
	}
	for back := false; !back; {
		changed := board.Changed()
		if back = board.Present(); !back {
			<-changed
		}
	}
	if !l.has("the port is gone") {
		t.Error("nobody saw it go")
	}
}
