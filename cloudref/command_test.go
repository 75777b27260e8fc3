package cloudref

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
)

const testID = "e00fce68a1b2c3d4e5f60718"

// execute runs the command and returns what it printed.
func execute(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	cmd := Command()
	var out, log syncBuffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&log)
	err = cmd.ExecuteContext(ctx)
	return out.String(), log.String(), err
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Every form of a device's key gives the same public half.
func TestParseDeviceKey(t *testing.T) {
	ec := seed.P256(seed.Bytes(1, "device"))
	r := lightssl.GenerateDeviceKey(seed.Bytes(1, "device/rsa"))
	ecSPKI, rsaSPKI := dtls.SPKI(&ec.PublicKey), lightssl.AppendDeviceSPKI(nil, &r.PublicKey)
	page := append(lightssl.AppendDeviceKey(nil, r), bytes.Repeat([]byte{0xff}, 20)...)
	for name, test := range map[string]struct {
		file []byte
		want []byte
	}{
		"P-256, public, DER":     {ecSPKI, ecSPKI},
		"P-256, SEC 1":           {must(x509.MarshalECPrivateKey(ec)), ecSPKI},
		"P-256, PKCS 8":          {must(x509.MarshalPKCS8PrivateKey(ec)), ecSPKI},
		"P-256, PEM":             {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: ecSPKI}), ecSPKI},
		"P-256, page of a flash": {append(must(x509.MarshalECPrivateKey(ec)), bytes.Repeat([]byte{0xff}, 71)...), ecSPKI},
		"RSA, public, DER":       {rsaSPKI, rsaSPKI},
		"RSA, PKCS 1":            {x509.MarshalPKCS1PrivateKey(r), rsaSPKI},
		"RSA, PKCS 8":            {must(x509.MarshalPKCS8PrivateKey(r)), rsaSPKI},
		"RSA, page of a flash":   {page, rsaSPKI},
	} {
		p256, rsa1024, err := ParseDeviceKey(test.file)
		if err != nil || !bytes.Equal(append(p256, rsa1024...), test.want) {
			t.Errorf("%s: got %x and %x, %v", name, p256, rsa1024, err)
		}
	}
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	for name, file := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "P-384": must(x509.MarshalPKIXPublicKey(&p384.PublicKey)),
		"RSA-2048": spki(&lightssl.GenerateCloudKey(seed.Bytes(1, "cloud")).PublicKey),
	} {
		if _, _, err := ParseDeviceKey(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// R-90 as far as files go.
func TestKeysCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	out, _, err := execute(t.Context(), "keys", "--data", dir, "--host", "192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"BEGIN PUBLIC KEY", "-s 3298 -D", "-s 2082 -D"} {
		if !strings.Contains(out, want) {
			t.Errorf("printed %s, want %q in it", out, want)
		}
	}
	if strings.Contains(out, "PRIVATE") {
		t.Error("printed a private key")
	}
	for file, size := range map[string]int{fileBlobUDP: 320, fileBlobTCP: 512, filePubUDP: 91, filePubTCP: 294} {
		b := must(os.ReadFile(filepath.Join(dir, file)))
		if len(b) != size {
			t.Errorf("%s has %d bytes, want %d", file, len(b), size)
		}
		if blob, err := keyblob.Parse(b); err != nil || size != len(blob.Key) && blob.Address.IPv4 != [4]byte{192, 0, 2, 7} {
			t.Errorf("%s: %+v, %v", file, blob, err)
		}
	}
	for _, file := range []string{fileECKey, fileRSAKey} {
		if info := must(os.Stat(filepath.Join(dir, file))); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
	if again, _, err := execute(t.Context(), "keys", "--data", dir, "--host", "192.0.2.7"); err != nil || again != out {
		t.Error("the keys changed")
	}
	for _, host := range []string{"::1", "0.0.0.0", strings.Repeat("x", 63), "a b"} {
		if _, _, err := execute(t.Context(), "keys", "--data", dir, "--host", host); err == nil {
			t.Errorf("--host %q is taken", host)
		}
	}
}

// The device commands, with the cloud running and without.
func TestDeviceCommands(t *testing.T) {
	key := writePEM(t, "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(seed.P256(seed.Bytes(1, "device")))))
	other := writePEM(t, "PUBLIC KEY", dtls.SPKI(&seed.P256(seed.Bytes(2, "device")).PublicKey))
	for _, running := range []bool{false, true} {
		dir := t.TempDir()
		name := "stopped"
		if running {
			name = "running"
		}
		t.Run(name, func(t *testing.T) {
			if running {
				runCloud(t, dir)
			}
			// device runs a command, whose output or error must hold want.
			device := func(want string, args ...string) {
				t.Helper()
				out, _, err := execute(t.Context(), append([]string{"device", "--data", dir}, args...)...)
				if err != nil {
					out += err.Error()
				}
				if !strings.Contains(out, want) {
					t.Errorf("%v: got %q, want %q", args, out, want)
				}
			}
			device("registered for UDP, owner local", "add", testID, "--key", key, "--name", "lamp")
			device("registered for UDP, owner local", "add", testID, "--key", key) // again
			device("device "+testID+" has another key", "add", testID, "--key", other)
			device("registered for UDP", "rekey", testID, "--key", other)
			device("lamp", "list")
			device("24 hexadecimal digits", "add", "e00f", "--key", key)
			device("not a device key", "add", testID, "--key", os.Args[0])
			device("removed", "remove", testID)
			device("is not registered", "remove", testID)
			device("not registered", "rekey", testID, "--key", key)
		})
	}
}

// runCloud runs "muster cloud" until the test ends.
func runCloud(t *testing.T, dir string) *syncBuffer {
	t.Helper()
	out, _ := startCommand(t, dir)
	return out
}

// startCommand runs "muster cloud" until stop, or until the test ends.
func startCommand(t *testing.T, dir string, args ...string) (out *syncBuffer, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := Command()
	out = &syncBuffer{}
	cmd.SetArgs(append([]string{
		"--data", dir, "--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--host", "127.0.0.1", "-v",
	}, args...))
	cmd.SetOut(out)
	cmd.SetErr(out)
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the cloud ended with %v", err)
		}
	})
	t.Cleanup(stop)
	wait(t, out, "the cloud is up")
	return out, stop
}

