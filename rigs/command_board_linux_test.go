package rigs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/dfu/fakedfu"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/lease"
	"github.com/muster/muster/rigs/power"
	"github.com/muster/muster/rigs/rigtest"
)

func TestMain(m *testing.M) {
	fakedfu.MainIfAsked()
	musterIfAsked()
	os.Exit(m.Run())
}

// desktop is a bench with one board and the commands that a person has.
type desktop struct {
	*rigtest.Bench
	board *rigtest.Firmware
}

func newDesktop(t *testing.T) *desktop {
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
	const all = pdc.CheckIntegrity | pdc.CheckDependencies
	board, err := b.Plug(fake.Spec{Serial: id, Platform: fake.Boron, Path: "1-1"}, []pdc.ModuleInfo{
		{Function: pdc.ModuleSystemPart, Index: 1, Version: 6200, Checked: all, Passed: all},
		{Function: pdc.ModuleUserPart, Index: 1, Version: 1, Checked: all, Passed: all},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MUSTER_LOCK_DIR", t.TempDir())
	t.Setenv("MUSTER_RIGS", filepath.Join(t.TempDir(), "rigs.yaml"))
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("MUSTER_TOKEN", "token")
	return &desktop{b, board}
}

// run runs a command as a person does, and returns all that it prints.
func (d *desktop) run(args ...string) (string, error) {
	return d.runIn(context.Background(), nil, args...)
}

// runIn is run with a context and an input.
func (d *desktop) runIn(ctx context.Context, in io.Reader, args ...string) (string, error) {
	out := newLocked()
	err := d.runTo(ctx, in, out, args...)
	return out.String(), err
}

func (d *desktop) runTo(ctx context.Context, in io.Reader, out *locked, args ...string) error {
	cmd := rigCommand(d.Host.Look, &d.Host, bench.Options{
		Tree: inventory.Tree{Sys: d.Sys(), Dev: d.Dev()}, Control: d.Host.Control, Times: power.Times{Off: 20 * time.Millisecond, Vanish: 10 * time.Second},
	})
	cmd.SetIn(in)
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	return cmd.ExecuteContext(ctx)
}

// locked is a buffer that many may write to, and that can be waited for.
type locked struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func newLocked() *locked { return &locked{more: make(chan struct{}, 1)} }

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.b.Write(b)
}

// await waits until the text was written n times.
func (l *locked) await(text string, n int) {
	for strings.Count(l.String(), text) < n {
		<-l.more
	}
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (d *desktop) app(t *testing.T, platform pdc.Platform, version uint16) string {
	t.Helper()
	m := module.Module{Prefix: module.Prefix{
		Platform: platform, Function: pdc.ModuleUserPart, Index: 1, Version: version, Start: 0xb4000,
		Dependencies: [2]module.Dependency{{Function: pdc.ModuleSystemPart, Index: 1, Version: 5000}},
	}, Body: make([]byte, 3000)}
	file := filepath.Join(t.TempDir(), "app.bin")
	if err := os.WriteFile(file, m.Append(nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func has(t *testing.T, out string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}

func TestControlCommand(t *testing.T) {
	d := newDesktop(t)
	out, err := d.run("control", id, "info")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "device id", id, "Device OS      6.2.0", "mode           normal")
	if strings.Contains(out, "serial number") {
		t.Errorf("what the board does not tell is made up:\n%s", out)
	}
	if out, err = d.run("control", "1-1", "modules"); err != nil {
		t.Fatal(err)
	}
	has(t, out, "system part", "6200", "valid")
	if out, err = d.run("control", id, "diagnostics"); err != nil || !strings.Contains(out, `"network": {}`) {
		t.Errorf("%s, %v", out, err)
	}
	if _, err = d.run("control", id, "listen"); err != nil || d.board.Mode() != fake.Listening {
		t.Errorf("%v, in %s mode", err, d.board.Mode())
	}
	var usage interface{ Usage() }
	if _, err = d.run("control", id, "dance"); !errors.As(err, &usage) || !strings.Contains(err.Error(), "force-reset") {
		t.Error(err)
	}
	if _, err = d.run("control", "nobody", "info"); err == nil || !strings.Contains(err.Error(), "rig scan") {
		t.Error(err)
	}
	// Its application keeps its system busy, and the person loses patience.
	d.board.Fail(rigtest.Faults{Busy: true})
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	var exit interface{ ExitCode() int }
	if err := d.runTo(impatient, nil, newLocked(), "control", id, "info"); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, want exit code %d", err, exitInterrupted)
	}
}

func TestFlashCommand(t *testing.T) {
	d := newDesktop(t)
	app := d.app(t, pdc.Boron, 2)
	out, err := d.run("flash", id, app, "--dry-run")
	if err != nil || d.board.Installs() != 0 {
		t.Fatalf("%v, %s", err, out)
	}
	has(t, out, "application for boron, version 2", "fits the board", "6200")
	if out, err = d.run("flash", id, app); err != nil || d.board.Modules()[1].Version != 2 {
		t.Fatalf("%v, %s", err, out)
	}
	has(t, out, "sending", "flashed by control")
	d.board.Fail(rigtest.Faults{NoRequests: true})
	out, err = d.run("flash", id, d.app(t, pdc.Boron, 3))
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || d.board.Modules()[1].Version != 3 {
		t.Errorf("a board without control requests: %v, %s", err, out)
	}
	has(t, out, "writing", "what it runs now is not known")
	d.board.Fail(rigtest.Faults{})
	if _, err = d.run("flash", id, d.app(t, pdc.Argon, 4)); err == nil || !strings.Contains(err.Error(), "this image is for argon, and the board is boron") {
		t.Error(err)
	}
	var usage interface{ Usage() }
	if _, err = d.run("flash", id, app, "--by", "pigeon"); !errors.As(err, &usage) {
		t.Error(err)
	}
	t.Setenv("MUSTER_TOKEN", "")
	if _, err = d.run("flash", id, app, "--by", "ota"); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--token-file") {
		t.Error(err)
	}
	l, err := (&lease.Desk{Dir: lease.DefaultDir()}).Acquire(context.Background(), lease.Request{Key: id, Owner: "somebody else"})
	if err != nil {
		t.Fatal(err)
	}
	var held *lease.HeldError
	if _, err = d.run("flash", id, app); !errors.As(err, &held) {
		t.Errorf("a board that somebody has: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

// TestProvisionCommand: the board runs no device, so a cloud that believes
// everything stands for one that hears it.
func TestProvisionCommand(t *testing.T) {
	d := newDesktop(t)
	heard := 0
	cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost {
			fmt.Fprint(w, `"Success!"`)
			return
		}
		heard++
		fmt.Fprintf(w, `{"id":%q,"online":true,"last_heard":"2026-01-01T00:00:%02dZ"}`, id, heard%60)
	}))
	defer cloud.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	regions, err := dfu.KeysOf(pdc.Boron, keyblob.UDP)
	if err != nil {
		t.Fatal(err)
	}
	server := func() []byte { return d.board.Memory().Read(1, regions.Server.Address, regions.Server.Size) }
	d.board.Memory().Write(1, regions.Device.Address, own)
	d.board.Memory().Write(1, regions.Server.Address, []byte("the server key of before"))
	before := server()
	spki := filepath.Join(t.TempDir(), "server.der")
	if err := os.WriteFile(spki, fixtures.ByName("v6.2.0-udp-session").ServerSPKI, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"provision", id, "--cloud", "192.0.2.7", "--api", cloud.URL, "--server-key", spki}

	out, err := d.run(args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	has(t, out, "saving the server key", "registering", "is connected to 192.0.2.7")
	if blob, err := keyblob.Parse(server()); err != nil || blob.Address.IPv4 != [4]byte{192, 0, 2, 7} {
		t.Errorf("%+v, %v", blob, err)
	}
	if out, err = d.run("provision", "--owed"); err != nil {
		t.Fatal(err)
	}
	has(t, out, "boron "+id+" is owed its old server key", "192.0.2.7:5684")
	for _, secret := range []string{"MHcCAQ", "server key of before", string(own)} {
		if strings.Contains(out, secret) {
			t.Errorf("a key was told:\n%s", out)
		}
	}
	if out, err = d.run("provision", "--restore", id); err != nil || !bytes.Equal(server(), before) {
		t.Errorf("%v\n%s", err, out)
	}
	for _, again := range [][]string{{"--restore"}, {"--restore", id}, {"--owed"}} {
		out, err = d.run(append([]string{"provision"}, again...)...)
		if err != nil || !strings.Contains(out, "owed") {
			t.Errorf("%v, %s", err, out)
		}
	}

	// For as long as a command runs, and whatever it makes of itself.
	seen := filepath.Join(t.TempDir(), "seen")
	out, err = d.run(append(args, "--", "sh", "-c", "echo ran > "+seen+"; exit 7")...)
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || !bytes.Equal(server(), before) {
		t.Errorf("%v\n%s", err, out)
	}
	if b, err := os.ReadFile(seen); err != nil || string(b) != "ran\n" {
		t.Errorf("%q, %v", b, err)
	}

	// At the end of a lease what was owed is paid, by whatever ran under it.
	if out, err = d.run(args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = d.run("lease", id, "--", "true"); err != nil || !bytes.Equal(server(), before) {
		t.Errorf("%v\n%s", err, out)
	}
	has(t, out, "putting back what it had before it was pointed at 192.0.2.7")
	if out, err = d.run("lease", id, "--keep"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = d.run(args...); err != nil || bytes.Equal(server(), before) {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = d.run("release", id); err != nil || !bytes.Equal(server(), before) {
		t.Errorf("%v\n%s", err, out)
	}
	has(t, out, id+" is free")

	// A lease that is over: the next command pays, whichever it is; one that only
	// looks says so, and what is owed without a lease stays.
	if out, err = d.run("lease", id, "--keep"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = d.run(args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = d.run("health"); err != nil || strings.Contains(out, "owed") || bytes.Equal(server(), before) {
		t.Errorf("under the lease: %v\n%s", err, out)
	}
	if err := (&lease.Desk{Dir: lease.DefaultDir()}).Release(context.Background(), lease.Request{Key: id, Board: id}, true); err != nil {
		t.Fatal(err)
	}
	if out, err = d.run("scan"); err != nil || bytes.Equal(server(), before) {
		t.Errorf("%v\n%s", err, out)
	}
	has(t, out, "boron "+id+" is owed its own server key: it was pointed at 192.0.2.7:5684", "muster rig restore "+id)
	if out, err = d.run("health"); err != nil || !bytes.Equal(server(), before) {
		t.Errorf("%v\n%s", err, out)
	}
	has(t, out, "the lease on boron "+id+" is over: putting back")
	if out, err = d.run(args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = d.run("health"); err != nil || bytes.Equal(server(), before) {
		t.Errorf("without a lease: %v\n%s", err, out)
	}
	has(t, out, "is owed its own server key")
	if out, err = d.run("restore", "--list"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	has(t, out, "is owed its old server key")
	if out, err = d.run("restore", id); err != nil || !bytes.Equal(server(), before) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = d.run("health"); err != nil || strings.Contains(out, "owed") {
		t.Errorf("%v\n%s", err, out)
	}

	// What somebody else owes is told, and what the board has then is not taken for
	// its own.
	notice := fmt.Sprintf(`{"serial":%q,"usb_path":"1-1.4","platform":13,"cloud":"192.0.2.8:5684","began":"2026-11-28T10:00:00Z","owner":"ann-who-is-not-here","journal":"/nowhere"}`, id)
	if err := os.WriteFile(filepath.Join(noticeDir(), id+".json"), []byte(notice), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err = d.run("health"); err != nil {
		t.Error(err)
	}
	has(t, out, "by ann-who-is-not-here; ann-who-is-not-here, or root, puts it back")
	if _, err = d.run(args...); err == nil || !strings.Contains(err.Error(), "Nothing was done to it") || !bytes.Equal(server(), before) {
		t.Errorf("a board that is owed its key by somebody else: %v", err)
	}
	if err := os.Remove(filepath.Join(noticeDir(), id+".json")); err != nil {
		t.Fatal(err)
	}

	var usage interface{ Usage() }
	for _, wrong := range [][]string{{"--cloud", "http://x"}, {"--cloud", "x", "--transport", "sctp"}} {
		if _, err := d.run(append([]string{"provision", id, "--server-key", spki}, wrong...)...); !errors.As(err, &usage) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	for _, wrong := range [][]string{{}, {id}, {id, "--cloud", "x", "--restore"}, {"a", "b", "--cloud", "x"}} {
		if _, err := d.run(append([]string{"provision"}, wrong...)...); err == nil {
			t.Errorf("%v was taken", wrong)
		}
	}
}
