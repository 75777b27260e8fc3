package dfu

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/muster/muster/rigs/dfu/fakedfu"
)

func TestMain(m *testing.M) {
	fakedfu.MainIfAsked()
	os.Exit(m.Run())
}

// memory is a board's, by alternate setting.
type memory struct {
	mu    sync.Mutex
	bytes [3][1 << 16]byte
	err   error // of the next access
	left  bool
}

func (m *memory) board() fakedfu.Board {
	return fakedfu.Board{
		Vendor: 0x2b04, Product: 0xd00d, Path: "1-1.4", Serial: "000000000001", Alts: fakedfu.DefaultAlts(),
		Read: func(alt int, address uint32, n int) ([]byte, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return bytes.Clone(m.bytes[alt][address : int(address)+n]), m.err
		},
		Write: func(alt int, address uint32, data []byte) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			copy(m.bytes[alt][address:], data)
			return m.err
		},
		Leave: func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.left = true
		},
	}
}

func (m *memory) hasLeft() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left
}

var boron = Target{Vendor: 0x2b04, Product: 0xd00d, Path: "1-1.4"}

func start(t *testing.T, boards ...*memory) Tool {
	t.Helper()
	server, err := fakedfu.Serve(t.TempDir(), func() (all []fakedfu.Board) {
		for i, m := range boards {
			b := m.board()
			if i > 0 {
				b.Path = "1-2"
			}
			all = append(all, b)
		}
		return all
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return Tool{Program: server.Program(), Scratch: t.TempDir()}
}

func TestReadAndWrite(t *testing.T) {
	m := &memory{}
	tool := start(t, m)
	ctx := context.Background()
	data := bytes.Repeat([]byte("key"), 3000)
	var seen []Progress
	w := Write{Region{Configuration, 3298, len(data)}, data}
	if err := tool.Write(ctx, boron, w, false, func(p Progress) { seen = append(seen, p) }); err != nil {
		t.Fatal(err)
	}
	if len(seen) < 4 || seen[0] != (Progress{"Erase", 0}) || seen[len(seen)-1] != (Progress{"Download", int64(len(data))}) {
		t.Errorf("progress %v", seen)
	}
	if m.hasLeft() {
		t.Error("it left DFU mode untold")
	}
	got, err := tool.Read(ctx, boron, w.Region, true)
	if err != nil || !bytes.Equal(got, data) || !m.hasLeft() {
		t.Errorf("read %d bytes, %v, left: %v", len(got), err, m.hasLeft())
	}
	if entries, _ := os.ReadDir(tool.Scratch); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
	m.mu.Lock()
	m.left = false
	m.mu.Unlock()
	if err := tool.Leave(ctx, boron); err != nil || !m.hasLeft() {
		t.Errorf("leaving: %v, %v", err, m.hasLeft())
	}
	if version, err := tool.Version(ctx); err != nil || version != "0.11" {
		t.Errorf("version %q, %v", version, err)
	}
}

func TestList(t *testing.T) {
	all, err := start(t, &memory{}, &memory{}).List(context.Background())
	if err != nil || len(all) != 6 {
		t.Fatalf("%+v, %v", all, err)
	}
	want := Found{Vendor: 0x2b04, Product: 0xd00d, Path: "1-2", Serial: "000000000001", Alt: 1, Name: "@DCT Flash   /0x00000000/2*008Kg"}
	if all[4] != want {
		t.Errorf("%+v, want %+v", all[4], want)
	}
}

// TestListOfOldVersions: as Particle's documentation shows it of 0.9, and without
// a path, as of 0.8.
func TestListOfOldVersions(t *testing.T) {
	for _, line := range []string{
		`ver=0200, devnum=18, cfg=1, intf=0, path="253-1.1.6", alt=0, name="@Internal Flash   /0x08000000/03*016Ka,01*016Kg,01*064Kg,07*128Kg", serial="00000000010C"`,
		`ver=0200, devnum=37, cfg=1, intf=0, alt=1, name="@DCT Flash /0x00000000/01*016Kg", serial="00000000010C"`,
	} {
		a := attributes(line)
		if a["serial"] != "00000000010C" || !strings.HasPrefix(a["name"], "@") || a["devnum"] == "" || (a["path"] != "") != strings.Contains(line, "path") {
			t.Errorf("%s: %v", line, a)
		}
	}
}

func TestFailuresAreSentences(t *testing.T) {
	ctx := context.Background()
	region := Region{Configuration, 3298, 320}
	write := Write{region, make([]byte, 320)}
	t.Run("no program", func(t *testing.T) {
		_, err := Tool{Program: filepath.Join(t.TempDir(), "dfu-util")}.List(ctx)
		if !errors.Is(err, ErrNoProgram) || !strings.Contains(err.Error(), "apt-get install dfu-util") {
			t.Error(err)
		}
	})
	t.Run("no board", func(t *testing.T) {
		if _, err := start(t).Read(ctx, boron, region, false); !errors.Is(err, ErrNoBoard) {
			t.Error(err)
		}
	})
	t.Run("two boards", func(t *testing.T) {
		anyone := boron
		anyone.Path, anyone.Serial = "", "000000000001"
		if _, err := start(t, &memory{}, &memory{}).Read(ctx, anyone, region, false); !errors.Is(err, ErrAmbiguous) {
			t.Error(err)
		}
	})
	for name, test := range map[string]struct{ is, want error }{
		"unplugged": {fakedfu.ErrGone, ErrInterrupted},
		"protected": {fakedfu.ErrProtected, ErrProtected},
	} {
		t.Run(name, func(t *testing.T) {
			tool := start(t, &memory{err: test.is})
			if err := tool.Write(ctx, boron, write, true, nil); !errors.Is(err, test.want) || !strings.Contains(err.Error(), "320 bytes at 0xce2") {
				t.Errorf("writing: %v", err)
			}
			if _, err := tool.Read(ctx, boron, region, false); !errors.Is(err, test.want) {
				t.Errorf("reading: %v", err)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, stop := context.WithCancel(ctx)
		stop()
		if err := start(t, &memory{}).Write(ctx, boron, write, false, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// script is a dfu-util that says and ends as told.
func script(t *testing.T, body string) Tool {
	t.Helper()
	name := filepath.Join(t.TempDir(), "dfu-util")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return Tool{Program: name, Scratch: t.TempDir()}
}

// TestGoneAfterLeaving: bootloaders that are faster than dfu-util's last question
// have done what they were told.
func TestGoneAfterLeaving(t *testing.T) {
	tool := script(t, "echo 'File downloaded successfully'; echo 'dfu-util: Error during download get_status' >&2; exit 70")
	w := Write{Region{0, 0, 1}, []byte{1}}
	if err := tool.Write(context.Background(), boron, w, true, nil); err != nil {
		t.Error(err)
	}
	if err := tool.Write(context.Background(), boron, w, false, nil); err == nil || !strings.Contains(err.Error(), "get_status") {
		t.Errorf("and one that was to stay: %v", err)
	}
	if _, err := script(t, "exit 0").Read(context.Background(), boron, Region{0, 0, 1}, false); err == nil {
		t.Error("a read without a file went unsaid")
	}
	if _, err := script(t, "echo hello").Version(context.Background()); err == nil {
		t.Error("a program that is no dfu-util went unsaid")
	}
	if err := script(t, "echo 'dfu-util: Cannot open device: LIBUSB_ERROR_ACCESS' >&2; exit 74").Write(context.Background(), boron, w, false, nil); !errors.Is(err, ErrPermission) {
		t.Error(err)
	}
}

// TestHold: a lock lasts as long as the program.
func TestHold(t *testing.T) {
	held, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	tool := script(t, "echo held >&3")
	tool.Hold = []*os.File{held}
	_, _ = tool.List(context.Background())
	if b, err := os.ReadFile(held.Name()); err != nil || string(b) != "held\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestRealProgram: the real dfu-util takes our options, and says what we look
// for, as far as that shows without a board.
func TestRealProgram(t *testing.T) {
	if _, err := exec.LookPath("dfu-util"); err != nil {
		if os.Getenv("MUSTER_REQUIRE_PEERS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	tool := Tool{Scratch: t.TempDir()}
	ctx := context.Background()
	if version, err := tool.Version(ctx); err != nil || version == "" {
		t.Errorf("version %q, %v", version, err)
	}
	nowhere := boron
	nowhere.Path = "99-9.9"
	if _, err := tool.List(ctx); err != nil && !strings.Contains(err.Error(), "libusb") {
		t.Errorf("list: %v", err)
	}
	for _, leave := range []bool{false, true} {
		if err := tool.Write(ctx, nowhere, Write{Region{0, 0, 4}, []byte("test")}, leave, nil); !errors.Is(err, ErrNoBoard) && !strings.Contains(err.Error(), "libusb") {
			t.Errorf("write: %v", err)
		}
		if _, err := tool.Read(ctx, nowhere, Region{1, 34, 612}, leave); !errors.Is(err, ErrNoBoard) && !strings.Contains(err.Error(), "libusb") {
			t.Errorf("read: %v", err)
		}
	}
}
