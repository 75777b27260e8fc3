package fleet

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
)

// muster runs the command and returns what it printed.
func muster(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := Command()
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	cmd.SilenceErrors = true
	err = cmd.ExecuteContext(patient(t))
	return out.String(), errs.String(), err
}

// Keys are made and registered in one run and used in the next.
func TestCommand(t *testing.T) {
	dir, public := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "devices")
	_, said, err := muster(t, "--keys-out", dir, "--register", public, "--devices", "4", "--rsa-keys", "1",
		"--profile", "boron@6.2.0", "--profile", "photon@3.1.0")
	if err != nil || !strings.Contains(said, "share one of them") {
		t.Fatal(err, said)
	}
	if files, _ := filepath.Glob(filepath.Join(public, "*"+publicEnd)); len(files) != 4 {
		t.Errorf("%d public keys", len(files))
	}
	if _, _, err := muster(t, "--keys-out", dir); err == nil {
		t.Error("the keys were made anew over the old ones")
	}

	keys, list, err := LoadKeys(dir, 0)
	if err != nil || len(list) != 4 {
		t.Fatal(err, list)
	}
	c := newScripted(keys)
	for _, m := range list {
		c.Know(keys.Public(m.ID), m.ID)
	}
	udp, tcp := c.serve(t)
	cloudDir := t.TempDir()
	for name, key := range map[string][]byte{
		"server-udp.der": keyblob.Blob{Transport: keyblob.UDP, Key: dtls.SPKI(&cloudEC.PublicKey)}.Append(nil),
		"server-tcp.der": lightssl.AppendCloudSPKI(nil, c.RSA()),
	} {
		if err := os.WriteFile(filepath.Join(cloudDir, name), key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := []string{"--keys", dir, "--cloud", udp.String(), "--tcp-port", fmt.Sprint(tcp.Port()), "--cloud-key", cloudDir, "--rate", "0"}
	out, _, err := muster(t, append(run, "--duration", "4s", "--publish", "1s")...)
	if err != nil || !strings.Contains(out, "4 of 4") {
		t.Errorf("%v\n%s", err, out)
	}

	// Before the devices have booted.
	out, _, err = muster(t, append(run, "--duration", "10ms", "--devices", "3")...)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitOffline || !strings.Contains(out, "0 of 3") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCommandRefuses(t *testing.T) {
	dir := t.TempDir()
	private := filepath.Join(dir, "private.pem")
	der, err := x509.MarshalPKCS8PrivateKey(cloudEC)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"", "--cloud"},
		{"--cloud localhost", "--keys"},
		{"--cloud localhost --keys x", "--cloud-key"},
		{"--cloud localhost --keys x --cloud-key y", "--keys-out"},
		{"--cloud localhost --keys x --keys-out y", "none of the others"},
		{"--keys-out y --profile toaster@1.0", "toaster"},
		{"--keys-out y --devices -1", "negative"},
		{"--keys-out y --publish 1ms", "once a second"},
		{"--keys-out DIR/k --profile boron@6.2.0 --devices 1 --cloud localhost --cloud-key " + private, "private key"},
		{"--keys-out DIR/l --profile boron@6.2.0 --devices 1 --cloud localhost --cloud-key DIR", "start the cloud once"},
	} {
		args := strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))
		_, _, err := muster(t, args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want something about %q", c.args, err, c.want)
		}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	cmd := Command()
	cmd.SetArgs([]string{"--keys-out", filepath.Join(dir, "m"), "--profile", "photon@3.1.0", "--devices", "1"})
	cmd.SilenceErrors = true
	var exit *ExitError
	if err := cmd.ExecuteContext(canceled); !errors.As(err, &exit) || exit.Code != exitInterrupted {
		t.Errorf("interrupted: %v", err)
	}
}
