package cloudref

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/seed"
)

// examine runs the doctor, who must find each of want.
func examine(t *testing.T, dir string, well bool, args []string, want ...string) {
	t.Helper()
	out, _, err := execute(t.Context(), append([]string{"doctor", "--data", dir}, args...)...)
	var unwell errUnwell
	if errors.As(err, &unwell) == well || err != nil && !errors.As(err, &unwell) {
		t.Errorf("the doctor ends with %v: %s", err, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("no %q in\n%s", w, out)
		}
	}
}

// The doctor finds real devices that do not get in, by what the running cloud saw.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	examine(t, dir, false, nil, "No cloud runs on "+dir)
	out, stop := startCommand(t, dir)
	defer stop()
	addr, key := cloudOf(t, dir, out.String())
	const id = "e00fce680000000000000001"
	for range 3 { // what the doctor sends is not what arrives
		examine(t, dir, false, nil, "A cloud answers on UDP "+addr.String(), "A cloud answers on TCP", "Nothing has arrived")
	}

	stranger := newPuppet(1, key)
	if err := stranger.dial(addr); err != nil {
		t.Fatal(err)
	}
	if err := stranger.handshake(); err == nil {
		t.Fatal("a stranger got in")
	}
	examine(t, dir, false, nil, "A board at 127.0.0.1:", "nobody registered (SHA-256 "+store.FingerprintOf(stranger.spki()).String())
	examine(t, dir, false, []string{id}, "Device "+id+" is not registered", "muster cloud device add "+id)

	file := writePEM(t, "PUBLIC KEY", stranger.spki())
	if _, _, err := execute(t.Context(), "device", "add", id, "--key", file, "--data", dir); err != nil {
		t.Fatal(err)
	}
	examine(t, dir, false, []string{id}, "has never connected")

	// With the server key of another cloud.
	other := seed.P256(seed.Bytes(9, "another cloud"))
	lost := newPuppet(1, &other.PublicKey)
	if err := lost.dial(addr); err != nil {
		t.Fatal(err)
	}
	if err := lost.handshake(); err == nil {
		t.Fatal("a board accepts another cloud")
	}
	// The alert is on its way when the handshake fails.
	wait(t, out, "peer alert")
	examine(t, dir, false, nil, "has the server key of another one", "-s 3298 -D server-udp.der")

	if err := stranger.connect(); err != nil {
		t.Fatal(err)
	}
	background(t, stranger)
	examine(t, dir, false, []string{id}, "Device "+id+" is online at 127.0.0.1:", "1 of them online")
}

// From elsewhere the doctor needs no data directory.
func TestDoctorProbes(t *testing.T) {
	c := startCloud(t, Options{TCP: anyPort})
	dir := filepath.Join(t.TempDir(), "none")
	examine(t, dir, false, []string{"--probe", c.UDP().String()}, "A cloud answers on UDP")
	examine(t, dir, false, []string{"--probe", c.TCP().String()}, "A cloud answers on TCP")
	for _, args := range [][]string{{"doctor", "e00f"}, {"doctor", "e00fce680000000000000001", "--probe", "127.0.0.1"}} {
		_, _, err := execute(t.Context(), append(args, "--data", dir)...)
		var usage *UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%v: %v, want a UsageError", args, err)
		}
	}
}
