package rig

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/dfu/fakedfu"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/flash"
	"github.com/muster/muster/rigs/restapi"
	"github.com/muster/muster/rigs/rigtest"
	"github.com/muster/muster/sim/command"
)

func TestMain(m *testing.M) {
	fakedfu.MainIfAsked()
	os.Exit(m.Run())
}

// output is what a command prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs a command until the test ends.
func start(t *testing.T, cmd *cobra.Command, args ...string) *output {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := &output{}
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(out)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.ExecuteContext(ctx) // interrupted: it has its own word for that
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return out
}

// find waits for key=value in what a command prints.
func (o *output) find(t *testing.T, key string) string {
	t.Helper()
	for range 12000 {
		_, value, found := strings.Cut(o.String(), " "+key+"=")
		if end := strings.IndexAny(value, " \n"); found && end > 0 {
			return value[:end]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no %q in\n%s", key, o)
	return ""
}

// TestOverTheAir: a board that is a simulated device towards the reference cloud
// is flashed through the cloud's API, by what "muster rig flash --by ota" uses.
func TestOverTheAir(t *testing.T) {
	data, keys := t.TempDir(), t.TempDir()
	cloud := start(t, cloudref.Command(), "--data", data, "--udp", "127.0.0.1:0", "--tcp", "", "--http", "127.0.0.1:0", "--host", "127.0.0.1", "-v")
	udp, http := cloud.find(t, "udp"), cloud.find(t, "http")

	devices := filepath.Join(data, "devices")
	maker := command.Command()
	maker.SetArgs([]string{"--keys-out", keys, "--devices", "1", "--profile", "boron@6.2.0", "--register", devices, "-q"})
	maker.SetOut(&output{})
	if err := maker.Execute(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(devices, "*.pub.pem"))
	if len(files) != 1 {
		t.Fatalf("registered: %v", files)
	}
	id, _, _ := strings.Cut(filepath.Base(files[0]), ".")
	start(t, command.Command(), "--keys", keys, "--cloud", udp, "--cloud-key", data, "--duration", "0", "-q")

	token, err := restapi.Token(filepath.Join(data, "login.txt"))
	if err != nil {
		t.Fatal(err)
	}
	rest, err := restapi.New("http://"+http, token, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	for {
		d, err := rest.Device(ctx, id)
		if err == nil && d.Online {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the device does not come online: %+v, %v", d, err)
		}
		time.Sleep(50 * time.Millisecond)
	}

	bench, err := rigtest.New()
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	defer bench.Close() //nolint:errcheck // the test ends
	if _, err := bench.Plug(fake.Spec{Serial: id, Platform: fake.Boron, Path: "1-1"}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := bench.Host.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	tell := func(p flash.Progress) { told = append(told, p.Stage) }
	way := flash.OTA{Cloud: rest}
	if err := way.Flash(ctx, b, image(t, pdc.Boron), tell); err != nil {
		t.Fatalf("%v; %q", err, told)
	}
	if !strings.Contains(strings.Join(told, "\n"), "the cloud sends it") {
		t.Errorf("progress %q", told)
	}
	if err := way.Flash(ctx, b, image(t, pdc.Argon), tell); err == nil || !strings.Contains(err.Error(), "does not fit this device") {
		t.Errorf("an image for another platform: %v", err)
	}
	bad, err := restapi.New("http://"+http, "wrong", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := (flash.OTA{Cloud: bad}).Flash(ctx, b, image(t, pdc.Boron), tell); err == nil || !strings.Contains(err.Error(), "token is not valid") {
		t.Errorf("a wrong token: %v", err)
	}
}

func image(t *testing.T, p pdc.Platform) *flash.Image {
	t.Helper()
	m := module.Module{
		Prefix: module.Prefix{Platform: p, Function: pdc.ModuleUserPart, Index: 1, Version: 7, Start: 0xb4000},
		Body:   bytes.Repeat([]byte("application "), 2000),
	}
	i, err := flash.Parse("app.bin", m.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return i
}
