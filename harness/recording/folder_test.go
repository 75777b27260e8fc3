package recording

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/protocol/seed"
)

// folder makes a folder with files.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pkcs8 is a private key as a fleet's folder has it.
func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestFolderOfKeys(t *testing.T) {
	device := seed.RSA(seed.Bytes(1, "folder"), 1024)
	curve := pkcs8(t, seed.P256(seed.Bytes(1, "folder")))
	public, err := x509.MarshalPKIXPublicKey(&device.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	const log = "CLIENT_RANDOM 00 11\n"
	dir := folder(t, map[string][]byte{
		"a.pem": pkcs8(t, device), "a.pub.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"b.pem": curve, "c.der": append(x509.MarshalPKCS1PrivateKey(device), 0, 0, 0), "devices.csv": []byte("id,profile\n"),
		"keys.log": []byte(log), "traffic.pcapng": []byte("\n\r\r\n\x00\x00\n" + log), "empty": nil,
	})
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "z.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "deeper"), 0o700); err != nil {
		t.Fatal(err)
	}
	var k Keys
	if err := k.Add(dir); err != nil {
		t.Fatal(err)
	}
	if len(k.Logs) != 1 || string(k.Logs[0]) != log {
		t.Errorf("key logs: %q", k.Logs)
	}
	same := func(key *rsa.PrivateKey) bool { return key.Equal(device) }
	if len(k.Devices) != 2 || !slices.ContainsFunc(k.Devices, same) || k.Cloud != nil {
		t.Errorf("%d keys of devices, cloud: %v", len(k.Devices), k.Cloud != nil)
	}
}

// TestFolderThatOpensNothing says what was found, and what would help.
func TestFolderThatOpensNothing(t *testing.T) {
	curve := pkcs8(t, seed.P256(rand.Reader))
	for want, files := range map[string]map[string][]byte{
		"no file in it is a key log":                     {"readme.txt": []byte("hello")},
		"of the 2 private keys in it: an elliptic-curve": {"a.pem": curve, "b.pem": curve},
	} {
		if err := new(Keys).Add(folder(t, files)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestFolderOfCaptures(t *testing.T) {
	dir := folder(t, map[string][]byte{"b.pcapng.gz": nil, "a.pcap": nil, "keys.log": nil, "report.json": nil})
	got, err := Names(dir)
	if want := []string{filepath.Join(dir, "a.pcap"), filepath.Join(dir, "b.pcapng.gz")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Names(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no capture file") {
		t.Errorf("%v", err)
	}
}
