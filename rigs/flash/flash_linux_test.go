package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/dfu/fakedfu"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/restapi"
	"github.com/muster/muster/rigs/rigtest"
	"github.com/muster/muster/rigs/ymodem"
)

func TestMain(m *testing.M) {
	fakedfu.MainIfAsked()
	os.Exit(m.Run())
}

const id = "e00fce68aabbccddeeff0011"

const all = pdc.CheckIntegrity | pdc.CheckDependencies | pdc.CheckRange | pdc.CheckPlatform

// installed is what a board runs: a system, and an application of version 6.
func installed(system uint32) []pdc.ModuleInfo {
	return []pdc.ModuleInfo{
		{Function: pdc.ModuleSystemPart, Index: 1, Version: system, MaxSize: 655360, Checked: all, Passed: all},
		{Function: pdc.ModuleUserPart, Index: 1, Version: 6, MaxSize: 131072, Checked: all, Passed: all, Hash: make([]byte, 32)},
	}
}

// build makes an application that needs a system.
func build(p pdc.Platform, version, needs uint16, change func(*module.Module)) []byte {
	m := module.Module{Prefix: module.Prefix{
		Platform: p, Function: pdc.ModuleUserPart, Index: 1, Version: version, Start: 0xb4000,
		Dependencies: [2]module.Dependency{{Function: pdc.ModuleSystemPart, Index: 1, Version: needs}},
	}, Body: bytes.Repeat([]byte("application "), 900)}
	if change != nil {
		change(&m)
	}
	return m.Append(nil)
}

func parse(t *testing.T, data []byte) *Image {
	t.Helper()
	i, err := Parse("app.bin", data)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

type bench struct {
	*rigtest.Bench
	board *rigtest.Firmware
	told  []string
}

func newBench(t *testing.T, platform uint8, version string) *bench {
	t.Helper()
	b, err := rigtest.New()
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	board, err := b.Plug(fake.Spec{Serial: id, Platform: platform, DeviceOS: version, Path: "1-1.4"}, installed(3100))
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Bench: b, board: board}
}

func (b *bench) flash(t *testing.T, i *Image, way Way, o Options) (Result, error) {
	t.Helper()
	h, err := b.Host.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	return Flash(ctx, h, i, way, o, func(p Progress) { b.told = append(b.told, p.Stage) })
}

func TestFlash(t *testing.T) {
	for _, test := range []struct {
		way      Way
		platform uint8
		version  string
		no       bool // control requests
		unknown  bool // what it runs then
	}{
		{Control{}, fake.Boron, "6.2.0", false, false},
		{DFU{}, fake.Boron, "6.2.0", false, false},
		{DFU{}, fake.Photon, "0.7.0", true, false}, // by the touch, and asked on its console
		{YModem{}, fake.Boron, "3.1.0", false, false},
		{YModem{}, fake.Photon, "0.7.0", true, false},
		{DFU{}, fake.Boron, "6.2.0", true, true}, // it takes no touch to listen
	} {
		t.Run(fmt.Sprintf("%s/%s/%v", test.way.Name(), test.version, test.no), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.platform, test.version)
			b.board.Fail(rigtest.Faults{NoRequests: test.no})
			image := parse(t, build(pdc.Platform(test.platform), 7, 3000, nil))
			r, err := b.flash(t, image, test.way, Options{})
			if test.unknown && !errors.Is(err, ErrUnverified) || !test.unknown && err != nil {
				t.Fatalf("%v; %q", err, b.told)
			}
			user := b.board.Modules()[1]
			if user.Version != 7 || !bytes.Equal(user.Hash, image.Modules[0].Hash[:]) || b.board.Installs() != 1 || b.board.Mode() != fake.Normal {
				t.Errorf("runs %+v, in %s mode", user, b.board.Mode())
			}
			if !test.unknown && (len(r.After) != 2 || r.After[1].Version != 7) {
				t.Errorf("told %+v", r.After)
			}
			if !test.no && (len(r.Before) != 2 || r.Before[1].Version != 6 || r.After[1].Version != 7) {
				t.Errorf("%+v", r)
			}
			if len(b.told) < 4 {
				t.Errorf("progress %q", b.told)
			}
		})
	}
}

