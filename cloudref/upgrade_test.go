package cloudref

import (
	"archive/tar"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
)

// unpack unpacks a data directory.
func unpack(t *testing.T, archive string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := tar.NewReader(must(gzip.NewReader(f)))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			err = os.MkdirAll(name, 0o700)
		} else {
			err = os.WriteFile(name, must(io.ReadAll(files)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A data directory that the first "muster cloud" left when it was killed (see
// testdata/README.md) is upgraded: devices, keys, logins, images and sessions are
// there, and its device goes on without a handshake.
func TestDirectoryOfTheFirstVersion(t *testing.T) {
	dir := filepath.Join(unpack(t, "testdata/data-directory-1.tar.gz"), "v1")
	var said []string
	c := startCloud(t, Options{Dir: dir, Log: func(s string) { said = append(said, s) }})
	if !strings.Contains(strings.Join(said, "\n"), "upgraded from format 1") {
		t.Errorf("it said %q", said)
	}
	owner := must(c.Account(t.Context(), "local"))
	devices := c.store.DevicesOf(owner)
	if len(devices) != 2 {
		t.Errorf("devices %v", devices)
	}
	for n := 1; n <= 2; n++ {
		if d, err := c.store.Device(t.Context(), newPuppet(n, nil).id); err != nil || d.Name != fmt.Sprint("lamp", n) {
			t.Errorf("device %d: %+v, %v", n, d, err)
		}
	}
	if image, err := c.store.Image(t.Context(), store.ImageID(store.FingerprintOf([]byte("an image of before")))); err != nil || string(image) != "an image of before" {
		t.Errorf("the image: %q, %v", image, err)
	}

	rest := httptest.NewServer(c.API(api.Config{}))
	defer rest.Close()
	login := readLogin(t, filepath.Join(dir, fileLogin))
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, rest.URL+"/v1/devices/lamp1", nil))
	r.Header.Set("Authorization", "Bearer "+login["token"])
	a := must(http.DefaultClient.Do(r))
	defer a.Body.Close()
	if b := must(io.ReadAll(a.Body)); a.StatusCode != http.StatusOK || !strings.Contains(string(b), `"double"`) {
		t.Errorf("with the token of before: %d %s", a.StatusCode, b)
	}

	p := newPuppet(1, &c.o.ECKey.PublicKey)
	text, id, _ := strings.Cut(string(must(os.ReadFile(filepath.Join(dir, "device-session.hex")))), "\n")
	state := must(dtls.ParseState(must(hex.DecodeString(text))))
	var last uint16
	if _, err := fmt.Sscan(id, &last); err != nil {
		t.Fatal(err)
	}
	session := dtls.Import(state)
	session.Move()
	l := link.OverDTLS(session, coap.NewExchange(&coap.DeviceUDP, last, mrand.New(mrand.NewPCG(1, 2)), nil))
	p.link, p.seen = &l, map[uint64]bool{}
	if err := p.dial(c.UDP()); err != nil {
		t.Fatal(err)
	}
	if !p.say(p.publish("from/after", "1"), patience) {
		t.Fatalf("the session of before: %v", p.ended)
	}
	stop := inBackground(p)
	defer stop()
	if got, err := c.Call(t.Context(), p.id, "double", "abc"); err != nil || got != 6 {
		t.Errorf("the function of before: %d, %v", got, err)
	}
}

// What the first version would say to a directory of ours is what we say to one that
// is newer than we are.
func TestNewerDirectory(t *testing.T) {
	dir := t.TempDir()
	c := startCloud(t, Options{Dir: dir})
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "store", "VERSION")
	if err := os.WriteFile(name, []byte("muster data directory, version 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, err := execute(t.Context(), "--data", dir, "--udp", "127.0.0.1:0", "--tcp", "", "--http", "")
	if err == nil || !strings.Contains(err.Error()+stderr, "its format is version 99, this program knows") || !strings.Contains(err.Error()+stderr, "use the newer program") {
		t.Errorf("got %v, %s", err, stderr)
	}
}
