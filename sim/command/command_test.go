package command

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/standin"
)

// serve runs a cloud on loopback that knows some devices, until the test ends, and
// returns the flags that lead there.
func serve(t *testing.T, keys *fleet.Keys, list []fleet.Member) []string {
	t.Helper()
	rsaKey, err := x509.ParsePKCS1PrivateKey(fixtures.ByName("v3.1.0-tcp-session").ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	c := standin.New(keys, rsaKey)
	for _, m := range list {
		c.Know(keys.Public(m.ID), m.ID)
	}
	udp, tcp, run, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	for name, key := range map[string][]byte{
		"server-udp.der": keyblob.Blob{Transport: keyblob.UDP, Key: dtls.SPKI(&standin.EC.PublicKey)}.Append(nil),
		"server-tcp.der": lightssl.AppendCloudSPKI(nil, c.RSA()),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--cloud", udp.String(), "--tcp-port", fmt.Sprint(tcp.Port()), "--cloud-key", dir}
}

// muster runs the command and returns what it printed.
func muster(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := Command()
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	cmd.SilenceErrors = true
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// Keys are made and registered in one run and used in the next.
func TestCommand(t *testing.T) {
	t.Parallel() // it waits most of the time
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

	keys, list, err := fleet.LoadKeys(dir, 0)
	if err != nil || len(list) != 4 {
		t.Fatal(err, list)
	}
	run := append(serve(t, keys, list), "--keys", dir, "--rate", "0")
	out, _, err := muster(t, append(run, "--duration", "10s", "--publish", "1s")...)
	if err != nil && !busy(err) || !strings.Contains(out, "4 of 4") {
		t.Errorf("%v\n%s", err, out)
	}

	// Before the devices have booted.
	out, _, err = muster(t, append(run, "--duration", "10ms", "--devices", "3")...)
	var exit *fleet.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed && !busy(err) || !strings.Contains(out, "0 of 3") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCommandRefuses(t *testing.T) {
	dir := t.TempDir()
	private := filepath.Join(dir, "private.pem")
	der, err := x509.MarshalPKCS8PrivateKey(standin.EC)
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
		{"--cloud localhost --register x --cloud-key y --source z", "IP address"},
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
	var exit *fleet.ExitError
	if err := cmd.ExecuteContext(canceled); !errors.As(err, &exit) || exit.Code != exitInterrupted {
		t.Errorf("interrupted: %v", err)
	}
}

const small = `name: small
seed: 3
interval: 500ms
groups:
  - name: borons
    devices: 6
    profiles: [boron@6.2.0, argon@3.1.0]
    publish: [{every: 1s, event: a}]
  - {name: photons, devices: 2, profiles: photon@3.1.0}
phases:
  - {name: arrive, duration: 8s, arrive: {at-once: true}}
  - {name: steady, duration: 2s}
thresholds:
  - share(online) == 100%
  - {expr: count(published) >= LEAST, phase: steady}
`

// busy reports whether this machine was too busy for a verdict, which a run says
// itself.
func busy(err error) bool {
	var exit *fleet.ExitError
	return errors.As(err, &exit) && exit.Code == exitInconclusive
}

// A scenario is checked, keys are made for it, it is run and recorded, and its
// thresholds decide.
func TestScenario(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir := t.TempDir()
	file, keyDir := filepath.Join(dir, "small.yaml"), filepath.Join(dir, "keys")
	write := func(least string) {
		if err := os.WriteFile(file, []byte(strings.Replace(small, "LEAST", least, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("4")
	out, _, err := muster(t, "check", file)
	if err != nil || !strings.Contains(out, "8 devices in 2 groups") || !strings.Contains(out, "▇") && !strings.Contains(out, "█") {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, _, err := muster(t, "keys", file, "--keys-out", keyDir); err != nil {
		t.Fatal(err)
	}
	keys, list, err := fleet.LoadKeys(keyDir, 0)
	if err != nil || len(list) != 8 {
		t.Fatal(err, list)
	}
	flags := append(serve(t, keys, list), "--keys", keyDir)
	record1 := filepath.Join(dir, "out")
	out, said, err := muster(t, append([]string{"run", file, "--out", record1}, flags...)...)
	if !busy(err) && (err != nil || !strings.Contains(out, "PASS: 2 of 2 thresholds hold")) || !strings.Contains(out, "8 of 8") {
		t.Fatalf("%v\n%s%s", err, out, said)
	}
	r, samples, err := record.Load(record1)
	if err != nil || r.Verdict == record.Fail || r.Seed != 3 || len(samples) < 10 || len(r.Cells) == 0 {
		t.Errorf("%v, %d samples", err, len(samples))
	}
	if _, err := os.Stat(filepath.Join(record1, "report.html")); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(filepath.Join(record1, "run.json")); bytes.Contains(b, []byte("PRIVATE")) {
		t.Error("the record holds a key")
	}

	write("1000")
	out, _, err = muster(t, append([]string{"run", file, "--out", ""}, flags...)...)
	var exit *fleet.ExitError
	if !busy(err) && (!errors.As(err, &exit) || exit.Code != exitFailed || !strings.Contains(out, "✗ count(published) >= 1000 in steady")) {
		t.Errorf("%v\n%s", err, out)
	}
	// More devices than there are keys for.
	if _, _, err := muster(t, append([]string{"run", file, "--out", "", "--devices", "100"}, flags...)...); err == nil || !strings.Contains(err.Error(), "muster fleet keys") {
		t.Errorf("%v", err)
	}
	// An interrupt ends the run and leaves a record.
	ctx, cancel := context.WithCancel(t.Context())
	cmd := Command()
	cmd.SilenceErrors = true
	var errs bytes.Buffer
	cmd.SetOut(&bytes.Buffer{})
	cmd.SetErr(&errs)
	record2 := filepath.Join(dir, "cut")
	cmd.SetArgs(append([]string{"run", file, "--out", record2}, flags...))
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	for {
		if b, err := os.ReadFile(filepath.Join(record2, record.SamplesFile)); err == nil && len(b) > 0 {
			break
		}
		select {
		case err := <-done:
			t.Fatal("ended by itself:", err, errs.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; !errors.As(err, &exit) || exit.Code != exitInterrupted {
		t.Errorf("interrupted: %v", err)
	}
	if r, _, err := record.Load(record2); err != nil || !r.Interrupted || len(r.Thresholds) != 2 {
		t.Errorf("the record of an interrupted run: %v %+v", err, r)
	}
}

// Nobody listens: said once, with counts.
func TestUnreachableCloud(t *testing.T) {
	t.Parallel() // it waits most of the time
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.LocalAddr().String()
	l.Close()
	key := filepath.Join(t.TempDir(), "cloud.der")
	if err := os.WriteFile(key, dtls.SPKI(&standin.EC.PublicKey), 0o600); err != nil {
		t.Fatal(err)
	}
	out, said, err := muster(t, "--keys", "seed:3", "--profile", "boron@6.2.0", "--devices", "50", "--rate", "0", "--duration", "8s", "--cloud", addr, "--cloud-key", key)
	var exit *fleet.ExitError
	if !errors.As(err, &exit) || exit.Code == 0 || strings.Count(said, "nothing comes back from") != 1 || !strings.Contains(out, "0 of 50") {
		t.Errorf("%v\n%s%s", err, out, said)
	}
	if n := strings.Count(said, "\n"); n > 12 {
		t.Errorf("%d lines", n)
	}
}

func TestCheckRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(small, "every: 1s", "evry: 1s", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := muster(t, "check", file)
	var usage interface{ Usage() }
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "bad.yaml:8:16: groups[0].publish[0].evry") {
		t.Errorf("%v", err)
	}
	if out, _, err := muster(t, "check", "--schema"); err != nil || !strings.Contains(out, "json-schema.org") {
		t.Errorf("%v", err)
	}
	for _, args := range [][]string{{"check"}, {"run"}, {"run", file + "x", "--cloud", "localhost"}, {"check", filepath.Dir(file)}} {
		if _, _, err := muster(t, args...); err == nil {
			t.Errorf("%v: taken", args)
		}
	}
}

// The record of a command line opens no doors.
func TestRedacted(t *testing.T) {
	got := strings.Join(redacted([]string{"muster", "--keys", "seed:77", "--keys=seed:78", "--api", "https://me:word@host/x", "--nats=nats://a:b@c", "--nats", "nats://token77@c", "a=b", "--out", "x"}), " ")
	for _, secret := range []string{"77", "78", "word", ":b@"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s holds %s", got, secret)
		}
	}
	if !strings.Contains(got, "--out x") || !strings.Contains(got, "a=b") {
		t.Error(got)
	}
}

// Shells complete kinds of devices, files of scenarios and folders of runs.
func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--profile", "boron@6"}, "boron@6.2.0\n"},
		{[]string{"run", ""}, "yaml\n"},
		{[]string{"run", "--view", ""}, "screen\n"},
		{[]string{"report", ""}, fmt.Sprintf(":%d\n", cobra.ShellCompDirectiveFilterDirs)},
		{[]string{"compare", ""}, fmt.Sprintf(":%d\n", cobra.ShellCompDirectiveFilterDirs)},
	} {
		root := &cobra.Command{Use: "muster"}
		root.AddCommand(Command())
		var out strings.Builder
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetArgs(append([]string{cobra.ShellCompRequestCmd, "fleet"}, c.args...))
		if err := root.Execute(); err != nil || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v: %v, %q", c.args, err, out.String())
		}
	}
}