// TestWrongImages are refused with a sentence, before the board is touched.
func TestWrongImages(t *testing.T) {
	b := newBench(t, fake.Boron, "6.2.0")
	big := func(m *module.Module) { m.Body = make([]byte, 131073) }
	for name, test := range map[string]struct {
		image []byte
		says  string
	}{
		"platform":   {build(pdc.Argon, 7, 3000, nil), "this image is for argon, and the board is boron"},
		"dependency": {build(pdc.Boron, 7, 6200, nil), "needs system part 1 in version 6200, and the board has version 3100: flash that first"},
		"size":       {build(pdc.Boron, 7, 3000, big), "slot for its application holds 131072"},
		"function":   {build(pdc.Boron, 7, 3000, func(m *module.Module) { m.Function = pdc.ModuleSettings }), "does not fit"},
	} {
		_, err := b.flash(t, parse(t, test.image), Control{}, Options{})
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.board.Installs() != 0 || b.board.Boots() != 1 {
		t.Errorf("the board was touched: %d installs, %d boots", b.board.Installs(), b.board.Boots())
	}
	// With --force an application may come before its system; a wrong platform never.
	_, err := b.flash(t, parse(t, build(pdc.Boron, 7, 6200, nil)), Control{}, Options{Force: true})
	if err == nil || !strings.Contains(err.Error(), "dependencies") || !strings.Contains(err.Error(), "safe mode") || b.board.Installs() != 1 {
		t.Errorf("forced: %v", err)
	}
	if _, err = b.flash(t, parse(t, build(pdc.Argon, 7, 0, nil)), Control{}, Options{Force: true}); err == nil || b.board.Installs() != 1 {
		t.Errorf("forced, for another platform: %v", err)
	}
}

func TestWrongFiles(t *testing.T) {
	whole := build(pdc.Boron, 7, 3000, nil)
	damaged := bytes.Clone(whole)
	damaged[500] ^= 1
	for name, test := range map[string]struct {
		data []byte
		says string
	}{
		"empty":   {nil, "no firmware image"},
		"text":    {[]byte("#include <Particle.h>\nvoid setup() {}\nvoid loop() {}\n\n\n\n\n\n\n"), "no firmware image"},
		"bundle":  {append([]byte("PK\x03\x04"), whole...), "unzip"},
		"damaged": {damaged, "checksum"},
		"cut":     {whole[:len(whole)-10], "no firmware image"},
	} {
		file := filepath.Join(t.TempDir(), "app.bin")
		if err := os.WriteFile(file, test.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load("/dev/zero"); err == nil || !strings.Contains(err.Error(), "/dev/zero has more than") {
		t.Error(err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.bin")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	i := parse(t, build(pdc.Boron, 7, 3000, func(m *module.Module) { m.Product = &module.Product{ID: 1234, Version: 9} }))
	if s := i.String(); !strings.Contains(s, "application for boron, version 7, product 1234 version 9 (") {
		t.Error(s)
	}
}

// TestUnplugged in the middle: a sentence, and a board that works when it comes
// back.
func TestUnplugged(t *testing.T) {
	for _, test := range []struct {
		way     Way
		version string
		fault   func(*rigtest.Firmware) rigtest.Faults
		is      error
		says    string
	}{
		{Control{}, "6.2.0", func(f *rigtest.Firmware) rigtest.Faults {
			return rigtest.Faults{Chunk: func(n int) {
				if n >= 4096 {
					f.Unplug()
				}
			}}
		}, control.ErrGone, kept},
		{DFU{}, "6.2.0", func(f *rigtest.Firmware) rigtest.Faults {
			return rigtest.Faults{DFU: func(_ bool, _ int, address uint32) error {
				if address > 0xb4000 {
					f.Unplug()
				}
				return nil
			}}
		}, dfu.ErrInterrupted, "half written"},
	} {
		t.Run(test.way.Name(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fake.Boron, test.version)
			b.board.Fail(test.fault(b.board))
			image := parse(t, build(pdc.Boron, 7, 3000, nil))
			_, err := b.flash(t, image, test.way, Options{})
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) || b.board.Installs() != 0 {
				t.Fatalf("%v", err)
			}
			b.board.Fail(rigtest.Faults{})
			b.board.Plug()
			h := b.Host.At(id, "1-1.4", pdc.Boron)
			if _, err := h.Await(context.Background(), "back", func(handle.Seen) bool { return true }); err != nil {
				t.Fatal(err)
			}
			if _, err := b.flash(t, image, test.way, Options{}); err != nil || b.board.Modules()[1].Version != 7 {
				t.Errorf("a second try: %v", err)
			}
		})
	}
}

// TestUnpluggedFromItsConsole in the middle of a transfer over it.
func TestUnpluggedFromItsConsole(t *testing.T) {
	b := newBench(t, fake.Boron, "5.8.0")
	image := parse(t, build(pdc.Boron, 7, 3000, func(m *module.Module) { m.Body = make([]byte, 30000) }))
	h, err := b.Host.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Flash(context.Background(), h, image, YModem{}, Options{}, func(p Progress) {
		if p.Stage == "sending" && p.Done >= 4096 {
			b.board.Unplug()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "the board left in the middle: it was unplugged") || !strings.Contains(err.Error(), kept) || b.board.Installs() != 0 {
		t.Errorf("%v", err)
	}
}

func TestBoardsThatDoNotApply(t *testing.T) {
	for _, way := range []Way{Control{}, DFU{}} {
		b := newBench(t, fake.Boron, "6.2.0")
		b.board.Fail(rigtest.Faults{KeepsOld: true})
		_, err := b.flash(t, parse(t, build(pdc.Boron, 7, 3000, nil)), way, Options{})
		if err == nil || !strings.Contains(err.Error(), "runs application version 6 and not 7") {
			t.Errorf("%s: %v", way.Name(), err)
		}
		_, err = b.flash(t, parse(t, build(pdc.Boron, 6, 3000, nil)), way, Options{})
		if err == nil || !strings.Contains(err.Error(), "another application than the image") {
			t.Errorf("%s, same version: %v", way.Name(), err)
		}
	}
}

func TestSilentBoard(t *testing.T) {
	b := newBench(t, fake.Boron, "6.2.0")
	b.board.Hang(fake.OnlyPower)
	b.Host.Within = 300 * time.Millisecond
	_, err := b.flash(t, parse(t, build(pdc.Boron, 7, 3000, nil)), Control{}, Options{})
	if !errors.Is(err, control.ErrSilent) {
		t.Error(err)
	}
	b.board.Unplug()
	h := b.Host.At(id, "1-1.4", pdc.Boron)
	if _, err := Flash(context.Background(), h, parse(t, build(pdc.Boron, 7, 3000, nil)), Control{}, Options{}, func(Progress) {}); !errors.Is(err, handle.ErrNoBoard) {
		t.Errorf("away: %v", err)
	}
}

func TestNoDFUUtil(t *testing.T) {
	b := newBench(t, fake.Boron, "6.2.0")
	b.Host.DFU.Program = filepath.Join(t.TempDir(), "dfu-util")
	_, err := b.flash(t, parse(t, build(pdc.Boron, 7, 3000, nil)), DFU{}, Options{})
	if !errors.Is(err, dfu.ErrNoProgram) || b.board.Boots() != 1 || b.board.Mode() != fake.Normal {
		t.Errorf("%v, in %s mode", err, b.board.Mode())
	}
}

func TestYModemIsGone(t *testing.T) {
	b := newBench(t, fake.Boron, "6.2.0")
	_, err := b.flash(t, parse(t, build(pdc.Boron, 7, 3000, nil)), YModem{}, Options{})
	if !errors.Is(err, ymodem.ErrUnsupported) || !strings.Contains(err.Error(), kept) || b.board.Mode() != fake.Normal {
		t.Errorf("%v, in %s mode", err, b.board.Mode())
	}
}

func TestInterrupted(t *testing.T) {
	b := newBench(t, fake.Boron, "6.2.0")
	ctx, stop := context.WithCancel(context.Background())
	b.board.Fail(rigtest.Faults{Chunk: func(int) { stop() }})
	h, err := b.Host.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Flash(ctx, h, parse(t, build(pdc.Boron, 7, 3000, nil)), Control{}, Options{}, func(Progress) {})
	if !errors.Is(err, context.Canceled) || b.board.Installs() != 0 || b.board.Mode() != fake.Normal {
		t.Errorf("%v, in %s mode", err, b.board.Mode())
	}
}

// TestOTAOrders: clouds differ in when they say what.
func TestOTAOrders(t *testing.T) {
	for events, done := range map[string]bool{
		"started,success,offline,online":  true,
		"started,offline,online,success":  true, // the reference cloud
		"online,started,success":          false,
		"started,online,success":          false, // it lost its network in the middle
		"started,online,success,online":   true,
		"started,offline,success":         false,
		"success,online":                  true, // the beginning was missed
		"offline,online,started,success":  false,
		"started,offline,online,started,": false,
	} {
		var s sequence
		for _, e := range strings.Split(events, ",") {
			name := "spark/flash/status"
			if strings.HasSuffix(e, "line") {
				name = "spark/status"
			}
			if _, err := s.hear(name, e); err != nil {
				t.Fatal(err)
			}
		}
		if s.done() != done {
			t.Errorf("%s: done %v, want %v", events, s.done(), done)
		}
	}
	var s sequence
	if _, err := s.hear("spark/flash/status", "failed"); err == nil {
		t.Error("a failure went unsaid")
	}
}

// TestOTA is a cloud that does what it is told; the real one is tested with it in
// package harness.
func TestOTA(t *testing.T) {
	for how, says := range map[string]string{"taken": "", "refused": "refused the image", "unplugged": "the board is not plugged in: plug it in"} {
		b := newBench(t, fake.Boron, "6.2.0")
		within := time.Minute
		if how == "unplugged" {
			within = time.Second // nothing is to come
		}
		events := make(chan string, 10)
		mux := http.NewServeMux()
		mux.HandleFunc("GET /v1/devices/"+id+"/events", func(w http.ResponseWriter, q *http.Request) {
			_ = http.NewResponseController(w).Flush()
			for {
				select {
				case <-q.Context().Done():
					return
				case e := <-events:
					name, data, _ := strings.Cut(e, "=")
					fmt.Fprintf(w, "event: %s\ndata: {\"data\":%q,\"coreid\":%q}\n\n", name, data, id)
					_ = http.NewResponseController(w).Flush()
				}
			}
		})
		mux.HandleFunc("PUT /v1/devices/"+id, func(w http.ResponseWriter, q *http.Request) {
			file, _, _ := q.FormFile("file")
			image, _ := io.ReadAll(file)
			events <- "spark/status=online" // of before
			events <- "spark/flash/status=started "
			switch how {
			case "refused":
				events <- "spark/flash/status=failed "
			case "unplugged":
				b.board.Unplug()
			default:
				err := b.board.Spec().Install(b.board.Board, "", image)
				if err != nil {
					t.Error(err)
				}
				b.board.Reset()
				events <- "spark/flash/status=success "
				events <- "spark/status=online"
			}
			fmt.Fprint(w, `{"status":"Update started"}`)
		})
		server := httptest.NewServer(mux)
		cloud, err := restapi.New(server.URL, "token", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.flash(t, parse(t, build(pdc.Boron, 7, 3000, nil)), OTA{Cloud: cloud, Within: within}, Options{})
		if says != "" && (err == nil || !strings.Contains(err.Error(), says)) || says == "" && (err != nil || b.board.Installs() != 1) {
			t.Errorf("%s: %v, %q", how, err, b.told)
		}
		server.CloseClientConnections()
		server.Close()
	}
}
