package command

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/muster/muster/sim/fleet"
)

// Public keys are registered as Particle's own tools do it: one request a device.
func TestRegisterByAPI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, said, err := muster(t, "--keys-out", dir, "--devices", "6", "--rsa-keys", "1", "--profile", "boron@6.2.0", "--profile", "photon@3.1.0"); err != nil || !strings.Contains(said, "--register URL") {
		t.Fatal(err, said)
	}
	var mu sync.Mutex
	got := make(map[string]any)
	cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block, _ := pem.Decode([]byte(r.FormValue("publicKey")))
		if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer secret" || block == nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Error(err)
		}
		_, isRSA := key.(*rsa.PublicKey)
		if want := map[bool]string{true: "rsa", false: "ecc"}[isRSA]; r.FormValue("algorithm") != want {
			t.Errorf("algorithm %q of %T", r.FormValue("algorithm"), key)
		}
		mu.Lock()
		got[strings.TrimPrefix(r.URL.Path, "/v1/provisioning/")] = key
		mu.Unlock()
		_, _ = w.Write([]byte(`{"id":"` + r.FormValue("deviceID") + `","connected":false}`)) // some clouds answer with the device
	}))
	defer cloud.Close()
	t.Setenv(tokenVariable, "")
	t.Setenv(tokenVariable2, "secret")
	_, said, err := muster(t, "--keys", dir, "--register", cloud.URL+"/")
	if err != nil || !strings.Contains(said, "6 devices are registered") {
		t.Error(err, said)
	}
	keys, list, err := fleet.LoadKeys(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, m := range list {
		own, _ := x509.ParsePKIXPublicKey(keys.Public(m.ID))
		same := false
		switch key := got[m.ID.String()].(type) {
		case *rsa.PublicKey:
			same = key.Equal(own)
		case *ecdsa.PublicKey:
			same = key.Equal(own)
		}
		if !same {
			t.Errorf("%s: the cloud got the key %v", m.ID, got[m.ID.String()])
		}
	}
}

func TestRegisterByAPIRefused(t *testing.T) {
	for _, c := range []struct {
		status       int
		answer, want string
	}{
		{401, `{"error":"invalid_token","error_description":"The access token provided is invalid."}`, "The access token provided is invalid."},
		{404, `Cannot POST /v1/provisioning/x`, "takes no keys"},
		{400, `{"ok":false,"error":"Another device has this key."}`, "Another device has this key."},
		{500, `oops`, "500 Internal Server Error: oops"},
	} {
		var asked atomic.Int32
		cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.answer))
		}))
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte("secret-token\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, said, err := muster(t, "--keys", "seed:7", "--devices", "50", "--profile", "boron@6.2.0", "--register", cloud.URL, "--token-file", token)
		cloud.Close() // requests that were given up may still be with it
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v", c.status, err)
		}
		if n := asked.Load(); n > registrars {
			t.Errorf("%d: it went on asking: %d times", c.status, n)
		}
		if err != nil && strings.Contains(err.Error()+said, "secret-token") {
			t.Errorf("the token is told: %v", err)
		}
	}
	t.Setenv(tokenVariable, "")
	t.Setenv(tokenVariable2, "")
	if _, _, err := muster(t, "--keys", "seed:7", "--devices", "1", "--profile", "boron@6.2.0", "--register", "http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Error(err)
	}
}

// Errors that nearly always mean one thing say what to do.
func TestHints(t *testing.T) {
	if list := hints(map[string]uint64{"no key": 3, "ping timeout": 2}); len(list) != 1 || !strings.Contains(list[0], "--register") {
		t.Errorf("got %q", list)
	}
	if list := hints(map[string]uint64{"ping timeout": 2}); len(list) != 0 {
		t.Errorf("got %q", list)
	}
}