func wait(t *testing.T, out *syncBuffer, want string) string {
	t.Helper()
	eventually(t, fmt.Sprintf("%q is said", want), func() bool { return strings.Contains(out.String(), want) })
	return out.String()
}

// The first start says what to do; a file in the folder registers a device, which
// gets in; and no secret is printed.
func TestCloudCommand(t *testing.T) {
	dir := t.TempDir()
	out := runCloud(t, dir)
	text := out.String()
	for _, want := range []string{"dfu-util -d 2b04 -a 1 -s 3298", "muster cloud device add", "server-key.backup"} {
		if !strings.Contains(text, want) {
			t.Errorf("the first start does not say %q: %s", want, text)
		}
	}
	if info := must(os.Stat(filepath.Join(dir, fileSocket))); info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v", info.Mode())
	}
	key := must(parseKey("", must(os.ReadFile(filepath.Join(dir, fileECKey))))).(*ecdsa.PrivateKey)
	p := newPuppet(1, &key.PublicKey)
	folder := filepath.Join(dir, "devices")
	file := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.spki()})
	if err := os.WriteFile(filepath.Join(folder, p.id.String()+watchSuffix), file, 0o600); err != nil {
		t.Fatal(err)
	}
	wait(t, out, "registered")
	_, address, _ := strings.Cut(text, "udp=")
	address, _, _ = strings.Cut(address, " ")
	if err := p.dial(must(netip.ParseAddrPort(address))); err != nil {
		t.Fatal(err)
	}
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	if !p.say(p.publish("temp", "a secret of the user"), patience) {
		t.Error("no acknowledgement")
	}
	text = wait(t, out, "name=temp")
	if strings.Contains(text, "a secret") {
		t.Error("the log tells the data of events")
	}
	list, _, err := execute(t.Context(), "device", "list", "--data", dir)
	if err != nil || !strings.Contains(list, p.id.String()) || !strings.Contains(list, "true") || !strings.Contains(list, "6.2.0") {
		t.Errorf("listed %q, %v", list, err)
	}
}

