package rigtest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/dfu/fakedfu"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/flash"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/rigtest"
)

func TestMain(m *testing.M) {
	fakedfu.MainIfAsked()
	os.Exit(m.Run())
}

const id = "e00fce68aabbccddeeff0011"

const all = pdc.CheckIntegrity | pdc.CheckDependencies

func modules() []pdc.ModuleInfo {
	return []pdc.ModuleInfo{
		{Function: pdc.ModuleSystemPart, Index: 1, Version: 6200, Checked: all, Passed: all},
		{Function: pdc.ModuleUserPart, Index: 1, Version: 1, Checked: all, Passed: all},
	}
}

func app(t *testing.T, version uint16) *flash.Image {
	t.Helper()
	m := module.Module{Prefix: module.Prefix{
		Platform: pdc.Boron, Function: pdc.ModuleUserPart, Index: 1, Version: version, Start: 0xb4000,
		Dependencies: [2]module.Dependency{{Function: pdc.ModuleSystemPart, Index: 1, Version: 5000}},
	}, Body: bytes.Repeat([]byte("application "), 1500)}
	i, err := flash.Parse("app.bin", m.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestOnRealBus has the fake board on the machine's own USB bus: what is tested
// is our usbfs and sysfs code against the kernel, and our dfu-util driver against
// the real program. See vm.sh for a machine to run it on.
func TestOnRealBus(t *testing.T) {
	if !rigtest.HasUSBIP() {
		if os.Getenv("MUSTER_REQUIRE_USBIP") != "" {
			t.Fatal("no vhci-hcd here, or not root")
		}
		t.Skip("no vhci-hcd here, or not root: rigs/rigtest/vm.sh runs this in a virtual machine")
	}
	bench, err := rigtest.New()
	if err != nil {
		t.Fatal(err)
	}
	defer bench.Close() //nolint:errcheck // the test ends
	board, err := bench.Plug(fake.Spec{Serial: id, Platform: fake.Boron, Path: "1-1"}, modules())
	if err != nil {
		t.Fatal(err)
	}
	bus := rigtest.PutOnBus(board, 0)
	defer func() {
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	}()
	host := &handle.Host{Look: inventory.Ports, DFU: dfu.Tool{Program: "dfu-util"}, Within: 2 * time.Minute}
	ctx, stop := context.WithTimeout(context.Background(), 12*time.Minute)
	defer stop()

	var b *handle.Board
	for b == nil {
		if b, err = host.Find(id); err != nil && !errors.Is(err, handle.ErrNoBoard) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	t.Logf("found %s", b)
	err = b.AskOnceUp(ctx, func(d *control.Device) error {
		got, err := d.DeviceID(ctx)
		if err == nil && got != "E00FCE68AABBCCDDEEFF0011" && got != id {
			t.Errorf("device id %q", got)
		}
		version, err2 := d.Version(ctx)
		diagnostics, err3 := d.Diagnostics(ctx)
		t.Logf("Device OS %s, diagnostics %s", version, diagnostics)
		return errors.Join(err, err2, err3)
	})
	if err != nil {
		t.Fatalf("control requests over usbfs: %v", err)
	}

	tell := func(p flash.Progress) { t.Logf("%s %d/%d", p.Stage, p.Done, p.Total) }
	for n, way := range []flash.Way{flash.Control{}, flash.DFU{}} {
		if _, err := flash.Flash(ctx, b, app(t, uint16(2+n)), way, flash.Options{}, tell); err != nil {
			t.Fatalf("flashing by %s: %v", way.Name(), err)
		}
		if got := board.Modules()[1].Version; got != uint32(2+n) {
			t.Errorf("%s: the board runs %d", way.Name(), got)
		}
	}

	s, err := b.EnterDFU(ctx)
	if err != nil {
		t.Fatal(err)
	}
	list, err := host.DFU.List(ctx)
	if err != nil || len(list) != 3 || list[0].Path != b.Path || list[0].Serial != id {
		t.Fatalf("dfu-util -l: %+v, %v", list, err)
	}
	target := b.Target(s)
	secret := bytes.Repeat([]byte("0123456789"), 32)
	w := dfu.Write{Region: dfu.Region{Alt: dfu.Configuration, Address: 3298, Size: len(secret)}, Data: secret}
	var bars []dfu.Progress
	if err := host.DFU.Write(ctx, target, w, false, func(p dfu.Progress) { bars = append(bars, p) }); err != nil {
		t.Fatal(err)
	}
	if len(bars) == 0 || bars[len(bars)-1] != (dfu.Progress{Phase: "Download", Bytes: 320}) {
		t.Errorf("progress of the real program: %+v", bars)
	}
	got, err := host.DFU.Read(ctx, target, w.Region, false)
	if err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("read back: %v", err)
	}
	outside := w
	outside.Address = 0x10000000
	if err := host.DFU.Write(ctx, target, outside, false, nil); !errors.Is(err, dfu.ErrProtected) {
		t.Errorf("outside of the memory: %v", err)
	}
	nobody := target
	nobody.Path = "9-9"
	if _, err := host.DFU.Read(ctx, nobody, w.Region, false); !errors.Is(err, dfu.ErrNoBoard) {
		t.Errorf("no such board: %v", err)
	}
	board.Fail(rigtest.Faults{DFU: func(bool, int, uint32) error {
		board.Unplug()
		return nil
	}})
	if err := host.DFU.Write(ctx, target, w, false, nil); !errors.Is(err, dfu.ErrInterrupted) {
		t.Errorf("unplugged: %v", err)
	}
	board.Fail(rigtest.Faults{})
	board.Plug()
	if _, err := b.Running(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.EnterDFU(ctx); err != nil {
		t.Fatal(err)
	}
	if s, err = b.State(); err != nil {
		t.Fatal(err)
	}
	if err := host.DFU.Leave(ctx, b.Target(s)); err != nil {
		t.Errorf("leaving: %v", err)
	}
	if _, err := b.Running(ctx); err != nil {
		t.Error(err)
	}

	// A board that leaves in the middle of a request.
	board.Fail(rigtest.Faults{Chunk: func(n int) {
		if n > 0 {
			board.Unplug()
		}
	}})
	if _, err := flash.Flash(ctx, b, app(t, 9), flash.Control{}, flash.Options{}, tell); !errors.Is(err, control.ErrGone) {
		t.Errorf("unplugged while it is flashed: %v", err)
	}
}
