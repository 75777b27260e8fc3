package cloudref

import (
	"strings"
	"testing"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/seed"
)

// "device add --platform" is kept until the device says itself what it is.
func TestDeviceAddPlatform(t *testing.T) {
	dir := t.TempDir()
	file := writePEM(t, "PUBLIC KEY", newPuppet(1, &seed.P256(seed.Bytes(9, "cloud")).PublicKey).spki())
	const id = "e00fce680000000000000031"
	_, _, err := execute(t.Context(), "device", "add", id, "--key", file, "--data", dir, "--platform", "toaster")
	if err == nil || !strings.Contains(err.Error(), "such as boron") {
		t.Errorf("got %v", err)
	}
	if _, _, err := execute(t.Context(), "device", "add", id, "--key", file, "--data", dir, "--platform", "argon"); err != nil {
		t.Fatal(err)
	}
	// Whoever adds it again without a platform leaves it.
	if _, _, err := execute(t.Context(), "device", "add", id, "--key", file, "--data", dir, "--name", "lamp"); err != nil {
		t.Fatal(err)
	}
	st, err := openStore(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	parsed, err := store.ParseDeviceID(id)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := st.Device(t.Context(), parsed); err != nil || d.Platform != 12 || d.Name != "lamp" {
		t.Errorf("got %+v, %v", d, err)
	}
}