// A device whose key is put into the folder gets in at once, not when the folder is
// looked at the next time.
func TestWatcherIsTold(t *testing.T) {
	c := startCloud(t, Options{Dir: t.TempDir()})
	registered := make(chan struct{}, 4)
	w := newWatcher(c, slog.New(slog.NewTextHandler(writerFunc(func(b []byte) {
		if bytes.Contains(b, []byte("registered")) {
			registered <- struct{}{}
		}
	}), nil)))
	w.every = time.Hour
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(n int) {
		p := newPuppet(n, nil)
		file := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.spki()})
		part := filepath.Join(w.dir, "part")
		if err := errors.Join(os.WriteFile(part, file, 0o600), os.Rename(part, filepath.Join(w.dir, p.id.String()+watchSuffix))); err != nil {
			t.Fatal(err)
		}
	}
	put(1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.run(ctx); close(ended) }()
	for n := range 2 { // the first is there from the beginning; when it is seen, the folder is watched
		select {
		case <-registered:
		case <-time.After(time.Minute):
			t.Fatalf("%d devices are registered", n)
		}
		if n == 0 {
			put(2)
		}
	}
	cancel()
	<-ended
}

// What became of a device since its key was put into the folder stays so over a start:
// that it was given up, and that it was removed.
func TestFolderBringsNothingBack(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, watchFolder)
	key := func(n int) store.DeviceID {
		t.Helper()
		p := newPuppet(n, nil)
		file := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.spki()})
		name := strings.ToUpper(p.id.String()) + watchSuffix
		if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, name), file, 0o600)); err != nil {
			t.Fatal(err)
		}
		return p.id
	}
	given, removed, late := key(1), key(2), key(3)
	look := func(c *Cloud) { newWatcher(c, slog.New(slog.DiscardHandler)).look(t.Context()) }

	c := must(Start(t.Context(), Options{Dir: dir, UDP: anyPort}))
	look(c)
	d := must(c.store.Device(t.Context(), given))
	if d.Owner == (store.AccountID{}) {
		t.Error("a device of the folder is nobody's")
	}
	d.Owner = store.AccountID{}
	if err := c.store.Do(t.Context(), store.PutDevice(d)); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := execute(t.Context(), "device", "remove", removed.String(), "--data", dir); err != nil {
		t.Fatal(err)
	}

	c = must(Start(t.Context(), Options{Dir: dir, UDP: anyPort}))
	defer c.Stop()
	look(c)
	if d := must(c.store.Device(t.Context(), given)); d.Owner != (store.AccountID{}) {
		t.Error("a device that was given up has an owner again")
	}
	if _, err := c.store.Device(t.Context(), removed); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a device that was removed is back: %v", err)
	}
	if _, err := c.store.Device(t.Context(), late); err != nil {
		t.Error(err)
	}
}

// A writerFunc is told each line of a log.
type writerFunc func(b []byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

func TestCloudFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--udp", "nonsense"},
		{"--udp", "", "--tcp", ""},
		{"--http", "8080"},
		{"--data", ""},
		{"--log", "xml"},
		{"--memory", "--nats", "nats://x"},
		{"--memory", "--sync"},
		{"--sync", "--nats", "nats://x"},
		{"--nats-ca", "ca.pem"},
		{"--nats", "nats://x", "--nats-cert", "cert.pem"},
		{"--host", "::1"},
		{"--device-timeout", "0s"},
		{"--hook-retries", "1s,0s"},
		{"--offline-call", "500"},
		{"--silence-udp", "-1s"},
		{"--pprof", "6060"},
		{"--pprof", "0.0.0.0:6060"},
	} {
		_, _, err := execute(t.Context(), append([]string{"--data", t.TempDir()}, args...)...)
		var usage *UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %v, want a UsageError", args, err)
		}
	}
}

// A second cloud on one data directory is told what is wrong.
func TestLockedDirectory(t *testing.T) {
	dir := t.TempDir()
	runCloud(t, dir)
	_, _, err := execute(t.Context(), "--data", dir, "--udp", "127.0.0.1:0", "--tcp", "", "--http", "")
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

// Addresses as people write them.
func TestListenAddress(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.0.0:5684": "0.0.0.0:5684", ":8080": "0.0.0.0:8080", "localhost:8080": "127.0.0.1:8080", "[::1]:80": "[::1]:80", "127.0.0.1:0": "127.0.0.1:0",
	} {
		if a, err := listenAddress("--http", text); err != nil || a.String() != want {
			t.Errorf("%s is %v, %v, want %s", text, a, err, want)
		}
	}
	for _, text := range []string{"8080", "localhost", "localhost:x", ":", "example.org:80", "1.2.3.4"} {
		if a, err := listenAddress("--http", text); err == nil {
			t.Errorf("%s is %v", text, a)
		}
	}
}
